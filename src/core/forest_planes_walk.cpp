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

/// The number of a missing category, in bits: above all others, and no NaN as a number.
constexpr auto kNoCategory = std::bit_cast<std::uint32_t>(0x1p126F);

/// The result of `function` for a number of terms that there is a form of.
template <typename Function>
auto with_terms(std::size_t terms, const Function& function) {
    switch (terms) {
        case 1:
            return function.template operator()<1>();
        case 2:
            return function.template operator()<2>();
        case 3:
            return function.template operator()<3>();
        case 4:
            return function.template operator()<4>();
        case 5:
            return function.template operator()<5>();
        default:
            return function.template operator()<kAnyTerms>();
    }
}

}  // namespace

class PlaneWalkBuilder {
  public:
    explicit PlaneWalkBuilder(PlaneWalk& walk) : walk_(walk) {}

    template <std::size_t kTerms>
    void append(const std::vector<PlaneTree>& trees, std::size_t terms, std::size_t words) {
        auto& form = walk_.form_.emplace<WalkForm<kTerms>>();
        std::size_t nodes = 0;
        std::size_t all_terms = terms;
        for (const PlaneTree& tree : trees) {
            nodes += tree.nodes.size();
            all_terms += tree.terms.size();
        }
        form.nodes.reserve(nodes);
        form.exceptions.reserve(nodes);
        walk_.words_.reserve(words);
        walk_.words_.push_back(0);
        // as many terms in a leaf as in a plane, so that the end of the loop can be predicted
        if (kTerms == kAnyTerms) walk_.terms_.reserve(all_terms);
        walk_.terms_.resize(terms);
        terms_of_leaf_ = static_cast<std::uint32_t>(terms);
        for (const PlaneTree& tree : trees) {
            poll();
            append(tree, form);
        }
        // those that walk together take as many steps as the deepest
        std::sort(walk_.trees_.begin(), walk_.trees_.end(),
                  [](const auto& a, const auto& b) { return a.depth < b.depth; });
    }

    /// Of a set of categories.
    static std::size_t words_of(const PlaneTree& tree, const PlaneNode& node) {
        if (node.categories == 0) return 1;
        return tree.categories[node.first_category + node.categories - 1U] / 32U + 2U;
    }

  private:
    /// The children of a node together, and after them those of the child with more rows, so that
    /// most steps are to a place nearby.
    template <std::size_t kTerms>
    void append(const PlaneTree& tree, WalkForm<kTerms>& form) {
        const auto root = static_cast<std::uint32_t>(form.nodes.size());
        append(tree, 0, form);
        open_.assign(1, {0, root});
        while (!open_.empty()) {
            const auto [i, at] = open_.back();
            open_.pop_back();
            if (tree.is_leaf(i)) continue;
            const auto child = static_cast<std::uint32_t>(form.nodes.size());
            form.nodes[at].child = child;
            const std::uint32_t right = tree.nodes[i].right;
            append(tree, i + 1, form);
            append(tree, right, form);
            open_.push_back({i + 1, child});
            open_.push_back({right, child + 1});
            if (tree.rows[i + 1] > tree.rows[right]) std::swap(open_.back(), open_.end()[-2]);
        }
        walk_.trees_.push_back({root, tree.depth, tree.seed});
    }

    /// A node, as if it were a leaf.
    template <std::size_t kTerms>
    void append(const PlaneTree& tree, std::uint32_t i, WalkForm<kTerms>& form) {
        const PlaneNode& node = tree.nodes[i];
        WalkNode<kTerms> made{};
        WalkException<kTerms> exception{};
        made.child = static_cast<std::uint32_t>(form.nodes.size());
        made.threshold =
            tree.is_leaf(i) ? std::bit_cast<float>(kLeaf + tree.path[i]) : node.threshold;
        if constexpr (kTerms == kAnyTerms) made.terms = terms_of_leaf_;
        exception.width = std::numeric_limits<float>::infinity();
        if (node.kind == PlaneNode::Kind::Plane) {
            if (walk_.penalizes_range_) exception.width = node.width;
            set_terms(tree, node, made, exception);
        } else if (node.kind == PlaneNode::Kind::Subset) {
            if constexpr (kTerms == 1) set_subset(tree, node, made);
        }
        form.nodes.push_back(made);
        form.exceptions.push_back(exception);
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
        const std::size_t words = words_of(tree, node);
        made.last_word = static_cast<std::uint16_t>(words - 1);
        made.first_word = static_cast<std::uint32_t>(walk_.words_.size());
        walk_.words_.resize(walk_.words_.size() + words, node.default_right ? ~0U : 0U);
        for (std::uint16_t k = 0; k < node.categories; ++k) {
            const std::uint16_t category = tree.categories[node.first_category + k];
            walk_.words_[made.first_word + category / 32U] ^= 1U << category % 32U;
        }
    }

    struct Open {
        std::uint32_t node;
        std::uint32_t at;
    };

    PlaneWalk& walk_;
    std::uint32_t terms_of_leaf_ = 0;
    std::vector<Open> open_;  ///< nodes whose children have no place yet
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
            words += PlaneWalkBuilder::words_of(tree, node);
        }
    }
    constexpr std::size_t kMaxLines = 65536;
    if ((has_subsets_ && terms > 1) || words > kWordsOfNode * nodes || line_count() > kMaxLines)
        return;
    PlaneWalkBuilder builder(*this);
    with_terms(terms, [&]<std::size_t kTerms>() { builder.append<kTerms>(trees, terms, words); });
}

/// Some walks side by side, each with its tree and its values.
struct PlaneWalk::Group {
    std::uint32_t at[kTogether];  ///< first the roots
    std::uint32_t seed[kTogether];
    std::uint32_t outside[kTogether];
    std::uint64_t path[kTogether];  ///< in the end
    std::uint32_t depth = 0;

    Group(const Tree* trees, std::size_t count) {
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
template <std::size_t kTerms, bool kSubsets, bool kMissing, bool kPenalty>
struct PlaneWalk::Step {
    const WalkNode<kTerms>* nodes;
    const WalkException<kTerms>* exceptions;
    const PlaneTerm* terms;
    const std::uint32_t* words;

    [[gnu::always_inline]] static float part(const Line& line, std::size_t k, const float& fill) {
        return kMissing ? line.value[k] + fill * line.missing[k] : line.value[k];
    }

    [[gnu::always_inline]] float sum(std::uint32_t at, const Line* lines, std::size_t k) const {
        const WalkNode<kTerms>& node = nodes[at];
        if constexpr (kTerms == kAnyTerms) {
            const PlaneTerm* term = terms + node.first_term;
            float sum = part(lines[term->column], k, term->fill);
            for (const PlaneTerm* end = term + node.terms; ++term < end;)
                sum += term->coefficient * part(lines[term->column], k, term->fill);
            return sum;
        } else {
            const float* fill = exceptions[at].fill;
            float sum = part(lines[node.column[0]], k, fill[0]);
            if constexpr (kTerms > 1) {
#pragma GCC unroll 8
                for (std::size_t t = 1; t < kTerms; ++t)
                    sum += node.coefficient[t - 1] * part(lines[node.column[t]], k, fill[t]);
            }
            return sum;
        }
    }

    [[gnu::always_inline]] void operator()(Group& group, const Line* lines, std::size_t k) const {
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
    const auto run_form = [&]<std::size_t kTerms>(const WalkForm<kTerms>& form) {
        const auto go = [&]<bool kSubsets, bool kMissing, bool kPenalty>() {
            const Step<kTerms, kSubsets, kMissing, kPenalty> step{
                form.nodes.data(), form.exceptions.data(), terms_.data(), words_.data()};
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
void PlaneWalk::prepare(const Group& group, Line* lines) const {
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

/// Down one tree after the other with many rows, so that a tree stays in the caches.
void PlaneWalk::sum_groups(const std::vector<PlaneColumn>& columns, const Columns& rows,
                           std::size_t first, std::size_t groups, Line* lines,
                           std::uint64_t* sums) const {
    const std::size_t stride = line_count();
    bool missing[Detector::kMaxBlock / kTogether];
    for (std::size_t g = 0; g < groups; ++g)
        missing[g] = take(columns, rows, first + g * kTogether, kTogether, lines + g * stride);
    for (const Tree& tree : trees_) {
        poll();
        for (std::size_t g = 0; g < groups; ++g) {
            Group group(&tree, 1);
            prepare(group, lines + g * stride);
            run(group, lines + g * stride, missing[g]);
            for (std::size_t k = 0; k < kTogether; ++k)
                sums[first + g * kTogether + k] += group.path[k];
        }
    }
}

/// Down some trees at a time.
std::uint64_t PlaneWalk::sum_row(const std::vector<PlaneColumn>& columns, const Columns& rows,
                                 std::size_t row, Line* lines) const {
    const bool missing = take(columns, rows, row, 1, lines);
    std::uint64_t sum = 0;
    for (std::size_t t = 0; t < trees_.size(); t += kTogether) {
        const std::size_t count = std::min(kTogether, trees_.size() - t);
        Group group(&trees_[t], count);
        prepare(group, lines);
        run(group, lines, missing);
        for (std::size_t k = 0; k < count; ++k) sum += group.path[k];
    }
    return sum;
}

void PlaneWalk::sum_paths(const std::vector<PlaneColumn>& columns, const Columns& rows,
                          std::uint64_t* sums) const {
    std::fill_n(sums, rows.rows, 0);
    const std::size_t together = rows.rows / kTogether * kTogether;
    const std::size_t block = std::min(Detector::kMaxBlock, together);
    std::vector<Line> values(std::max<std::size_t>(block / kTogether, 1) * line_count());
    for (std::size_t first = 0; first < together; first += Detector::kMaxBlock) {
        const std::size_t groups = std::min(Detector::kMaxBlock, together - first) / kTogether;
        sum_groups(columns, rows, first, groups, values.data(), sums);
    }
    for (std::size_t i = together; i < rows.rows; ++i)
        sums[i] = sum_row(columns, rows, i, values.data());
}

std::size_t PlaneWalk::expected_bytes_of_tree(std::size_t nodes, std::size_t terms, bool sets) {
    std::size_t of_node = with_terms(terms, [&]<std::size_t kTerms>() {
        const std::size_t inside = sizeof(WalkNode<kTerms>) + sizeof(WalkException<kTerms>);
        // half of the nodes are leaves, without terms
        return inside + (kTerms == kAnyTerms ? terms * sizeof(PlaneTerm) / 2 : 0);
    });
    if (terms == 1 && sets) of_node += kWordsOfNode * sizeof(std::uint32_t);
    return sizeof(Tree) + nodes * of_node;
}

}  // namespace ad
