// Isolation forest: finds rows that random axis-parallel cuts separate from the rest early.
// Fit: n_estimators x max_samples x log2(max_samples), whatever the size of the table. Score: one
// root-to-leaf walk a tree.
// Liu, Ting, Zhou: "Isolation Forest", ICDM 2008; "Isolation-Based Anomaly Detection", TKDD 2012.
//
// Missing values: each split sends them to a side drawn once, with the probability that a present
// value of the node's sample went there. Over the trees this estimates the average over both sides
// ("divide" in Cortes, arXiv:1911.06646) without walking both.
#include <algorithm>
#include <numeric>
#include <optional>

#include "../forest_kernel.hpp"
#include "../forest_walk.hpp"
#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr std::uint16_t kLeaf = 0xffff;

class TreeBuilder {
  public:
    TreeBuilder(const Columns& sample, std::vector<std::uint32_t>& features,
                std::uint32_t max_depth, Random random)
        : sample_(sample), features_(features), max_depth_(max_depth), random_(random) {}

    ForestTree build(std::uint32_t* begin, std::uint32_t* end) {
        grow(begin, end, 0, features_.size());
        return std::move(tree_);
    }

  private:
    struct Range {
        double low = std::numeric_limits<double>::infinity();
        double high = -std::numeric_limits<double>::infinity();
    };

    Range range_of(std::uint32_t feature, const std::uint32_t* begin,
                   const std::uint32_t* end) const {
        Range range;
        const double* values = sample_.column[feature];
        for (const std::uint32_t* row = begin; row != end; ++row) {
            const double value = values[*row];
            if (value < range.low) range.low = value;
            if (value > range.high) range.high = value;
        }
        return range;
    }

    /// Grows the subtree of the rows [begin, end). Of `features_`, the first `usable` may vary
    /// here; a column found constant moves behind them and stays there for the whole subtree.
    std::uint32_t grow(std::uint32_t* begin, std::uint32_t* end, std::uint32_t depth,
                       std::size_t usable) {
        const auto count = static_cast<std::uint32_t>(end - begin);
        if (count <= 1 || depth >= max_depth_) return tree_.add_leaf(count, depth);
        while (usable > 0) {
            const std::uint32_t pick = random_.below(static_cast<std::uint32_t>(usable));
            const std::uint32_t feature = features_[pick];
            const Range range = range_of(feature, begin, end);
            if (range.low < range.high) return split(begin, end, depth, usable, feature, range);
            std::swap(features_[pick], features_[--usable]);
        }
        return tree_.add_leaf(count, depth);
    }

    std::uint32_t split(std::uint32_t* begin, std::uint32_t* end, std::uint32_t depth,
                        std::size_t usable, std::uint32_t feature, const Range& range) {
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
        const auto i =
            tree_.add_split(static_cast<std::uint32_t>(end - begin),
                            static_cast<std::uint16_t>(feature), threshold, missing_left);
        grow(begin, middle, depth + 1, usable);
        const auto right_child = grow(middle, end, depth + 1, usable);
        tree_.nodes[i].right = right_child;
        return i;
    }

    const Columns& sample_;
    std::vector<std::uint32_t>& features_;
    std::uint32_t max_depth_;
    Random random_;
    ForestTree tree_;
};

/// A fraction up to 1 of `total`, or a count; at least 1.
std::uint32_t fraction_or_count(double value, std::size_t total) {
    const double wanted = value <= 1.0 ? value * static_cast<double>(total) : value;
    return static_cast<std::uint32_t>(std::clamp(wanted, 1.0, static_cast<double>(total)));
}

/// Moves a random choice of `k` elements to the front.
void choose(std::vector<std::uint32_t>& items, std::uint32_t k, Random& random) {
    for (std::uint32_t i = 0; i < k; ++i) {
        std::swap(items[i], items[i + random.below(static_cast<std::uint32_t>(items.size()) - i)]);
    }
}

/// Rows from which on it is worth while to bring the trees into a faster form.
constexpr std::size_t kFastPays = 256;
constexpr std::uint32_t kMaxDepth = 64;
constexpr std::uint32_t kMaxTrees = 10000;
constexpr std::uint32_t kMaxSamples = 65536;

/// At most what a tree takes in the form in which many rows are scored.
std::size_t fast_form_bytes(std::size_t nodes, std::size_t columns) {
    const std::size_t of_kernel = ForestKernel::expected_bytes_of_tree(nodes / 2 + 1, columns);
    const bool walks = of_kernel == 0 || columns > ForestKernel::kMaxWalkColumns;
    return of_kernel + (walks ? ForestWalk::expected_bytes_of_tree(nodes) : 0);
}

class IsolationForest final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& sample = training.rows;
        if (sample.count >= kLeaf)
            throw InvalidData("an isolation forest takes at most 65534 columns");
        const auto n = static_cast<std::uint32_t>(sample.rows);
        sample_size_ = std::min(n, static_cast<std::uint32_t>(params.number("max_samples")));
        const auto used = fraction_or_count(params.number("max_features"), sample.count);
        const bool bootstrap = params.flag("bootstrap");
        std::uint32_t max_depth = 0;
        while ((1ULL << max_depth) < std::max(sample_size_, 2U)) ++max_depth;
        std::vector<std::uint32_t> all_rows(n);
        std::iota(all_rows.begin(), all_rows.end(), 0U);
        std::vector<std::uint32_t> all_features(sample.count);
        std::iota(all_features.begin(), all_features.end(), 0U);
        for (auto left = static_cast<std::uint32_t>(params.number("n_estimators")); left > 0;
             --left) {
            poll();
            Random of_tree = random.split();
            std::vector<std::uint32_t> rows(sample_size_);
            if (bootstrap) {
                for (auto& row : rows) row = of_tree.below(n);
            } else {
                choose(all_rows, sample_size_, of_tree);
                std::copy_n(all_rows.begin(), sample_size_, rows.begin());
            }
            choose(all_features, used, of_tree);
            std::vector<std::uint32_t> features(all_features.begin(), all_features.begin() + used);
            TreeBuilder builder(sample, features, max_depth, of_tree);
            trees_.push_back(builder.build(rows.data(), rows.data() + rows.size()));
        }
        average_path_ = average_path(sample_size_);
        columns_ = sample.count;
    }

    void score(const Columns& rows, double* scores) const override {
        std::uint64_t sums[kMaxBlock];
        sum_paths(rows, sums);
        for (std::size_t i = 0; i < rows.rows; ++i) scores[i] = score_of(sums[i]);
    }

    /// A step from a node of n rows to a child of m makes the expected path c(n) into 1 + c(m); the
    /// column that was split on gets the difference. Averaged over the trees and divided by
    /// c(max_samples), the contributions of a row add up to 1 + log2(score).
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::fill_n(contributions, rows.count, 0.0);
        if (sample_size_ <= 1) return;
        const double share = 1.0 / (static_cast<double>(trees_.size()) * average_path_);
        for (const ForestTree& tree : trees_) {
            for (std::uint32_t i = 0; !tree.is_leaf(i);) {
                const std::size_t feature = tree.nodes[i].feature;
                const std::uint32_t next = tree.child(i, rows.at(row, feature));
                contributions[feature] +=
                    share * (average_path(tree.rows[i]) - 1.0 - average_path(tree.rows[next]));
                i = next;
            }
        }
    }

    void save(Writer& out) const override {
        out.number(sample_size_);
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
            }
        }
    }

    void load(Reader& in, std::size_t columns) override {
        sample_size_ = in.at_most(kMaxSamples);
        constexpr std::size_t kSmallestNode = 6;
        const auto count = in.count(sizeof(std::uint32_t) + kSmallestNode);
        if (count == 0 || count > kMaxTrees || sample_size_ == 0)
            throw CorruptModel("the forest has no trees");
        trees_.resize(count);
        for (ForestTree& tree : trees_) {
            const auto nodes = in.count(kSmallestNode);
            load_subtree(in, tree, columns, 0);
            if (tree.nodes.size() != nodes) throw CorruptModel("wrong number of nodes");
        }
        average_path_ = average_path(sample_size_);
        columns_ = columns;
    }

    std::size_t memory_bytes() const override {
        std::size_t bytes = 0;
        for (const ForestTree& tree : trees_) {
            bytes += fast_form_bytes(tree.nodes.size(), columns_) + sizeof(ForestTree) +
                     tree.nodes.capacity() * (sizeof(ForestNode) + 2 * sizeof(std::uint32_t));
        }
        return bytes;
    }

  private:
    void make_kernels(std::size_t columns) const {
        const std::span<const ForestTree> all(trees_);
        std::vector<ForestKernel> made;  // a cancelled query leaves none
        for (std::size_t t = 0; t < all.size(); t += ForestKernel::kMaxTrees) {
            const std::size_t count = std::min(ForestKernel::kMaxTrees, all.size() - t);
            made.emplace_back(all.subspan(t, count), columns);
            if (made.back().usable(kMaxBlock)) continue;
            made.assign(1, ForestKernel());  // all of them or none
            break;
        }
        kernels_.swap(made);
    }

    /// By the fastest way that there is, which is made when it pays.
    void sum_paths(const Columns& rows, std::uint64_t* sums) const {
        if ((rows_scored_ += rows.rows) < kFastPays) return walk_forest(trees_, rows, sums);
        if (kernels_.empty()) make_kernels(rows.count);
        if (kernels_.front().usable(rows.rows)) {
            std::fill_n(sums, rows.rows, 0);
            std::uint64_t part[kMaxBlock];
            for (const ForestKernel& kernel : kernels_) {
                kernel.sum_paths(rows, part);
                for (std::size_t i = 0; i < rows.rows; ++i) sums[i] += part[i];
            }
            return;
        }
        if (!walk_) walk_.emplace(trees_, rows.count);
        walk_->sum_paths(rows, sums);
    }

    /// 2^(-E[h] / c(max_samples)); a forest of one row cannot isolate anything and says 0.5.
    double score_of(std::uint64_t sum) const {
        if (sample_size_ <= 1) return 0.5;
        const double mean =
            static_cast<double>(sum) / (kPathUnit * static_cast<double>(trees_.size()));
        return portable_exp2(-mean / average_path_);
    }

    static std::uint32_t load_subtree(Reader& in, ForestTree& tree, std::size_t columns,
                                      std::uint32_t depth) {
        const auto feature = in.number<std::uint16_t>();
        const auto count = in.at_most(kMaxSamples);
        if (feature == kLeaf) return tree.add_leaf(count, depth);
        if (feature >= columns || depth >= kMaxDepth) throw CorruptModel("bad node");
        constexpr double kLargest = std::numeric_limits<double>::max();
        const double threshold = in.real(-kLargest, kLargest);
        const bool missing_left = in.at_most<std::uint8_t>(1) != 0;
        const auto i = tree.add_split(count, feature, threshold, missing_left);
        load_subtree(in, tree, columns, depth + 1);
        const auto right = load_subtree(in, tree, columns, depth + 1);
        tree.nodes[i].right = right;
        return i;
    }

    std::uint32_t sample_size_ = 0;
    std::vector<ForestTree> trees_;
    double average_path_ = 0.0;  ///< c(max_samples)
    std::size_t columns_ = 0;
    mutable std::size_t rows_scored_ = 0;
    mutable std::vector<ForestKernel> kernels_;
    mutable std::optional<ForestWalk> walk_;
};

/// A tree of n rows has n leaves at most, in less than 2 n nodes.
std::uint64_t bytes_of_forest(const Params& params, std::uint64_t rows, std::uint64_t columns) {
    const auto leaves =
        std::min<std::uint64_t>(rows, static_cast<std::uint64_t>(params.number("max_samples")));
    constexpr std::uint64_t kOfNode = sizeof(ForestNode) + 2 * sizeof(std::uint32_t);
    const std::uint64_t of_fast_form =
        rows >= kFastPays ? fast_form_bytes(2 * leaves - 1, columns) : 0;
    return static_cast<std::uint64_t>(params.number("n_estimators")) *
           (2 * leaves * kOfNode + of_fast_form);
}

double steps_of_forest(const Params& params, double rows, double) {
    const double samples = std::min(rows, params.number("max_samples"));
    return params.number("n_estimators") * samples * std::log2(samples + 1.0);
}

constexpr ParamSpec kParams[] = {
    {"n_estimators", ParamType::Integer, 100, 1, kMaxTrees, {}, "number of trees"},
    {"max_samples", ParamType::Integer, 256, 2, kMaxSamples, {}, "rows drawn for each tree"},
    {"max_features",
     ParamType::Real,
     1.0,
     1e-6,
     65534,
     {},
     "columns drawn for each tree: a fraction up to 1, or a count"},
    {"bootstrap", ParamType::Boolean, 0, 0, 1, {}, "draw the rows of a tree with replacement"},
};

}  // namespace

constexpr Algorithm kIsolationForest{
    .name = "isolation_forest",
    .family = "isolation",
    .summary = "rows that random cuts separate from the others early",
    .score_scale =
        "0 to 1, equal in meaning to scikit-learn's -score_samples; about 0.5 and below is "
        "ordinary",
    .paper = "Liu, Ting, Zhou: Isolation Forest (ICDM 2008)",
    .random = true,
    .takes_missing = true,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<IsolationForest>(); },
    .fit_bytes = bytes_of_forest,
    .fit_steps = steps_of_forest,
};

}  // namespace ad
