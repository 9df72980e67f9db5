#include "forest_planes_walk.hpp"

#include <algorithm>
#include <bit>

namespace ad {

namespace {

/// The threshold of a leaf whose path is 0: far above the sum of any terms.
constexpr std::uint32_t kLeaf = std::bit_cast<std::uint32_t>(0x1p100F);
static_assert(kLeaf + (kMaxTreeDepth + 64U) * static_cast<std::uint32_t>(kPathUnit) <
              std::bit_cast<std::uint32_t>(std::numeric_limits<float>::max()));

/// `first` + 1 if `sum` is above the threshold, else `first`. Neither is NaN.
[[gnu::always_inline]] inline std::uint32_t second_if_above(std::uint32_t first, float threshold,
                                                            float sum) {
#if defined(__x86_64__)
    asm("comiss %[sum], %[threshold]\n\tadc $0, %[first]"
        : [first] "+r"(first)
        : [threshold] "x"(threshold), [sum] "xm"(sum)
        : "cc");
    return first;
#else
    return first + std::uint32_t{sum > threshold};
#endif
}

/// `value`, or `fill` if it is NaN, without a branch.
[[gnu::always_inline]] inline float or_fill(float value, float fill) {
    typedef float Four __attribute__((vector_size(16)));
    const Four values{value};
    const Four fills{fill};
    const Four filled = values == values ? values : fills;
    return filled[0];
}

}  // namespace

class PlaneWalkBuilder {
  public:
    explicit PlaneWalkBuilder(PlaneWalk& walk) : walk_(walk) {}

    template <std::size_t kTerms>
    void append(const std::vector<PlaneTree>& trees) {
        auto& form = walk_.form_.emplace<WalkForm<kTerms>>();
        std::size_t count = 0;
        for (const PlaneTree& tree : trees) count += tree.nodes.size();
        form.nodes.reserve(count);
        form.exceptions.reserve(count);
        walk_.words_.push_back(0);
        walk_.terms_.push_back({0.0F, 0.0F, 0});
        for (const PlaneTree& tree : trees) {
            poll();
            append(tree, form);
            if (walk_.words_.size() > PlaneWalk::kWordsOfNode * count) return discard();
        }
    }

  private:
    /// Level by level, so that the children of a node are appended together.
    template <std::size_t kTerms>
    void append(const PlaneTree& tree, WalkForm<kTerms>& form) {
        const auto root = static_cast<std::uint32_t>(form.nodes.size());
        std::vector<std::uint32_t> level{0};
        std::vector<std::uint32_t> below;
        std::uint32_t next = root + 1;
        while (!level.empty()) {
            below.clear();
            for (const std::uint32_t i : level) {
                const PlaneNode& node = tree.nodes[i];
                auto& made = form.nodes.emplace_back();
                auto& exception = form.exceptions.emplace_back();
                exception.width = std::numeric_limits<float>::infinity();
                if (tree.is_leaf(i)) {
                    made.threshold = std::bit_cast<float>(kLeaf + tree.path[i]);
                    made.child = static_cast<std::uint32_t>(form.nodes.size() - 1);
                    continue;
                }
                made.child = next;
                made.threshold = node.threshold;
                if (node.kind == PlaneNode::Kind::Plane) {
                    if (walk_.penalizes_range_) exception.width = node.width;
                    set_terms(tree, node, made, exception);
                } else if constexpr (kTerms == 1) {
                    set_subset(tree, node, made);
                }
                below.push_back(i + 1);
                below.push_back(node.right);
                next += 2;
            }
            level.swap(below);
        }
        walk_.trees_.push_back({root, tree.depth, tree.seed});
    }

    template <std::size_t kTerms>
    void set_terms(const PlaneTree& tree, const PlaneNode& node, WalkNode<kTerms>& made,
                   WalkException<kTerms>& exception) {
        const PlaneTerm* terms = &tree.terms[node.first_term];
        if constexpr (kTerms == kAnyTerms) {
            made.first_term = static_cast<std::uint32_t>(walk_.terms_.size());
            made.terms = node.terms;
            walk_.terms_.insert(walk_.terms_.end(), terms, terms + node.terms);
        } else {
            for (std::size_t k = 0; k < node.terms; ++k) {
                made.column[k] = static_cast<std::uint16_t>(terms[k].column);
                exception.fill[k] = terms[k].fill;
                if constexpr (kTerms > 1) {
                    if (k > 0) made.coefficient[k - 1] = terms[k].coefficient;
                }
            }
        }
    }

    void set_subset(const PlaneTree& tree, const PlaneNode& node, WalkNode<1>& made) {
        const std::uint32_t column = tree.terms[node.first_term].column;
        const auto& columns = walk_.categories_;
        const auto place = std::find(columns.begin(), columns.end(), column) - columns.begin();
        made.column[0] =
            static_cast<std::uint16_t>(walk_.columns_ + static_cast<std::size_t>(place));
        made.threshold = std::numeric_limits<float>::infinity();
        const std::span listed =
            std::span(tree.categories).subspan(node.first_category, node.categories);
        made.last_word = static_cast<std::uint16_t>(listed.empty() ? 0 : listed.back() / 32 + 1);
        made.first_word = static_cast<std::uint32_t>(walk_.words_.size());
        walk_.words_.resize(walk_.words_.size() + made.last_word + 1U,
                            node.default_right ? ~0U : 0U);
        for (const std::uint16_t category : listed)
            walk_.words_[made.first_word + category / 32] ^= 1U << category % 32;
    }

    void discard() {
        walk_.trees_.clear();
        walk_.words_ = {};
        walk_.form_.emplace<WalkForm<1>>();
    }

    PlaneWalk& walk_;
};

PlaneWalk::PlaneWalk(const std::vector<PlaneTree>& trees, const std::vector<PlaneColumn>& columns,
                     bool codes, bool penalizes_range)
    : codes_(codes), penalizes_range_(penalizes_range), columns_(columns.size()) {
    for (std::uint32_t j = 0; j < columns.size(); ++j) {
        if (columns[j].categories > 0) categories_.push_back(j);
    }
    std::size_t terms = 1;
    for (const PlaneTree& tree : trees) {
        for (const PlaneNode& node : tree.nodes) {
            terms = std::max<std::size_t>(terms, node.terms);
            has_subsets_ |= node.kind == PlaneNode::Kind::Subset;
        }
    }
    constexpr std::size_t kMaxLines = 65536;
    if ((has_subsets_ && terms > 1) || lines() > kMaxLines) return;
    PlaneWalkBuilder builder(*this);
    if (terms == 1) {
        builder.append<1>(trees);
    } else if (terms == 2) {
        builder.append<2>(trees);
    } else if (terms == 3) {
        builder.append<3>(trees);
    } else {
        builder.append<kAnyTerms>(trees);
    }
}

/// Some walks side by side, each with its tree and its values.
struct PlaneWalk::Group {
    std::uint32_t at[kTogether];  ///< first the roots
    std::uint32_t seed[kTogether];
    std::uint32_t outside[kTogether];
    std::uint64_t path[kTogether];  ///< in the end
    std::uint32_t depth;

    void start(const Tree* trees, std::size_t count) {
        depth = 0;
        for (std::size_t k = 0; k < kTogether; ++k) {
            const Tree& tree = trees[std::min(k, count - 1)];
            at[k] = tree.root;
            seed[k] = tree.seed;
            outside[k] = 0;
            depth = std::max(depth, tree.depth);
        }
    }
};

/// From a node to its child.
template <std::size_t kTerms, bool kSubsets, bool kExceptions>
struct PlaneWalk::Step {
    const WalkNode<kTerms>* nodes;
    const WalkException<kTerms>* exceptions;
    const PlaneTerm* terms;
    const std::uint32_t* words;

    [[gnu::always_inline]] float sum(std::uint32_t at, const Line* lines, std::size_t k) const {
        const WalkNode<kTerms>& node = nodes[at];
        const auto part = [&](std::size_t t) {
            const float value = lines[node.column[t]].value[k];
            return kExceptions ? or_fill(value, exceptions[at].fill[t]) : value;
        };
        float sum = part(0);
        if constexpr (kTerms > 1) {
#pragma GCC unroll 4
            for (std::size_t t = 1; t < kTerms; ++t) sum += node.coefficient[t - 1] * part(t);
        }
        return sum;
    }

    [[gnu::always_inline]] float sum_any(std::uint32_t at, const Line* lines, std::size_t k) const {
        const PlaneTerm* term = terms + nodes[at].first_term;
        const auto part = [&] {
            const float value = lines[term->column].value[k];
            return kExceptions ? or_fill(value, term->fill) : value;
        };
        float sum = part();
        for (const PlaneTerm* end = term + nodes[at].terms; ++term < end;)
            sum += term->coefficient * part();
        return sum;
    }

    [[gnu::always_inline]] void operator()(Group& group, const Line* lines, std::size_t k) const {
        const std::uint32_t at = group.at[k];
        const WalkNode<kTerms>& node = nodes[at];
        float value = 0.0F;
        if constexpr (kTerms == kAnyTerms) {
            value = sum_any(at, lines, k);
        } else {
            value = sum(at, lines, k);
        }
        std::uint32_t next = second_if_above(node.child, node.threshold, value);
        if constexpr (kSubsets) {
            const auto category = std::bit_cast<std::uint32_t>(lines[node.column[0]].value[k]);
            const std::uint32_t word = std::min<std::uint32_t>(category / 32, node.last_word);
            next += words[node.first_word + word] >> category % 32 & 1U;
        }
        if constexpr (kExceptions) {
            group.outside[k] = second_if_above(group.outside[k], exceptions[at].width,
                                               std::fabs(value - node.threshold));
        }
        group.at[k] = next;
    }
};

template <typename Form>
void PlaneWalk::run_steps(Group& group, const Form& step, const Line* lines) {
    constexpr std::uint32_t kBetweenChecks = 8;
    Group local = group;  // which nothing else can refer to
    for (std::uint32_t left = local.depth; left > 0;) {
        const std::uint32_t steps = std::min(left, kBetweenChecks);
        for (std::uint32_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
            for (std::size_t k = 0; k < kTogether; ++k) step(local, lines, k);
        }
        left -= steps;
        bool all = true;
        for (const std::uint32_t at : local.at) all &= step.nodes[at].child == at;
        if (all) break;
    }
    for (std::size_t k = 0; k < kTogether; ++k) {
        const std::uint32_t path =
            std::bit_cast<std::uint32_t>(step.nodes[local.at[k]].threshold) - kLeaf;
        group.path[k] = path - local.outside[k] * static_cast<std::uint64_t>(kPathUnit);
    }
}

void PlaneWalk::run(Group& group, const Line* lines, bool missing) const {
    const bool exceptions = missing || penalizes_range_;
    const auto run_form = [&]<std::size_t kTerms>(const WalkForm<kTerms>& form) {
        const auto go = [&]<bool kSubsets, bool kExceptions>() {
            const Step<kTerms, kSubsets, kExceptions> step{
                form.nodes.data(), form.exceptions.data(), terms_.data(), words_.data()};
            run_steps(group, step, lines);
        };
        if constexpr (kTerms == 1) {
            if (has_subsets_)
                return exceptions ? go.template operator()<true, true>()
                                  : go.template operator()<true, false>();
        }
        exceptions ? go.template operator()<false, true>() : go.template operator()<false, false>();
    };
    std::visit(run_form, form_);
}

/// Brings `count` rows, from `row` on, into lines; if it is one, for all walks.
void PlaneWalk::take(const std::vector<PlaneColumn>& columns, const Columns& rows, std::size_t row,
                     std::size_t count, Line* lines) const {
    for (std::size_t j = 0; j < columns_; ++j) {
        const double* in = rows.column[j] + row;
        for (std::size_t k = 0; k < count; ++k) lines[j].value[k] = columns[j].apply(in[k]);
        for (std::size_t k = count; k < kTogether; ++k) lines[j].value[k] = lines[j].value[0];
    }
    Line* more = lines + columns_;
    for (const std::uint32_t j : categories_) {
        *more = lines[j];
        if (codes_) {
            ++more;
            continue;
        }
        for (float& value : more->value) {
            if (!std::isnan(value)) value = std::bit_cast<float>(static_cast<std::uint32_t>(value));
        }
        ++more;
    }
}

/// Must be called before `group` uses the lines.
void PlaneWalk::prepare(const Group& group, Line* lines) const {
    if (!codes_) return;
    const Line* in = lines + columns_;
    for (const std::uint32_t j : categories_) {
        for (std::size_t k = 0; k < kTogether; ++k)
            lines[j].value[k] = category_code(group.seed[k], j, in->value[k]);
        ++in;
    }
}

void PlaneWalk::sum_paths(const std::vector<PlaneColumn>& columns, const Columns& rows,
                          std::uint64_t* sums) const {
    std::fill_n(sums, rows.rows, 0);
    const auto missing_in = [&](std::size_t first, std::size_t count) {
        bool missing = false;
        for (std::size_t j = 0; j < columns_; ++j) {
            for (std::size_t i = first; i < first + count; ++i)
                missing |= std::isnan(rows.at(i, j));
        }
        return missing;
    };
    Group group;
    const std::size_t together = rows.rows / kTogether * kTogether;
    std::vector<Line> lines(
        std::max<std::size_t>(1, std::min(PlaneBlock::kRows, together) / kTogether) *
        this->lines());
    for (std::size_t first = 0; first < together; first += PlaneBlock::kRows) {
        const std::size_t groups = std::min(PlaneBlock::kRows, together - first) / kTogether;
        for (std::size_t g = 0; g < groups; ++g)
            take(columns, rows, first + g * kTogether, kTogether, &lines[g * this->lines()]);
        const bool missing = missing_in(first, groups * kTogether);
        for (const Tree& tree : trees_) {
            for (std::size_t g = 0; g < groups; ++g) {
                group.start(&tree, 1);
                prepare(group, &lines[g * this->lines()]);
                run(group, &lines[g * this->lines()], missing);
                for (std::size_t k = 0; k < kTogether; ++k)
                    sums[first + g * kTogether + k] += group.path[k];
            }
        }
    }
    for (std::size_t i = together; i < rows.rows; ++i) {
        take(columns, rows, i, 1, lines.data());
        const bool missing = missing_in(i, 1);
        for (std::size_t t = 0; t < trees_.size(); t += kTogether) {
            const std::size_t count = std::min(kTogether, trees_.size() - t);
            group.start(&trees_[t], count);
            prepare(group, lines.data());
            run(group, lines.data(), missing);
            for (std::size_t k = 0; k < count; ++k) sums[i] += group.path[k];
        }
    }
}

std::size_t PlaneWalk::expected_bytes_of_tree(std::size_t nodes, std::size_t terms) {
    const auto of_form = [](auto form) {
        return sizeof(form.nodes[0]) + sizeof(form.exceptions[0]);
    };
    std::size_t of_node = 0;
    if (terms == 1) {
        of_node = of_form(WalkForm<1>()) + kWordsOfNode * sizeof(std::uint32_t);
    } else if (terms == 2) {
        of_node = of_form(WalkForm<2>());
    } else if (terms == 3) {
        of_node = of_form(WalkForm<3>());
    } else {
        of_node = of_form(WalkForm<kAnyTerms>()) + terms * sizeof(PlaneTerm) / 2;
    }
    return sizeof(Tree) + nodes * of_node;
}

}  // namespace ad
