// Weights of rows: who takes them, and what is one.
#include "testing.hpp"

namespace ad::test {
namespace {

class Weights : public ::testing::TestWithParam<const Algorithm*> {
  protected:
    void SetUp() override {
        if (!GetParam()->takes_weights) GTEST_SKIP() << "takes no weights";
    }

    /// Rows of two features and their weights.
    FitState state_of(const std::vector<double>& weights) const {
        Schema schema = numbers(2);
        schema.push_back({"w", FeatureKind::Number});
        FitState state(request(GetParam()->name, {{"weight", "w"}}), schema);
        const auto rows = normal_rows(weights.size(), 2);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            add_row(state, i, {rows[i][0], rows[i][1], weights[i]});
        }
        return state;
    }
    Model fit(const std::vector<double>& weights) const {
        FitState state = state_of(weights);
        return Model::fit(state);
    }
};

INSTANTIATE_TEST_SUITE_P(Algorithms, Weights, ::testing::ValuesIn(algorithms()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(Weights, AreNoFeature) {
    const auto model = fit(std::vector<double>(50, 1.0));
    EXPECT_EQ(model.schema().size(), 2U);
    EXPECT_EQ(Json::parse(model.describe())["features"].size(), 2U);
    EXPECT_EQ(Model::load(model.save()).save(), model.save());
}

TEST_P(Weights, AMissingOneIsZero) {
    std::vector<double> zeros(50, 1.0);
    std::fill(zeros.begin(), zeros.begin() + 20, 0.0);
    auto gaps = zeros;
    std::replace(gaps.begin(), gaps.end(), 0.0, kMissing);
    EXPECT_EQ(fit(gaps).save(), fit(zeros).save());
    EXPECT_NE(fit(zeros).save(), fit(std::vector<double>(50, 1.0)).save());
}

TEST_P(Weights, ZeroLeavesFitCalibrationAndThresholdToTheOthers) {
    const auto about = [&](std::size_t first, double weight_before) {
        Schema schema = numbers(1);
        schema.push_back({"w", FeatureKind::Number});
        FitState state(request(GetParam()->name, {{"weight", "w"}}), schema);
        for (std::size_t i = first; i < 60; ++i) {
            const double value = i < 20 ? 1000.0 * static_cast<double>(i) : 0.5 * (i % 7);
            add_row(state, i, {value, i < 20 ? weight_before : 1.0});
        }
        return Json::parse(Model::fit(state).describe());
    };
    const Json zero = about(0, 0.0);
    const Json without = about(20, 0.0);
    EXPECT_EQ(zero["training_rows"], 60);
    for (const char* what : {"fitted_rows", "calibration_scores"}) {
        EXPECT_EQ(zero[what], 40);
        EXPECT_EQ(without[what], 40);
    }
    EXPECT_EQ(zero["threshold"], without["threshold"]);
    EXPECT_NE(zero["threshold"], about(0, 1.0)["threshold"]);
}

TEST_P(Weights, OutOfRangeAreRefused) {
    for (const double wrong : {-1.0, -kDenormal, kInfinity, -kInfinity, 1e101}) {
        std::vector<double> weights(50, 1.0);
        weights[30] = wrong;
        expect_error<InvalidData>([&] { fit(weights); }, {"weight", "out of range"});
        // also when they come from another process
        auto state = state_of(weights);
        auto loaded = FitState::load(state.save());
        EXPECT_THROW(Model::fit(loaded), InvalidData);
    }
}

TEST_P(Weights, AllZeroIsRefused) {
    for (const double zero : {0.0, -0.0, kMissing}) {
        expect_error<InvalidData>([&] { fit(std::vector<double>(50, zero)); },
                                  {"every row has weight 0"});
    }
}

TEST_P(Weights, AreThoseOfTheRowsThatAreNotRejected) {
    Schema schema = numbers(1);
    schema.push_back({"w", FeatureKind::Number});
    FitState state(
        request(GetParam()->name, {{"weight", "w"}, {"preprocess", {{"impute", "reject"}}}}),
        schema);
    for (std::size_t i = 0; i < 40; ++i) {
        add_row(state, i, {i < 10 ? kMissing : static_cast<double>(i), i < 10 ? 1.0 : 0.0});
    }
    expect_error<InvalidData>([&] { Model::fit(state); }, {"every row has weight 0"});
}

TEST_P(Weights, TheWeightIsTheLastNumber) {
    const auto make = [&](Schema schema) {
        FitState(request(GetParam()->name, {{"weight", "w"}}), std::move(schema));
    };
    expect_error<InvalidParameter>([&] { make(numbers(2)); }, {"\"w\" cannot be the weight"});
    expect_error<InvalidParameter>(
        [&] {
            make({{"w", FeatureKind::Number}});
        },
        {"at least one feature"});
    Schema category = numbers(1);
    category.push_back({"w", FeatureKind::Category});
    expect_error<InvalidParameter>([&] { make(category); }, {"\"w\" cannot be the weight"});
}

TEST(WeightRequest, IsRefusedByAlgorithmsThatTakeNone) {
    std::string names;
    for (const Algorithm* algorithm : algorithms()) {
        if (algorithm->takes_weights) names += std::string(algorithm->name);
    }
    for (const Algorithm* algorithm : algorithms()) {
        const auto parse = [&] { FitRequest::parse(request(algorithm->name, {{"weight", "w"}})); };
        if (algorithm->takes_weights) {
            EXPECT_NO_THROW(parse());
        } else {
            const std::string_view hint = names.empty() ? "No algorithm" : "Algorithms that do:";
            expect_error<InvalidParameter>(parse, {algorithm->name, "takes no weights"}, {hint});
        }
    }
    expect_error<InvalidParameter>([] { FitRequest::parse(R"({"weight": 1})"); },
                                   {"\"weight\" must be a string"});
}

}  // namespace
}  // namespace ad::test
