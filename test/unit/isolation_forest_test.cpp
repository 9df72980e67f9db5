// The detector "isolation_forest" against path lengths worked out by hand from the definition:
// score = 2^(-E[h] / c(n)), c(n) = 2 H(n - 1) - 2 (n - 1) / n with H(i) = ln(i) + gamma, c(2) = 1.
#include <numeric>

#include "core/portable_math.hpp"
#include "testing.hpp"

namespace ad::test {
namespace {

constexpr std::string_view kName = "isolation_forest";
constexpr double kMany = 10000;  ///< trees: a mean of them is within 0.03 of the expectation

double average_path(double n) {
    return n <= 2 ? n - 1 : 2 * (std::log(n - 1) + kEulerGamma) - 2 * (n - 1) / n;
}

Model forest(const Rows& rows, const Json& parameters, std::int64_t seed = 0) {
    return fit(request(kName, {{"parameters", parameters}, {"random_seed", seed}}), rows);
}

/// E[h], back from the score.
double path_of(double score, double sample_size) {
    return -std::log2(score) * average_path(sample_size);
}

double path(const Model& model, const std::vector<double>& row, double sample_size) {
    return path_of(score(model, Rows{row})[0], sample_size);
}

// Every tree is one cut: path 1, c(2) = 1.
TEST(IsolationForest, TwoRows) {
    const auto model = forest({{0.0}, {1.0}}, Json::object());
    for (const double score : score(model, Rows{{0.0}, {1.0}, {0.5}, {-9.0}, {kMissing}})) {
        EXPECT_EQ(score, 0.5);
    }
}

TEST(IsolationForest, OneRowAndEqualRowsSayHalf) {
    EXPECT_EQ(score(forest({{3.0}}, Json::object()), Rows{{3.0}, {7.0}, {kMissing}}),
              (std::vector<double>{0.5, 0.5, 0.5}));
    const auto model = forest(Rows(300, {1.0, 2.0}), Json::object());
    // no cut is possible: path c(256) over c(256)
    for (const double score : score(model, Rows{{1.0, 2.0}, {8.0, 8.0}, {kMissing, 2.0}})) {
        EXPECT_NEAR(score, 0.5, 1e-6);
    }
}

// The only cut sets the 5 apart: its path is 1, that of the zeros 1 + c(3).
TEST(IsolationForest, EqualRowsShareALeaf) {
    const auto model = forest({{0.0}, {0.0}, {0.0}, {5.0}}, Json::object());
    EXPECT_NEAR(path(model, {5.0}, 4), 1.0, 1e-4);
    EXPECT_NEAR(path(model, {0.0}, 4), 1.0 + average_path(3), 1e-4);
    EXPECT_NEAR(path(model, {kInfinity}, 4), 1.0, 1e-4);
    EXPECT_NEAR(path(model, {-kInfinity}, 4), 1.0 + average_path(3), 1e-4);
}

// Of 0, 1 and 10 the first cut lies below 1 with probability 0.1.
TEST(IsolationForest, ThreeRows) {
    const auto model = forest({{0.0}, {1.0}, {10.0}}, {{"n_estimators", kMany}});
    EXPECT_NEAR(path(model, {10.0}, 3), 0.9 * 1 + 0.1 * 2, 0.03);
    EXPECT_NEAR(path(model, {0.0}, 3), 0.1 * 1 + 0.9 * 2, 0.03);
    EXPECT_NEAR(path(model, {1.0}, 3), 2.0, 1e-4);
}

// A missing value goes where a random value of the sample goes: three times of four to the zeros.
TEST(IsolationForest, MissingValuesFollowTheSample) {
    const auto model = forest({{0.0}, {0.0}, {0.0}, {5.0}}, {{"n_estimators", kMany}});
    const double expected = 0.75 * (1.0 + average_path(3)) + 0.25 * 1.0;
    EXPECT_NEAR(path(model, {kMissing}, 4), expected, 0.03);
}

TEST(IsolationForest, RowOfMissingValuesIsOrdinary) {
    const auto rows = normal_rows(2000, 5);
    const auto model = forest(rows, {{"n_estimators", 400}});
    auto scores = score(model, rows);
    const double missing = score(model, Rows{std::vector<double>(5, kMissing)})[0];
    std::sort(scores.begin(), scores.end());
    EXPECT_GT(missing, quantile(scores, 0.1));
    EXPECT_LT(missing, quantile(scores, 0.9));
    EXPECT_FALSE(model.predict(missing).is_anomaly);
}

TEST(IsolationForest, OneMissingValueChangesLittle) {
    const auto rows = normal_rows(1000, 10);
    const auto model = forest(rows, {{"n_estimators", 200}});
    for (std::size_t i = 0; i < 20; ++i) {
        auto row = rows[i];
        const double before = score(model, Rows{row})[0];
        row[i % 10] = kMissing;
        EXPECT_NEAR(score(model, Rows{row})[0], before, 0.06);
    }
    // without the value that makes it one, an outlier is none
    const auto two_columns = forest(normal_rows(1000, 2), Json::object());
    const auto scores = score(two_columns, Rows{{0.0, 40.0}, {0.0, kMissing}, {0.0, 0.0}});
    EXPECT_GT(scores[0], scores[1] + 0.1);
    EXPECT_LT(scores[1], 0.5);
    EXPECT_LT(scores[2], scores[1]);
}

TEST(IsolationForest, TrainsOnMissingValues) {
    auto rows = normal_rows(500, 3);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i % 3 != 0) rows[i][0] = kMissing;
        rows[i][1] = kMissing;
    }
    const auto model = forest(rows, Json::object());
    const auto scores = score(model, Rows{{0, kMissing, 0}, {30, kMissing, 0}, {0, 99, 0}});
    EXPECT_GT(scores[1], scores[0] + 0.05);
    EXPECT_EQ(scores[2], scores[0]);  // nothing is known about the second column
}

/// How many columns have a part in the score of any of `rows`.
std::size_t columns_used(const Model& model, const Rows& rows) {
    std::vector<bool> used(rows[0].size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (const auto& entry : explain(model, rows, i)) {
            if (entry["contribution"] == 0.0) continue;
            used[std::stoul(entry["feature"].get<std::string>().substr(1))] = true;
        }
    }
    return static_cast<std::size_t>(std::count(used.begin(), used.end(), true));
}

TEST(IsolationForest, MaxFeaturesLimitsATree) {
    const auto rows = normal_rows(200, 10);
    const auto used = [&](double max_features, int trees) {
        return columns_used(forest(rows, {{"max_features", max_features}, {"n_estimators", trees}}),
                            rows);
    };
    EXPECT_EQ(used(0.1, 1), 1U);
    EXPECT_EQ(used(0.001, 1), 1U);  // at least one
    EXPECT_EQ(used(3, 1), 3U);
    EXPECT_EQ(used(0.5, 1), 5U);
    EXPECT_EQ(used(1.0, 1), 10U);
    EXPECT_EQ(used(400, 1), 10U);
    EXPECT_EQ(used(0.1, 100), 10U);  // each tree another one
}

// Of four draws from 0 0 0 5, k are fives: paths c(4), 1, 1 + c(2), 1 + c(3), c(4) for k = 0..4.
TEST(IsolationForest, BootstrapDrawsWithReplacement) {
    const auto model =
        forest({{0.0}, {0.0}, {0.0}, {5.0}}, {{"bootstrap", true}, {"n_estimators", kMany}});
    const double c3 = average_path(3);
    const double c4 = average_path(4);
    const double expected =
        (81 * c4 + 4 * 27 * 1.0 + 6 * 9 * 2.0 + 4 * 3 * (1 + c3) + 1 * c4) / 256;
    EXPECT_NEAR(path(model, {5.0}, 4), expected, 0.03);
}

TEST(IsolationForest, MaxSamplesBeyondTheRows) {
    const auto rows = normal_rows(50, 3);
    const auto exact = score(forest(rows, {{"max_samples", 50}}), rows);
    const auto beyond = score(forest(rows, {{"max_samples", 65536}}), rows);
    EXPECT_EQ(bits_of(exact), bits_of(beyond));
    // two rows a tree: every path is 1
    for (const double score : score(forest(rows, {{"max_samples", 2}}), rows)) {
        EXPECT_EQ(score, 0.5);
    }
}

TEST(IsolationForest, ContributionsAddUp) {
    auto rows = normal_rows(400, 6);
    rows.push_back({kMissing, 9, 0, kInfinity, 0, 0});
    rows.push_back(std::vector<double>(6, kMissing));
    for (const Json& parameters : {Json::object(), Json{{"bootstrap", true}, {"max_samples", 100}},
                                   Json{{"max_features", 2}, {"n_estimators", 7}}}) {
        const auto model = forest(rows, parameters);
        const auto scores = score(model, rows);
        for (std::size_t i = 0; i < rows.size(); i += 67) {
            double sum = 0.0;
            for (const auto& entry : explain(model, rows, i)) {
                sum += entry["contribution"].get<double>();
            }
            EXPECT_NEAR(sum, 1.0 + std::log2(scores[i]), 1e-4);
        }
    }
}

TEST(IsolationForest, CutsBetweenExtremeValues) {
    const auto model = forest({{-kLargest}, {kLargest}, {0.0}}, {{"n_estimators", kMany}});
    // each cut is as likely on either side of 0
    EXPECT_NEAR(path(model, {kLargest}, 3), 1.5, 0.03);
    EXPECT_NEAR(path(model, {-kLargest}, 3), 1.5, 0.03);
    EXPECT_NEAR(path(model, {0.0}, 3), 2.0, 1e-4);
    const auto tiny = forest({{0.0}, {kDenormal}}, Json::object());
    EXPECT_EQ(score(tiny, Rows{{0.0}})[0], 0.5);
}

/// Scores in blocks, row by row, and of fewer rows than are worth a faster form, by fresh models.
void expect_same_in_every_form(const Model& trained, const Rows& rows) {
    const auto fresh = [&] { return Model::load(trained.save()); };
    const auto expected = bits_of(score(fresh(), rows));
    const auto model = fresh();
    std::vector<double> one_by_one;
    for (const auto& row : rows) one_by_one.push_back(score(model, Rows{row})[0]);
    EXPECT_EQ(bits_of(one_by_one), expected);
    EXPECT_EQ(bits_of(score(model, rows)), expected);
    const Rows few(rows.begin(), rows.begin() + 255);
    EXPECT_EQ(bits_of(score(fresh(), few)), std::vector(expected.begin(), expected.begin() + 255));
}

// The first rows go node by node; then the trees are brought into a faster form: small ones of up
// to 128 columns into one, large ones into another, small ones of many columns into both.
TEST(IsolationForest, ScoresTheSameInEveryForm) {
    struct Case {
        std::size_t columns;
        int samples;
        int trees;
    };
    for (const auto& [columns, samples, trees] : {Case{5, 256, 20},
                                                  {5, 256, 128},
                                                  {5, 256, 129},
                                                  {1, 200, 300},
                                                  {5, 2000, 20},
                                                  {130, 256, 20},
                                                  {130, 256, 140},
                                                  {2, 64, 1100}}) {
        SCOPED_TRACE(std::to_string(columns) + " columns, " + std::to_string(trees) + " trees of " +
                     std::to_string(samples));
        const auto rows = normal_rows(2000, columns);
        expect_same_in_every_form(forest(rows, {{"n_estimators", trees}, {"max_samples", samples}}),
                                  Rows(rows.begin(), rows.begin() + 600));
    }
}

// Few different values make small trees; now and then one is too high for the form of the others.
TEST(IsolationForest, ScoresTheSameIfOneTreeIsHigh) {
    auto rows = normal_rows(1500, 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i % 50 != 0) rows[i][0] = 0.0;
    }
    for (int seed = 0; seed < 8; ++seed) {
        SCOPED_TRACE(seed);
        expect_same_in_every_form(forest(rows, {{"n_estimators", 300}, {"max_samples", 400}}, seed),
                                  Rows(rows.begin(), rows.begin() + 300));
    }
}

// A query that is cancelled anywhere, so while it makes a faster form, leaves a model that the next
// one can use.
TEST(IsolationForest, ScoresAfterACancelledScore) {
    for (const auto& [samples, trees] : {std::pair{256, 300}, {2000, 30}}) {
        const auto rows = normal_rows(2000, 3);
        const auto trained = forest(rows, {{"n_estimators", trees}, {"max_samples", samples}});
        const auto expected = bits_of(score(trained, rows));
        bool cancelled = true;
        for (std::uint64_t cancel_at = 1; cancelled; cancel_at += 1 + cancel_at / 8) {
            const auto model = Model::load(trained.save());
            cancelled = false;
            try {
                const PollCounter polls(cancel_at);
                score(model, rows);
            } catch (const PollCounter::Cancel&) {
                cancelled = true;
            }
            EXPECT_TRUE(bits_of(score(model, rows)) == expected)
                << trees << " trees of " << samples << ", cancelled at poll " << cancel_at;
        }
    }
}

TEST(IsolationForest, RefusesMoreColumnsThanANodeCanName) {
    EXPECT_THROW(forest(Rows(1, std::vector<double>(65535, 1.0)), Json::object()), InvalidData);
}

// Needs exactly what the estimate says; planes of more columns, more.
TEST(IsolationForest, IsRefusedWhenItNeedsTooMuchMemory) {
    Rows rows;
    for (int i = 0; i < 100; ++i) rows.push_back({static_cast<double>(i)});
    std::uint64_t of_one = 0;
    for (const int ndim : {1, 2}) {
        const Json parameters{{"n_estimators", 1000}, {"ndim", ndim}};
        const auto asked = request("isolation_forest", {{"parameters", parameters}});
        auto state = state_of(asked, rows);
        const auto parsed = FitRequest::parse(asked);
        const std::uint64_t needed = Pipeline::fit_bytes(
            *parsed.algorithm, parsed.params, parsed.preprocess.scale, {.rows = 100, .columns = 1});
        EXPECT_THROW(Model::fit(state, needed - 1), MemoryLimit);
        EXPECT_NO_THROW(Model::fit(state, needed));
        EXPECT_GT(needed, of_one);  // planes take more
        of_one = needed;
    }
}

}  // namespace
}  // namespace ad::test
