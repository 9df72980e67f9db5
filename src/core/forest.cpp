#include "forest.hpp"

#include <algorithm>

#include "portable_math.hpp"

namespace ad {

double average_path(double n) {
    if (n <= 1.0) return 0.0;
    if (n <= 2.0) return 1.0;
    return 2.0 * (portable_log(n - 1.0) + kEulerGamma) - 2.0 * (n - 1.0) / n;
}

/// 2 (H(n) - 1); the series is exact to the last bits from a dozen on.
double exact_average_path(double n) {
    double harmonic = 0.0;
    if (n <= 16.0) {
        for (double k = n; k > 0.0; --k) harmonic += 1.0 / k;
    } else {
        const double s = 1.0 / (n * n);
        harmonic = portable_log(n) + kEulerGamma + 0.5 / n -
                   s * (1.0 / 12.0 - s * (1.0 / 120.0 - s * (1.0 / 252.0 - s / 240.0)));
    }
    return n <= 1.0 ? 0.0 : 2.0 * (harmonic - 1.0);
}

std::uint32_t path_by_depth(std::uint32_t steps, double expected) {
    return static_cast<std::uint32_t>((steps + expected) * kPathUnit + 0.5);
}

std::uint32_t path_by_density(double log_volume, double n, double all) {
    const double value = kDensityOffset + log_volume - portable_log(n / all);
    return static_cast<std::uint32_t>(std::max(value, 0.0) * kPathUnit + 0.5);
}

double log_share(double share) {
    return portable_log(std::max(share, std::numeric_limits<double>::min()));
}

void ForestTree::shrink() {
    nodes.shrink_to_fit();
    rows.shrink_to_fit();
    path.shrink_to_fit();
    left_share.shrink_to_fit();
}

std::uint32_t ForestTree::add_leaf(std::uint32_t count, std::uint32_t at_depth) {
    const auto i = static_cast<std::uint32_t>(nodes.size());
    nodes.push_back({kMissing, i, 0, 0});
    rows.push_back(count);
    path.push_back(path_by_depth(at_depth, average_path(count)));
    depth = std::max(depth, at_depth);
    return i;
}

std::uint32_t ForestTree::add_split(std::uint32_t count, std::uint16_t feature, double threshold,
                                    bool missing_left) {
    const auto i = static_cast<std::uint32_t>(nodes.size());
    nodes.push_back({threshold, 0, feature, static_cast<std::uint16_t>(missing_left)});
    rows.push_back(count);
    path.push_back(0);
    return i;
}

void walk_forest(const std::vector<ForestTree>& trees, const Columns& rows, std::uint64_t* sums) {
    for (std::size_t i = 0; i < rows.rows; ++i) {
        sums[i] = 0;
        for (const ForestTree& tree : trees) {
            std::uint32_t at = 0;
            while (!tree.is_leaf(at)) at = tree.child(at, rows.at(i, tree.nodes[at].feature));
            sums[i] += tree.path[at];
        }
    }
}

}  // namespace ad
