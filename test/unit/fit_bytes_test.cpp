// The memory that a training is said to take, by which it is refused, beside what it takes: every
// byte that is asked of malloc (as Eigen does) or of new.
#include "testing.hpp"

#if defined(__SANITIZE_ADDRESS__)
// of <sanitizer/allocator_interface.h>, which GCC does not install
extern "C" {
int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, std::size_t),
                                              void (*)(const volatile void*));
std::size_t __sanitizer_get_allocated_size(const volatile void*);
}
#endif

namespace ad::test {
namespace {

/// The most bytes that were allocated at a time while it lives, beyond those before.
class Meter {
  public:
    Meter() {
#if defined(__SANITIZE_ADDRESS__)
        static const int installed = __sanitizer_install_malloc_and_free_hooks(
            [](const volatile void*, std::size_t size) { count(static_cast<std::int64_t>(size)); },
            [](const volatile void* block) {
                if (!counting_ || block == nullptr) return;
                count(-static_cast<std::int64_t>(__sanitizer_get_allocated_size(block)));
            });
        EXPECT_NE(installed, 0);
#endif
        held_ = 0;
        peak_ = 0;
        counting_ = true;
    }
    ~Meter() { counting_ = false; }
    std::uint64_t peak() const { return static_cast<std::uint64_t>(peak_); }

  private:
    static void count(std::int64_t bytes) {
        if (!counting_) return;
        held_ += bytes;
        peak_ = std::max(peak_, held_);
    }

    static inline bool counting_ = false;
    static inline std::int64_t held_ = 0;
    static inline std::int64_t peak_ = 0;
};

/// What is not in proportion to anything and may differ: parameters and what a fit says of itself,
/// working memory of a block of rows. No limit on memory is so low that it matters.
constexpr std::uint64_t kAnyTraining = 64 << 10;

/// How many times what it takes an estimate may be.
constexpr double kTimes = 3.0;
/// There is room for the trees of rows that every cut halves. Random cuts through numbers leave
/// fewer leaves: two fifths as many, of planes a fifth, and of thousands of rows still less.
constexpr double kTimesOfTrees = 4.0;
constexpr double kTimesOfPlanes = 6.5;
constexpr double kTimesOfLargeTrees = 10.0;

/// Halving: a cut anywhere leaves half of the rows on each side, so that trees grow full.
enum class Content { Numbers, Missing, Constant, Halving, Mixed, Categories };

struct Case {
    std::string_view algorithm;
    Json parameters;
    std::size_t rows;
    std::size_t columns;
    Content content = Content::Numbers;
    double times = kTimes;

    bool is_category(std::size_t j) const {
        return content == Content::Categories || (content == Content::Mixed && j % 2 == 1);
    }
    std::string name() const {
        constexpr std::string_view kContents[] = {"",
                                                  " with missing values",
                                                  " of which two vary",
                                                  " of 0 and 1",
                                                  " and half of them categories",
                                                  " of categories"};
        return std::string(algorithm) + " " + parameters.dump() + ", " + std::to_string(rows) +
               " rows of " + std::to_string(columns) + " columns" +
               std::string(kContents[static_cast<std::size_t>(content)]);
    }
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name(); }

bool grows_trees(const Algorithm& algorithm) {
    return algorithm.name == "isolation_forest" || algorithm.family == kEnsembleFamily;
}

/// As many as a column may have, if there are rows enough.
std::uint32_t categories_of(const Case& one) {
    return static_cast<std::uint32_t>(std::min<std::size_t>(Training::kMaxCategories, one.rows));
}

double cell_of(const Case& one, std::size_t j, Random& random) {
    if (one.is_category(j)) return random.below(categories_of(one));
    if (one.content == Content::Missing && random.below(10) == 0) return kMissing;
    if (one.content == Content::Constant && j >= 2) return 1.0;
    if (one.content == Content::Halving) return random.below(2);
    double value = 0.0;
    for (int k = 0; k < 4; ++k) value += random.uniform();
    return value + static_cast<double>(random.below(3));
}

class FitBytes : public ::testing::TestWithParam<Case> {
  protected:
    void SetUp() override {
#if !defined(__SANITIZE_ADDRESS__)
        GTEST_SKIP() << "without AddressSanitizer nobody counts what is allocated";
#endif
    }
    static Schema schema() {
        Schema schema = numbers(GetParam().columns);
        for (std::size_t j = 0; j < schema.size(); ++j) {
            if (GetParam().is_category(j)) schema[j].kind = FeatureKind::Category;
        }
        return schema;
    }
    static std::string text() {
        return request(GetParam().algorithm, {{"parameters", GetParam().parameters}});
    }
    static FitRequest::Cost cost() {
        return FitRequest::parse(text()).training_cost(schema(), GetParam().rows,
                                                       FitState::kNoLimit);
    }
};

/// What is compared with max_training_memory, and what Model::fit does after that.
TEST_P(FitBytes, OfTheDetectorAreAnHonestBound) {
    const auto& one = GetParam();
    Random random(1);
    Matrix matrix(one.rows, one.columns);
    std::vector<std::uint32_t> categories;
    for (std::size_t j = 0; j < one.columns; ++j) {
        for (std::size_t i = 0; i < one.rows; ++i) matrix.column(j)[i] = cell_of(one, j, random);
        categories.push_back(one.is_category(j) ? categories_of(one) : 0);
    }
    const bool any =
        std::any_of(categories.begin(), categories.end(), [](auto n) { return n > 0; });
    const auto request = FitRequest::parse(text());
    const std::uint64_t estimate = cost().detector_bytes;
    std::vector<double> scores(one.rows);
    std::uint64_t peak = 0;
    {
        const Meter meter;
        Pipeline pipeline(*request.algorithm);
        pipeline.fit({.rows = matrix.view(), .categories = any ? categories.data() : nullptr},
                     request.params, request.preprocess.scale, Random(2));
        pipeline.score(matrix.view(), scores.data());
        peak = meter.peak();
    }
    EXPECT_GE(estimate, peak);
    EXPECT_LE(static_cast<double>(estimate), one.times * static_cast<double>(peak) + kAnyTraining);
}

std::vector<Case> shapes_of_each() {
    std::vector<Case> all;
    for (const Algorithm* algorithm : algorithms()) {
        const std::string_view name = algorithm->name;
        Json quick = Json::object();
        if (name == "autoencoder") quick["epochs"] = 1;
        if (name == "kmeans" || name == "cblof") quick["n_init"] = 2;
        const bool slow = name == "auto" || name == "kde" || name == "one_class_svm";
        const Content usual = algorithm->needs_categories ? Content::Categories : Content::Numbers;
        const double times = grows_trees(*algorithm) ? kTimesOfTrees : kTimes;
        if (name != "auto") all.push_back({name, quick, 200, 2, usual, times});
        all.push_back({name, quick, 200, 60, usual, times});
        all.push_back({name, quick, slow ? 600U : 5000U, 10, usual, times});
        all.push_back({name, quick, 600, 10, Content::Mixed, times});
        if (algorithm->takes_missing && !algorithm->needs_categories && !slow)
            all.push_back({name, quick, 600, 10, Content::Missing, times});
    }
    return all;
}

std::vector<Case> forests() {
    const std::string_view name = "isolation_forest";
    const Json large{{"max_samples", 4096}, {"n_estimators", 20}};
    const Json large_planes{{"max_samples", 4096}, {"n_estimators", 20}, {"ndim", 3}};
    const Json isolating{{"max_depth", "none"}};
    const Json gaining{{"ntry", 5}, {"prob_pick_pooled_gain", 1}, {"penalize_range", true}};
    return {
        {name, Json::object(), 2000, 20, Content::Halving},
        {name, {{"max_samples", 1024}, {"n_estimators", 50}}, 5000, 30, Content::Halving},
        {name, {{"max_depth", 6}}, 2000, 30, Content::Halving},
        {name, {{"ndim", 3}}, 2000, 20, Content::Halving},
        {name, gaining, 2000, 20, Content::Halving},
        {name, {{"n_estimators", 1000}}, 600, 5, Content::Numbers, kTimesOfPlanes},
        {name, {{"scoring_metric", "density"}}, 600, 1, Content::Numbers, kTimesOfPlanes},
        {name, {{"bootstrap", true}}, 600, 150, Content::Numbers, kTimesOfPlanes},
        {name, {{"weigh_by_kurtosis", true}}, 2000, 60, Content::Constant, kTimesOfPlanes},
        {name, {{"ndim", 3}}, 5000, 10, Content::Numbers, kTimesOfPlanes},
        {name, {{"ndim", 3}}, 600, 10, Content::Mixed, kTimesOfPlanes},
        {name, {{"ndim", 8}}, 600, 10, Content::Numbers, kTimesOfPlanes},
        {name, {{"ndim", 100}}, 600, 5, Content::Numbers, kTimesOfPlanes},
        {name, large, 5000, 3, Content::Numbers, kTimesOfLargeTrees},
        {name, large, 5000, 10, Content::Mixed, kTimesOfLargeTrees},
        {name, large_planes, 5000, 10, Content::Numbers, kTimesOfLargeTrees},
        {name, isolating, 2000, 5},
        {name, {{"ndim", 3}, {"max_depth", "none"}}, 2000, 10},
        {name, gaining, 2000, 10},
    };
}

std::vector<Case> parameters_of_others() {
    return {
        {"knn", {{"max_reference", 500}}, 5000, 10},
        {"knn", {{"n_neighbors", 500}}, 1000, 3},
        {"local_outlier_factor", {{"max_reference", 500}}, 5000, 10},
        {"local_outlier_factor", {{"n_neighbors", 100}}, 1100, 3},
        {"inne", {{"max_samples", 64}}, 300, 5},
        {"one_class_svm", {{"approximation", "exact"}}, 2500, 3},
        {"one_class_svm", {{"approximation", "nystroem"}, {"n_components", 100}}, 5000, 3},
        {"one_class_svm", {{"approximation", "nystroem"}, {"max_reference", 500}}, 5000, 10},
        {"one_class_svm", {{"kernel", "linear"}}, 500, 10},
        {"autoencoder", {{"hidden", {512, 8, 512}}, {"epochs", 1}}, 300, 10},
        {"autoencoder", {{"hidden", std::vector<int>(16, 1)}, {"epochs", 1}}, 300, 1},
        {"autoencoder", {{"batch_size", 4096}, {"epochs", 1}}, 5000, 10},
        {"gmm", {{"n_components", 20}}, 1000, 5},
        {"gmm", {{"n_components", 100}}, 500, 10},
        {"kmeans", {{"n_clusters", 200}, {"n_init", 1}}, 1000, 20},
        {"kde", {{"max_reference", 500}}, 2000, 10},
        {"hbos", {{"n_bins", 10000}}, 1000, 5},
        {"hbos", {{"n_bins", "auto"}}, 2000, 5},
        {"loda", {{"n_bins", "auto"}}, 1000, 20},
        {"loda", {{"n_bins", 1000}}, 1000, 20},
        {"mahalanobis", Json::object(), 600, 300},
        {"elliptic_envelope", Json::object(), 700, 20},
        {"iqr", Json::object(), 700, 20, Content::Constant},
        {"auto", Json::object(), 300, 202, Content::Numbers, kTimesOfPlanes},
        {"ensemble", {{"members", {"mad", "mahalanobis", "knn", "kde", "hbos"}}}, 2000, 10},
        {"ensemble",
         {{"members", {"isolation_forest", "rare_category", "copod"}}},
         2000,
         10,
         Content::Mixed,
         kTimesOfPlanes},
        {"ensemble", {{"members", {"autoencoder", "one_class_svm"}}}, 300, 10},
    };
}

INSTANTIATE_TEST_SUITE_P(Shapes, FitBytes, ::testing::ValuesIn(shapes_of_each()));
INSTANTIATE_TEST_SUITE_P(Forests, FitBytes, ::testing::ValuesIn(forests()));
INSTANTIATE_TEST_SUITE_P(Parameters, FitBytes, ::testing::ValuesIn(parameters_of_others()));

/// From the first row to the bytes of the model; of a source that is twice as large as the sample.
class TrainingBytes : public FitBytes {};

TEST_P(TrainingBytes, OfSampleAndDetectorAreAnHonestBound) {
    const auto& one = GetParam();
    const auto expected = cost();
    const auto labels = [&] {
        std::vector<std::string> all;
        for (std::uint32_t c = 0; c < categories_of(one); ++c) all.push_back(std::to_string(c));
        return all;
    }();
    const Meter meter;
    Json options = Json::parse(text());
    options["sample_size"] = one.rows;
    FitState state(options.dump(), schema());
    Random random(1);
    std::vector<Cell> cells(one.columns);
    std::vector<std::string_view> texts(one.columns);
    for (std::size_t i = 0; i < 2 * one.rows; ++i) {
        for (std::size_t j = 0; j < one.columns; ++j) {
            const double value = cell_of(one, j, random);
            cells[j] = number_cell(value);
            if (!one.is_category(j)) continue;
            texts[j] = labels[static_cast<std::size_t>(value)];
            cells[j] = category_cell(hash_bytes(texts[j]));
        }
        if (state.offer(row_hash(i))) state.add(row_hash(i), cells.data(), texts.data());
    }
    const std::string bytes = Model::fit(state).save();
    const std::uint64_t peak = meter.peak();
    const std::uint64_t estimate = expected.sample_bytes + expected.detector_bytes;
    EXPECT_GE(estimate + kAnyTraining, peak);
    EXPECT_LE(static_cast<double>(estimate), one.times * static_cast<double>(peak) + kAnyTraining);
}

INSTANTIATE_TEST_SUITE_P(Shapes, TrainingBytes,
                         ::testing::Values(Case{"mad", Json::object(), 5000, 10},
                                           Case{"mad", Json::object(), 4096, 3},
                                           Case{"mad", Json::object(), 8200, 3},
                                           Case{"ecod", Json::object(), 2000, 10, Content::Mixed},
                                           Case{"pca", Json::object(), 2100, 60},
                                           Case{"isolation_forest",
                                                {{"n_estimators", 500}},
                                                300,
                                                2,
                                                Content::Numbers,
                                                kTimesOfPlanes}));

}  // namespace
}  // namespace ad::test
