#include "forest_wide_walk.hpp"

#include <cstring>

namespace ad {

namespace {

std::uint32_t places_of_node(std::size_t terms, std::size_t columns) {
    const std::size_t of_column = columns <= WideTrees::kFewColumns ? 1 : 2;
    const std::size_t bytes = sizeof(std::uint32_t) + terms * sizeof(float) + terms * of_column;
    return static_cast<std::uint32_t>((bytes + WideTrees::kPlaceBytes - 1) /
                                      WideTrees::kPlaceBytes);
}

}  // namespace

/// Fills the nodes and exceptions of a WideWalk.
struct WideWalk::Nodes {
    WideWalk& walk;

    /// Leaves room for a node.
    void skip() {
        walk.nodes_.resize(walk.nodes_.size() + walk.places_);
        walk.exceptions_.resize(walk.exceptions_.size() + 1 + walk.terms_);
    }

    std::uint32_t append(const PlaneTree& tree, std::uint32_t i) {
        const PlaneNode& node = tree.nodes[i];
        const auto place = static_cast<std::uint32_t>(walk.nodes_.size());
        skip();
        std::byte* bytes = walk.nodes_[place].bytes;
        float* exception = walk.exceptions_.data() + walk.exceptions_.size() - 1 - walk.terms_;
        put(bytes, tree.is_leaf(i) ? leaf_threshold(tree.path[i]) : node.threshold);
        link(place, place);
        exception[0] = walk.penalizes_range_ && !tree.is_leaf(i)
                           ? node.width
                           : std::numeric_limits<float>::infinity();
        std::byte* columns = bytes + sizeof(float) * (1 + walk.terms_);
        for (std::uint16_t t = 0; t < node.terms; ++t) {
            const PlaneTerm& term = tree.terms[node.first_term + t];
            exception[1 + t] = term.fill;
            if (t > 0) put(bytes + sizeof(float) * (1U + t), term.coefficient);
            if (walk.columns_ <= WideTrees::kFewColumns) {
                put(columns + t, static_cast<std::uint8_t>(term.column));
            } else {
                put(columns + 2 * t, static_cast<std::uint16_t>(term.column));
            }
        }
        return place;
    }

    void link(std::uint32_t at, std::uint32_t child) {
        put(walk.nodes_[at].bytes + sizeof(float), child);
    }

  private:
    template <typename T>
    static void put(std::byte* at, T value) {
        std::memcpy(at, &value, sizeof(T));
    }
};

WideWalk::WideWalk(const std::vector<PlaneTree>& trees, const std::vector<PlaneColumn>& columns,
                   std::size_t terms, bool penalizes_range)
    : penalizes_range_(penalizes_range),
      columns_(columns.size()),
      terms_(static_cast<std::uint32_t>(terms)),
      places_(places_of_node(terms, columns.size())) {
    for (std::uint32_t j = 0; j < columns.size(); ++j) {
        if (columns[j].categories > 0) categories_.push_back(j);
    }
    std::size_t nodes = trees.size();
    for (const PlaneTree& tree : trees) {
        nodes += tree.nodes.size();
        for (const PlaneNode& node : tree.nodes) {
            if (node.kind == PlaneNode::Kind::Subset) return;
        }
    }
    nodes_.reserve(nodes * places_ + 1);
    exceptions_.reserve(nodes * (1 + terms) + WideTrees::kLanes);
    Nodes made{*this};
    for (const PlaneTree& tree : trees) {
        poll();
        // children start at even numbers: if they are small, both lie in one line of the caches
        if (exceptions_.size() / (1 + terms) % 2 == 0) made.skip();
        trees_.push_back(lay_out(tree, made));
    }
    sort_by_depth(trees_);
    nodes_.resize(nodes_.size() + 1);
    exceptions_.resize(exceptions_.size() + WideTrees::kLanes);
}

std::size_t WideWalk::lines() const {
    const std::size_t of_columns = (columns_ + Line::kValues - 1) / Line::kValues;
    return of_columns + (categories_.size() + Line::kValues - 1) / Line::kValues;
}

/// As SideBySide wants it.
struct WideWalk::Walk {
    using Line = WideWalk::Line;
    const WideWalk& wide;
    const WideLoops& loops;

    const std::vector<WalkGroup::Tree>& trees() const { return wide.trees_; }
    std::size_t line_count() const { return wide.lines() * WalkGroup::kTogether; }

    float* row(Line* lines, std::size_t k) const { return lines[k * wide.lines()].value; }
    std::size_t first_number() const {
        return (wide.columns_ + Line::kValues - 1) / Line::kValues * Line::kValues;
    }

    bool take(const std::vector<PlaneColumn>& columns, const Columns& rows, std::size_t first,
              std::size_t count, Line* lines) const {
        bool missing = false;
        for (std::size_t j = 0; j < wide.columns_; ++j) {
            const double* in = rows.column[j] + first;
            for (std::size_t k = 0; k < count; ++k) {
                row(lines, k)[j] = columns[j].apply(in[k]);
                missing |= std::isnan(in[k]);
            }
        }
        for (std::size_t c = 0; c < wide.categories_.size(); ++c) {
            for (std::size_t k = 0; k < count; ++k)
                row(lines, k)[first_number() + c] = row(lines, k)[wide.categories_[c]];
        }
        for (std::size_t k = count; k < WalkGroup::kTogether; ++k)
            std::copy_n(lines, wide.lines(), lines + k * wide.lines());
        return missing;
    }

    void prepare(const WalkGroup& group, Line* lines) const {
        for (std::size_t c = 0; c < wide.categories_.size(); ++c) {
            const std::uint32_t j = wide.categories_[c];
            for (std::size_t k = 0; k < WalkGroup::kTogether; ++k) {
                float* values = row(lines, k);
                values[j] = category_code(group.seed[k], j, values[first_number() + c]);
            }
        }
    }

    void run(WalkGroup& group, const Line* lines, bool missing) const {
        const WideTrees trees = wide.view();
        const WideRows rows{lines->value, wide.lines() * Line::kValues, wide.columns_, missing};
        for (std::uint32_t left = group.depth; left > 0;) {
            const std::uint32_t steps = std::min(left, kStepsBetweenLooks);
            loops.walk(trees, rows, steps, wide.penalizes_range_, group.at, group.outside);
            left -= steps;
            bool all = true;
            for (const std::uint32_t at : group.at) all &= trees.child(at) == at;
            if (all) break;
        }
        for (std::size_t k = 0; k < WalkGroup::kTogether; ++k)
            group.path[k] = walked_path(trees.threshold(group.at[k]), group.outside[k]);
    }
};

void WideWalk::sum_paths(const std::vector<PlaneColumn>& columns, const Columns& rows,
                         const WideLoops& loops, std::uint64_t* sums) const {
    const Walk walk{*this, loops};
    SideBySide<Walk>(walk, columns, rows).sum(sums);
}

std::size_t WideWalk::expected_bytes_of_tree(std::size_t nodes, std::size_t terms,
                                             std::size_t columns) {
    const std::size_t places = places_of_node(terms, columns);
    return sizeof(WalkGroup::Tree) +
           (nodes + 1) * (places * sizeof(Place) + (1 + terms) * sizeof(float));
}

}  // namespace ad
