#include "one_class.hpp"

#include <algorithm>
#include <numeric>

namespace ad {

std::vector<double> first_alphas(std::size_t count, double nu) {
    std::vector<double> alpha(count);
    double left = nu * static_cast<double>(count);
    for (double& a : alpha) {
        a = std::clamp(left, 0.0, 1.0);
        left -= a;
    }
    return alpha;
}

double AlphaPair::move(double slope, double curvature) {
    const double step = std::min({slope / std::max(curvature, kSmallestCurvature), from, 1.0 - to});
    to = step == 1.0 - to ? 1.0 : to + step;
    from = step == from ? 0.0 : from - step;
    return step;
}

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

/// Rows of the kernel matrix. Those not used lately give way (CLOCK).
class KernelRows {
  public:
    static constexpr std::uint64_t kMostBytes = 32U << 20;

    KernelRows(const Kernel& kernel, const PointTiles& points)
        : kernel_(kernel),
          points_(points),
          point_(points.columns()),
          values_(points.tiles() * PointTiles::kTile),
          slot_of_(points.count(), kNone),
          slots_(slots(points.count())),
          cells_(slots_.size() * points.count()) {}

    /// Valid until the call after the next.
    const float* row(std::size_t i) {
        if (slot_of_[i] == kNone) compute(i);
        slots_[slot_of_[i]].used = true;
        last_ = slot_of_[i];
        return cells_.data() + slot_of_[i] * points_.count();
    }

    static std::uint64_t bytes(std::uint64_t points) {
        return slots(points) * (points * sizeof(float) + sizeof(Slot)) +
               points * (sizeof(std::uint32_t) + sizeof(double));
    }

  private:
    static constexpr std::uint32_t kNone = 0xffffffff;
    struct Slot {
        std::uint32_t row = kNone;
        bool used = false;
    };

    static std::uint64_t slots(std::uint64_t points) {
        const std::uint64_t most = kMostBytes / (points * sizeof(float));
        return std::clamp<std::uint64_t>(most, 2, std::max<std::uint64_t>(points, 2));
    }

    std::uint32_t free_slot() {
        for (;; hand_ = (hand_ + 1) % slots_.size()) {
            Slot& slot = slots_[hand_];
            if (hand_ == last_) continue;
            if (!slot.used) break;
            slot.used = false;
        }
        if (slots_[hand_].row != kNone) slot_of_[slots_[hand_].row] = kNone;
        return static_cast<std::uint32_t>(hand_);
    }

    void compute(std::size_t i) {
        points_.copy(i, point_.data());
        kernel_values(kernel_, points_, point_.size(), point_.data(), values_.data());
        const auto slot = free_slot();
        float* out = cells_.data() + slot * points_.count();
        for (std::size_t k = 0; k < points_.count(); ++k) out[k] = static_cast<float>(values_[k]);
        slots_[slot].row = static_cast<std::uint32_t>(i);
        slot_of_[i] = slot;
    }

    const Kernel& kernel_;
    const PointTiles& points_;
    std::vector<double> point_;
    std::vector<double> values_;
    std::vector<std::uint32_t> slot_of_;
    std::vector<Slot> slots_;
    std::vector<float> cells_;
    std::size_t hand_ = 0;
    std::size_t last_ = kNone;
};

class Smo {
  public:
    Smo(const Kernel& kernel, const PointTiles& points, double nu)
        : count_(points.count()), rows_(kernel, points) {
        solution_.alpha = first_alphas(count_, nu);
        solution_.gradient.assign(count_, 0.0);
        for (std::size_t i = 0; i < count_; ++i) {
            diagonal_.push_back(kernel_diagonal(kernel, points, i));
        }
        for (std::size_t i = 0; i < count_ && solution_.alpha[i] > 0.0; ++i) {
            poll();
            const float* row = rows_.row(i);
            for (std::size_t k = 0; k < count_; ++k) {
                solution_.gradient[k] += solution_.alpha[i] * static_cast<double>(row[k]);
            }
        }
    }

    OneClassSolution solve(double tolerance) {
        constexpr std::size_t kFewest = 10'000'000;
        const std::size_t most = std::max(kFewest, 100 * count_);
        while (solution_.steps < most && !solution_.converged) {
            poll();
            solution_.converged = !step(tolerance);
            if (!solution_.converged) ++solution_.steps;
        }
        return std::move(solution_);
    }

  private:
    /// The point that gains most by a larger alpha.
    std::size_t find_receiver() const {
        std::size_t best = count_;
        double lowest = kInfinite;
        for (std::size_t i = 0; i < count_; ++i) {
            if (solution_.alpha[i] < 1.0 && solution_.gradient[i] < lowest) {
                lowest = solution_.gradient[i];
                best = i;
            }
        }
        return best;
    }

    /// False if no pair violates the conditions of the optimum by `tolerance`.
    bool step(double tolerance) {
        auto& alpha = solution_.alpha;
        auto& gradient = solution_.gradient;
        const std::size_t to = find_receiver();
        if (to == count_) return false;
        const float* row = rows_.row(to);
        const double own = diagonal_[to];
        std::size_t from = count_;
        double most_gain = 0.0;
        double highest = -kInfinite;
        for (std::size_t k = 0; k < count_; ++k) {
            if (alpha[k] <= 0.0) continue;
            const double slope = gradient[k] - gradient[to];
            highest = std::max(highest, slope);
            if (slope <= 0.0) continue;
            const double curvature = own + diagonal_[k] - 2.0 * static_cast<double>(row[k]);
            const double gain = slope * slope / std::max(curvature, AlphaPair::kSmallestCurvature);
            if (gain > most_gain) {
                most_gain = gain;
                from = k;
            }
        }
        if (from == count_ || highest < tolerance) return false;
        const float* other = rows_.row(from);
        const double curvature = own + diagonal_[from] - 2.0 * static_cast<double>(row[from]);
        const double size =
            AlphaPair{alpha[from], alpha[to]}.move(gradient[from] - gradient[to], curvature);
        for (std::size_t k = 0; k < count_; ++k) {
            gradient[k] += size * (static_cast<double>(row[k]) - static_cast<double>(other[k]));
        }
        return true;
    }

    std::size_t count_;
    KernelRows rows_;
    std::vector<double> diagonal_;
    OneClassSolution solution_;
};

}  // namespace

double offset_of(const std::vector<double>& alpha, const std::vector<double>& gradient) {
    double sum = 0.0;
    double free = 0.0;
    double lowest = kInfinite;  // of the free ones
    double highest = -kInfinite;
    double below = -kInfinite;  // rho is not below the gradient where alpha is 1
    double above = kInfinite;   // and not above where it is 0
    for (std::size_t i = 0; i < alpha.size(); ++i) {
        if (alpha[i] >= 1.0) {
            below = std::max(below, gradient[i]);
        } else if (alpha[i] <= 0.0) {
            above = std::min(above, gradient[i]);
        } else {
            sum += gradient[i];
            free += 1.0;
            lowest = std::min(lowest, gradient[i]);
            highest = std::max(highest, gradient[i]);
        }
    }
    if (free > 0.0) return std::clamp(sum / free, lowest, highest);
    if (below == -kInfinite) return above;
    return above == kInfinite ? below : std::midpoint(below, above);
}

OneClassSolution solve_exact(const Kernel& kernel, const PointTiles& points, double nu,
                             double tolerance) {
    return Smo(kernel, points, nu).solve(tolerance);
}

std::uint64_t solve_exact_bytes(std::uint64_t points) {
    return KernelRows::bytes(points) + 3 * points * sizeof(double);
}

}  // namespace ad
