// The stored form of a PlaneForest. What can be told from the leaves, the numbers of rows and the
// paths of the nodes above, is not stored.
#include <algorithm>

#include "forest_planes.hpp"
#include "forest_planes_kernel.hpp"

namespace ad {

namespace {

// Before each node: a leaf of one row, of two, or of as many as follow; a subset; or a plane of as
// many terms as the tag is above kPlane.
constexpr std::uint8_t kLeaf = 0;
constexpr std::uint8_t kSubset = 3;
constexpr std::uint8_t kPlane = 3;
static_assert(kPlane + PlaneForest::kMaxDimensions <= 255);

constexpr float kLargest = std::numeric_limits<float>::max();

float read_float(Reader& in, float low, float high) {
    const auto value = in.number<float>();
    if (!(value >= low && value <= high)) throw CorruptModel("number out of range");
    return value;
}

}  // namespace

void PlaneForest::save(Writer& out) const {
    out.number(static_cast<std::uint8_t>(by_density_));
    out.number(static_cast<std::uint8_t>(penalizes_range_));
    out.number(static_cast<std::uint8_t>(codes_));
    out.number(samples_);
    for (const PlaneColumn& column : columns_) {
        out.number(column.center);
        out.number(column.spread);
        out.number(static_cast<std::uint16_t>(column.categories));
    }
    out.number(static_cast<std::uint32_t>(trees_.size()));
    for (const PlaneTree& tree : trees_) {
        out.number(tree.seed);
        for (std::uint32_t i = 0; i < tree.nodes.size(); ++i) save_node(out, tree, i);
    }
}

void PlaneForest::save_node(Writer& out, const PlaneTree& tree, std::uint32_t i) const {
    const PlaneNode& node = tree.nodes[i];
    if (node.kind == PlaneNode::Kind::Leaf) {
        const bool few = tree.rows[i] == 1 || tree.rows[i] == 2;
        out.number(few ? static_cast<std::uint8_t>(tree.rows[i]) : kLeaf);
        if (!few) out.number(tree.rows[i]);
        return;
    }
    const PlaneTerm* terms = &tree.terms[node.first_term];
    if (node.kind == PlaneNode::Kind::Subset) {
        out.number(kSubset);
        out.number(static_cast<std::uint16_t>(terms->column));
        out.number(static_cast<std::uint8_t>(node.default_right));
        out.number(static_cast<std::uint32_t>(node.categories));
        for (std::uint16_t k = 0; k < node.categories; ++k)
            out.number(tree.categories[node.first_category + k]);
    } else {
        out.number(static_cast<std::uint8_t>(kPlane + node.terms));
        out.number(node.threshold);
        if (penalizes_range_) out.number(node.width);
        for (std::uint16_t k = 0; k < node.terms; ++k) {
            out.number(static_cast<std::uint16_t>(terms[k].column));
            out.number(terms[k].fill);
            if (k > 0) out.number(terms[k].coefficient);
        }
    }
    if (by_density_) out.number(tree.left_share[i]);
}

void PlaneForest::load(Reader& in, std::size_t columns) {
    by_density_ = in.at_most<std::uint8_t>(1) != 0;
    penalizes_range_ = in.at_most<std::uint8_t>(1) != 0;
    codes_ = in.at_most<std::uint8_t>(1) != 0;
    samples_ = in.at_most(kMaxSamples);
    if (by_density_ && penalizes_range_) throw CorruptModel("a density has no penalty");
    for (std::size_t j = 0; j < columns; ++j) {
        PlaneColumn column;
        column.center =
            in.real(-std::numeric_limits<double>::max(), std::numeric_limits<double>::max());
        column.spread =
            in.real(std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max());
        column.categories = in.number<std::uint16_t>();
        columns_.push_back(column);
    }
    const auto trees = in.count(sizeof(std::uint32_t) + 1);
    if (trees == 0 || trees > kMaxTrees || samples_ == 0)
        throw CorruptModel("the forest has no trees");
    for (std::uint32_t t = 0; t < trees; ++t) {
        PlaneTree tree;
        tree.seed = in.number<std::uint32_t>();
        load_subtree(in, tree, 0, 0.0);
        tree.shrink();
        count(tree);
        trees_.push_back(std::move(tree));
    }
}

std::uint32_t PlaneForest::load_subtree(Reader& in, PlaneTree& tree, std::uint32_t depth,
                                        double log_volume) const {
    const auto i = static_cast<std::uint32_t>(tree.nodes.size());
    tree.reserve_node();
    tree.depth = std::max(tree.depth, depth);
    const auto tag = in.number<std::uint8_t>();
    if (tag < kSubset) {
        tree.rows[i] = tag == kLeaf ? in.at_most(kMaxSamples) : tag;
        if (tree.rows[i] == 0) throw CorruptModel("empty leaf");
    } else {
        if (depth >= kMaxTreeDepth) throw CorruptModel("the tree is too deep");
        PlaneNode node;
        if (tag == kSubset) {
            load_subset(in, tree, node);
        } else {
            load_terms(in, tree, node, static_cast<std::uint16_t>(tag - kPlane));
        }
        const float share = by_density_ ? read_float(in, 0.0F, 1.0F) : 0.0F;
        double left = 0.0;
        double right = 0.0;
        if (by_density_) {
            left = log_volume + log_share(share);
            right = log_volume + log_share(1.0F - share);
        }
        tree.left_share[i] = share;
        load_subtree(in, tree, depth + 1, left);
        node.right = load_subtree(in, tree, depth + 1, right);
        tree.nodes[i] = node;
        tree.rows[i] = tree.rows[i + 1] + tree.rows[node.right];
        if (tree.rows[i] > kMaxSamples) throw CorruptModel("more rows than a sample has");
    }
    tree.path[i] = by_density_ ? path_by_density(log_volume, tree.rows[i], samples_)
                               : path_by_depth(depth, exact_average_path(tree.rows[i]));
    return i;
}

void PlaneForest::load_terms(Reader& in, PlaneTree& tree, PlaneNode& node,
                             std::uint16_t count) const {
    if (count > kMaxDimensions) throw CorruptModel("too many terms");
    node.kind = PlaneNode::Kind::Plane;
    node.threshold = read_float(in, -kLargest, kLargest);
    if (penalizes_range_) node.width = read_float(in, 0.0F, kLargest);
    node.first_term = static_cast<std::uint32_t>(tree.terms.size());
    node.terms = count;
    for (std::uint16_t k = 0; k < count; ++k) {
        PlaneTerm term{1.0F, 0.0F, in.number<std::uint16_t>()};
        if (term.column >= columns_.size()) throw CorruptModel("no such column");
        term.fill = read_float(in, -2e18F, 2e18F);
        if (k > 0) term.coefficient = read_float(in, -1.0F, 1.0F);
        tree.terms.push_back(term);
    }
}

void PlaneForest::load_subset(Reader& in, PlaneTree& tree, PlaneNode& node) const {
    node.kind = PlaneNode::Kind::Subset;
    const auto column = in.number<std::uint16_t>();
    if (column >= columns_.size() || columns_[column].categories == 0 || codes_)
        throw CorruptModel("no such column of categories");
    node.first_term = static_cast<std::uint32_t>(tree.terms.size());
    node.terms = 1;
    tree.terms.push_back({1.0F, 0.0F, column});
    node.default_right = in.at_most<std::uint8_t>(1) != 0;
    const auto count = in.count(sizeof(std::uint16_t));
    if (count > kMaxCategory) throw CorruptModel("too many categories");
    node.first_category = static_cast<std::uint32_t>(tree.categories.size());
    node.categories = static_cast<std::uint16_t>(count);
    for (std::uint32_t k = 0; k < count; ++k) {
        const auto category = in.number<std::uint16_t>();
        if (category > columns_[column].categories || (k > 0 && category <= tree.categories.back()))
            throw CorruptModel("no such category");
        tree.categories.push_back(category);
    }
}

}  // namespace ad
