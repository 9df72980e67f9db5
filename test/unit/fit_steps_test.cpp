// How the steps of a fit grow: what ad_validate makes of the time of a fit on a few rows.
#include "testing.hpp"

namespace ad::test {
namespace {

/// Times of fits with as many rows by those with 1000, as measured.
struct Measured {
    std::string_view algorithm;
    Json parameters;
    double columns;
    double rows;
    double growth;
};

TEST(FitSteps, GrowAsTheTimesDo) {
    const std::vector<Measured> all{
        {"kde", Json::object(), 3, 20000, 170},
        {"kmeans", Json::object(), 10, 32768, 107},
        {"kmeans", {{"n_clusters", 50}}, 8, 30000, 100},
        {"gmm", {{"n_components", 100}}, 3, 20000, 12},
        {"gmm", {{"n_components", 100}}, 8, 10000, 28},
        {"gmm", {{"n_components", 100}}, 10, 10000, 101},
        {"local_outlier_factor", Json::object(), 8, 32768, 65},
        {"local_outlier_factor", Json::object(), 10, 20000, 67},
        {"knn", Json::object(), 8, 32768, 70},
        {"knn", Json::object(), 10, 20000, 92},
        {"ensemble", Json::object(), 8, 32768, 37},
        {"isolation_forest", Json::object(), 8, 32768, 12},
        {"inne", Json::object(), 8, 32768, 41},
    };
    for (const auto& [name, parameters, columns, rows, growth] : all) {
        const Algorithm& algorithm = find_algorithm(name);
        const Params params(algorithm.params, parameters, name);
        const double expected =
            algorithm.fit_steps(params, rows, columns) / algorithm.fit_steps(params, 1000, columns);
        EXPECT_GT(expected, growth / 3.0) << name << " of " << columns << " columns";
        EXPECT_LT(expected, growth * 3.0) << name << " of " << columns << " columns";
    }
}

}  // namespace
}  // namespace ad::test
