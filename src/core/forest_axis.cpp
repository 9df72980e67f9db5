// Missing values: each split sends them to a side drawn once, with the probability that a present
// value of the node's sample went there. Over the trees this estimates the average over both sides
// ("divide" in Cortes, arXiv:1911.06646) without walking both.
#include "forest_axis.hpp"

#include <algorithm>
#include <numeric>

#include "forest_draw.hpp"

namespace ad {

namespace {

constexpr std::uint16_t kLeaf = 0xffff;

class TreeBuilder {
  public:
    TreeBuilder(const Columns& sample, ColumnDraw columns, const ForestSettings& settings,
                Random random)
        : sample_(sample), columns_(std::move(columns)), settings_(settings), random_(random) {}

    ForestTree build(std::uint32_t* begin, std::uint32_t* end) {
        samples_ = static_cast<double>(end - begin);
        grow(begin, end, {}, columns_.size());
        tree_.shrink();
        return std::move(tree_);
    }

  private:
    struct Range {
        double low = std::numeric_limits<double>::infinity();
        double high = -std::numeric_limits<double>::infinity();
    };
    struct Place {
        std::uint32_t depth = 0;
        double log_volume = 0.0;
    };

    Range range_of(std::uint32_t feature, const std::uint32_t* begin, const std::uint32_t* end) {
        pacer_.work(static_cast<std::size_t>(end - begin));
        Range range;
        const double* values = sample_.column[feature];
        for (const std::uint32_t* row = begin; row != end; ++row) {
            const double value = values[*row];
            if (value < range.low) range.low = value;
            if (value > range.high) range.high = value;
        }
        return range;
    }

    std::uint32_t add_leaf(std::uint32_t count, Place place) {
        const auto i = tree_.add_leaf(count, place.depth);
        if (settings_.by_density)
            tree_.path[i] = path_by_density(place.log_volume, count, samples_);
        return i;
    }

    /// Grows the subtree of the rows [begin, end). Of the columns, the first `usable` may vary
    /// here; one found constant moves behind them and stays there for the whole subtree.
    std::uint32_t grow(std::uint32_t* begin, std::uint32_t* end, Place place, std::size_t usable) {
        const auto count = static_cast<std::uint32_t>(end - begin);
        // a cut between two rows says nothing about how dense they are
        const std::uint32_t isolated = settings_.by_density ? 2 : 1;
        if (count <= isolated || place.depth >= settings_.max_depth) return add_leaf(count, place);
        while (usable > 0) {
            const std::size_t pick = columns_.pick(0, usable, random_);
            if (pick == usable) break;
            const std::uint32_t feature = columns_[pick];
            const Range range = range_of(feature, begin, end);
            if (range.low < range.high) return split(begin, end, place, usable, feature, range);
            columns_.swap(pick, --usable);
        }
        return add_leaf(count, place);
    }

    std::uint32_t split(std::uint32_t* begin, std::uint32_t* end, Place place, std::size_t usable,
                        std::uint32_t feature, const Range& range) {
        const double u = random_.uniform();
        double threshold = range.low * (1.0 - u) + range.high * u;
        if (!(threshold >= range.low && threshold < range.high)) threshold = range.low;
        const double* values = sample_.column[feature];
        const auto left =
            std::count_if(begin, end, [&](auto row) { return values[row] <= threshold; });
        const auto right =
            std::count_if(begin, end, [&](auto row) { return values[row] > threshold; });
        const bool missing_left =
            random_.uniform() * static_cast<double>(left + right) < static_cast<double>(left);
        std::uint32_t* middle = std::partition(begin, end, [&](auto row) {
            return values[row] <= threshold || (missing_left && std::isnan(values[row]));
        });
        const auto count = static_cast<std::uint32_t>(end - begin);
        const auto i =
            tree_.add_split(count, static_cast<std::uint16_t>(feature), threshold, missing_left);
        Place left_place{place.depth + 1, 0.0};
        Place right_place = left_place;
        if (settings_.by_density) {
            double share =
                (0.5 * threshold - 0.5 * range.low) / (0.5 * range.high - 0.5 * range.low);
            if (std::isnan(share)) share = 0.5;  // denormal numbers
            tree_.path[i] = path_by_density(place.log_volume, count, samples_);
            tree_.left_share.resize(i + 1, 0.0);
            tree_.left_share[i] = share;
            left_place.log_volume = place.log_volume + log_share(share);
            right_place.log_volume = place.log_volume + log_share(1.0 - share);
        }
        grow(begin, middle, left_place, usable);
        const auto right_child = grow(middle, end, right_place, usable);
        tree_.nodes[i].right = right_child;
        return i;
    }

    const Columns& sample_;
    ColumnDraw columns_;
    const ForestSettings& settings_;
    Random random_;
    double samples_ = 0.0;
    ForestTree tree_;
    Pacer pacer_;
};

std::vector<double> kurtosis_weights(const Columns& rows, const std::vector<std::uint32_t>& sample,
                                     const std::vector<std::uint32_t>& features) {
    std::vector<double> weights;
    std::vector<double> values(sample.size());
    for (const std::uint32_t feature : features) {
        if (weights.size() % 64 == 63) poll();
        for (std::size_t i = 0; i < sample.size(); ++i) values[i] = rows.at(sample[i], feature);
        weights.push_back(kurtosis_weight(values));
    }
    return weights;
}

/// Rows from which on it is worth while to bring the trees into a faster form.
constexpr std::size_t kFastPays = 256;

/// At most what a tree takes in the form in which many rows are scored.
std::size_t fast_form_bytes(std::size_t nodes, std::size_t columns) {
    const std::size_t of_kernel = ForestKernel::expected_bytes_of_tree(nodes / 2 + 1, columns);
    const bool walks = of_kernel == 0 || columns > ForestKernel::kMaxWalkColumns;
    return of_kernel + (walks ? ForestWalk::expected_bytes_of_tree(nodes) : 0);
}

}  // namespace

void AxisForest::fit(const Training& training, const ForestSettings& settings, Random random) {
    const Columns& rows = training.rows;
    const auto used = fraction_or_count(settings.features, rows.count);
    RowDraw draw(rows.rows, training.weights, settings.samples, settings.bootstrap);
    samples_ = draw.size();
    by_density_ = settings.by_density;
    columns_ = rows.count;
    std::vector<std::uint32_t> all_features(rows.count);
    std::iota(all_features.begin(), all_features.end(), 0U);
    std::vector<std::uint32_t> sample;
    trees_.reserve(settings.trees);
    for (std::uint32_t t = 0; t < settings.trees; ++t) {
        poll();
        Random of_tree = random.split();
        draw.draw(of_tree, sample);
        choose(all_features, used, of_tree);
        std::vector<std::uint32_t> features(all_features.begin(), all_features.begin() + used);
        std::vector<double> weights;
        if (settings.weighs_by_kurtosis) weights = kurtosis_weights(rows, sample, features);
        TreeBuilder builder(rows, ColumnDraw(std::move(features), std::move(weights)), settings,
                            of_tree);
        trees_.push_back(builder.build(sample.data(), sample.data() + sample.size()));
    }
}

void AxisForest::make_kernels(std::size_t columns) const {
    const std::span<const ForestTree> all(trees_);
    std::vector<ForestKernel> made;  // a cancelled query leaves none
    for (std::size_t t = 0; t < all.size(); t += ForestKernel::kMaxTrees) {
        const std::size_t count = std::min(ForestKernel::kMaxTrees, all.size() - t);
        made.emplace_back(all.subspan(t, count), columns);
        if (made.back().usable(Detector::kMaxBlock)) continue;
        made.assign(1, ForestKernel());  // all of them or none
        break;
    }
    kernels_.swap(made);
}

void AxisForest::sum_paths(const Columns& rows, std::uint64_t* sums) const {
    if ((rows_scored_ += rows.rows) < kFastPays) return walk_forest(trees_, rows, sums);
    if (kernels_.empty()) make_kernels(rows.count);
    if (kernels_.front().usable(rows.rows)) {
        std::fill_n(sums, rows.rows, 0);
        std::uint64_t part[Detector::kMaxBlock];
        for (const ForestKernel& kernel : kernels_) {
            kernel.sum_paths(rows, part);
            for (std::size_t i = 0; i < rows.rows; ++i) sums[i] += part[i];
        }
        return;
    }
    if (!walk_) walk_.emplace(trees_, rows.count);
    walk_->sum_paths(rows, sums);
}

/// A step from a node of n rows to a child of m makes the expected path c(n) into 1 + c(m).
void AxisForest::explain(const Columns& rows, std::size_t row, double share,
                         double* contributions) const {
    for (const ForestTree& tree : trees_) {
        for (std::uint32_t i = 0; !tree.is_leaf(i);) {
            const std::size_t feature = tree.nodes[i].feature;
            const std::uint32_t next = tree.child(i, rows.at(row, feature));
            const double step =
                by_density_ ? (static_cast<double>(tree.path[next]) - tree.path[i]) / kPathUnit
                            : average_path(tree.rows[i]) - 1.0 - average_path(tree.rows[next]);
            contributions[feature] += share * step;
            i = next;
        }
    }
}

void AxisForest::save(Writer& out) const {
    out.number(static_cast<std::uint8_t>(by_density_));
    out.number(samples_);
    out.number(static_cast<std::uint32_t>(trees_.size()));
    for (const ForestTree& tree : trees_) {
        out.number(static_cast<std::uint32_t>(tree.nodes.size()));
        for (std::uint32_t i = 0; i < tree.nodes.size(); ++i) {
            const ForestNode& node = tree.nodes[i];
            out.number(tree.is_leaf(i) ? kLeaf : node.feature);
            out.number(tree.rows[i]);
            if (tree.is_leaf(i)) continue;
            out.number(node.threshold);
            out.number(static_cast<std::uint8_t>(node.missing_left));
            if (by_density_) out.number(tree.left_share[i]);
        }
    }
}

void AxisForest::load(Reader& in, std::size_t columns) {
    by_density_ = in.at_most<std::uint8_t>(1) != 0;
    samples_ = in.at_most(kMaxSamples);
    constexpr std::size_t kSmallestNode = 6;
    const auto count = in.count(sizeof(std::uint32_t) + kSmallestNode);
    if (count == 0 || count > kMaxTrees || samples_ == 0)
        throw CorruptModel("the forest has no trees");
    trees_.resize(count);
    for (ForestTree& tree : trees_) {
        const auto nodes = in.count(kSmallestNode);
        load_subtree(in, tree, columns, 0, 0.0);
        if (tree.nodes.size() != nodes) throw CorruptModel("wrong number of nodes");
    }
    columns_ = columns;
}

std::uint32_t AxisForest::load_subtree(Reader& in, ForestTree& tree, std::size_t columns,
                                       std::uint32_t depth, double log_volume) const {
    const auto feature = in.number<std::uint16_t>();
    const auto count = in.at_most(kMaxSamples);
    if (by_density_ && count == 0) throw CorruptModel("empty node");
    std::uint32_t i = 0;
    if (feature == kLeaf) {
        i = tree.add_leaf(count, depth);
        if (by_density_) tree.path[i] = path_by_density(log_volume, count, samples_);
        return i;
    }
    if (feature >= columns || depth >= kMaxTreeDepth) throw CorruptModel("bad node");
    constexpr double kLargest = std::numeric_limits<double>::max();
    const double threshold = in.real(-kLargest, kLargest);
    const bool missing_left = in.at_most<std::uint8_t>(1) != 0;
    i = tree.add_split(count, feature, threshold, missing_left);
    double left = 0.0;
    double right = 0.0;
    if (by_density_) {
        const double share = in.real(0.0, 1.0);
        tree.path[i] = path_by_density(log_volume, count, samples_);
        tree.left_share.resize(i + 1, 0.0);
        tree.left_share[i] = share;
        left = log_volume + log_share(share);
        right = log_volume + log_share(1.0 - share);
    }
    load_subtree(in, tree, columns, depth + 1, left);
    const auto right_child = load_subtree(in, tree, columns, depth + 1, right);
    tree.nodes[i].right = right_child;
    return i;
}

std::size_t AxisForest::memory_bytes() const {
    std::size_t bytes = 0;
    for (const ForestTree& tree : trees_) {
        bytes += fast_form_bytes(tree.nodes.size(), columns_) + sizeof(ForestTree) +
                 tree.nodes.capacity() * (sizeof(ForestNode) + 2 * sizeof(std::uint32_t)) +
                 tree.left_share.capacity() * sizeof(double);
    }
    return bytes;
}

std::uint64_t AxisForest::fit_bytes(const ForestSettings& settings, std::uint64_t leaves,
                                    const FitShape& shape) {
    const std::uint64_t of_node =
        sizeof(ForestNode) + 2 * sizeof(std::uint32_t) + (settings.by_density ? sizeof(double) : 0);
    // the tree that grows is larger by what vectors have in reserve
    std::uint64_t bytes = settings.trees * sizeof(ForestTree) +
                          (settings.trees + 2) * 2 * leaves * of_node +
                          RowDraw::bytes(shape.rows, settings.samples) +
                          3 * shape.columns * (sizeof(std::uint32_t) + sizeof(double));
    if (shape.rows * shape.scorings < kFastPays) return bytes;
    bytes += settings.trees * fast_form_bytes(2 * leaves - 1, shape.columns);
    return bytes + std::max(ForestKernel::building_bytes(settings.trees, leaves, shape.columns),
                            ForestWalk::scoring_bytes(shape.columns));
}

}  // namespace ad
