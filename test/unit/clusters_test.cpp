// kmeans, cblof and kde: the detectors that measure distances from points.
#include "core/clusters.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

Json raw(const Json& parameters = Json::object()) {
    return {{"parameters", parameters}, {"preprocess", {{"scale", "none"}}}};
}

/// `sizes[k]` rows around (100 k, 0).
Rows clouds(std::initializer_list<std::size_t> sizes) {
    Rows rows;
    double at = 0.0;
    for (const std::size_t size : sizes) {
        for (auto& row : normal_rows(size, 2, size)) rows.push_back({row[0] + at, row[1]});
        at += 100.0;
    }
    return rows;
}

TEST(KMeans, ByHand) {
    const Rows rows{{0.0, 0.0}, {0.0, 2.0}, {10.0, 0.0}, {10.0, 4.0}};
    const Model model = fit(request("kmeans", raw({{"n_clusters", 2}})), rows);
    const auto scores = score(model, Rows{{0.0, 1.0}, {0.0, 0.0}, {10.0, 4.0}, {13.0, 6.0}});
    EXPECT_EQ(scores, (std::vector<double>{0.0, 1.0, 2.0, 5.0}));
    const auto list = explain(model, Rows{{13.0, 6.0}});
    EXPECT_EQ(list[0]["feature"], "f1");
    EXPECT_DOUBLE_EQ(list[0]["contribution"].get<double>(), 16.0 / 5.0);
    EXPECT_DOUBLE_EQ(list[1]["contribution"].get<double>(), 9.0 / 5.0);
}

TEST(KMeans, AnOutlierIsNoCluster) {
    const Rows rows{{0.0}, {1.0}, {10.0}, {11.0}, {1000.0}};
    const Model model = fit(request("kmeans", raw({{"n_clusters", 3}})), rows);
    EXPECT_EQ(score(model, rows), (std::vector<double>{0.5, 0.5, 0.5, 0.5, 989.5}));
    const Rows apart{{0.0}, {10.0}, {1000.0}};
    const Model each = fit(request("kmeans", raw({{"n_clusters", 3}})), apart);
    EXPECT_EQ(score(each, apart), (std::vector<double>{0.0, 0.0, 0.0}));
}

// The mean of equal values is that value, not what rounding makes of it: surprisals of categories.
TEST(KMeans, RowsOnACenterHaveNoDistance) {
    Rows rows;
    for (int i = 0; i < 300; ++i) {
        rows.push_back({0.1 + 0.7 * (i % 3 == 0), std::log2(3.0 + (i % 2))});
    }
    for (const auto algorithm : {"kmeans", "cblof"}) {
        const Model model = fit(request(algorithm), rows);
        EXPECT_EQ(score(model, rows), std::vector<double>(rows.size(), 0.0)) << algorithm;
    }
}

TEST(KMeans, MoreClustersThanDifferentRows) {
    const Rows rows{{1.0}, {1.0}, {4.0}, {4.0}, {4.0}};
    const Model model = fit(request("kmeans", raw({{"n_clusters", 100}})), rows);
    EXPECT_EQ(score(model, Rows{{1.0}, {4.0}, {6.0}}), (std::vector<double>{0.0, 0.0, 2.0}));
}

TEST(Clusters, FindsSeparateClouds) {
    const auto rows = clouds({30, 70, 50});
    Matrix matrix(rows.size(), 2);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t j = 0; j < 2; ++j) matrix.column(j)[i] = rows[i][j];
    }
    const Clusters found = find_clusters(matrix.view(), 3, 1, Random(1));
    auto sizes = found.sizes;
    std::sort(sizes.begin(), sizes.end());
    EXPECT_EQ(sizes, (std::vector<std::uint32_t>{30, 50, 70}));
    double inertia = 0.0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const double* center = found.centers.at(found.labels[i]);
        inertia += (rows[i][0] - center[0]) * (rows[i][0] - center[0]) +
                   (rows[i][1] - center[1]) * (rows[i][1] - center[1]);
        EXPECT_EQ(found.labels[i], found.labels[i < 30 ? 0 : i < 100 ? 30 : 100]);
    }
    EXPECT_NEAR(found.inertia, inertia, 1e-9 * inertia);
}

// A center that loses its rows must find others: no cluster of the result is empty.
TEST(Clusters, NoneIsEmpty) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        Random random(seed);
        Matrix matrix(60, 2);
        for (std::size_t i = 0; i < 120; ++i) {
            matrix.column(i % 2)[i / 2] = std::floor(4.0 * random.uniform());
        }
        const Clusters found = find_clusters(matrix.view(), 12, 1, random.split());
        EXPECT_EQ(found.centers.count(), found.sizes.size());
        for (const auto size : found.sizes) EXPECT_GT(size, 0U);
        for (const auto label : found.labels) EXPECT_LT(label, found.sizes.size());
    }
}

// 200, 180, 10: the first two hold 90 %, and the third is 18 times smaller.
TEST(Cblof, RowsOfASmallClusterAreFarFromTheNextLargeOne) {
    const auto rows = clouds({200, 180, 10});
    const Model model = fit(request("cblof", raw({{"n_clusters", 3}})), rows);
    const auto scores = score(model, rows);
    for (std::size_t i = 0; i < 380; ++i) EXPECT_LT(scores[i], 10.0);
    for (std::size_t i = 380; i < 390; ++i) EXPECT_NEAR(scores[i], 100.0, 10.0);
    EXPECT_EQ(explain(model, rows, 385)[0]["feature"], "f0");
    const auto plain = score(fit(request("kmeans", raw({{"n_clusters", 3}})), rows), rows);
    for (std::size_t i = 380; i < 390; ++i) EXPECT_LT(plain[i], 10.0);
}

TEST(Cblof, WeightsAreTheSizesOfTheOwnClusters) {
    const auto rows = clouds({200, 180, 10});
    const auto plain = score(fit(request("cblof", raw({{"n_clusters", 3}})), rows), rows);
    const Model model =
        fit(request("cblof", raw({{"n_clusters", 3}, {"use_weights", true}})), rows);
    const auto weighted = score(model, rows);
    for (const auto& [row, size] : {std::pair{0, 200.0}, {250, 180.0}, {385, 10.0}}) {
        const auto i = static_cast<std::size_t>(row);
        EXPECT_NEAR(weighted[i], size * plain[i], 1e-9 * weighted[i]);
    }
    double sum = 0.0;
    for (const auto& entry : explain(model, rows, 385)) sum += entry["contribution"].get<double>();
    EXPECT_NEAR(sum, weighted[385], 1e-9 * sum);
}

// Clusters of equal size: the fewest that hold the share are large.
TEST(Cblof, WithoutAFallInSizeTheShareDecides) {
    const auto rows = clouds({100, 100, 100, 100});
    const auto large = [&](double alpha) {
        const auto scores =
            score(fit(request("cblof", raw({{"n_clusters", 4}, {"alpha", alpha}})), rows), rows);
        return std::count_if(scores.begin(), scores.end(), [](double s) { return s < 20.0; });
    };
    EXPECT_EQ(large(0.5), 200);
    EXPECT_EQ(large(0.7), 300);
    EXPECT_EQ(large(0.9), 400);  // never reached by less than all
}

double log_density(const Rows& reference, const std::vector<double>& row, double bandwidth) {
    long double sum = 0.0;
    for (const auto& other : reference) {
        long double square = 0.0;
        for (std::size_t j = 0; j < row.size(); ++j) {
            square += (row[j] - static_cast<long double>(other[j])) * (row[j] - other[j]);
        }
        sum += std::exp(-square / (2.0L * bandwidth * bandwidth));
    }
    const auto d = static_cast<long double>(row.size());
    return static_cast<double>(std::log(sum / static_cast<long double>(reference.size())) -
                               d * std::log(bandwidth * std::sqrt(2.0L * M_PIl)));
}

TEST(Kde, IsTheSumOfNormalKernels) {
    const auto rows = normal_rows(203, 3);  // not a multiple of any block
    for (const double bandwidth : {0.05, 1.0, 30.0}) {
        const Model model = fit(request("kde", raw({{"bandwidth", bandwidth}})), rows);
        auto probes = normal_rows(21, 3, 9);
        probes.push_back({6.0, -6.0, 6.0});
        const auto scores = score(model, probes);
        for (std::size_t i = 0; i < probes.size(); ++i) {
            const double expected = -log_density(rows, probes[i], bandwidth);
            EXPECT_NEAR(scores[i], expected, 1e-11 * (1.0 + std::fabs(expected)));
        }
    }
}

TEST(Kde, FarRowsKeepTheirOrder) {
    const Model model = fit(request("kde", raw()), Rows{{0.0}, {1.0}});
    const auto scores = score(model, Rows{{1e3}, {1e4}, {1e30}, {1e40}});
    EXPECT_NEAR(scores[0], 0.5 * 999.0 * 999.0 + std::log(2.0 * std::sqrt(2.0 * M_PI)), 1e-6);
    EXPECT_TRUE(std::is_sorted(scores.begin(), scores.end()));
    EXPECT_LT(scores[2], scores[3]);
}

TEST(Kde, RulesForTheBandwidth) {
    const auto rows = normal_rows(256, 4);
    const auto same = [&](const char* rule, double bandwidth) {
        const auto by_rule = score(fit(request("kde", raw({{"bandwidth", rule}})), rows), rows);
        const auto by_number =
            score(fit(request("kde", raw({{"bandwidth", bandwidth}})), rows), rows);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            EXPECT_NEAR(by_rule[i], by_number[i], 1e-10);
        }
    };
    same("scott", 0.5);  // 256^(-1/8)
    same("silverman", std::pow(256.0 * 6.0 / 4.0, -1.0 / 8.0));
}

TEST(Kde, DrawsAReference) {
    const auto rows = normal_rows(500, 2);
    const auto bytes = [&](std::int64_t seed, int reference) {
        Json options = raw({{"max_reference", reference}});
        options["random_seed"] = seed;
        return fit(request("kde", options), rows).save();
    };
    EXPECT_EQ(bytes(1, 100), bytes(1, 100));
    EXPECT_LT(bytes(1, 100).size() + 400 * 2 * sizeof(double), bytes(1, 500).size() + 100);
    EXPECT_NE(bytes(1, 100).substr(300), bytes(2, 100).substr(300));
}

TEST(Kde, ContributionsAreWhatTheColumnCosts) {
    const auto rows = normal_rows(100, 2);
    const Model model = fit(request("kde", raw()), rows);
    const Rows probe{{3.0, 0.5}};
    Rows without;
    for (const auto& row : rows) without.push_back({row[1]});
    const double one_column = std::log(std::sqrt(2.0 * M_PI));
    const double expected =
        log_density(without, {0.5}, 1.0) - one_column - log_density(rows, probe[0], 1.0);
    const auto list = explain(model, probe);
    EXPECT_EQ(list[0]["feature"], "f0");
    EXPECT_NEAR(list[0]["contribution"].get<double>(), expected, 1e-10);
}

}  // namespace
}  // namespace ad::test
