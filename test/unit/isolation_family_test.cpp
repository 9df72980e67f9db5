// The variants of "isolation_forest" through the detector's own interface: categories, weights,
// missing values, contributions, and what each is good at.
#include "testing.hpp"

namespace ad::test {
namespace {

constexpr std::string_view kName = "isolation_forest";

/// Columns that own their values, and what is known of them.
struct Sample {
    Matrix values;
    std::vector<std::uint32_t> categories;
    std::vector<double> weights;

    Sample(std::size_t rows, std::size_t columns) : values(rows, columns), categories(columns) {}

    static Sample of(const Rows& rows) {
        Sample sample(rows.size(), rows[0].size());
        for (std::size_t i = 0; i < rows.size(); ++i) {
            for (std::size_t j = 0; j < rows[0].size(); ++j)
                sample.values.column(j)[i] = rows[i][j];
        }
        return sample;
    }
    Training training() const {
        return {.rows = values.view(),
                .weights = weights.empty() ? nullptr : weights.data(),
                .categories = categories.data()};
    }
};

std::unique_ptr<Detector> fitted(const Sample& sample, const Json& parameters,
                                 std::uint64_t seed = 1) {
    const Algorithm& algorithm = find_algorithm(kName);
    const Params params(algorithm.params, parameters, algorithm.name);
    algorithm.check(params);
    auto detector = algorithm.make();
    detector->fit(sample.training(), params, Random(seed));
    return detector;
}

std::vector<double> scores_of(const Detector& detector, const Rows& rows) {
    const Sample sample = Sample::of(rows);
    std::vector<double> scores(rows.size());
    detector.score(sample.values.view(), scores.data());
    return scores;
}

std::vector<double> explained(const Detector& detector, const std::vector<double>& row) {
    const Sample sample = Sample::of({row});
    std::vector<double> contributions(row.size());
    detector.explain(sample.values.view(), 0, contributions.data());
    return contributions;
}

const Json kFairCut{{"ndim", 2}, {"prob_pick_pooled_gain", 1}, {"max_depth", "none"}};
const Json kSciForest{{"ndim", 2},
                      {"ntry", 10},
                      {"coefs", "normal"},
                      {"prob_pick_avg_gain", 1},
                      {"penalize_range", true}};

std::vector<Json> variants() {
    return {Json::object(),
            {{"ndim", 2}},
            {{"ndim", 3}, {"coefs", "normal"}},
            kFairCut,
            kSciForest,
            {{"prob_pick_pooled_gain", 0.5}, {"prob_pick_avg_gain", 0.5}, {"ntry", 3}},
            {{"weigh_by_kurtosis", true}, {"max_depth", 4}},
            {{"scoring_metric", "density"}},
            {{"scoring_metric", "density"}, {"ndim", 2}, {"max_depth", "none"}}};
}

/// 500 rows of three columns of numbers and one of three categories, one row of a fourth.
Sample mixed() {
    auto rows = normal_rows(500, 4);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i][3] = i == 0 ? 3.0 : (i % 7) / 3;
    Sample sample = Sample::of(rows);
    sample.categories[3] = 4;
    return sample;
}

TEST(IsolationFamily, PlantedOutliersRankFirstAndAreExplained) {
    for (const Json& parameters : variants()) {
        for (const std::size_t planted : {0, 2}) {
            auto rows = normal_rows(400, 3, planted + 9);
            rows[77][planted] = 30.0;
            const auto detector = fitted(Sample::of(rows), parameters);
            const auto scores = scores_of(*detector, rows);
            EXPECT_EQ(std::max_element(scores.begin(), scores.end()) - scores.begin(), 77)
                << parameters;
            const auto parts = explained(*detector, rows[77]);
            EXPECT_EQ(std::max_element(parts.begin(), parts.end()) - parts.begin(),
                      static_cast<std::ptrdiff_t>(planted))
                << parameters;
        }
    }
}

TEST(IsolationFamily, ContributionsAddUp) {
    const Sample sample = mixed();
    const Rows rows{{0.1, -0.2, 0.3, 1}, {9, 0, 0, 0}, {0, kMissing, -9, 3}, {0, 0, 0, 4}};
    for (const Json& parameters : variants()) {
        const auto detector = fitted(sample, parameters);
        const auto scores = scores_of(*detector, rows);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            double sum = 0.0;
            for (const double part : explained(*detector, rows[i])) sum += part;
            const bool density = parameters.contains("scoring_metric");
            EXPECT_NEAR(sum, density ? scores[i] : 1.0 + std::log2(scores[i]), 2e-4) << parameters;
        }
    }
}

TEST(IsolationFamily, RareCategoriesAreStranger) {
    const Sample sample = mixed();
    for (const Json& parameters : variants()) {
        Json more = parameters;
        more["n_estimators"] = 300;
        more["max_samples"] = 500;
        const auto scores =
            scores_of(*fitted(sample, more), {{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 0, 3}});
        EXPECT_GT(scores[2], std::max(scores[0], scores[1])) << parameters;
    }
}

// A category that no node has seen, the number that stands for it, and missing values go where most
// rows go: such a row is not stranger than the strangest of the sample.
TEST(IsolationFamily, UnseenAndMissingCategoriesScore) {
    const Sample sample = mixed();
    for (const Json& parameters : variants()) {
        const auto scores = scores_of(*fitted(sample, parameters),
                                      {{0, 0, 0, 4}, {0, 0, 0, kMissing}, {30, 30, 30, 0}});
        for (const double score : scores) EXPECT_TRUE(std::isfinite(score));
        EXPECT_LT(scores[0], scores[2]) << parameters;
        EXPECT_LT(scores[1], scores[2]) << parameters;
    }
}

// A column of categories alone, as many as there may be, each once.
TEST(IsolationFamily, ManyCategories) {
    Sample sample(1000, 1);
    for (std::size_t i = 0; i < 1000; ++i) sample.values.column(0)[i] = static_cast<double>(i);
    sample.categories[0] = 1000;
    for (const Json& parameters : variants()) {
        const auto detector = fitted(sample, parameters);
        Writer out;
        detector->save(out);
        Reader in(out.bytes());
        const auto loaded = find_algorithm(kName).make();
        loaded->load(in, 1);
        in.end();
        const Rows rows{{0}, {999}, {1000}, {kMissing}};
        EXPECT_EQ(bits_of(scores_of(*detector, rows)), bits_of(scores_of(*loaded, rows)));
    }
}

// Rows of hardly any weight are as if they were not there; rows of great weight are ordinary.
TEST(IsolationFamily, Weights) {
    auto rows = normal_rows(300, 2);
    for (std::size_t i = 200; i < 300; ++i) rows[i] = {8.0 + rows[i][0], 8.0 + rows[i][1]};
    Sample sample = Sample::of(rows);
    for (const Json& parameters : variants()) {
        if (parameters.contains("scoring_metric")) continue;
        Json few = parameters;
        few["max_samples"] = 64;
        for (const bool bootstrap : {false, true}) {
            few["bootstrap"] = bootstrap;
            sample.weights.assign(300, 1.0);
            for (std::size_t i = 200; i < 300; ++i) sample.weights[i] = 1e-9;
            const Rows probes{{0, 0}, {8, 8}};
            const auto without = scores_of(*fitted(sample, few), probes);
            for (std::size_t i = 200; i < 300; ++i) sample.weights[i] = 1e9;
            const auto with = scores_of(*fitted(sample, few), probes);
            EXPECT_LT(with[1], with[0]) << few;
            // cuts by pooled gain say little about what lies beyond all rows
            EXPECT_LT(with[1] - with[0], without[1] - without[0] - 0.02) << few;
        }
    }
}

// Two clusters on a diagonal: what lies in the corner between them is ordinary in each column, and
// cuts along the axes make it ordinary; planes do not (Hariri et al., figure 3).
TEST(IsolationFamily, PlanesSeeTheCornersBetweenClusters) {
    auto rows = normal_rows(600, 2);
    for (std::size_t i = 0; i < 300; ++i) rows[i] = {10 + rows[i][0], rows[i][1]};
    for (std::size_t i = 300; i < 600; ++i) rows[i] = {rows[i][0], 10 + rows[i][1]};
    rows.push_back({0, 0});
    const auto margin = [&](Json parameters) {
        parameters["n_estimators"] = 300;
        auto scores = scores_of(*fitted(Sample::of(rows), parameters), rows);
        const double corner = scores.back();
        std::sort(scores.begin(), scores.end());
        return corner - quantile(scores, 0.5);
    };
    EXPECT_GT(margin({{"ndim", 2}}), margin(Json::object()) + 0.02);
}

// The score is the logarithm of how much sparser it is: one in four rows in half of the volume.
TEST(IsolationFamily, Density) {
    const Sample sample = Sample::of({{0.0}, {0.0}, {0.0}, {8.0}});
    // each tree cuts once, at a uniform place: log(4 u) with mean log(4) - 1
    const auto detector = fitted(sample, {{"scoring_metric", "density"}, {"n_estimators", 10000}});
    const auto scores = scores_of(*detector, {{0.0}, {8.0}});
    EXPECT_NEAR(scores[1], std::log(4.0) - 1.0, 0.04);
    EXPECT_NEAR(scores[0], std::log(4.0 / 3.0) - 1.0, 0.04);
}

TEST(IsolationFamily, RefusesWhatDoesNotFit) {
    const Sample sample = mixed();
    expect_error<InvalidParameter>(
        [&] {
            fitted(sample, {{"prob_pick_pooled_gain", 0.7}, {"prob_pick_avg_gain", 0.7}});
        },
        {"add up to more than 1"});
    expect_error<InvalidParameter>(
        [&] {
            fitted(sample, {{"scoring_metric", "density"}, {"penalize_range", true}});
        },
        {"penalize_range", "density"});
}

// Constant columns, one row, equal rows, extreme values: a score, and the same for equal rows.
TEST(IsolationFamily, DegenerateData) {
    for (const Json& parameters : variants()) {
        for (const Rows& rows :
             {Rows{{1, 2}}, Rows(50, {3, kMissing}), Rows{{-kLargest, 0}, {kLargest, kDenormal}},
              Rows{{0, 0}, {0, 0}, {0, 1e-300}, {kLargest, 1e300}}}) {
            const auto detector = fitted(Sample::of(rows), parameters);
            auto probes = rows;
            probes.push_back({kInfinity, -kInfinity});
            probes.push_back({kMissing, kMissing});
            for (const double score : scores_of(*detector, probes))
                EXPECT_TRUE(std::isfinite(score)) << parameters;
        }
    }
}

// However many columns and planes a single split tries over all rows.
TEST(IsolationFamily, PollsWithinASplit) {
    const auto polls = [](const Rows& rows, Json parameters) {
        parameters.update({{"n_estimators", 1}, {"max_samples", 2000}, {"max_depth", 1}});
        const Sample sample = Sample::of(rows);
        const PollCounter counter;
        fitted(sample, parameters);
        return counter.calls();
    };
    const Rows varied = normal_rows(2000, 60);
    EXPECT_GE(polls(varied, {{"ndim", 10}, {"ntry", 50}, {"prob_pick_pooled_gain", 1.0}}), 100U);
    EXPECT_GE(polls(varied, {{"ndim", 1}, {"ntry", 50}, {"prob_pick_pooled_gain", 1.0}}), 10U);
    Rows constant(2000, std::vector<double>(1000, 1.0));
    EXPECT_GE(polls(constant, Json::object()), 100U);
}

}  // namespace
}  // namespace ad::test
