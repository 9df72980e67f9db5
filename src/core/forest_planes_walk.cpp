#include "forest_planes_walk.hpp"

#include <algorithm>
#include <bit>

namespace ad {

namespace {

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

/// The number of a missing category, in bits: above all others, and no NaN as a number.
constexpr auto kNoCategory = std::bit_cast<std::uint32_t>(0x1p126F);

/// Of a set of categories.
std::size_t words_of(const PlaneTree& tree, const PlaneNode& node) {
    if (node.categories == 0) return 1;
    return tree.categories[node.first_category + node.categories - 1U] / 32U + 2U;
}

/// The result of `function` for a number of terms that there is a form of.
template <typename Function>
auto with_terms(std::size_t terms, const Function& function) {
    switch (terms) {
        case 1:
            return function.template operator()<1>();
        case 2:
            return function.template operator()<2>();
        default:
            return function.template operator()<3>();
    }
}

}  // namespace

/// Fills a form of a walk.
template <std::size_t kTerms>
class PlaneWalk::Nodes {
  public:
    Nodes(PlaneWalk& walk, WalkForm<kTerms>& form) : walk_(walk), form_(form) {}

    /// A node, as if it were a leaf.
    std::uint32_t append(const PlaneTree& tree, std::uint32_t i) {
        const PlaneNode& node = tree.nodes[i];
        const auto place = static_cast<std::uint32_t>(form_.nodes.size());
        WalkNode<kTerms> made{};
        WalkException<kTerms> exception{};
        made.child = place;
        made.threshold = tree.is_leaf(i) ? leaf_threshold(tree.path[i]) : node.threshold;
        exception.width = std::numeric_limits<float>::infinity();
        if (node.kind == PlaneNode::Kind::Plane) {
            if (walk_.penalizes_range_) exception.width = node.width;
            set_terms(tree, node, made, exception);
        } else if (node.kind == PlaneNode::Kind::Subset) {
            if constexpr (kTerms == 1) set_subset(tree, node, made);
        }
        form_.nodes.push_back(made);
        form_.exceptions.push_back(exception);
        return place;
    }

    void link(std::uint32_t at, std::uint32_t child) { form_.nodes[at].child = child; }

  private:
    void set_terms(const PlaneTree& tree, const PlaneNode& node, WalkNode<kTerms>& made,
                   WalkException<kTerms>& exception) {
        const PlaneTerm* terms = &tree.terms[node.first_term];
        for (std::size_t k = 0; k < node.terms; ++k) {
            made.column[k] = static_cast<std::uint16_t>(terms[k].column);
            exception.fill[k] = terms[k].fill;
            if constexpr (kTerms > 1) {
                if (k > 0) made.coefficient[k - 1] = terms[k].coefficient;
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
        const std::size_t words = words_of(tree, node);
        made.last_word = static_cast<std::uint16_t>(words - 1);
        made.first_word = static_cast<std::uint32_t>(walk_.words_.size());
        walk_.words_.resize(walk_.words_.size() + words, node.default_right ? ~0U : 0U);
        for (std::uint16_t k = 0; k < node.categories; ++k) {
            const std::uint16_t category = tree.categories[node.first_category + k];
            walk_.words_[made.first_word + category / 32U] ^= 1U << category % 32U;
        }
    }

    PlaneWalk& walk_;
    WalkForm<kTerms>& form_;
};

PlaneWalk::PlaneWalk(const std::vector<PlaneTree>& trees, const std::vector<PlaneColumn>& columns,
                     bool codes, bool penalizes_range)
    : codes_(codes), penalizes_range_(penalizes_range), columns_(columns.size()) {
    for (std::uint32_t j = 0; j < columns.size(); ++j) {
        if (columns[j].categories > 0) categories_.push_back(j);
    }
    std::size_t terms = 1;
    std::size_t nodes = 0;
    std::size_t words = 1;
    for (const PlaneTree& tree : trees) {
        nodes += tree.nodes.size();
        for (const PlaneNode& node : tree.nodes) {
            terms = std::max<std::size_t>(terms, node.terms);
            if (node.kind != PlaneNode::Kind::Subset) continue;
            has_subsets_ = true;
            words += words_of(tree, node);
        }
    }
    constexpr std::size_t kMaxLines = 65536;
    if ((has_subsets_ && terms > 1) || words > kWordsOfNode * nodes || line_count() > kMaxLines)
        return;
    words_.reserve(words);
    words_.push_back(0);
    with_terms(terms, [&]<std::size_t kTerms>() {
        auto& form = form_.emplace<WalkForm<kTerms>>();
        form.nodes.reserve(nodes);
        form.exceptions.reserve(nodes);
        Nodes<kTerms> made(*this, form);
        for (const PlaneTree& tree : trees) {
            poll();
            trees_.push_back(lay_out(tree, made));
        }
    });
    sort_by_depth(trees_);
}

/// From a node to its child.
template <std::size_t kTerms, bool kSubsets, bool kMissing, bool kPenalty>
struct PlaneWalk::Step {
    const WalkNode<kTerms>* nodes;
    const WalkException<kTerms>* exceptions;
    const std::uint32_t* words;

    [[gnu::always_inline]] static float part(const Line& line, std::size_t k, const float& fill) {
        return kMissing ? line.value[k] + fill * line.missing[k] : line.value[k];
    }

    [[gnu::always_inline]] float sum(std::uint32_t at, const Line* lines, std::size_t k) const {
        const WalkNode<kTerms>& node = nodes[at];
        const float* fill = exceptions[at].fill;
        float sum = part(lines[node.column[0]], k, fill[0]);
        if constexpr (kTerms > 1) {
#pragma GCC unroll 8
            for (std::size_t t = 1; t < kTerms; ++t)
                sum += node.coefficient[t - 1] * part(lines[node.column[t]], k, fill[t]);
        }
        return sum;
    }

    [[gnu::always_inline]] void operator()(WalkGroup& group, const Line* lines,
                                           std::size_t k) const {
        const std::uint32_t at = group.at[k];
        const WalkNode<kTerms>& node = nodes[at];
        const float value = sum(at, lines, k);
        std::uint32_t next = second_if_above(node.child, node.threshold, value);
        if constexpr (kSubsets) {
            const auto category = std::bit_cast<std::uint32_t>(lines[node.column[0]].value[k]);
            const std::uint32_t word = std::min<std::uint32_t>(category / 32, node.last_word);
            next += words[node.first_word + word] >> category % 32 & 1U;
        }
        if constexpr (kPenalty) {
            group.outside[k] = second_if_above(group.outside[k], exceptions[at].width,
                                               std::fabs(value - node.threshold));
        }
        group.at[k] = next;
    }
};

template <typename Form>
void PlaneWalk::run_steps(WalkGroup& group, const Form& step, const Line* lines) {
    WalkGroup local = group;  // which nothing else can refer to
    for (std::uint32_t left = local.depth; left > 0;) {
        const std::uint32_t steps = std::min(left, kStepsBetweenLooks);
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
        group.path[k] = walked_path(step.nodes[local.at[k]].threshold, local.outside[k]);
    }
}

void PlaneWalk::run(WalkGroup& group, const Line* lines, bool missing) const {
    const auto run_form = [&]<std::size_t kTerms>(const WalkForm<kTerms>& form) {
        const auto go = [&]<bool kSubsets, bool kMissing, bool kPenalty>() {
            const Step<kTerms, kSubsets, kMissing, kPenalty> step{
                form.nodes.data(), form.exceptions.data(), words_.data()};
            run_steps(group, step, lines);
        };
        const auto pick = [&]<bool kSubsets>() {
            if (missing && penalizes_range_) return go.template operator()<kSubsets, true, true>();
            if (missing) return go.template operator()<kSubsets, true, false>();
            if (penalizes_range_) return go.template operator()<kSubsets, false, true>();
            go.template operator()<kSubsets, false, false>();
        };
        if constexpr (kTerms == 1) {
            if (has_subsets_) return pick.template operator()<true>();
        }
        pick.template operator()<false>();
    };
    std::visit(run_form, form_);
}

/// Brings `count` rows, from `row` on, into lines; if it is one, for all walks. Returns whether a
/// value is missing.
bool PlaneWalk::take(const std::vector<PlaneColumn>& columns, const Columns& rows, std::size_t row,
                     std::size_t count, Line* lines) const {
    bool any_missing = false;
    for (std::size_t j = 0; j < columns_; ++j) {
        const double* in = rows.column[j] + row;
        Line& line = lines[j];
        for (std::size_t k = 0; k < count; ++k) {
            const bool missing = std::isnan(in[k]);
            line.value[k] = missing ? 0.0F : columns[j].apply(in[k]);
            line.missing[k] = missing ? 1.0F : 0.0F;
            any_missing |= missing;
        }
        for (std::size_t k = count; k < kTogether; ++k) {
            line.value[k] = line.value[0];
            line.missing[k] = line.missing[0];
        }
    }
    Line* numbers = lines + columns_;
    for (const std::uint32_t j : categories_) {
        for (std::size_t k = 0; k < kTogether; ++k) {
            const auto number = static_cast<std::uint32_t>(lines[j].value[k]);
            numbers->value[k] =
                std::bit_cast<float>(lines[j].missing[k] != 0.0F ? kNoCategory : number);
            numbers->missing[k] = 0.0F;
        }
        ++numbers;
    }
    return any_missing;
}

/// Gives categories the numbers that they count as. Must be called before `group` uses the lines.
void PlaneWalk::prepare(const WalkGroup& group, Line* lines) const {
    if (!codes_) return;
    const Line* numbers = lines + columns_;
    for (const std::uint32_t j : categories_) {
        for (std::size_t k = 0; k < kTogether; ++k) {
            const auto number = std::bit_cast<std::uint32_t>(numbers->value[k]);
            const float code = category_code(group.seed[k], j, static_cast<float>(number));
            lines[j].value[k] = number == kNoCategory ? 0.0F : code;
        }
        ++numbers;
    }
}

void PlaneWalk::sum_paths(const std::vector<PlaneColumn>& columns, const Columns& rows,
                          std::uint64_t* sums) const {
    SideBySide<PlaneWalk>(*this, columns, rows).sum(sums);
}

std::size_t PlaneWalk::expected_bytes_of_tree(std::size_t nodes, std::size_t terms, bool sets) {
    std::size_t of_node = with_terms(terms, [&]<std::size_t kTerms>() {
        return sizeof(WalkNode<kTerms>) + sizeof(WalkException<kTerms>);
    });
    if (terms == 1 && sets) of_node += kWordsOfNode * sizeof(std::uint32_t);
    return sizeof(WalkGroup::Tree) + nodes * of_node;
}

}  // namespace ad
