// What every algorithm of the registry promises. A new algorithm is tested by being registered.
#include "testing.hpp"

namespace ad::test {
namespace {

class Conformance : public ::testing::TestWithParam<const Algorithm*> {
  protected:
    void SetUp() override {
        if (GetParam()->needs_categories) GTEST_SKIP() << "see category_conformance_test";
    }
    std::string_view name() const { return GetParam()->name; }
    /// Adds up how rare a row's values are, not how far out they lie: a row with several rare
    /// values may rank above one with a single value far out.
    bool sees_rarity_only() const {
        constexpr std::string_view kNames[] = {"hbos", "ecod", "copod", "loda"};
        return std::find(std::begin(kNames), std::end(kNames), name()) != std::end(kNames);
    }
    std::string ask(const Json& more = Json::object()) const { return request(name(), more); }
    Model fit_rows(const Rows& rows, const Json& more = Json::object()) const {
        return fit(ask(more), rows);
    }
};

INSTANTIATE_TEST_SUITE_P(Algorithms, Conformance, ::testing::ValuesIn(algorithms()),
                         [](const auto& info) { return std::string(info.param->name); });

void expect_finite(const std::vector<double>& scores) {
    for (const double score : scores) EXPECT_TRUE(std::isfinite(score)) << score;
}

/// Rows of two columns that hold every pair of awkward values.
Rows awkward_rows() {
    const double values[] = {0.0,      -0.0,      1.0,       -1.0,       1e308,     -1e308,
                             kLargest, -kLargest, kDenormal, -kDenormal, kInfinity, -kInfinity,
                             kMissing, 0x1p-1022, 1e-300,    1e18};
    Rows rows;
    for (const double a : values) {
        for (const double b : values) rows.push_back({a, b});
    }
    return rows;
}

TEST_P(Conformance, ScoresOfAnyRowAreFinite) {
    const auto rows = awkward_rows();
    for (const Rows& training : {normal_rows(100, 2), Rows{{1.0, 1.0}}, awkward_rows()}) {
        const auto model = fit_rows(training);
        const auto scores = score(model, rows);
        expect_finite(scores);
        for (const double score : scores) {
            const auto prediction = model.predict(score);
            EXPECT_GT(prediction.p_value, 0.0);
            EXPECT_LE(prediction.p_value, 1.0);
            EXPECT_EQ(prediction.confidence, 1.0 - prediction.p_value);
            EXPECT_EQ(prediction.is_anomaly, score >= prediction.threshold);
        }
        for (std::size_t i = 0; i < rows.size(); i += 7) {
            EXPECT_EQ(explain(model, rows, i).size(), 2U);
        }
    }
}

TEST_P(Conformance, BatchesOfAnySizeScoreAlike) {
    auto rows = normal_rows(1000, 5);
    for (std::size_t i = 0; i < rows.size(); i += 9) rows[i][i % 5] = kMissing;
    for (std::size_t i = 0; i < rows.size(); i += 11) rows[i][i % 5] = kInfinity;
    const auto model = fit_rows(rows);
    const Table table(rows);
    const auto expected = bits_of(score(model, table));
    for (const std::size_t size : {1, 7, 8, 9, 1000}) {
        std::vector<double> scores(rows.size());
        Scratch scratch;
        for (std::size_t start = 0; start < rows.size(); start += size) {
            std::vector<const Cell*> shifted;
            for (const Cell* column : table.pointers) shifted.push_back(column + start);
            const Cells cells{shifted.data(), std::min(size, rows.size() - start)};
            model.score(cells, scratch, scores.data() + start);
        }
        EXPECT_EQ(bits_of(scores), expected) << "batches of " << size;
    }
}

TEST_P(Conformance, ModelDoesNotDependOnOrderOrSplit) {
    auto rows = normal_rows(600, 3);
    for (std::size_t i = 0; i < rows.size(); i += 10) rows[i][1] = kMissing;
    for (const auto impute : {"median", "mean"}) {
        const auto text =
            ask({{"sample_size", 200}, {"random_seed", 5}, {"preprocess", {{"impute", impute}}}});
        const auto expected = fit(text, rows).save();
        for (const std::size_t parts : {1, 2, 5}) {
            auto state = gathered(text, rows, parts, parts);
            EXPECT_EQ(Model::fit(state).save(), expected) << parts << " parts";
        }
        auto state = state_of(text, rows);
        auto restored = FitState::load(state.save());
        EXPECT_EQ(Model::fit(restored).save(), expected) << "saved once";
    }
}

TEST_P(Conformance, SeedMattersExactlyToRandomAlgorithms) {
    const bool random = GetParam()->random;
    Json parameters = Json::object();  // with which chance has a say, where it has none by default
    if (name() == "gmm") parameters["n_components"] = 8;
    if (name() == "one_class_svm") parameters["max_exact"] = 100;
    for (const std::string_view drawing : {"kde", "knn", "local_outlier_factor"}) {
        if (name() == drawing) parameters["max_reference"] = 100;
    }
    // of elliptic_envelope all starts find the same half of the rows if there are few columns
    const auto rows = name() == "elliptic_envelope" ? normal_rows(100, 10) : normal_rows(300, 3);
    const auto scores = [&](std::int64_t seed) {
        return bits_of(
            score(fit_rows(rows, {{"random_seed", seed}, {"parameters", parameters}}), rows));
    };
    EXPECT_EQ(scores(1), scores(1));
    EXPECT_EQ(scores(1) != scores(2), random);
    EXPECT_EQ(scores(0) != scores(-1), random);
}

TEST_P(Conformance, PlantedOutlierRanksFirstAndIsExplained) {
    for (const std::size_t planted : {0, 2, 3}) {
        for (const double value : {50.0, -50.0, 1e308}) {
            auto rows = normal_rows(300, 4, planted + 1);
            rows[123][planted] = value;
            const auto model = fit_rows(rows);
            const auto scores = score(model, rows);
            if (!sees_rarity_only()) {
                EXPECT_EQ(std::max_element(scores.begin(), scores.end()) - scores.begin(), 123);
                EXPECT_TRUE(model.predict(scores[123]).is_anomaly);
            }
            const auto list = explain(model, rows, 123);
            ASSERT_EQ(list.size(), 4U);
            EXPECT_EQ(list[0]["feature"], "f" + std::to_string(planted));
            EXPECT_EQ(list[0]["direction"], value > 0 ? "high" : "low");
            EXPECT_EQ(list[0]["value"].get<double>(), value);
            for (std::size_t i = 1; i < list.size(); ++i) {
                EXPECT_LE(list[i]["contribution"], list[i - 1]["contribution"]);
            }
        }
    }
}

TEST_P(Conformance, RowFarOutInEveryColumnRanksFirst) {
    for (const double value : {50.0, -50.0, 1e308}) {
        auto rows = normal_rows(300, 4);
        rows[123].assign(4, value);
        const auto model = fit_rows(rows);
        const auto scores = score(model, rows);
        EXPECT_EQ(std::max_element(scores.begin(), scores.end()) - scores.begin(), 123);
        EXPECT_TRUE(model.predict(scores[123]).is_anomaly);
    }
}

TEST_P(Conformance, OneRow) {
    const Rows row{{1.0, -2.0}};
    const auto model = fit_rows(row);
    const auto scores = score(model, row);
    expect_finite(scores);
    EXPECT_FALSE(model.predict(scores[0]).is_anomaly);
    EXPECT_EQ(model.predict(scores[0]).p_value, 1.0);
}

TEST_P(Conformance, ConstantColumnsFlagNothing) {
    const Rows rows(100, {3.0, 0.0, -1e308});
    const auto model = fit_rows(rows);
    const auto scores = score(model, rows);
    expect_finite(scores);
    for (const double score : scores) EXPECT_FALSE(model.predict(score).is_anomaly);
}

TEST_P(Conformance, MissingColumnAndMissingRows) {
    auto rows = normal_rows(100, 3);
    for (auto& row : rows) row[1] = kMissing;
    const auto model = fit_rows(rows);
    expect_finite(score(model, rows));
    expect_finite(score(model, Rows{{0.0, 5.0, 0.0}, {kMissing, kMissing, kMissing}}));

    const Rows nothing(50, {kMissing, kMissing});
    const auto blank = fit_rows(nothing);
    const auto scores = score(blank, nothing);
    expect_finite(scores);
    for (const double score : scores) EXPECT_FALSE(blank.predict(score).is_anomaly);
    expect_finite(score(blank, Rows{{1.0, -kInfinity}}));
}

TEST_P(Conformance, NotANumberAndInfinityInTraining) {
    auto rows = normal_rows(200, 3);
    for (std::size_t i = 0; i < rows.size(); i += 4) {
        rows[i][i % 3] = i % 8 == 0 ? kMissing : (i % 12 == 0 ? kInfinity : -kInfinity);
    }
    for (const auto impute : {"median", "mean", "constant", "reject"}) {
        const auto model = fit_rows(rows, {{"preprocess", {{"impute", impute}}}});
        expect_finite(score(model, normal_rows(50, 3)));
    }
}

TEST_P(Conformance, NothingToTrainOn) {
    FitState empty(ask(), numbers(2));
    expect_error<InvalidData>([&] { Model::fit(empty); }, {"no rows"});
    auto rejected =
        state_of(ask({{"preprocess", {{"impute", "reject"}}}}), {{1.0, kMissing}, {kMissing, 1.0}});
    expect_error<InvalidData>([&] { Model::fit(rejected); }, {"every row", "reject"}, {"impute"});
    expect_error<InvalidParameter>([&] { FitState(ask(), {}); }, {"at least one feature"});
}

TEST_P(Conformance, RejectedRowsHaveNoScore) {
    auto rows = normal_rows(100, 2);
    rows[7][0] = kMissing;
    const auto model = fit_rows(rows, {{"preprocess", {{"impute", "reject"}}}});
    const auto scores = score(model, rows);
    for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_EQ(std::isnan(scores[i]), i == 7);
    EXPECT_EQ(Json::parse(model.describe())["fitted_rows"], 99);
    EXPECT_FALSE(model.predict(kMissing).is_anomaly);
}

TEST_P(Conformance, ManyFeatures) {
    const std::size_t columns = std::min<std::size_t>(1600, GetParam()->max_columns);
    auto rows = normal_rows(60, columns);
    const auto model = fit_rows(rows);
    expect_finite(score(model, rows));
    EXPECT_EQ(explain(model, rows).size(), columns);
    EXPECT_EQ(bits_of(score(Model::load(model.save()), rows)), bits_of(score(model, rows)));
}

TEST_P(Conformance, FitPollsAndCanBeCancelledAnywhere) {
    const auto rows = normal_rows(3000, 2);
    auto state = state_of(ask(), rows);
    std::uint64_t calls = 0;
    {
        PollCounter counter;
        Model::fit(state);
        calls = counter.calls();
    }
    EXPECT_GE(calls, 3U);
    for (std::uint64_t at = 1; at <= calls; at += at + 1) {
        PollCounter counter(at);
        EXPECT_THROW(Model::fit(state), PollCounter::Cancel) << "call " << at;
    }
    EXPECT_NO_THROW(Model::fit(state));  // the state survives
}

TEST_P(Conformance, ScoringManyRowsPolls) {
    const auto model = fit_rows(normal_rows(100, 2));
    const Table table(normal_rows(5000, 2));
    const auto expected = bits_of(score(model, table));
    {
        PollCounter counter;
        EXPECT_EQ(bits_of(score(model, table)), expected);
        EXPECT_GE(counter.calls(), 4U);
    }
    PollCounter counter(3);
    EXPECT_THROW(score(model, table), PollCounter::Cancel);
}

// The wanted share is flagged, whatever the scale of the scores.
TEST_P(Conformance, ContaminationFlagsThatShare) {
    const auto rows = normal_rows(1000, 3);
    const auto model = fit_rows(rows, {{"parameters", {{"contamination", 0.05}}}});
    int flagged = 0;
    for (const double score : score(model, rows)) flagged += model.predict(score).is_anomaly;
    EXPECT_LE(flagged, 50);
    EXPECT_GE(flagged, 45);  // ties may hold some back
}

TEST_P(Conformance, PValueThresholdAgreesWithPValues) {
    const auto rows = normal_rows(9000, 2);  // more than calibration keeps
    const Json rule{{"method", "p_value"}, {"value", 0.01}};
    const auto model = fit_rows(rows, {{"threshold", rule}});
    int flagged = 0;
    for (const double score : score(model, rows)) {
        const auto prediction = model.predict(score);
        EXPECT_EQ(prediction.is_anomaly, prediction.p_value <= 0.01);
        flagged += prediction.is_anomaly;
    }
    EXPECT_NEAR(flagged, 90, 20);
}

}  // namespace
}  // namespace ad::test
