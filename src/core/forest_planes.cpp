#include "forest_planes.hpp"

#include <algorithm>
#include <numeric>

#include "forest_draw.hpp"
#include "forest_planes_builder.hpp"
#include "forest_planes_kernel.hpp"
#include "forest_planes_walk.hpp"
#include "forest_wide_walk.hpp"
#include "quantiles.hpp"

namespace ad {

void PlaneTree::shrink() {
    nodes.shrink_to_fit();
    terms.shrink_to_fit();
    categories.shrink_to_fit();
    rows.shrink_to_fit();
    path.shrink_to_fit();
    left_share.shrink_to_fit();
}

std::size_t PlaneTree::memory_bytes() const {
    constexpr std::size_t kOfNode = sizeof(PlaneNode) + 2 * sizeof(std::uint32_t) + sizeof(float);
    return sizeof(PlaneTree) + nodes.capacity() * kOfNode + terms.capacity() * sizeof(PlaneTerm) +
           categories.capacity() * sizeof(std::uint16_t);
}

/// Halves, because the difference of two numbers may overflow.
PlaneColumn PlaneColumn::learn(const Training& training, std::size_t j) {
    PlaneColumn column;
    column.categories = std::min(training.categories_of(j), PlaneForest::kMaxCategory);
    if (column.categories > 0) return column;
    std::vector<double> present;
    for (std::size_t i = 0; i < training.rows.rows; ++i) {
        const double value = training.rows.at(i, j);
        if (!std::isnan(value)) present.push_back(value);
    }
    if (present.empty()) return column;
    const auto found = quantiles(present, 5);
    column.center = found[2];
    const double half = 0.5 * found[3] - 0.5 * found[1];
    const double reach = std::max(0.5 * found[4] - 0.5 * found[2], 0.5 * found[2] - 0.5 * found[0]);
    if (half > 0.0) {
        column.spread = half;
    } else if (reach > 0.0) {
        column.spread = reach;
    }
    return column;
}

float PlaneColumn::apply(double value) const {
    constexpr double kFarthest = 1e18;  // so that no sum of terms overflows
    if (std::isnan(value)) return std::numeric_limits<float>::quiet_NaN();
    if (categories > 0)
        return static_cast<float>(std::clamp(value, 0.0, static_cast<double>(categories)));
    return static_cast<float>(std::clamp((value - center) / spread, -kFarthest, kFarthest));
}

float category_code(std::uint32_t seed, std::uint32_t column, float category) {
    if (std::isnan(category)) return category;
    std::uint32_t h = static_cast<std::uint32_t>(category) * 0x9e3779b9U + column * 0x85ebca6bU;
    h ^= seed;
    h = (h ^ (h >> 16)) * 0x7feb352dU;  // lowbias32 (Wellons)
    h = (h ^ (h >> 15)) * 0x846ca68bU;
    h ^= h >> 16;
    return static_cast<float>(h >> 8) * 0x1p-23F - 1.0F;
}

PlaneBlock::PlaneBlock(const std::vector<PlaneColumn>& columns, bool codes, std::size_t capacity)
    : columns_(columns), stride_((capacity + 15) / 16) {
    for (std::uint32_t j = 0; j < columns.size() && codes; ++j) {
        if (columns[j].categories > 0) coded_.push_back(j);
    }
    lines_.resize((columns.size() + coded_.size()) * stride_);
}

void PlaneBlock::take(const Columns& rows, std::size_t first, std::size_t count) {
    count_ = count;
    missing_ = false;
    for (std::size_t j = 0; j < columns_.size(); ++j) {
        float* out = &lines_[j * stride_].value[0];
        const double* in = rows.column[j] + first;
        for (std::size_t i = 0; i < count; ++i) {
            out[i] = columns_[j].apply(in[i]);
            missing_ |= std::isnan(in[i]);
        }
    }
    for (std::size_t k = 0; k < coded_.size(); ++k) {
        const float* in = column(coded_[k]);
        std::copy_n(in, count, &lines_[(columns_.size() + k) * stride_].value[0]);
    }
}

void PlaneBlock::prepare(const PlaneTree& tree) {
    for (std::size_t k = 0; k < coded_.size(); ++k) {
        const float* in = column(columns_.size() + k);
        float* out = &lines_[coded_[k] * stride_].value[0];
        for (std::size_t i = 0; i < count_; ++i)
            out[i] = category_code(tree.seed, coded_[k], in[i]);
    }
}

namespace {

/// Rows from which on it is worth while to bring the trees into a faster form, and how many more
/// nodes than rows there may be: a node takes as long to bring as some dozen to go through.
constexpr std::size_t kFastPays = 256;
constexpr std::size_t kNodesPerRow = 4096;
/// Of fewer rows a call, most of the work of the kernel would be for rows that are not there.
constexpr std::size_t kFew = 128;

/// What a tree takes in the form that sum_by_walk makes.
std::size_t walk_bytes(std::size_t nodes, std::size_t terms, std::size_t columns, bool sets) {
    if (terms > PlaneWalk::kMaxTerms)
        return WideWalk::expected_bytes_of_tree(nodes, terms, columns);
    return PlaneWalk::expected_bytes_of_tree(nodes, terms, sets);
}

struct Step {
    bool right;
    bool outside;
};

/// A missing value counts as the fill of its term.
float part_of(const PlaneTerm& term, const PlaneBlock& block, std::size_t row) {
    const float value = block.column(term.column)[row];
    return term.coefficient * (std::isnan(value) ? term.fill : value);
}

Step step_of(const PlaneTree& tree, const PlaneNode& node, const PlaneBlock& block,
             std::size_t row) {
    const PlaneTerm* terms = &tree.terms[node.first_term];
    if (node.kind == PlaneNode::Kind::Subset) {
        const float value = block.column(terms->column)[row];
        const std::uint16_t* first = tree.categories.data() + node.first_category;
        const bool listed =
            !std::isnan(value) &&
            std::binary_search(first, first + node.categories, static_cast<std::uint32_t>(value));
        return {listed != node.default_right, false};
    }
    float sum = part_of(terms[0], block, row);
    for (std::uint16_t k = 1; k < node.terms; ++k) sum += part_of(terms[k], block, row);
    return {sum > node.threshold, std::fabs(sum - node.threshold) > node.width};
}

}  // namespace

PlaneForest::PlaneForest() = default;
PlaneForest::PlaneForest(PlaneForest&&) noexcept = default;
PlaneForest& PlaneForest::operator=(PlaneForest&&) noexcept = default;
PlaneForest::~PlaneForest() = default;

void PlaneForest::fit(const Training& training, const ForestSettings& settings, Random random) {
    const Columns& rows = training.rows;
    const auto used = fraction_or_count(settings.features, rows.count);
    by_density_ = settings.by_density;
    penalizes_range_ = settings.penalizes_range;
    codes_ = settings.dimensions > 1;
    for (std::size_t j = 0; j < rows.count; ++j) {
        poll();
        columns_.push_back(PlaneColumn::learn(training, j));
    }
    RowDraw draw(rows.rows, training.weights, settings.samples, settings.bootstrap);
    samples_ = draw.size();
    std::vector<std::uint32_t> features(rows.count);
    std::iota(features.begin(), features.end(), 0U);
    std::vector<std::uint32_t> sample;
    PlaneBuilder builder(rows, columns_, settings);
    for (std::uint32_t t = 0; t < settings.trees; ++t) {
        poll();
        Random of_tree = random.split();
        draw.draw(of_tree, sample);
        choose(features, used, of_tree);
        trees_.push_back(builder.build(sample, std::span(features).first(used), of_tree));
        count(trees_.back());
    }
}

void PlaneForest::count(const PlaneTree& tree) {
    nodes_ += tree.nodes.size();
    for (const PlaneNode& node : tree.nodes) terms_ = std::max<std::size_t>(terms_, node.terms);
}

void PlaneForest::walk(const Columns& rows, std::uint64_t* sums) const {
    PlaneBlock block(columns_, codes_, std::min(PlaneBlock::kRows, rows.rows));
    for (std::size_t first = 0; first < rows.rows; first += PlaneBlock::kRows) {
        block.take(rows, first, std::min(PlaneBlock::kRows, rows.rows - first));
        std::fill_n(sums + first, block.rows(), 0);
        for (const PlaneTree& tree : trees_) {
            block.prepare(tree);
            for (std::size_t row = 0; row < block.rows(); ++row) {
                std::uint32_t i = 0;
                std::uint32_t outside = 0;
                while (!tree.is_leaf(i)) {
                    const Step step = step_of(tree, tree.nodes[i], block, row);
                    outside += static_cast<std::uint32_t>(step.outside);
                    i = step.right ? tree.nodes[i].right : i + 1;
                }
                sums[first + row] += tree.path[i];
                if (penalizes_range_)
                    sums[first + row] -= outside * static_cast<std::uint64_t>(kPathUnit);
            }
        }
    }
}

bool PlaneForest::sum_by_kernel(const Columns& rows, const PlaneLoops& loops,
                                std::uint64_t* sums) const {
    if (kernel_ == nullptr) kernel_ = std::make_unique<PlaneKernel>(trees_, penalizes_range_);
    if (!kernel_->usable()) return false;
    PlaneBlock block(columns_, codes_, PlaneBlock::kRows);
    for (std::size_t first = 0; first < rows.rows; first += PlaneBlock::kRows) {
        block.take(rows, first, std::min(PlaneBlock::kRows, rows.rows - first));
        kernel_->sum_paths(trees_, columns_, block, loops, sums + first);
    }
    return true;
}

bool PlaneForest::sum_by_walk(const Columns& rows, const WideLoops& loops,
                              std::uint64_t* sums) const {
    if (terms_ > PlaneWalk::kMaxTerms) {
        if (wide_walk_ == nullptr)
            wide_walk_ = std::make_unique<WideWalk>(trees_, columns_, terms_, penalizes_range_);
        if (!wide_walk_->usable()) return false;
        wide_walk_->sum_paths(columns_, rows, loops, sums);
        return true;
    }
    if (walk_ == nullptr)
        walk_ = std::make_unique<PlaneWalk>(trees_, columns_, codes_, penalizes_range_);
    if (!walk_->usable()) return false;
    walk_->sum_paths(columns_, rows, sums);
    return true;
}

void PlaneForest::sum_paths(const Columns& rows, std::uint64_t* sums) const {
    rows_scored_ += rows.rows;
    if (rows_scored_ < kFastPays || rows_scored_ < nodes_ / kNodesPerRow) return walk(rows, sums);
    if (rows.rows >= kFew && sum_by_kernel(rows, plane_loops().back(), sums)) return;
    if (!sum_by_walk(rows, wide_loops().back(), sums)) walk(rows, sums);
}

void PlaneForest::explain(const Columns& rows, std::size_t row, double share,
                          double* contributions) const {
    PlaneBlock block(columns_, codes_, 1);
    block.take(rows, row, 1);
    for (const PlaneTree& tree : trees_) {
        block.prepare(tree);
        for (std::uint32_t i = 0; !tree.is_leaf(i);) {
            const PlaneNode& node = tree.nodes[i];
            const Step step = step_of(tree, node, block, 0);
            const std::uint32_t next = step.right ? node.right : i + 1;
            double change =
                (static_cast<double>(tree.path[i]) - static_cast<double>(tree.path[next])) /
                kPathUnit;
            if (by_density_) change = -change;
            if (penalizes_range_ && step.outside) change += 1.0;
            const std::span terms = std::span(tree.terms).subspan(node.first_term, node.terms);
            double all = 0.0;
            const auto part = [&](const PlaneTerm& term) {
                return std::fabs(static_cast<double>(part_of(term, block, 0)) -
                                 static_cast<double>(term.coefficient * term.fill));
            };
            for (const PlaneTerm& term : terms) all += part(term);
            for (const PlaneTerm& term : terms) {
                const double of_term =
                    all > 0.0 ? part(term) / all : 1.0 / static_cast<double>(terms.size());
                contributions[term.column] += share * change * of_term;
            }
            i = next;
        }
    }
}

std::size_t PlaneForest::memory_bytes() const {
    const bool has_categories = std::any_of(
        columns_.begin(), columns_.end(), [](const auto& column) { return column.categories > 0; });
    std::size_t bytes = columns_.capacity() * sizeof(PlaneColumn);
    for (const PlaneTree& tree : trees_) {
        bytes += tree.memory_bytes() + PlaneKernel::expected_bytes_of_tree(tree.leaves()) +
                 walk_bytes(tree.nodes.size(), terms_, columns_.size(), has_categories);
    }
    return bytes;
}

std::size_t PlaneForest::expected_bytes_of_tree(std::size_t leaves, std::size_t dimensions,
                                                std::size_t columns, bool categories, bool fast) {
    constexpr std::size_t kOfNode = sizeof(PlaneNode) + 2 * sizeof(std::uint32_t) + sizeof(float);
    // a category of a row may be listed on every level, a few bytes of which are usual
    const std::size_t of_split = dimensions * sizeof(PlaneTerm) +
                                 (categories && dimensions == 1 ? 8 * sizeof(std::uint16_t) : 0);
    const std::size_t plain = leaves * (2 * kOfNode + of_split);
    if (!fast) return plain;
    return plain + PlaneKernel::expected_bytes_of_tree(leaves) +
           walk_bytes(2 * leaves, dimensions, columns, categories);
}

}  // namespace ad
