#include <algorithm>

#include "one_class.hpp"

namespace ad {

namespace {

constexpr std::size_t kTile = PointTiles::kTile;
constexpr Kernel kLinear{Kernel::Type::Linear, 0.0};

/// The index at which the running sum of `shares` passes `target`; the last positive one at most.
std::size_t draw(const std::vector<double>& shares, double target) {
    std::size_t last = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
        if (shares[i] <= 0.0) continue;
        last = i;
        target -= shares[i];
        if (target < 0.0) break;
    }
    return last;
}

class DualDescent {
  public:
    DualDescent(const PointTiles& features, std::size_t columns, double nu)
        : features_(features),
          columns_(columns),
          gradient_(features.tiles() * kTile),
          giver_(features.columns()),
          receiver_(features.columns()) {
        solution_.alpha = first_alphas(features.count(), nu);
        solution_.w.assign(columns, 0.0);
        for (std::size_t i = 0; i < features.count(); ++i) {
            if (solution_.alpha[i] <= 0.0) continue;
            if (i % PointTiles::kTile == 0) poll();
            features.copy(i, giver_.data());
            add(solution_.alpha[i], giver_);
        }
    }

    LinearSolution solve(double tolerance) {
        constexpr std::size_t kMostPasses = 1000;
        for (std::size_t pass = 0; pass < kMostPasses && !solution_.converged; ++pass) {
            poll();
            kernel_values(kLinear, features_, columns_, solution_.w.data(), gradient_.data());
            solution_.converged = !improve(tolerance);
        }
        gradient_.resize(features_.count());
        solution_.gradient = std::move(gradient_);
        return std::move(solution_);
    }

  private:
    void add(double factor, const std::vector<double>& z) {
        for (std::size_t j = 0; j < columns_; ++j) solution_.w[j] += factor * z[j];
    }

    double gradient_at(const std::vector<double>& z) const {
        double sum = 0.0;
        for (std::size_t j = 0; j < columns_; ++j) sum += solution_.w[j] * z[j];
        return sum;
    }

    /// The points that violate the conditions most: those that should give, highest gradient
    /// first, and those that should receive.
    std::size_t choose_pairs() {
        const auto& alpha = solution_.alpha;
        givers_.clear();
        receivers_.clear();
        for (std::uint32_t i = 0; i < alpha.size(); ++i) {
            if (alpha[i] > 0.0) givers_.push_back(i);
            if (alpha[i] < 1.0) receivers_.push_back(i);
        }
        const auto ascending = [&](std::uint32_t a, std::uint32_t b) {
            return gradient_[a] != gradient_[b] ? gradient_[a] < gradient_[b] : a < b;
        };
        const auto descending = [&](std::uint32_t a, std::uint32_t b) { return ascending(b, a); };
        const std::size_t count =
            std::min({alpha.size() / 10 + 1, givers_.size(), receivers_.size()});
        const auto end = static_cast<std::ptrdiff_t>(count);
        std::partial_sort(givers_.begin(), givers_.begin() + end, givers_.end(), descending);
        std::partial_sort(receivers_.begin(), receivers_.begin() + end, receivers_.end(),
                          ascending);
        return count;
    }

    /// One pass over the worst pairs; false if none violates the conditions by `tolerance`.
    bool improve(double tolerance) {
        constexpr std::size_t kPollEvery = 256;
        const std::size_t count = choose_pairs();
        for (std::size_t k = 0; k < count; ++k) {
            const double gap = gradient_[givers_[k]] - gradient_[receivers_[k]];
            if (!(gap >= tolerance)) return k > 0;
            if (k % kPollEvery == 0) poll();
            features_.copy(givers_[k], giver_.data());
            features_.copy(receivers_[k], receiver_.data());
            const double slope = gradient_at(giver_) - gradient_at(receiver_);
            if (slope <= 0.0) continue;
            double curvature = 0.0;
            for (std::size_t j = 0; j < columns_; ++j) {
                curvature += (giver_[j] - receiver_[j]) * (giver_[j] - receiver_[j]);
            }
            auto& alpha = solution_.alpha;
            const double size =
                AlphaPair{alpha[givers_[k]], alpha[receivers_[k]]}.move(slope, curvature);
            add(-size, giver_);
            add(size, receiver_);
            ++solution_.steps;
        }
        return count > 0;
    }

    const PointTiles& features_;
    std::size_t columns_;
    LinearSolution solution_;
    std::vector<double> gradient_;
    std::vector<double> giver_;
    std::vector<double> receiver_;
    std::vector<std::uint32_t> givers_;
    std::vector<std::uint32_t> receivers_;
};

}  // namespace

LowRank factorize(const Kernel& kernel, const PointTiles& points, std::size_t most,
                  Random& random) {
    const std::size_t count = points.count();
    LowRank factors{{}, PointTiles(count, most)};
    std::vector<double> rest;
    for (std::size_t i = 0; i < count; ++i) rest.push_back(kernel_diagonal(kernel, points, i));
    const double negligible = 1e-8 * *std::max_element(rest.begin(), rest.end());
    std::vector<double> values(points.tiles() * kTile);
    std::vector<double> explained(values.size());
    std::vector<double> point(points.columns());
    std::vector<double> feature(most);
    while (factors.landmarks.size() < most) {
        poll();
        double total = 0.0;
        for (const double r : rest) total += r;
        if (!(total > 0.0)) break;
        const std::size_t chosen = draw(rest, random.uniform() * total);
        points.copy(chosen, point.data());
        factors.features.copy(chosen, feature.data());
        const std::size_t k = factors.landmarks.size();
        kernel_values(kernel, points, point.size(), point.data(), values.data());
        kernel_values(kLinear, factors.features, k, feature.data(), explained.data());
        const double length = std::sqrt(rest[chosen]);
        for (std::size_t i = 0; i < count; ++i) {
            const double z = (values[i] - explained[i]) / length;
            factors.features.at(i, k) = z;
            rest[i] = rest[i] - z * z > negligible ? rest[i] - z * z : 0.0;
        }
        factors.features.at(chosen, k) = length;
        rest[chosen] = 0.0;
        factors.landmarks.push_back(static_cast<std::uint32_t>(chosen));
    }
    return factors;
}

// z(x) solves L z = (K(x_1, x), ..., K(x_r, x)), where row k of L is z(x_k); so L' b = w.
std::vector<double> landmark_weights(const LowRank& factors, const std::vector<double>& w) {
    std::vector<double> weights = w;
    for (std::size_t k = w.size(); k-- > 0;) {
        poll();
        const std::uint32_t landmark = factors.landmarks[k];
        weights[k] /= factors.features.at(landmark, k);
        for (std::size_t j = 0; j < k; ++j) {
            weights[j] -= factors.features.at(landmark, j) * weights[k];
        }
    }
    return weights;
}

LinearSolution solve_linear(const PointTiles& features, std::size_t columns, double nu,
                            double tolerance) {
    return DualDescent(features, columns, nu).solve(tolerance);
}

}  // namespace ad
