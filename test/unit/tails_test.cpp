// ecod and copod against counting: for each value the training values on either side of it.
#include "testing.hpp"

namespace ad::test {
namespace {

struct Tails {
    double left;
    double right;
};

Tails tails_of(const Rows& training, std::size_t column, double value) {
    double left = 0.0;
    double right = 0.0;
    for (const auto& row : training) {
        left += row[column] <= value;
        right += row[column] >= value;
    }
    const auto n = static_cast<double>(training.size());
    const double nothing = 1.0 / (n + 1.0);
    return {-std::log(left > 0 ? left / n : nothing), -std::log(right > 0 ? right / n : nothing)};
}

double combined(std::string_view algorithm, Tails tails, int skewness) {
    const auto [left, right] = tails;
    if (skewness == 0) return left + right;
    if (algorithm == "ecod") return std::max(left, right);
    return std::max(skewness < 0 ? left : right, (left + right) / 2);
}

/// Skewed to the right, skewed to the left, symmetric; with ties.
Rows skewed_rows(std::size_t count) {
    Rows rows;
    for (std::size_t i = 0; i < count; ++i) {
        const auto k = static_cast<double>(i * 37 % count);
        rows.push_back({std::floor(k * k / 16), -std::floor(k * k / 9),
                        std::floor(k / 2) - std::floor(static_cast<double>(count - 1) / 2) / 2});
    }
    return rows;
}

TEST(Tails, ScoresAreSumsOverTheColumns) {
    const auto rows = skewed_rows(100);
    auto probes = rows;
    for (const double value : {-1e9, -7.25, 0.5, 33.0, 1e9, kInfinity, -kInfinity}) {
        probes.push_back({value, value, value});
    }
    constexpr int kSkewness[] = {1, -1, 0};
    for (const auto algorithm : {"ecod", "copod"}) {
        const auto model = fit(request(algorithm), rows);
        const auto scores = score(model, probes);
        for (std::size_t i = 0; i < probes.size(); ++i) {
            double expected = 0.0;
            for (std::size_t j = 0; j < 3; ++j) {
                expected += combined(algorithm, tails_of(rows, j, probes[i][j]), kSkewness[j]);
            }
            EXPECT_NEAR(scores[i], expected, 1e-12) << algorithm << " row " << i;
        }
    }
}

TEST(Tails, ContributionsAreThoseOfTheColumns) {
    const auto rows = skewed_rows(100);
    const Rows probe{{1e9, 0.0, 1e9}};
    for (const auto algorithm : {"ecod", "copod"}) {
        const auto list = explain(fit(request(algorithm), rows), probe);
        for (const auto& entry : list) {
            const std::size_t j = entry["feature"] == "f0" ? 0 : entry["feature"] == "f1" ? 1 : 2;
            const int skewness = j == 0 ? 1 : j == 1 ? -1 : 0;
            const double expected = combined(algorithm, tails_of(rows, j, probe[0][j]), skewness);
            EXPECT_NEAR(entry["contribution"].get<double>(), expected, 1e-12);
        }
    }
}

TEST(Tails, BothZerosAreOneValue) {
    for (const auto algorithm : {"ecod", "copod"}) {
        const auto model = fit(request(algorithm), Rows{{-0.0}, {0.0}, {1.0}, {3.0}});
        const auto scores = score(model, Rows{{-0.0}, {0.0}});
        EXPECT_EQ(scores[0], scores[1]);
        EXPECT_NEAR(scores[0],
                    algorithm == std::string_view("ecod") ? std::log(2.0) : std::log(2.0) / 2,
                    1e-12);
    }
}

// Of many rows only as many values are kept as matter: the outer 1,024 of either tail exactly, the
// others to within 1/1024 of their share.
TEST(Tails, LargeSamplesAreThinned) {
    constexpr std::size_t kRows = 20000;
    Rows rows;
    for (std::size_t i = 0; i < kRows; ++i) {
        const auto k = static_cast<double>(i * 7919 % kRows);
        rows.push_back({k * k});  // skewed to the right
    }
    const auto model = fit(request("ecod", {{"sample_size", kRows}}), rows);
    const auto scores = score(model, rows);
    const auto n = static_cast<double>(kRows);
    for (std::size_t i = 0; i < kRows; ++i) {
        const double rank = std::sqrt(rows[i][0]);
        const double expected = -std::log(std::min(rank + 1, n - rank) / n);
        EXPECT_NEAR(scores[i], expected, rank < 1024 || n - rank <= 1024 ? 1e-12 : 1.0 / 1024);
    }
    EXPECT_LT(model.save().size(), 180000U);  // all of them would take 320,000
    EXPECT_EQ(bits_of(score(Model::load(model.save()), rows)), bits_of(scores));
}

}  // namespace
}  // namespace ad::test
