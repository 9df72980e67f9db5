// mahalanobis, elliptic_envelope, pca and gmm: the detectors that rest on a covariance.
#include "core/decompose.hpp"
#include "testing.hpp"

namespace ad::test {
namespace {

Json raw(const Json& parameters = Json::object()) {
    return {{"parameters", parameters}, {"preprocess", {{"scale", "none"}}}};
}

std::vector<double> contributions(const Model& model, const Rows& rows, std::size_t row) {
    std::vector<double> result(rows[0].size());
    for (const auto& entry : explain(model, rows, row)) {
        const auto name = entry["feature"].get<std::string>();
        result[std::stoul(name.substr(1))] = entry["contribution"].get<double>();
    }
    return result;
}

double sum(const std::vector<double>& values) {
    double total = 0.0;
    for (const double value : values) total += value;
    return total;
}

/// Most rows on a stretched cloud, every `every`-th in a smaller one far off.
Rows contaminated_rows(std::size_t count, std::size_t columns, std::size_t every) {
    auto rows = normal_rows(count, columns);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 1; j < columns; ++j) rows[i][j] += 0.8 * rows[i][0];
        if (i % every != 0) continue;
        for (std::size_t j = 0; j < columns; ++j) rows[i][j] = 20.0 + 0.5 * rows[i][j];
    }
    return rows;
}

// The corners of a square: each coordinate has variance 1, they have no covariance.
TEST(Mahalanobis, ByHand) {
    const Rows square{{1.0, 1.0}, {1.0, -1.0}, {-1.0, 1.0}, {-1.0, -1.0}};
    const Model model = fit(request("mahalanobis", raw()), square);
    const Rows probes{{0.0, 0.0}, {1.0, 1.0}, {3.0, 0.0}};
    const auto scores = score(model, probes);
    EXPECT_EQ(scores[0], 0.0);
    EXPECT_NEAR(scores[1], 2.0, 1e-5);  // the ridge is 1e-6
    EXPECT_NEAR(scores[2], 9.0, 1e-4);
    const auto parts = contributions(model, probes, 2);
    EXPECT_NEAR(parts[0], 9.0, 1e-4);
    EXPECT_EQ(parts[1], 0.0);
}

TEST(Mahalanobis, UnitsDoNotMatter) {
    auto rows = normal_rows(200, 3);
    const auto before = score(fit(request("mahalanobis"), rows), rows);
    for (auto& row : rows) {
        row[0] = 1e6 * row[0] + 5e7;
        row[2] = -1e-5 * row[2];
    }
    const auto after = score(fit(request("mahalanobis"), rows), rows);
    for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(before[i], after[i], 1e-6);
}

TEST(Mahalanobis, WhatBreaksARelationIsStrange) {
    auto rows = normal_rows(200, 3);
    for (auto& row : rows) {
        row[1] = 2.0 * row[0];
        row[2] = 7.0;
    }
    const Model model = fit(request("mahalanobis"), rows);
    const auto scores = score(model, rows);
    const double most = *std::max_element(scores.begin(), scores.end());
    EXPECT_LT(most, 20.0);
    const Rows broken{{0.5, 1.2, 7.0}, {0.5, 1.0, 8.0}};
    EXPECT_GT(score(model, broken)[0], 100.0 * most);
    EXPECT_GT(score(model, broken)[1], 100.0 * most);
    EXPECT_EQ(explain(model, broken, 1)[0]["feature"], "f2");
}

TEST(Mahalanobis, ContributionsAddUp) {
    for (const auto algorithm : {"mahalanobis", "elliptic_envelope"}) {
        const auto rows = contaminated_rows(300, 4, 10);
        const Model model = fit(request(algorithm), rows);
        const auto scores = score(model, rows);
        for (std::size_t i = 0; i < rows.size(); i += 37) {
            EXPECT_NEAR(sum(contributions(model, rows, i)), scores[i], 1e-9 * (1.0 + scores[i]));
        }
    }
}

// A quarter of the rows lies in a cloud far off. The plain covariance takes it in.
TEST(EllipticEnvelope, OutliersDoNotHideEachOther) {
    for (const std::size_t count : {200, 1200, 4000}) {
        const auto rows = contaminated_rows(count, 4, 4);
        const auto separates = [&](const char* algorithm) {
            const auto scores = score(fit(request(algorithm), rows), rows);
            double highest_inside = 0.0;
            double lowest_outside = kInfinity;
            for (std::size_t i = 0; i < count; ++i) {
                if (i % 4 == 0) lowest_outside = std::min(lowest_outside, scores[i]);
                if (i % 4 != 0) highest_inside = std::max(highest_inside, scores[i]);
            }
            return lowest_outside > highest_inside;
        };
        EXPECT_TRUE(separates("elliptic_envelope")) << count;
        EXPECT_FALSE(separates("mahalanobis")) << count;
    }
}

// Of clean rows, 2.5 % are beyond the 97.5 % quantile of chi-squared with four degrees of freedom,
// 11.14, and as the covariance is that of the rest, a few more.
// One value far beyond all others leaves the units of the columns as they are.
TEST(EllipticEnvelope, AnExtremeValueHidesNoOther) {
    for (const double extreme : {1e9, 1e100}) {
        auto rows = normal_rows(1000, 3);
        rows.push_back({50.0, 0.0, 0.0});
        rows.push_back({extreme, 0.0, 0.0});
        const auto scores = score(fit(request("elliptic_envelope"), rows), rows);
        EXPECT_GT(scores[1001], scores[1000]);
        EXPECT_GT(scores[1000], *std::max_element(scores.begin(), scores.begin() + 1000));
    }
}

TEST(EllipticEnvelope, DistancesOfCleanRowsAreChiSquared) {
    const auto rows = normal_rows(4000, 4);
    const auto scores = score(fit(request("elliptic_envelope"), rows), rows);
    const auto beyond =
        std::count_if(scores.begin(), scores.end(), [](double score) { return score > 11.14; });
    EXPECT_GT(beyond, 80);
    EXPECT_LT(beyond, 180);
}

TEST(EllipticEnvelope, AllRowsAsSupportAreNearlyThePlainCovariance) {
    const auto rows = normal_rows(500, 3);
    const auto all = score(
        fit(request("elliptic_envelope", {{"parameters", {{"support_fraction", 1.0}}}}), rows),
        rows);
    const auto plain = score(fit(request("mahalanobis"), rows), rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_GE(all[i], plain[i] * 0.9);  // less the rows beyond the 97.5 % quantile
        EXPECT_LE(all[i], plain[i] * 1.5 + 0.1);
    }
}

// More than half of the rows are the same: the raw covariance is 0, and all rows are taken.
TEST(EllipticEnvelope, MostRowsEqual) {
    auto rows = normal_rows(100, 3);
    for (std::size_t i = 0; i < 70; ++i) rows[i] = {1.0, 2.0, 3.0};
    const Model model = fit(request("elliptic_envelope"), rows);
    const auto scores = score(model, rows);
    EXPECT_GT(*std::max_element(scores.begin() + 70, scores.end()), scores[0]);
}

TEST(EllipticEnvelope, FewerRowsThanColumns) {
    const auto rows = normal_rows(6, 20);
    const auto scores = score(fit(request("elliptic_envelope"), rows), rows);
    for (const double score : scores) EXPECT_TRUE(std::isfinite(score));
}

/// PyOD's formula from textbook steps: standardised columns, eigenvectors, distances.
std::vector<double> pca_scores(const Rows& rows, std::size_t first, std::size_t end,
                               bool weighted) {
    const std::size_t n = rows.size(), d = rows[0].size();
    Rows z = rows;
    for (std::size_t j = 0; j < d; ++j) {
        double mean = 0.0, square = 0.0;
        for (const auto& row : rows) mean += row[j] / static_cast<double>(n);
        for (const auto& row : rows) square += (row[j] - mean) * (row[j] - mean);
        for (auto& row : z) row[j] = (row[j] - mean) / std::sqrt(square / static_cast<double>(n));
    }
    Square covariance(d);
    for (const auto& row : z) {
        for (std::size_t j = 0; j < d; ++j) {
            for (std::size_t k = 0; k < d; ++k) covariance.at(j, k) += row[j] * row[k];
        }
    }
    const EigenSystem system = eigen_system(covariance);
    std::vector<double> scores(n);
    for (std::size_t k = first; k < end; ++k) {
        double farthest = 0.0;
        const auto along = [&](const std::vector<double>& row) {
            double product = 0.0;
            for (std::size_t j = 0; j < d; ++j) product += row[j] * system.vectors.at(k, j);
            return product;
        };
        for (const auto& row : z) {
            if (std::fabs(along(row)) > std::fabs(farthest)) farthest = along(row);
        }
        const double sign = farthest < 0.0 ? -1.0 : 1.0;
        for (std::size_t i = 0; i < n; ++i) {
            double square = 0.0;
            for (std::size_t j = 0; j < d; ++j) {
                const double offset = z[i][j] - sign * system.vectors.at(k, j);
                square += offset * offset;
            }
            const double share = system.values[k] / sum(system.values);
            scores[i] += std::sqrt(square) / (weighted ? share : 1.0);
        }
    }
    return scores;
}

TEST(Pca, IsTheWeightedSumOfDistancesFromTheComponents) {
    const auto rows = contaminated_rows(150, 5, 20);
    const auto check = [&](const Json& parameters, std::size_t first, std::size_t end,
                           bool weighted = true) {
        const auto expected = pca_scores(rows, first, end, weighted);
        const auto found = score(fit(request("pca", {{"parameters", parameters}}), rows), rows);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            EXPECT_NEAR(found[i], expected[i], 1e-8 * expected[i]) << parameters;
        }
    };
    check(Json::object(), 0, 5);
    check({{"weighted", false}}, 0, 5, false);
    check({{"n_components", 3}}, 0, 3);
    check({{"n_components", 4}, {"n_selected_components", 2}}, 2, 4);
    check({{"n_components", 0.5}}, 0, 1);  // the first explains more than half
    check({{"n_components", 500}, {"n_selected_components", 500}}, 0, 5);
}

TEST(Pca, ContributionsAddUp) {
    const auto rows = contaminated_rows(150, 5, 20);
    const Model model = fit(request("pca"), rows);
    const auto scores = score(model, rows);
    for (std::size_t i = 0; i < rows.size(); i += 29) {
        EXPECT_NEAR(sum(contributions(model, rows, i)), scores[i], 1e-9 * scores[i]);
    }
}

TEST(Pca, ConstantColumnAndFewRows) {
    auto rows = normal_rows(4, 8);
    for (auto& row : rows) row[3] = 5.0;
    for (const double score : score(fit(request("pca"), rows), rows)) {
        EXPECT_TRUE(std::isfinite(score));
    }
}

TEST(Gmm, OneComponentIsTheNormalDensity) {
    const auto rows = contaminated_rows(200, 3, 20);
    const auto distance = score(fit(request("mahalanobis", raw()), rows), rows);
    const auto found = score(fit(request("gmm", raw()), rows), rows);
    // -log density = (3 log(2 pi) + log det + distance) / 2: the rest is the same for all rows
    for (std::size_t i = 1; i < rows.size(); ++i) {
        EXPECT_NEAR(found[i] - found[0], 0.5 * (distance[i] - distance[0]), 1e-3);
    }
    const Rows two{{-1.0}, {1.0}};
    const auto by_hand = score(fit(request("gmm", raw()), two), Rows{{0.0}, {2.0}});
    EXPECT_NEAR(by_hand[0], 0.5 * std::log(2.0 * M_PI), 1e-5);
    EXPECT_NEAR(by_hand[1], 0.5 * std::log(2.0 * M_PI) + 2.0, 1e-5);
}

TEST(Gmm, TwoCloudsAreTwoComponents) {
    auto rows = normal_rows(400, 2);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i][0] += i % 4 == 0 ? 20.0 : -20.0;
    const Model model = fit(request("gmm", raw({{"n_components", 2}})), rows);
    // a density by hand: 1/4 N(20, 1) + 3/4 N(-20, 1), with what the samples give in place of 1
    const auto scores = score(model, Rows{{20.0, 0.0}, {-20.0, 0.0}, {0.0, 0.0}});
    EXPECT_NEAR(scores[0], std::log(2.0 * M_PI) - std::log(0.25), 0.3);
    EXPECT_NEAR(scores[1], std::log(2.0 * M_PI) - std::log(0.75), 0.3);
    EXPECT_GT(scores[2], 100.0);  // the middle, to a single normal distribution the most likely
    EXPECT_EQ(Json::parse(model.describe())["algorithm"], "gmm");
}

TEST(Gmm, MoreComponentsThanDifferentRows) {
    const Rows rows{{1.0, 1.0}, {1.0, 1.0}, {2.0, 5.0}, {2.0, 5.0}};
    const Model model = fit(request("gmm", raw({{"n_components", 50}})), rows);
    const auto scores = score(model, Rows{{1.0, 1.0}, {2.0, 5.0}, {1.5, 3.0}});
    EXPECT_NEAR(scores[0], scores[1], 1e-9);
    EXPECT_GT(scores[2], 1e5);
}

}  // namespace
}  // namespace ad::test
