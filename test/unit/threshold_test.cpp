#include "core/threshold.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

std::vector<double> ascending(std::size_t n) {
    std::vector<double> scores;
    for (std::size_t i = 1; i <= n; ++i) scores.push_back(static_cast<double>(i));
    return scores;
}

double resolve(const Json& rule, const std::vector<double>& scores, double natural = kMissing) {
    return ThresholdRule::parse(rule).resolve(scores, natural);
}

std::ptrdiff_t flagged(const Json& rule, const std::vector<double>& scores) {
    const double threshold = resolve(rule, scores);
    return std::count_if(scores.begin(), scores.end(), [&](double s) { return s >= threshold; });
}

Json rule(std::string_view method, double value) { return {{"method", method}, {"value", value}}; }

TEST(Quantile, InterpolatesLikeNumpy) {
    const std::vector<double> scores{1.0, 2.0, 4.0, 8.0};
    EXPECT_EQ(quantile(scores, 0.0), 1.0);
    EXPECT_EQ(quantile(scores, 1.0), 8.0);
    EXPECT_EQ(quantile(scores, 0.5), 3.0);          // position 1.5
    EXPECT_DOUBLE_EQ(quantile(scores, 0.75), 5.0);  // position 2.25
    EXPECT_EQ(quantile({7.0}, 0.3), 7.0);
    EXPECT_EQ(quantile({-kLargest, kLargest}, 0.5), 0.0);
}

TEST(Threshold, ContaminationFlagsThatShare) {
    const auto scores = ascending(100);
    EXPECT_EQ(flagged(rule("contamination", 0.0), scores), 0);
    EXPECT_EQ(flagged(rule("contamination", 0.01), scores), 1);
    EXPECT_EQ(flagged(rule("contamination", 0.1), scores), 10);
    EXPECT_EQ(flagged(rule("contamination", 0.5), scores), 50);
}

TEST(Threshold, QuantileFlagsWhatLiesAboveIt) {
    // position 0.9 * 99 = 89.1: the value 90.1
    EXPECT_NEAR(resolve(rule("quantile", 0.9), ascending(100)), 90.1, 1e-12);
    EXPECT_EQ(flagged(rule("quantile", 0.9), ascending(100)), 10);
    EXPECT_EQ(flagged(rule("quantile", 1.0), ascending(100)), 0);
}

TEST(Threshold, ScoreIsTakenAsItIs) {
    EXPECT_EQ(resolve(rule("score", -2.5), ascending(10)), -2.5);
    EXPECT_EQ(flagged(rule("score", 7.0), ascending(10)), 4);
}

TEST(Threshold, AutoTakesTheNaturalOneIfThereIs) {
    EXPECT_EQ(resolve(Json::object(), ascending(10), 3.5), 3.5);
    EXPECT_EQ(resolve({{"method", "auto"}}, ascending(10), 3.5), 3.5);
}

TEST(Threshold, AutoFencesTheUpperTail) {
    // of 1..101 the median is 51 and the upper quartile 76: 51 + 3 * 25
    EXPECT_DOUBLE_EQ(resolve(Json::object(), ascending(101)), 126.0);
}

TEST(Threshold, TiesAtTheBorderStayBelow) {
    const std::vector<double> scores{1, 1, 1, 1, 1, 1, 1, 5, 5, 5};
    EXPECT_EQ(flagged(rule("contamination", 0.2), scores), 0);  // two of the three fives: none
    EXPECT_EQ(flagged(rule("contamination", 0.3), scores), 3);
    EXPECT_EQ(flagged(rule("contamination", 0.5), scores), 3);
    EXPECT_EQ(flagged(rule("quantile", 0.8), scores), 0);
    EXPECT_EQ(flagged(rule("quantile", 0.5), scores), 3);
    EXPECT_EQ(flagged(Json::object(), scores), 0);  // the upper quartile itself is a five
}

TEST(Threshold, ConstantScoresFlagNothing) {
    for (const double constant : {0.0, 0.5, -3.0, 1e300, kDenormal}) {
        for (const std::size_t n : {2, 3, 100}) {
            const std::vector<double> scores(n, constant);
            EXPECT_EQ(flagged(Json::object(), scores), 0);
            for (const double value : {0.0, 0.01, 0.5}) {
                EXPECT_EQ(flagged(rule("contamination", value), scores), 0);
            }
            for (const double value : {0.0, 0.5, 0.99, 1.0}) {
                EXPECT_EQ(flagged(rule("quantile", value), scores), 0);
            }
            EXPECT_EQ(flagged(rule("p_value", 0.5), scores), 0);
        }
    }
}

// A row is an anomaly exactly if its p-value is at most the wanted one.
TEST(Threshold, PValueAgreesWithCalibration) {
    Random random(4);
    std::vector<double> scores;
    for (int i = 0; i < 199; ++i) scores.push_back(random.below(120));  // many ties
    std::sort(scores.begin(), scores.end());
    const Calibration calibration(scores);
    for (const double wanted : {0.005, 0.01, 0.05, 0.1, 0.333, 0.5, 0.9}) {
        const double threshold = resolve(rule("p_value", wanted), scores);
        for (double score = -1.0; score <= 121.0; score += 0.25) {
            const bool unlikely = calibration.p_value(score) <= wanted * (1 + 1e-12);
            EXPECT_EQ(score >= threshold, unlikely) << wanted << " " << score;
        }
    }
}

TEST(Threshold, PValueThatCannotBeReached) {
    // the smallest p-value of 99 scores is 1/100
    EXPECT_EQ(flagged(rule("p_value", 0.01), ascending(99)), 0);
    EXPECT_GT(resolve(rule("p_value", 0.01), ascending(99)), 99.0);
    EXPECT_EQ(flagged(rule("p_value", 0.02), ascending(99)), 1);
    expect_error<InvalidParameter>([] { resolve(rule("p_value", 0.009), ascending(99)); },
                                   {"p_value 0.009", "99 calibration scores"}, {"0.01"});
    EXPECT_THROW(resolve(rule("p_value", 0.0), ascending(99)), InvalidParameter);
}

void expect_refused(const Json& options, std::initializer_list<std::string_view> message,
                    std::initializer_list<std::string_view> hint = {}) {
    SCOPED_TRACE(options.dump());
    expect_error<InvalidParameter>([&] { ThresholdRule::parse(options); }, message, hint);
}

TEST(Threshold, RefusesBadRules) {
    expect_refused({{"value", 0.1}}, {"\"value\"", "no \"method\""});
    expect_refused({{"method", "magic"}}, {"\"magic\""},
                   {"auto, contamination, quantile, score, p_value"});
    expect_refused({{"method", 7}}, {"\"7\""}, {"auto"});
    expect_refused({{"methods", "auto"}}, {"\"methods\""}, {"method, value"});
    expect_refused({{"method", "auto"}, {"value", 1}}, {"\"auto\"", "no \"value\""});
    for (const auto method : {"contamination", "quantile", "score", "p_value"}) {
        expect_refused({{"method", method}}, {method, "needs a number"}, {"For example"});
        expect_refused({{"method", method}, {"value", "1"}}, {method, "needs a number"});
    }
    expect_refused(rule("contamination", 0.51), {"0.51", "contamination"}, {"0.0 and 0.5"});
    for (const auto method : {"quantile", "p_value"}) {
        expect_refused(rule(method, 1.5), {"1.5", method}, {"0.0 and 1.0"});
        expect_refused(rule(method, -0.1), {"-0.1", method}, {"0.0 and 1.0"});
    }
}

TEST(Threshold, SurvivesJson) {
    for (const Json& options : {rule("quantile", 0.1), rule("score", -1e300), rule("p_value", 1.0),
                                Json{{"method", "auto"}}}) {
        EXPECT_EQ(ThresholdRule::parse(options).to_json(), options);
    }
}

TEST(Threshold, EvtOptions) {
    EXPECT_EQ(ThresholdRule::parse({{"method", "evt"}}).value, 1e-3);
    EXPECT_EQ(ThresholdRule::parse(rule("evt", 1e-6)).value, 1e-6);
    expect_refused(rule("evt", 0.0), {"0.0", "evt"}, {"1e-12 and 0.5"});
    expect_refused(rule("evt", 0.6), {"0.6", "evt"}, {"1e-12 and 0.5"});
    expect_refused({{"method", "evt"}, {"value", "low"}}, {"evt", "needs a number"});
}

/// Scores whose distribution has this quantile function.
template <typename Quantile>
std::vector<double> scores_from(Quantile&& quantile, int n) {
    std::vector<double> scores;
    for (int i = 0; i < n; ++i) scores.push_back(quantile((i + 0.5) / n));
    return scores;
}

// The tails are known: exponential, one that ends at 1, and one that is heavy.
TEST(Threshold, EvtFindsTheQuantilesOfKnownTails) {
    const auto exponential = [](double u) { return -std::log1p(-u); };
    const auto uniform = [](double u) { return u; };
    const auto heavy = [](double u) { return 2.0 * (1.0 / std::sqrt(1.0 - u) - 1.0); };
    for (const double risk : {0.1, 0.02, 1e-3, 1e-4, 1e-5}) {
        SCOPED_TRACE(risk);
        const auto expect_close = [&](const auto& quantile, double tolerance) {
            const double found = resolve(rule("evt", risk), scores_from(quantile, 10000));
            EXPECT_NEAR(found / quantile(1.0 - risk), 1.0, tolerance);
        };
        expect_close(exponential, 0.05);
        expect_close(uniform, 0.001);
        expect_close(heavy, 0.15);
    }
    // the unit of the scores does not matter
    auto scores = scores_from(exponential, 10000);
    const double found = resolve(rule("evt", 1e-4), scores);
    for (double& score : scores) score = 1e300 * score - 1e301;
    EXPECT_NEAR(resolve(rule("evt", 1e-4), scores), 1e300 * found - 1e301, 1e288);
}

TEST(Threshold, EvtStaysWithinWhatScoresReach) {
    auto scores = scores_from([](double u) { return -std::log1p(-u); }, 1000);
    const ThresholdRule evt = ThresholdRule::parse(rule("evt", 1e-6));
    EXPECT_NEAR(evt.resolve(scores, kMissing), -std::log(1e-6), 4.0);
    EXPECT_EQ(evt.resolve(scores, kMissing, 9.0), 9.0);
    EXPECT_EQ(evt.resolve(scores, kMissing, 99.0), evt.resolve(scores, kMissing));
    // a score that many rows have is not extreme
    for (double& score : scores) score = std::min(score, 2.0);
    EXPECT_GT(evt.resolve(scores, kMissing, 2.0), 2.0);
}

TEST(Threshold, EvtOfRowsThatAreFarFlagsThem) {
    const auto rows = normal_rows(1000, 2);
    for (const auto algorithm : {"inne", "one_class_svm"}) {
        const Json evt{{"method", "evt"}, {"value", 1e-9}};
        const auto model = fit(request(algorithm, {{"threshold", evt}}), rows);
        EXPECT_TRUE(model.predict(score(model, Rows{{1e6, 1e6}})[0]).is_anomaly) << algorithm;
        EXPECT_FALSE(model.predict(score(model, Rows{{0.0, 0.0}})[0]).is_anomaly) << algorithm;
    }
}

TEST(Threshold, EvtOfFewOrEqualScoresFlagsNone) {
    for (const auto& scores : {std::vector<double>{5.0},
                               {5.0, 5.0},
                               {1.0, 2.0},
                               {-kLargest, kLargest},
                               std::vector<double>(500, 1.0),
                               ascending(19),
                               ascending(30)}) {
        EXPECT_EQ(flagged(rule("evt", 1e-4), scores), 0);
        EXPECT_FALSE(std::isnan(resolve(rule("evt", 1e-4), scores)));
    }
    std::vector<double> mostly(500, 1.0);
    mostly.back() = 2.0;
    EXPECT_LE(flagged(rule("evt", 1e-3), mostly), 1);
}

TEST(Calibration, PValuesAgreeWithCounting) {
    Random random(6);
    for (const std::size_t n : {1, 2, 10, 500}) {
        std::vector<double> scores;
        for (std::size_t i = 0; i < n; ++i) scores.push_back(random.below(50));
        std::sort(scores.begin(), scores.end());
        const Calibration calibration(scores);
        ASSERT_EQ(calibration.size(), n);
        for (double score = -1.0; score <= 51.0; score += 0.5) {
            double reached = 0.0;
            for (const double other : scores) reached += other >= score ? 1.0 : 0.0;
            EXPECT_DOUBLE_EQ(calibration.p_value(score), (1.0 + reached) / (1.0 + n));
        }
    }
}

TEST(Calibration, KeepsABoundedSubset) {
    for (const std::size_t n : {8191, 8192, 8193, 20000, 32768, 100001}) {
        const auto scores = ascending(n);
        const Calibration calibration(scores);
        EXPECT_EQ(calibration.size(), std::min<std::size_t>(n, Calibration::kMaxScores));
        // a systematic subset: the distribution stays within one kept score
        for (const double q : {0.01, 0.3, 0.5, 0.9, 0.999}) {
            EXPECT_NEAR(calibration.p_value(quantile(scores, 1 - q)), q, 2.0 / 8192);
        }
    }
}

TEST(Calibration, LoadsOnlySortedFiniteScores) {
    const auto load = [](const std::vector<double>& scores) {
        Writer out;
        out.array(scores);
        Reader in(out.bytes());
        return Calibration::load(in).size();
    };
    EXPECT_EQ(load({-1.0, 0.0, 0.0, 3.0}), 4U);
    EXPECT_THROW(load({}), CorruptModel);
    EXPECT_THROW(load({1.0, 0.0}), CorruptModel);
    EXPECT_THROW(load({0.0, kInfinity}), CorruptModel);
    EXPECT_THROW(load({kMissing}), CorruptModel);
    EXPECT_THROW(load({0.0, kMissing, 1.0}), CorruptModel);
}

}  // namespace
}  // namespace ad::test
