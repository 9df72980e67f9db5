#include "core/fit_request.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

FitRequest parse(const Json& options) { return FitRequest::parse(options.dump()); }

void expect_refused(const Json& options, std::initializer_list<std::string_view> message,
                    std::initializer_list<std::string_view> hint = {}) {
    SCOPED_TRACE(options.dump());
    expect_error<InvalidParameter>([&] { parse(options); }, message, hint);
}

TEST(FitRequest, Defaults) {
    const auto request = FitRequest::parse("{}");
    EXPECT_EQ(request.algorithm->name, "isolation_forest");
    EXPECT_EQ(request.params.number("n_estimators"), 100.0);
    EXPECT_EQ(request.preprocess.impute, Impute::None);
    EXPECT_EQ(request.threshold.method, ThresholdMethod::Auto);
    EXPECT_TRUE(request.features.empty());
    EXPECT_EQ(request.identity_columns, 0U);
    EXPECT_EQ(request.sample_size, 0U);
    EXPECT_EQ(request.random_seed, 0);
}

TEST(FitRequest, TakesEveryOption) {
    const auto request = parse({{"algorithm", "mad"},
                                {"parameters", Json::object()},
                                {"preprocess", {{"impute", "constant"}, {"fill_value", -1}}},
                                {"threshold", {{"method", "quantile"}, {"value", 0.99}}},
                                {"features", {"a", "b"}},
                                {"identity_columns", 2},
                                {"sample_size", 100},
                                {"random_seed", -7}});
    EXPECT_EQ(request.algorithm->name, "mad");
    EXPECT_EQ(request.preprocess.to_json().dump(),
              R"({"impute":"constant","fill_value":-1.0,"scale":"none"})");
    EXPECT_EQ(request.threshold.to_json().dump(), R"({"method":"quantile","value":0.99})");
    EXPECT_EQ(request.features, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(request.identity_columns, 2U);
    EXPECT_EQ(request.sample_size, 100U);
    EXPECT_EQ(request.random_seed, -7);
}

TEST(FitRequest, NullIsAbsent) {
    const auto request =
        parse({{"parameters", nullptr}, {"features", nullptr}, {"sample_size", nullptr}});
    EXPECT_EQ(request.sample_size, 0U);
}

TEST(FitRequest, RefusesUnknownOptions) {
    expect_refused({{"sample", 5}}, {"option of ad_fit", "\"sample\""},
                   {"algorithm", "sample_size", "random_seed"});
    expect_refused({{"algorithm", "magic"}}, {"\"magic\""}, {"isolation_forest, ", "mad"});
    expect_refused({{"parameters", {{"trees", 5}}}}, {"isolation_forest", "\"trees\""},
                   {"n_estimators, max_samples"});
    expect_refused({{"algorithm", "mad"}, {"parameters", {{"n_estimators", 5}}}},
                   {"mad", "\"n_estimators\""}, {"takes none"});
    expect_refused({{"preprocess", {{"units", true}}}}, {"preprocess", "\"units\""},
                   {"impute, fill_value, scale"});
    expect_refused({{"threshold", {{"mehtod", "auto"}}}}, {"threshold", "\"mehtod\""},
                   {"method, value"});
}

TEST(FitRequest, RefusesWrongTypes) {
    for (const Json& wrong : {Json(5), Json("x"), Json::array()}) {
        expect_refused({{"parameters", wrong}}, {"\"parameters\"", "a JSON object"});
        expect_refused({{"preprocess", wrong}}, {"\"preprocess\"", "a JSON object"});
        expect_refused({{"threshold", wrong}}, {"\"threshold\"", "a JSON object"});
    }
    expect_refused({{"algorithm", 5}}, {"\"algorithm\"", "a string"});
    expect_refused({{"features", "a"}}, {"\"features\"", "array of strings"});
    expect_refused({{"features", {1}}}, {"\"features\"", "array of strings"});
    for (const auto key : {"identity_columns", "sample_size", "random_seed"}) {
        expect_refused({{key, 1.5}}, {key, "an integer"});
        expect_refused({{key, "1"}}, {key, "an integer"});
    }
}

TEST(FitRequest, RefusesIntegersOutOfRange) {
    expect_refused({{"sample_size", 0}}, {"value 0 ", "\"sample_size\""},
                   {"between 1 and 10000000"});
    expect_refused({{"sample_size", 10000001}}, {"10000001"}, {"between 1 and 10000000"});
    expect_refused({{"identity_columns", -1}}, {"value -1 ", "\"identity_columns\""},
                   {"between 0 and 64"});
    expect_refused({{"identity_columns", 65}}, {"value 65 "}, {"between 0 and 64"});
    for (const auto key : {"identity_columns", "sample_size", "random_seed"}) {
        expect_refused({{key, 18446744073709551615ULL}}, {"value 18446744073709551615 ", key},
                       {"between"});
    }
}

TEST(FitRequest, TakesEverySeed) {
    for (const auto seed : {std::numeric_limits<std::int64_t>::min(),
                            std::numeric_limits<std::int64_t>::max(), std::int64_t{0}}) {
        EXPECT_EQ(parse({{"random_seed", seed}}).random_seed, seed);
    }
}

TEST(FitRequest, ContaminationIsAThreshold) {
    for (const auto algorithm : {"isolation_forest", "mad"}) {
        const auto request =
            parse({{"algorithm", algorithm}, {"parameters", {{"contamination", 0.1}}}});
        EXPECT_EQ(request.threshold.method, ThresholdMethod::Contamination);
        EXPECT_EQ(request.threshold.value, 0.1);
    }
    const Json automatic{{"contamination", "auto"}};
    EXPECT_EQ(parse({{"parameters", automatic}}).threshold.method, ThresholdMethod::Auto);
    const Json score{{"method", "score"}, {"value", 0.7}};
    EXPECT_EQ(parse({{"parameters", automatic}, {"threshold", score}}).threshold.value, 0.7);
}

TEST(FitRequest, RefusesBadContamination) {
    const Json score{{"method", "score"}, {"value", 0.7}};
    expect_refused({{"parameters", {{"contamination", 0.1}}}, {"threshold", score}},
                   {"\"contamination\"", "\"threshold\"", "exclude"});
    expect_refused({{"parameters", {{"contamination", 0.6}}}}, {"0.6", "contamination"},
                   {"between 0.0 and 0.5"});
    expect_refused({{"parameters", {{"contamination", -0.1}}}}, {"-0.1", "contamination"},
                   {"between 0.0 and 0.5"});
    for (const Json& wrong : {Json("much"), Json(true), Json(nullptr)}) {
        expect_refused({{"parameters", {{"contamination", wrong}}}},
                       {"\"contamination\"", "a number or \"auto\""});
    }
}

TEST(FitRequest, ImputePolicies) {
    const auto policy = [](const char* algorithm, const Json& options) {
        return parse({{"algorithm", algorithm}, {"preprocess", options}}).preprocess.to_json();
    };
    EXPECT_EQ(policy("isolation_forest", Json::object()).dump(),
              R"({"impute":"none","scale":"none"})");
    EXPECT_EQ(policy("ecod", Json::object()).dump(), R"({"impute":"median","scale":"none"})");
    for (const auto name : {"median", "mean", "reject"}) {
        for (const auto algorithm : {"isolation_forest", "hbos"}) {
            EXPECT_EQ(policy(algorithm, {{"impute", name}})["impute"], name);
        }
    }
    EXPECT_EQ(policy("mad", {{"impute", "constant"}}).dump(),
              R"({"impute":"constant","fill_value":0.0,"scale":"none"})");
}

TEST(FitRequest, Scales) {
    for (const auto name : {"none", "standard", "robust", "minmax"}) {
        EXPECT_EQ(parse({{"preprocess", {{"scale", name}}}}).preprocess.to_json()["scale"], name);
    }
    for (const Json& wrong : {Json("zscore"), Json(1), Json(nullptr)}) {
        expect_refused({{"preprocess", {{"scale", wrong}}}}, {"\"scale\""},
                       {"none, standard, robust, minmax"});
    }
}

TEST(FitRequest, RefusesBadImputePolicies) {
    expect_refused({{"preprocess", {{"impute", "zero"}}}}, {"\"impute\"", "\"zero\""},
                   {"none, median, mean, constant, reject"});
    expect_refused({{"algorithm", "hbos"}, {"preprocess", {{"impute", "none"}}}},
                   {"\"impute\"", "\"none\""}, {"are: median, mean, constant, reject"});
    expect_refused({{"preprocess", {{"impute", 5}}}}, {"\"impute\"", "5"}, {"median"});
    expect_refused({{"preprocess", {{"impute", "mean"}, {"fill_value", 1}}}},
                   {"\"fill_value\"", "\"constant\""});
    expect_refused({{"preprocess", {{"impute", "constant"}, {"fill_value", "1"}}}},
                   {"\"fill_value\"", "a number"});
}

// 20 numbers: 5 + 20 x (4 + 2 x 1) = 125 cells of 8 bytes, 1,000 bytes a row.
TEST(FitRequest, MemoryLimitSaysBothFigures) {
    const auto request = parse({{"sample_size", 1000000}});
    EXPECT_EQ(request.affordable_sample(numbers(20), 1000000000), 1000000U);
    expect_error<MemoryLimit>([&] { request.affordable_sample(numbers(20), 10 << 20); },
                              {"1000000 rows", "20 features", "976563 kB", "10240 kB"},
                              {"sample_size", "anomaly_detect.max_training_memory"});
    EXPECT_THROW(FitState("{}", numbers(1), 1000), MemoryLimit);
}

TEST(FitRequest, DefaultSampleShrinksToTheMemory) {
    const auto request = parse({{"algorithm", "mad"}});
    EXPECT_EQ(request.affordable_sample(numbers(20), FitState::kNoLimit),
              FitRequest::kDefaultSampleSize);
    EXPECT_EQ(request.affordable_sample(numbers(20), 1000999), 1000U);
    EXPECT_EQ(request.affordable_sample(numbers(20), 256000), 256U);
    EXPECT_THROW(request.affordable_sample(numbers(20), 255999), MemoryLimit);
}

// A trial is refused where the training is, and only there.
TEST(FitRequest, MaxSampleSizeCutsWhatIsAffordable) {
    const auto any = parse({{"algorithm", "mad"}, {"max_sample_size", 500}});
    EXPECT_EQ(any.affordable_sample(numbers(20), FitState::kNoLimit), 500U);
    EXPECT_EQ(any.affordable_sample(numbers(20), 300000), 300U);
    EXPECT_THROW(any.affordable_sample(numbers(20), 255999), MemoryLimit);
    const auto chosen = parse({{"sample_size", 1000}, {"max_sample_size", 500}});
    EXPECT_EQ(chosen.affordable_sample(numbers(20), 1000000), 500U);
    EXPECT_THROW(chosen.affordable_sample(numbers(20), 999999), MemoryLimit);
}

// As many rows as the detector has room for; the smallest sample if it has none for that.
TEST(FitRequest, DefaultSampleShrinksToWhatTheDetectorNeeds) {
    const auto request = parse({{"parameters", {{"n_estimators", 1000}, {"max_samples", 4096}}}});
    const auto needs = [&](std::uint64_t rows) {
        return Pipeline::fit_bytes(*request.algorithm, request.params, request.preprocess.scale,
                                   {.rows = rows, .columns = 1});
    };
    const auto schema = numbers(1);
    constexpr std::uint32_t kDefault = FitRequest::kDefaultSampleSize;
    EXPECT_EQ(request.affordable_sample(schema, needs(kDefault)), kDefault);
    for (const std::uint32_t rows : {2048U, 3000U}) {
        EXPECT_EQ(request.affordable_sample(schema, needs(rows)), rows);
        EXPECT_EQ(request.affordable_sample(schema, needs(rows) - 1), rows - 1);
        EXPECT_NO_THROW(request.check_detector({rows, 1}, needs(rows)));
    }
    // too little for any sample: the detector will be refused, by what the smallest needs
    EXPECT_EQ(request.affordable_sample(schema, needs(128)), FitRequest::kSmallestSampleSize);
    EXPECT_THROW(request.check_detector({256, 1}, needs(128)), MemoryLimit);
}

}  // namespace
}  // namespace ad::test
