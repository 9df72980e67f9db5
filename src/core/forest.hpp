// Trees of an isolation forest, as they are built and stored, and the plain way through them. What
// is fast, ForestKernel and ForestWalk, gives the same integer for the same row on every CPU.
#pragma once

#include "columns.hpp"

namespace ad {

/// Path lengths are added as integers in units of 2^-16, so that no order of summation and no
/// instruction set changes a score.
inline constexpr double kPathUnit = 65536.0;

/// Average path length of an unsuccessful search in a binary search tree of n keys.
double average_path(double n);

/// The same with the harmonic number itself, which the literature's c(n), above, approximates: they
/// differ by nearly a half for three keys.
double exact_average_path(double n);

/// A path that is expected after some steps.
std::uint32_t path_by_depth(std::uint32_t steps, double expected);

/// Scoring by density (Cortes: "Isolation forests: looking beyond tree depth", arXiv:2111.11639): a
/// node's path is the logarithm of its share of the volume over its share of the rows, from
/// -kDensityOffset up, and kDensityOffset is added to it.
inline constexpr double kDensityOffset = 256.0;
std::uint32_t path_by_density(double log_volume, double n, double all);

/// The logarithm of a side's share of a node's volume.
double log_share(double share);

/// How a forest is to be grown and scored.
struct ForestSettings {
    std::uint32_t trees;
    std::uint32_t samples;
    double features;
    bool bootstrap;
    std::uint32_t max_depth;
    std::uint32_t dimensions;
    std::uint32_t tries;
    double pooled;
    double averaged;
    bool normal_coefficients;
    bool penalizes_range;
    bool weighs_by_kurtosis;
    bool by_density;
};

inline constexpr std::uint32_t kMaxTrees = 10000;
inline constexpr std::uint32_t kMaxSamples = 65536;
/// Of a tree, even if it may grow until every row is alone: bounds recursion and paths.
inline constexpr std::uint32_t kMaxTreeDepth = 500;

/// A tree lies in preorder: the left child follows its parent. A leaf points to itself.
struct ForestNode {
    double threshold;  ///< value <= threshold goes left
    std::uint32_t right;
    std::uint16_t feature;
    std::uint16_t missing_left;
};
static_assert(sizeof(ForestNode) == 16);

struct ForestTree {
    std::vector<ForestNode> nodes;
    std::vector<std::uint32_t> rows;  ///< of the sample, in each node
    std::vector<std::uint32_t> path;  ///< of each leaf, in units of 1 / kPathUnit
    std::vector<double> left_share;   ///< of a split's volume, for scoring by density; else empty
    std::uint32_t depth = 0;

    bool is_leaf(std::uint32_t i) const { return nodes[i].right == i; }
    void shrink();

    /// Both append a node and return its place; the caller sets the right child of a split.
    std::uint32_t add_leaf(std::uint32_t count, std::uint32_t at_depth);
    std::uint32_t add_split(std::uint32_t count, std::uint16_t feature, double threshold,
                            bool missing_left);

    std::uint32_t child(std::uint32_t i, double value) const {
        const ForestNode& node = nodes[i];
        const bool left = std::isnan(value) ? node.missing_left != 0 : value <= node.threshold;
        return left ? i + 1 : node.right;
    }
};

/// Adds up the path lengths of each row, tree by tree and node by node.
void walk_forest(const std::vector<ForestTree>& trees, const Columns& rows, std::uint64_t* sums);

}  // namespace ad
