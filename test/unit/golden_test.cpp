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
};

const std::vector<Golden>& golden() {
    static const std::vector<Golden> kGolden{
        {"isolation_forest_v1.bin",
         "isolation_forest",
         R"({"random_seed": 42, "parameters": {"n_estimators": 10, "max_samples": 16}})",
         {0.5921066915670686, 0.5518772522856858, 0.5290638463843709, 0.493596514453708},
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
         4.0},
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
    for (std::uint64_t i = 0; i < 40; ++i) {
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
        EXPECT_LT(bytes.size(), 8192U);
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
        EXPECT_TRUE(fitted(golden) == read(golden)) << golden.file;
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
