// The optimisation problem of one-class support vector machines, in LIBSVM's units:
//     minimise 1/2 a' K a   subject to   0 <= a_i <= 1,   a_1 + ... + a_n = nu n
// The decision function is f(x) = a_1 K(x_1, x) + ... + a_n K(x_n, x) - rho.
// Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson: "Estimating the Support of a
// High-Dimensional Distribution", Neural Computation 13, 2001.
#pragma once

#include "kernel.hpp"
#include "random.hpp"

namespace ad {

/// The first nu n of them 1, so that the sum is right.
std::vector<double> first_alphas(std::size_t count, double nu);

/// Two variables of which one gives to the other.
struct AlphaPair {
    static constexpr double kSmallestCurvature = 1e-12;  ///< of equal points, as in LIBSVM

    /// Moves as much as is best, or as the bounds allow, and returns it.
    double move(double slope, double curvature);

    double& from;
    double& to;
};

struct OneClassSolution {
    std::vector<double> alpha;
    std::vector<double> gradient;  ///< K alpha
    std::size_t steps = 0;
    bool converged = false;
};

/// Where the decision function is 0: the mean of the gradient over the points with 0 < alpha < 1,
/// else the middle of what the other points leave open.
double offset_of(const std::vector<double>& alpha, const std::vector<double>& gradient);

/// Sequential minimal optimisation of two variables at a time, chosen by second-order information
/// (Fan, Chen, Lin: "Working Set Selection Using Second Order Information for Training Support
/// Vector Machines", JMLR 6, 2005), to `tolerance` of the gradient. The values of the kernel should
/// not be much beyond 1.
OneClassSolution solve_exact(const Kernel& kernel, const PointTiles& points, double nu,
                             double tolerance);
/// Upper bound of the memory that this takes.
std::uint64_t solve_exact_bytes(std::uint64_t points);

/// A kernel of low rank in place of another (Nystroem): features z with K(x, y) ~ z(x) . z(y).
/// The landmarks are drawn one by one, with probability proportional to what the earlier ones
/// leave of K(x, x) (Chen, Epperly, Tropp, Webber: "Randomly pivoted Cholesky", CPAM 2025).
struct LowRank {
    std::vector<std::uint32_t> landmarks;
    PointTiles features;  ///< of all points; a column for each landmark, room for more
};
LowRank factorize(const Kernel& kernel, const PointTiles& points, std::size_t most, Random& random);

/// The weights b of the landmarks with which sum of b_k K(x_k, x) is w . z(x), for any x.
std::vector<double> landmark_weights(const LowRank& factors, const std::vector<double>& w);

/// The same problem for the kernel z . z', by steps of two variables that keep w = sum of a_i z_i
/// (Chou, Lin, Lin: "Dual Coordinate-Descent Methods for Linear One-Class SVM and SVDD", SDM 2020).
struct LinearSolution : OneClassSolution {
    std::vector<double> w;
};
LinearSolution solve_linear(const PointTiles& features, std::size_t columns, double nu,
                            double tolerance);

}  // namespace ad
