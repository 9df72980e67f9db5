// The detector "one_class_svm": solutions worked out by hand, the conditions of the optimum, and
// the approximation against the exact fit.
#include "core/one_class.hpp"
#include "testing.hpp"

namespace ad::test {
namespace {

Model fit_svm(const Rows& rows, const Json& parameters, const Json& more = Json::object()) {
    Json options{{"parameters", parameters}, {"preprocess", {{"scale", "none"}}}};
    options.update(more);
    return fit(request("one_class_svm", options), rows);
}

PointTiles tiles_of(const Rows& rows) {
    PointTiles points(rows.size(), rows[0].size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t j = 0; j < rows[i].size(); ++j) points.at(i, j) = rows[i][j];
    }
    return points;
}

double rbf(double gamma, const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0.0;
    for (std::size_t j = 0; j < a.size(); ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
    return std::exp(-gamma * sum);
}

// Two points, nu = 1/2: by symmetry both alphas are 1/2, and both lie on the boundary.
TEST(OneClassSvm, TwoPoints) {
    const auto model = fit_svm({{0.0}, {2.0}}, {{"nu", 0.5}, {"gamma", 0.25}});
    const double k = std::exp(-1.0);  // between them
    const double rho = 0.5 + 0.5 * k;
    const auto scores = score(model, Rows{{0.0}, {2.0}, {1.0}, {1e9}});
    EXPECT_NEAR(scores[0], 0.0, 1e-6);
    EXPECT_NEAR(scores[1], 0.0, 1e-6);
    EXPECT_NEAR(scores[2], rho - std::exp(-0.25), 1e-6);
    EXPECT_NEAR(scores[3], rho, 1e-6);
    EXPECT_FALSE(model.predict(0.0).is_anomaly);
    EXPECT_TRUE(model.predict(scores[3]).is_anomaly);
}

// nu = 1: every alpha is 1, f is a sum of kernels, and no row is inside.
TEST(OneClassSvm, AllPointsOutside) {
    const Rows rows{{0.0, 0.0}, {1.0, 0.0}, {0.0, 3.0}};
    const auto model = fit_svm(rows, {{"nu", 1.0}, {"gamma", 0.5}});
    std::vector<double> sums;
    for (const auto& a : rows) {
        double sum = 0.0;
        for (const auto& b : rows) sum += rbf(0.5, a, b);
        sums.push_back(sum);
    }
    const double rho = *std::max_element(sums.begin(), sums.end());
    const auto scores = score(model, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(scores[i], rho - sums[i], 1e-6);
}

// Products: f(x) = w . x - rho. Points on a ray from the origin; nu n = 1 takes the nearest.
TEST(OneClassSvm, LinearKernelIsAPlane) {
    const auto model = fit_svm({{1.0, 2.0}, {2.0, 4.0}, {3.0, 6.0}, {4.0, 8.0}},
                               {{"kernel", "linear"}, {"nu", 0.25}});
    const auto scores = score(model, Rows{{1.0, 2.0}, {0.0, 0.0}, {3.0, 1.0}});
    EXPECT_NEAR(scores[0], scores[1] - 5.0, 1e-4);
    EXPECT_NEAR(scores[2], scores[1] - 5.0, 1e-4);
    const auto list = explain(model, {{3.0, 1.0}});
    double sum = 0.0;
    for (const auto& entry : list) sum += entry["contribution"].get<double>();
    EXPECT_NEAR(sum, scores[2] - scores[1], 1e-9);  // the score of the origin is rho
}

void expect_optimum(const Kernel& kernel, const Rows& rows, double nu,
                    const std::vector<double>& alpha, double tolerance) {
    double sum = 0.0;
    double low = -kInfinity;
    double high = kInfinity;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_GE(alpha[i], 0.0);
        EXPECT_LE(alpha[i], 1.0);
        sum += alpha[i];
        double gradient = 0.0;
        for (std::size_t k = 0; k < rows.size(); ++k) {
            if (alpha[k] > 0.0) gradient += alpha[k] * rbf(kernel.gamma, rows[i], rows[k]);
        }
        if (alpha[i] > 0.0) low = std::max(low, gradient);
        if (alpha[i] < 1.0) high = std::min(high, gradient);
    }
    EXPECT_NEAR(sum, nu * static_cast<double>(rows.size()), 1e-6);
    EXPECT_LE(low - high, tolerance);
}

TEST(OneClassSvm, ExactSolutionMeetsTheConditionsOfTheOptimum) {
    const Rows rows = normal_rows(300, 3, 7);
    const Kernel kernel{Kernel::Type::Rbf, 0.3};
    for (const double nu : {0.05, 0.301, 0.5, 1.0}) {
        const auto solution = solve_exact(kernel, tiles_of(rows), nu, 1e-4);
        EXPECT_TRUE(solution.converged);
        expect_optimum(kernel, rows, nu, solution.alpha, 2e-4);
    }
}

// With a landmark for every point the kernel of low rank is the kernel.
TEST(OneClassSvm, FullRankSolutionMeetsTheConditionsOfTheOptimum) {
    const Rows rows = normal_rows(150, 3, 8);
    const Kernel kernel{Kernel::Type::Rbf, 0.3};
    Random random(1);
    const LowRank factors = factorize(kernel, tiles_of(rows), rows.size(), random);
    for (const double nu : {0.1, 0.5}) {
        const auto solution = solve_linear(factors.features, factors.landmarks.size(), nu, 1e-4);
        EXPECT_TRUE(solution.converged);
        expect_optimum(kernel, rows, nu, solution.alpha, 1e-3);
    }
}

TEST(OneClassSvm, FactorsGiveTheKernelBack) {
    const Rows rows = normal_rows(200, 2, 9);
    const Kernel kernel{Kernel::Type::Rbf, 0.2};
    Random random(2);
    const LowRank factors = factorize(kernel, tiles_of(rows), 100, random);
    const std::size_t rank = factors.landmarks.size();
    for (std::size_t i = 0; i < rows.size(); i += 7) {
        for (std::size_t k = 0; k < rows.size(); k += 11) {
            double product = 0.0;
            for (std::size_t c = 0; c < rank; ++c) {
                product += factors.features.at(i, c) * factors.features.at(k, c);
            }
            EXPECT_NEAR(product, rbf(0.2, rows[i], rows[k]), 1e-4);
        }
    }
    const Rows same(20, {1.0, 2.0});
    EXPECT_EQ(factorize(kernel, tiles_of(same), 10, random).landmarks.size(), 1U);
}

TEST(OneClassSvm, ApproximationAgreesWithTheExactFit) {
    const Rows rows = normal_rows(1000, 4, 10);
    const Rows probes = normal_rows(200, 4, 11);
    const auto exact = score(fit_svm(rows, {{"nu", 0.2}}), probes);
    const Json parameters{{"nu", 0.2}, {"approximation", "nystroem"}};
    const auto near = score(fit_svm(rows, parameters, {{"random_seed", 3}}), probes);
    double worst = 0.0;
    for (std::size_t i = 0; i < probes.size(); ++i) {
        worst = std::max(worst, std::fabs(near[i] - exact[i]));
    }
    EXPECT_GT(*std::max_element(exact.begin(), exact.end()), 10.0);
    EXPECT_LT(worst, 1.0);
}

TEST(OneClassSvm, ApproximatesAboveMaxExact) {
    const Rows rows = normal_rows(400, 2, 12);
    const auto exact = bits_of(score(fit_svm(rows, {{"max_exact", 400}}), rows));
    EXPECT_EQ(exact, bits_of(score(fit_svm(rows, {{"approximation", "exact"}}), rows)));
    const Json few{{"max_exact", 399}, {"n_components", 20}, {"max_reference", 100}};
    const auto scores = bits_of(score(fit_svm(rows, few, {{"random_seed", 1}}), rows));
    EXPECT_EQ(scores, bits_of(score(fit_svm(rows, few, {{"random_seed", 1}}), rows)));
    EXPECT_NE(scores, bits_of(score(fit_svm(rows, few, {{"random_seed", 2}}), rows)));
}

// nu bounds the share of rows outside from above, and that of support vectors from below.
TEST(OneClassSvm, NuIsTheShareOutside) {
    const Rows rows = normal_rows(1000, 2, 13);
    for (const auto approximation : {"exact", "nystroem"}) {
        for (const double nu : {0.05, 0.3}) {
            const auto model = fit_svm(rows, {{"nu", nu}, {"approximation", approximation}});
            int outside = 0;
            for (const double score : score(model, rows)) outside += score > 0.01;
            EXPECT_LE(outside, nu * 1000);
            EXPECT_GE(outside, nu * 1000 - 40);
        }
    }
}

TEST(OneClassSvm, GammaAsInScikitLearn) {
    // variance of all values 4, two columns
    const Rows rows{{-2.0, 2.0}, {2.0, -2.0}};
    const auto gamma = [&](const Json& parameters) {
        const auto model = fit_svm(rows, parameters);
        const double rho = score(model, Rows{{1e9, 0.0}})[0];
        const double at_first = score(model, Rows{{-2.0, 2.0}})[0];
        return std::make_pair(rho, at_first);
    };
    // both alphas are 1/2: rho = (1 + e^(-32 gamma)) / 2
    EXPECT_NEAR(gamma({{"gamma", "scale"}}).first, (1.0 + std::exp(-4.0)) / 2.0, 1e-6);
    EXPECT_NEAR(gamma({{"gamma", "auto"}}).first, (1.0 + std::exp(-16.0)) / 2.0, 1e-6);
    EXPECT_NEAR(gamma({{"gamma", 0.01}}).first, (1.0 + std::exp(-0.32)) / 2.0, 1e-6);
    EXPECT_NEAR(gamma({{"gamma", 0.01}}).second, 0.0, 1e-6);
}

TEST(OneClassSvm, AwkwardTraining) {
    const Rows probes{{0.0, 0.0}, {1e100, -1e100}, {kInfinity, 1.0}};
    for (const auto kernel : {"rbf", "linear"}) {
        for (const auto approximation : {"exact", "nystroem"}) {
            const Json parameters{{"kernel", kernel}, {"approximation", approximation}};
            for (const Rows& rows :
                 {Rows{{0.0, 0.0}}, Rows(70, {3.0, 1.0}), Rows{{1e300, -1e300}, {1e300, 1e300}},
                  Rows{{1e-300, 0.0}, {0.0, 1e-300}, {0.0, 0.0}}}) {
                const auto model = fit_svm(rows, parameters);
                for (const double s : score(model, probes)) EXPECT_TRUE(std::isfinite(s));
                for (const double s : score(model, rows)) EXPECT_TRUE(std::isfinite(s));
                EXPECT_EQ(explain(model, probes, 1).size(), 2U);
            }
        }
    }
}

TEST(OneClassSvm, RefusesWrongParameters) {
    const auto fit_with = [](const Json& parameters) { fit_svm({{1.0}, {2.0}}, parameters); };
    expect_error<InvalidParameter>([&] { fit_with({{"kernel", "poly"}}); }, {"kernel"}, {"rbf"});
    expect_error<InvalidParameter>([&] { fit_with({{"nu", 0}}); }, {"nu", "range"});
    expect_error<InvalidParameter>([&] { fit_with({{"gamma", "wide"}}); }, {"gamma"}, {"scale"});
}

TEST(OneClassSvm, EveryLongLoopPolls) {
    const PointTiles points = tiles_of(normal_rows(6400, 3));
    {
        PollCounter counter;
        solve_linear(points, 3, 1.0, 1e9);  // at once at the end: every alpha is 1
        EXPECT_GE(counter.calls(), 100U);   // adding them up
    }
    const auto model = fit_svm(normal_rows(2000, 2), {{"nu", 1.0}});
    PollCounter counter;
    explain(model, {{0.0, 0.0}});
    EXPECT_GE(counter.calls(), 2U * 2000 / 256);
}

}  // namespace
}  // namespace ad::test
