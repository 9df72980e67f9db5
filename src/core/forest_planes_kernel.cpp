#include "forest_planes_kernel.hpp"

#include <algorithm>

namespace ad {

namespace {

constexpr std::uint16_t kZero = 0;  ///< words that hold the same bit for all rows
constexpr std::uint16_t kOne = 1;
constexpr std::uint16_t kFirstFree = 2;

}  // namespace

/// Turns a tree into steps.
class PlaneProgram {
  public:
    explicit PlaneProgram(PlaneKernel& kernel) : kernel_(kernel) {}

    void add(const PlaneTree& tree) {
        tree_ = &tree;
        leaves_.assign(tree.nodes.size(), 1);
        for (auto i = static_cast<std::uint32_t>(tree.nodes.size()); i-- > 0;) {
            if (!tree.is_leaf(i)) leaves_[i] = leaves_[i + 1] + leaves_[tree.nodes[i].right];
        }
        // comparisons come before all operations, and need words of their own
        free_.clear();
        next_compared_ = kFirstFree;
        const std::size_t splits = tree.leaves() - 1;
        next_word_ =
            static_cast<std::uint16_t>(kFirstFree + splits * (kernel_.penalizes_range_ ? 2 : 1));
        first_free_ = next_word_;
        kernel_.words_ = std::max<std::size_t>(kernel_.words_, next_word_);
        PlaneKernel::Tree made{};
        made.first_step = static_cast<std::uint32_t>(kernel_.steps_.size());
        made.first_op = static_cast<std::uint32_t>(kernel_.ops_.size());
        paths_ = kernel_.paths_.size();
        kernel_.paths_.resize(paths_ + PlaneKernel::kMaxLeaves);
        const Code code = emit(0, 0);
        made.steps = static_cast<std::uint32_t>(kernel_.steps_.size()) - made.first_step;
        made.ops = static_cast<std::uint32_t>(kernel_.ops_.size()) - made.first_op;
        std::copy_n(code.leaf, PlaneKernel::kBits, made.leaf);
        std::copy_n(code.penalties, PlaneKernel::kBits, made.penalties);
        made.penalized = code.penalties[0] != kZero;
        kernel_.trees_.push_back(made);
    }

  private:
    /// The words that a subtree leaves behind.
    struct Code {
        std::uint16_t leaf[PlaneKernel::kBits] = {};
        std::uint16_t penalties[PlaneKernel::kBits] = {};
    };

    std::uint16_t take_word() {
        if (free_.empty()) {
            kernel_.words_ = std::max<std::size_t>(kernel_.words_, next_word_ + std::size_t{1});
            return next_word_++;
        }
        const std::uint16_t word = free_.back();
        free_.pop_back();
        return word;
    }

    std::uint16_t append(WordOp::Kind kind, std::uint16_t a, std::uint16_t b, std::uint16_t mask) {
        const std::uint16_t into = take_word();
        kernel_.ops_.push_back({kind, into, a, b, mask});
        return into;
    }

    std::uint16_t choose(std::uint16_t mask, std::uint16_t right, std::uint16_t left) {
        if (left == right) return left;
        if (left == kZero && right == kOne) return mask;
        return append(WordOp::Kind::Choose, right, left, mask);
    }

    /// Adds one where `carry` is set; what becomes of no use is noted in `used`.
    void count(std::uint16_t (&penalties)[PlaneKernel::kBits], std::uint16_t carry,
               std::vector<std::uint16_t>& used) {
        for (std::uint16_t& bit : penalties) {
            if (bit == kZero) {
                bit = carry;
                return;
            }
            used.push_back(bit);
            used.push_back(carry);
            const std::uint16_t sum = append(WordOp::Kind::Either, bit, carry, kZero);
            carry = append(WordOp::Kind::Both, bit, carry, kZero);
            bit = sum;
        }
        used.push_back(carry);
    }

    PlaneStep step_of(std::uint32_t i) const {
        const PlaneNode& node = tree_->nodes[i];
        const bool plane = node.kind == PlaneNode::Kind::Plane;
        PlaneStep step{};
        step.node = i;
        step.first_term = node.first_term;
        step.threshold = node.threshold;
        step.width = node.width;
        step.terms = plane ? node.terms : std::uint16_t{0};
        return step;
    }

    /// Emits the steps of a subtree, children before parents and the larger child first, so that
    /// few words are in use at a time.
    Code emit(std::uint32_t i, std::uint32_t first_leaf) {
        Code code;
        if (tree_->is_leaf(i)) {
            kernel_.paths_[paths_ + first_leaf] = tree_->path[i];
            for (std::size_t b = 0; b < PlaneKernel::kBits; ++b)
                code.leaf[b] = (first_leaf >> b & 1) != 0 ? kOne : kZero;
            return code;
        }
        const std::uint32_t right_child = tree_->nodes[i].right;
        const std::uint32_t first_right = first_leaf + leaves_[i + 1];
        Code left;
        Code right;
        if (leaves_[i + 1] >= leaves_[right_child]) {
            left = emit(i + 1, first_leaf);
            right = emit(right_child, first_right);
        } else {
            right = emit(right_child, first_right);
            left = emit(i + 1, first_leaf);
        }
        PlaneStep step = step_of(i);
        step.right = next_compared_++;
        std::vector<std::uint16_t> used;
        for (std::size_t b = 0; b < PlaneKernel::kBits; ++b) {
            code.leaf[b] = choose(step.right, right.leaf[b], left.leaf[b]);
            code.penalties[b] = choose(step.right, right.penalties[b], left.penalties[b]);
            used.insert(used.end(),
                        {right.leaf[b], left.leaf[b], right.penalties[b], left.penalties[b]});
        }
        if (kernel_.penalizes_range_ && tree_->nodes[i].kind == PlaneNode::Kind::Plane) {
            step.outside = next_compared_++;
            count(code.penalties, step.outside, used);
        }
        release(used, code);
        kernel_.steps_.push_back(step);
        return code;
    }

    void release(std::vector<std::uint16_t>& used, const Code& code) {
        std::sort(used.begin(), used.end());
        used.erase(std::unique(used.begin(), used.end()), used.end());
        for (const std::uint16_t word : used) {
            const auto holds = [&](const std::uint16_t(&words)[PlaneKernel::kBits]) {
                return std::find(std::begin(words), std::end(words), word) != std::end(words);
            };
            if (word >= first_free_ && !holds(code.leaf) && !holds(code.penalties))
                free_.push_back(word);
        }
    }

    PlaneKernel& kernel_;
    const PlaneTree* tree_ = nullptr;
    std::vector<std::uint32_t> leaves_;  ///< below each node
    std::vector<std::uint16_t> free_;
    std::uint16_t next_compared_ = kFirstFree;
    std::uint16_t next_word_ = kFirstFree;
    std::uint16_t first_free_ = kFirstFree;
    std::size_t paths_ = 0;
};

PlaneKernel::PlaneKernel(const std::vector<PlaneTree>& trees, bool penalizes_range)
    : penalizes_range_(penalizes_range) {
    for (const PlaneTree& tree : trees) {
        if (tree.leaves() > kMaxLeaves) return;
    }
    words_ = kFirstFree;
    PlaneProgram program(*this);
    for (const PlaneTree& tree : trees) {
        poll();
        program.add(tree);
    }
}

std::size_t PlaneKernel::expected_bytes_of_tree(std::size_t leaves) {
    if (leaves > kMaxLeaves) return 0;
    constexpr std::size_t kOpsOfNode = 4;
    return sizeof(Tree) + leaves * 2 * (sizeof(PlaneStep) + kOpsOfNode * sizeof(WordOp)) +
           kMaxLeaves * sizeof(std::uint32_t);
}

/// Memory for one block of rows.
class PlaneKernel::Working {
  public:
    Working(std::size_t words, std::size_t columns, const PlaneBlock& block,
            const PlaneLoops& loops)
        : block_(block),
          loops_(loops),
          chunks_((block.rows() + kChunkRows - 1) / kChunkRows),
          words_(words),
          members_(columns) {
        std::fill_n(words_[kOne].chunk, kBlockChunks, ~std::uint64_t{0});
    }

    void run(const PlaneTree& tree, std::span<const PlaneStep> steps, std::span<const WordOp> ops) {
        for (const PlaneStep& step : steps) {
            if (step.terms == 0) find_members(tree, tree.nodes[step.node], step.right);
        }
        loops_.run(steps, tree.terms.data(), ops, {block_.column(0), chunks_, block_.has_missing()},
                   words_.data());
    }

    /// The numbers that these words hold, a byte a row.
    const std::uint8_t* numbers(const std::uint16_t (&words)[kBits]) {
        constexpr std::uint8_t kPlaces[kBits] = {7, 6, 5, 4, 3, 2, 1, 0};
        BlockBits bits[kBits];
        for (std::size_t b = 0; b < kBits; ++b) bits[b] = words_[words[b]];
        forest_loops().back().gather(bits, kPlaces, chunks_, numbers_);
        return numbers_;
    }

  private:
    void find_members(const PlaneTree& tree, const PlaneNode& node, std::uint16_t word) {
        const std::vector<BlockBits>& members = members_of(tree.terms[node.first_term].column);
        std::uint64_t bits[kBlockChunks] = {};
        for (std::uint16_t k = 0; k < node.categories; ++k) {
            const std::uint16_t category = tree.categories[node.first_category + k];
            if (category >= members.size()) break;
            for (std::size_t c = 0; c < kBlockChunks; ++c) bits[c] |= members[category].chunk[c];
        }
        const std::uint64_t flip = node.default_right ? ~std::uint64_t{0} : 0;
        for (std::size_t c = 0; c < kBlockChunks; ++c) words_[word].chunk[c] = bits[c] ^ flip;
    }

    /// The rows of each category, up to the largest one that there is.
    const std::vector<BlockBits>& members_of(std::uint32_t column) {
        std::vector<BlockBits>& members = members_[column];
        if (!members.empty()) return members;
        const float* values = block_.column(column);
        members.resize(1);
        for (std::size_t i = 0; i < block_.rows(); ++i) {
            if (std::isnan(values[i])) continue;
            const auto category = static_cast<std::size_t>(values[i]);
            if (category >= members.size()) members.resize(category + 1);
            members[category].chunk[i / kChunkRows] |= std::uint64_t{1} << (i % kChunkRows);
        }
        return members;
    }

    const PlaneBlock& block_;
    const PlaneLoops& loops_;
    std::size_t chunks_;
    std::vector<BlockBits> words_;
    std::vector<std::vector<BlockBits>> members_;  ///< of each column, if asked for
    alignas(64) std::uint8_t numbers_[kBlockRows];
};

void PlaneKernel::sum_paths(const std::vector<PlaneTree>& trees,
                            const std::vector<PlaneColumn>& columns, PlaneBlock& block,
                            const PlaneLoops& loops, std::uint64_t* sums) const {
    static_assert(PlaneBlock::kRows == kBlockRows);
    Working working(words_, columns.size(), block, loops);
    std::fill_n(sums, block.rows(), 0);
    for (std::size_t t = 0; t < trees_.size(); ++t) {
        const Tree& tree = trees_[t];
        block.prepare(trees[t]);
        working.run(trees[t], std::span(steps_).subspan(tree.first_step, tree.steps),
                    std::span(ops_).subspan(tree.first_op, tree.ops));
        const std::uint32_t* paths = paths_.data() + t * kMaxLeaves;
        const std::uint8_t* leaf = working.numbers(tree.leaf);
        for (std::size_t i = 0; i < block.rows(); ++i) sums[i] += paths[leaf[i]];
        if (!tree.penalized) continue;
        const std::uint8_t* penalties = working.numbers(tree.penalties);
        for (std::size_t i = 0; i < block.rows(); ++i)
            sums[i] -= penalties[i] * static_cast<std::uint64_t>(kPathUnit);
    }
}

}  // namespace ad
