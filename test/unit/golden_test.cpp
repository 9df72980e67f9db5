// Models of every release, kept as bytes in golden/: later releases must load them and score alike
// for ever. A file is never changed; a new format or payload version gets a new file beside it.
//
// To write the files of a new algorithm, add it to kGolden, run this test with AD_WRITE_GOLDEN=1
// (existing files stay as they are), and copy the scores that the failing comparison prints.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "testing.hpp"

namespace ad::test {
namespace {

struct Golden {
    const char* file;
    const char* algorithm;
    const char* options;
    std::vector<double> scores;  ///< of probes()
    double threshold;
    std::uint64_t rows = 40;          ///< trained on
    std::size_t largest_file = 8192;  ///< in bytes
    bool current = true;              ///< training today gives the same bytes
};

const std::vector<Golden>& golden() {
    static const std::vector<Golden> kGolden{
        {"cblof_v1.bin",
         "cblof",
         R"({"random_seed": 42, "parameters": {"n_clusters": 4, "use_weights": true}})",
         {20.940965049346648, 7421.967444109132, 82.3934178718841, 22.937390532899833},
         34.64428001527389},
        {"elliptic_envelope_v1.bin",
         "elliptic_envelope",
         R"({"random_seed": 42})",
         {10.45895402257632, 1152486.2001945681, 81.01881602310519, 7.7956296473903715},
         15.045947313196205,
         40,
         8192,
         false},
        {"elliptic_envelope_robust_v1.bin",
         "elliptic_envelope",
         R"({"random_seed": 42})",
         {7.864829829895176, 655417.2882519629, 75.66622558627097, 5.108841264928332},
         10.265997359759144},
        {"gmm_v1.bin",
         "gmm",
         R"({"random_seed": 42, "parameters": {"n_components": 3, "reg_covar": 0.01}})",
         {9.754133531942493, 522945.1261244173, 52.73633205295831, 7.2624681263952935},
         8.095256093495191},
        {"kde_v1.bin",
         "kde",
         R"({"random_seed": 42, "parameters": {"bandwidth": "scott", "max_reference": 30}})",
         {9.679912073779777, 509907.97371929226, 59.13601987546015, 9.01642220759438},
         9.078390496573753},
        {"kmeans_v1.bin",
         "kmeans",
         R"({"random_seed": 42, "parameters": {"n_clusters": 4}})",
         {2.0940965049346647, 742.1967444109132, 8.23934178718841, 1.6383850380642737},
         2.657819088686982},
        {"mahalanobis_v1.bin",
         "mahalanobis",
         "{}",
         {7.814079475961446, 613755.8428720095, 76.83172585588042, 5.251573070852157},
         10.51318437459511},
        {"pca_v1.bin",
         "pca",
         R"({"parameters": {"n_components": 3}})",
         {48.601078305276445, 11870.065521939703, 141.5734422207191, 33.302940849967875},
         55.87836423860239},
        {"isolation_forest_v1.bin",
         "isolation_forest",
         R"({"random_seed": 42, "parameters": {"n_estimators": 10, "max_samples": 16}})",
         {0.5921066915670686, 0.5518772522856858, 0.5935449424240834, 0.493596514453708},
         0.6023643876477947},
        {"isolation_forest_planes_v1.bin",
         "isolation_forest",
         R"({"random_seed": 42, "parameters": {"n_estimators": 10, "max_samples": 16, "ndim": 2,
             "prob_pick_pooled_gain": 0.5, "prob_pick_avg_gain": 0.5, "penalize_range": true}})",
         {0.5478748714991775, 0.6629832292960449, 0.586388064064575, 0.46184963559463554},
         0.5909149123147349},
        {"mad_v1.bin",
         "mad",
         R"({"preprocess": {"impute": "mean"}, "threshold": {"method": "score", "value": 4}})",
         {1.9110571518503516, 633.0781604426473, 5.6769351089420885, 0.8431134493457441},
         4.0,
         40,
         8192,
         false},
        {"mad_nulls_v1.bin",
         "mad",
         R"({"threshold": {"method": "score", "value": 4}})",
         {1.9110571518503516, 538.0412788344801, 5.6769351089420885, 0.0},
         4.0},
        {"ensemble_v1.bin",
         "ensemble",
         R"({"parameters": {"members": [{"algorithm": "isolation_forest", "weight": 2,
            "parameters": {"n_estimators": 5, "max_samples": 16}}, "mad"]}})",
         {1.8123112418189073, 4.873440767385654, 3.613592036782849, 0.12480769472543098},
         2.7183823975299264},
        // its forests have 600 trees, whatever there is to train on
        {"auto_v1.bin",
         "auto",
         "{}",
         {2.6499789046413875, 2.234237908291112, 2.775203100439624, 0.7599467143961066},
         4.605170185988091,
         3,
         131072},
        {"copod_v1.bin",
         "copod",
         "{}",
         {9.784786018993918, 10.660742799334345, 12.805210905138281, 6.75593351705023},
         9.954569102344351},
        {"ecod_v1.bin",
         "ecod",
         "{}",
         {10.637700898048502, 13.370443711741082, 13.658125784192864, 8.26356211270583},
         12.935347202386108},
        {"hbos_v1.bin",
         "hbos",
         R"({"parameters": {"n_bins": 4}})",
         {-1.915382303589063, -1.7454573021467505, 2.476935119189697, 0.35735350343702477},
         -1.081932516042058},
        {"iqr_v1.bin",
         "iqr",
         "{}",
         {0.6603773584905663, 483.0151515151515, 3.7083119962587703, 0.46153846153846156},
         1.5,
         40,
         8192,
         false},
        {"iqr_nulls_v1.bin",
         "iqr",
         "{}",
         {0.6603773584905663, 419.39473684210526, 3.7083119962587703, 0.0},
         1.5},
        {"loda_v1.bin",
         "loda",
         R"({"random_seed": 42, "parameters": {"n_random_cuts": 10, "n_bins": 5}})",
         {1.477756597557241, 1.477756597557241, 2.1881545716517494, 1.5720080097003595},
         1.84813349568743},
        {"rare_category_v1.bin",
         "rare_category",
         "{}",
         {-0.4664429020707317, -0.4664429020707317, 3.925874520708029, 3.925874520708029},
         6.643856189774724},
        {"zscore_v1.bin",
         "zscore",
         "{}",
         {1.86731623096604, 742.7420129960576, 8.41662399251754, 1.3415011994645378},
         3.0,
         40,
         8192,
         false},
        {"zscore_nulls_v1.bin",
         "zscore",
         "{}",
         {1.86731623096604, 695.1929301178982, 8.41662399251754, 0.0},
         3.0},
        {"knn_v1.bin",
         "knn",
         R"({"parameters": {"n_neighbors": 3, "method": "mean"}})",
         {2.0037227138559968, 741.174489664184, 7.630334035826425, 1.7436642331045407},
         2.4792280946377283},
        {"local_outlier_factor_v1.bin",
         "local_outlier_factor",
         R"({"parameters": {"n_neighbors": 5}})",
         {0.9931817933764605, 281.7523677095085, 2.8565404910319785, 0.9855281778441136},
         1.5},
        {"inne_v1.bin",
         "inne",
         R"({"random_seed": 42, "parameters": {"n_estimators": 8, "max_samples": 4}})",
         {0.5811277451010919, 1.0, 1.0, 0.47085899391017105},
         0.95},
        {"one_class_svm_v1.bin",
         "one_class_svm",
         R"({"parameters": {"nu": 0.2}})",
         {0.08768939342756377, 1.3295644813150787, 1.3291439081546816, -0.3381485006501095},
         5e-324},
        {"autoencoder_v1.bin",
         "autoencoder",
         R"({"random_seed": 42, "parameters": {"hidden": [8, 3, 8], "epochs": 3}})",
         {6.770808028176156, 77476.91338118301, 13.699090613081108, 1.2449590263250754},
         6.1147846232332075},
    };
    return kGolden;
}

constexpr std::string_view kWords[] = {"north", "south", "south", "east"};

/// Row i of the training data; everything in it is exact, so that it is the same everywhere.
std::vector<Cell> training_row(std::uint64_t i) {
    const auto number = static_cast<double>(i * 37 % 41);
    return {number_cell(i % 9 == 0 ? kMissing : number / 8.0),
            category_cell(category_hash(kWords[i % 4])),
            number_cell(5400.0 * static_cast<double>(i)), number_cell(static_cast<double>(i % 2))};
}

Schema schema() {
    return {{"x", FeatureKind::Number},
            {"where", FeatureKind::Category},
            {"when", FeatureKind::Timestamp},
            {"flag", FeatureKind::Boolean}};
}

std::string fitted(const Golden& golden) {
    FitState state(request(golden.algorithm, Json::parse(golden.options)), schema());
    for (std::uint64_t i = 0; i < golden.rows; ++i) {
        const auto row = training_row(i);
        const std::string_view labels[] = {{}, kWords[i % 4], {}, {}};
        if (state.offer(row_hash(i))) state.add(row_hash(i), row.data(), labels);
    }
    return Model::fit(state).save();
}

/// An ordinary row, an extreme one, an unseen category and a row of missing values.
Table probes() {
    Table table;
    table.rows = 4;
    table.columns = {
        {number_cell(2.5), number_cell(1000.0), number_cell(2.5), number_cell(kMissing)},
        {category_cell(category_hash("south")), category_cell(category_hash("south")),
         category_cell(category_hash("mars")), category_cell(kMissingCategory)},
        {number_cell(5400.0), number_cell(5400.0), number_cell(5400.0), number_cell(kMissing)},
        {number_cell(1.0), number_cell(0.0), number_cell(0.0), number_cell(kMissing)}};
    table.point();
    return table;
}

std::filesystem::path path_of(const Golden& golden) {
    return std::filesystem::path(AD_GOLDEN_DIR) / golden.file;
}

void write_if_asked(const Golden& golden) {
    if (std::getenv("AD_WRITE_GOLDEN") == nullptr) return;
    if (std::filesystem::exists(path_of(golden))) return;
    std::filesystem::create_directories(AD_GOLDEN_DIR);
    std::ofstream(path_of(golden), std::ios::binary) << fitted(golden);
}

std::string read(const Golden& golden) {
    std::ifstream in(path_of(golden), std::ios::binary);
    EXPECT_TRUE(in.good()) << "cannot read " << path_of(golden);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST(GoldenModels, LoadAndScoreAsEver) {
    for (const auto& golden : golden()) {
        SCOPED_TRACE(golden.file);
        write_if_asked(golden);
        const auto bytes = read(golden);
        EXPECT_LT(bytes.size(), golden.largest_file);
        const auto model = Model::load(bytes);
        const auto scores = score(model, probes());
        EXPECT_EQ(scores, golden.scores) << Json(scores);
        EXPECT_EQ(model.predict(0.0).threshold, golden.threshold)
            << Json(model.predict(0.0).threshold);
        EXPECT_EQ(Json::parse(model.describe())["algorithm"], golden.algorithm);
    }
}

// While the version is the newest: the same rows still give the same bytes.
TEST(GoldenModels, AreWhatTrainingGivesToday) {
    for (const auto& golden : golden()) {
        EXPECT_EQ(fitted(golden) == read(golden), golden.current) << golden.file;
    }
}

TEST(GoldenModels, ExistForEveryAlgorithm) {
    for (const Algorithm* algorithm : algorithms()) {
        EXPECT_TRUE(std::any_of(golden().begin(), golden().end(), [&](const Golden& g) {
            return algorithm->name == g.algorithm;
        })) << algorithm->name;
    }
}

}  // namespace
}  // namespace ad::test
