// The detector "autoencoder": what it gives back, what it does not, and which column that is.
#include "testing.hpp"

namespace ad::test {
namespace {

Model fit_autoencoder(const Rows& rows, const Json& parameters) {
    return fit(request("autoencoder", {{"parameters", parameters}}), rows);
}

/// Two columns that say the same, and one of its own.
Rows related_rows(std::size_t count, std::uint64_t seed) {
    Rows rows = normal_rows(count, 3, seed);
    for (auto& row : rows) row[1] = -2.0 * row[0] + 0.1 * row[1];
    return rows;
}

TEST(Autoencoder, FindsRowsThatBreakARelation) {
    const auto model =
        fit_autoencoder(related_rows(600, 1), {{"hidden", {32, 3, 32}}, {"epochs", 60}});
    const auto usual = score(model, related_rows(100, 2));
    const auto broken = score(model, Rows{{2.0, 4.0, 0.0}, {-2.0, -4.0, 0.0}});
    EXPECT_GT(broken[0], *std::max_element(usual.begin(), usual.end()));
    EXPECT_GT(broken[1], *std::max_element(usual.begin(), usual.end()));
}

TEST(Autoencoder, ContributionsAddUpToTheScore) {
    const Rows rows = related_rows(200, 3);
    const auto model = fit_autoencoder(rows, {{"epochs", 5}});
    const auto scores = score(model, rows);
    for (std::size_t i = 0; i < rows.size(); i += 10) {
        double sum = 0.0;
        for (const auto& entry : explain(model, rows, i)) {
            EXPECT_GE(entry["contribution"].get<double>(), 0.0);
            sum += entry["contribution"].get<double>();
        }
        EXPECT_NEAR(sum, scores[i], 1e-12 * (1.0 + scores[i]));
    }
}

// Standardised, a far value x has an error of at least (x - 5 - what the network makes of 5)^2.
TEST(Autoencoder, FarValuesAreNeverGivenBack) {
    const Rows rows = normal_rows(300, 2, 4);
    const auto model = fit_autoencoder(rows, {{"epochs", 30}});
    const auto scores = score(model, Rows{{20.0, 0.0}, {200.0, 0.0}, {2000.0, 0.0}, {0.0, 0.0}});
    EXPECT_GT(scores[0], 50.0);
    EXPECT_GT(scores[1], 50.0 * scores[0]);
    EXPECT_GT(scores[2], 50.0 * scores[1]);
    EXPECT_LT(scores[3], 1.0);
}

TEST(Autoencoder, SameBitsTwiceAndRowByRow) {
    const Rows rows = normal_rows(150, 5, 5);
    const auto model = fit_autoencoder(rows, {{"epochs", 4}});
    EXPECT_EQ(model.save(), fit_autoencoder(rows, {{"epochs", 4}}).save());
    const auto all = score(model, rows);
    for (std::size_t i = 0; i < rows.size(); i += 9) {
        EXPECT_EQ(bits_of(score(model, Rows{rows[i]})), bits_of({all[i]}));
    }
}

TEST(Autoencoder, AnyScaleOfColumns) {
    const Rows probes{{0.0, 0.0}, {1e100, -1e100}, {kInfinity, 1.0}};
    for (const auto scale : {"none", "standard", "robust", "minmax"}) {
        for (const double unit : {1e-300, 1e-5, 1.0, 1e9, 1e99}) {
            Rows rows = normal_rows(60, 2, 6);
            for (auto& row : rows) row = {row[0] * unit, row[1] * unit};
            const Json options{{"parameters", {{"epochs", 2}}}, {"preprocess", {{"scale", scale}}}};
            const auto model = fit(request("autoencoder", options), rows);
            for (const double s : score(model, probes)) EXPECT_TRUE(std::isfinite(s));
            for (const double s : score(model, rows)) EXPECT_TRUE(std::isfinite(s));
        }
    }
}

TEST(Autoencoder, RefusesWrongParameters) {
    const auto fit_with = [](const Json& parameters) {
        fit_autoencoder({{1.0}, {2.0}}, parameters);
    };
    for (const Json& bad : {Json(0), Json(-3), Json(2.5), Json("8"), Json(1025), Json(nullptr)}) {
        expect_error<InvalidParameter>(
            [&] {
                fit_with({{"hidden", Json::array({4, bad})}});
            },
            {"hidden", bad.dump()}, {"1024"});
    }
    expect_error<InvalidParameter>(
        [&] {
            fit_with({{"hidden", std::vector<int>(17, 2)}});
        },
        {"hidden", "17"}, {"16"});
    EXPECT_NO_THROW(fit_with({{"hidden", {1024}}, {"epochs", 1}}));
}

}  // namespace
}  // namespace ad::test
