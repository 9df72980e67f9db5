// The algorithm "ensemble", by members whose scores are known: mad looks at each column by itself.
#include "core/committee.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

std::string ask(const Json& parameters, const Json& more = Json::object()) {
    Json options{{"parameters", parameters}};
    options.update(more);
    return request("ensemble", options);
}

void expect_refused(const Json& parameters, std::initializer_list<std::string_view> message,
                    std::initializer_list<std::string_view> hint = {}) {
    SCOPED_TRACE(parameters.dump());
    expect_error<InvalidParameter>([&] { FitRequest::parse(ask(parameters)); }, message, hint);
}

/// Confidence that mad alone gives each row: 1 - p.
std::vector<double> confidences(const Rows& rows, const char* member) {
    const auto model = fit(request(member, {{"random_seed", 0}}), rows);
    std::vector<double> values;
    for (const double score : score(model, rows)) values.push_back(model.predict(score).confidence);
    return values;
}

TEST(Ensemble, OneMemberIsThatMember) {
    const auto rows = normal_rows(300, 3);
    const auto expected = confidences(rows, "mad");
    for (const auto combination : {"average", "maximum", "median"}) {
        const auto scores =
            score(fit(ask({{"members", {"mad"}}, {"combination", combination}}), rows), rows);
        for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(scores[i], expected[i], 1e-12);
    }
    const auto tails = score(fit(ask({{"members", {"mad"}}}), rows), rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_NEAR(tails[i], -std::log(1.0 - expected[i]), 1e-9);
    }
}

// Two members that do not agree: mad on raw columns, and one that sees only the unit interval.
TEST(Ensemble, CombinesByWeight) {
    const auto rows = normal_rows(200, 2);
    const Json first{{"algorithm", "mad"}, {"weight", 3}};
    const Json second{
        {"algorithm", "isolation_forest"}, {"parameters", {{"n_estimators", 20}}}, {"weight", 1}};
    const auto of = [&](const Json& members, const char* combination) {
        return score(fit(ask({{"members", members}, {"combination", combination}}), rows), rows);
    };
    const Json both = Json::array({first, second});
    const auto a = of(Json::array({first}), "average");
    // the second member is given the second stream of random numbers
    const auto average = of(both, "average");
    const auto largest = of(both, "maximum");
    const auto middle = of(both, "median");
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const double b = 4.0 * average[i] - 3.0 * a[i];
        EXPECT_GE(b, -1e-12);
        EXPECT_LE(b, 1.0 + 1e-12);
        EXPECT_NEAR(largest[i], std::max(a[i], b), 1e-12);
        EXPECT_NEAR(middle[i], a[i], 1e-12);  // three quarters of the weight
    }
    const Json equal = Json::array({"mad", {{"algorithm", "mad"}, {"scale", "standard"}}});
    EXPECT_EQ(bits_of(of(equal, "median")), bits_of(of(equal, "average")));
}

// Columns 0 and 1; mad flags from 3.5 on, or where the member says.
TEST(Ensemble, VotingCountsTheMembersThatFlag) {
    const Rows training{{1}, {2}, {3}, {4}, {5}};  // median 3, scale 1.4826
    const auto model =
        fit(ask({{"combination", "voting"},
                 {"members",
                  {"mad",
                   {{"algorithm", "mad"}, {"threshold", {{"method", "score"}, {"value", 1}}}},
                   {{"algorithm", "mad"},
                    {"weight", 2},
                    {"threshold", {{"method", "score"}, {"value", 10}}}}}}}),
            training);
    const auto at = [&](double deviations) {
        return score(model, Rows{{3 + 1.4826 * deviations}})[0];
    };
    EXPECT_EQ(at(0.9), 0.0);
    EXPECT_EQ(at(1.1), 0.25);
    EXPECT_EQ(at(3.6), 0.5);
    EXPECT_EQ(at(11), 1.0);
    EXPECT_EQ(model.predict(0.0).threshold, 0.5);
}

TEST(Ensemble, ConfidenceThreshold) {
    const auto rows = normal_rows(100, 1);
    const auto model = fit(ask({{"combination", "average"}, {"confidence_threshold", 0.9}}), rows);
    EXPECT_EQ(model.predict(0.0).threshold, 0.9);
    expect_refused({{"confidence_threshold", 0.9}}, {"confidence_threshold", "log_rank_tail"});
    for (const auto combination : {"log_rank_tail", "power_tail"}) {
        const auto threshold = [&](std::size_t count) {
            const auto tails = fit(ask({{"combination", combination}}), normal_rows(count, 1));
            return tails.predict(0.0).threshold;
        };
        EXPECT_NEAR(threshold(1000), std::log(100.0), 1e-14);
        EXPECT_NEAR(threshold(99), 0.9 * std::log(50.0), 1e-14);
        EXPECT_NEAR(threshold(9), std::log(100.0), 1e-14);
    }
    expect_refused({{"confidence_threshold", 1.1}}, {"1.1", "confidence_threshold"}, {"0 and 1"});
}

TEST(Ensemble, ContributionsAddUpToTheScore) {
    auto rows = normal_rows(300, 3);
    rows[5] = {0.1, 9.0, 0.1};
    for (const auto combination : kCombinationNames) {
        const auto model = fit(ask({{"combination", combination}}), rows);
        for (const std::size_t i : {0, 5, 17}) {
            double sum = 0.0;
            for (const auto& entry : explain(model, rows, i)) {
                sum += entry["contribution"].get<double>();
            }
            EXPECT_NEAR(sum, score(model, rows)[i], 1e-9) << combination << ' ' << i;
        }
        EXPECT_EQ(explain(model, rows, 5)[0]["feature"], "f1");
    }
}

// Members get what they take: mad the median, the forest the missing value itself.
TEST(Ensemble, MembersSeeMissingValuesInTheirOwnWay) {
    const Rows training{{1}, {2}, {3}, {4}, {5}, {kMissing}};
    const auto model = fit(ask({{"members", {"mad", "isolation_forest"}}}), training);
    EXPECT_EQ(score(model, Rows{{kMissing}}).size(), 1U);
    const auto only = fit(ask({{"members", {"mad"}}}), training);
    EXPECT_EQ(score(only, Rows{{kMissing}})[0], score(only, Rows{{3}})[0]);
}

TEST(Ensemble, RefusesWrongMembers) {
    expect_refused({{"members", Json::array()}}, {"1 to 32 members, not 0"}, {"isolation_forest"});
    expect_refused({{"members", std::vector<std::string>(33, "mad")}}, {"members, not 33"});
    expect_refused({{"members", "mad"}}, {"\"members\"", "an array"});
    expect_refused({{"members", {"magic"}}}, {"unknown algorithm \"magic\""});
    expect_refused({{"members", {"ensemble"}}}, {"ensemble cannot be a member"});
    expect_refused({{"members", {5}}}, {"a member must be"});
    expect_refused({{"members", {{{"weight", 1}}}}}, {"needs an \"algorithm\""});
    expect_refused({{"members", {{{"algorithm", "mad"}, {"wait", 1}}}}}, {"\"wait\""}, {"weight"});
    for (const Json& weight : {Json(0), Json(-1), Json("1"), Json(1e7)}) {
        expect_refused({{"members", {{{"algorithm", "mad"}, {"weight", weight}}}}}, {"\"weight\""});
    }
    expect_refused({{"members", {{{"algorithm", "mad"}, {"parameters", {{"x", 1}}}}}}}, {"\"x\""});
    expect_refused({{"members", {{{"algorithm", "mad"}, {"parameters", 1}}}}}, {"\"parameters\""});
    expect_refused({{"members", {{{"algorithm", "mad"}, {"scale", "x"}}}}}, {"\"scale\""});
    expect_refused({{"members", {{{"algorithm", "mad"}, {"threshold", {{"method", "x"}}}}}}},
                   {"threshold method"});
}

}  // namespace
}  // namespace ad::test
