#include "neighbours.hpp"

#include <numeric>

namespace ad {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Beyond, all rows are gone through. Without any structure in the rows a tree ceases to help at 20
/// columns, and costs a tenth more at 100; with clusters it is 8 times as fast at 100. Real rows of
/// 60 columns took about as long either way, those of 90 longer.
constexpr std::size_t kTreeColumns = 64;

constexpr std::size_t kOwnRows = 1024;  ///< reference rows that are searched for together

std::vector<std::uint32_t> choose_rows(std::size_t rows, std::size_t wanted, Random random) {
    std::vector<std::uint32_t> chosen(rows);
    std::iota(chosen.begin(), chosen.end(), 0U);
    if (wanted >= rows) return chosen;
    for (std::size_t i = 0; i < wanted; ++i) {
        std::swap(chosen[i], chosen[i + random.below(static_cast<std::uint32_t>(rows - i))]);
    }
    chosen.resize(wanted);
    return chosen;
}

/// Puts numbers of rows into the order of a k-d tree whose leaves are full blocks, but for the
/// last.
class TreeOrder {
  public:
    TreeOrder(const Columns& rows, std::vector<std::uint32_t>& order)
        : rows_(rows), order_(order.data()) {
        arrange(0, order.size());
    }

  private:
    void arrange(std::size_t begin, std::size_t end) {
        poll();
        if (end - begin <= kBlockPoints) {
            std::sort(order_ + begin, order_ + end);  // partitions come in no certain order
            return;
        }
        // Below come a power of two of blocks, so that nodes of the tree are nodes of the index.
        std::size_t below = kBlockPoints;
        while (2 * below < end - begin) below *= 2;
        const double* values = rows_.column[widest(begin, end)];
        std::nth_element(order_ + begin, order_ + begin + below, order_ + end,
                         [values](std::uint32_t a, std::uint32_t b) {
                             return values[a] < values[b] || (values[a] == values[b] && a < b);
                         });
        arrange(begin, begin + below);
        arrange(begin + below, end);
    }

    /// The column of the largest variance.
    std::size_t widest(std::size_t begin, std::size_t end) const {
        std::size_t best = 0;
        double best_spread = -1.0;
        for (std::size_t j = 0; j < rows_.count; ++j) {
            const double origin = rows_.at(order_[begin], j);
            double sum = 0.0;
            double squares = 0.0;
            for (std::size_t i = begin; i < end; ++i) {
                const double value = rows_.at(order_[i], j) - origin;
                sum += value;
                squares += value * value;
            }
            const double spread = squares - sum / static_cast<double>(end - begin) * sum;
            if (spread > best_spread) {
                best = j;
                best_spread = spread;
            }
        }
        return best;
    }

    const Columns& rows_;
    std::uint32_t* order_;
};

/// Numbers from 0 in the order of their distances.
void sort_nearest(const double (&squares)[kBoxFan], std::size_t (&order)[kBoxFan]) {
    for (std::size_t c = 0; c < kBoxFan; ++c) {
        std::size_t at = c;
        for (; at > 0 && squares[order[at - 1]] > squares[c]; --at) order[at] = order[at - 1];
        order[at] = c;
    }
}

}  // namespace

/// The nearest reference rows of one row so far.
struct NeighbourIndex::Search {
    const double* query;
    std::size_t wanted;
    double* squares;
    std::uint32_t* places;
    std::size_t home = 0;  ///< the block that is searched first
    std::size_t found = 0;
    double limit = kInfinity;  ///< what is farther is not wanted

    bool wants(double square, std::size_t place) const {
        return square < limit || (square == limit && (found < wanted || place < places[found - 1]));
    }

    void offer(double square, std::uint32_t place) {
        if (!wants(square, place)) return;
        if (found < wanted) ++found;
        std::size_t at = found - 1;
        for (; at > 0; --at) {
            const double other = squares[at - 1];
            if (other < square || (other == square && places[at - 1] < place)) break;
            squares[at] = other;
            places[at] = places[at - 1];
        }
        squares[at] = square;
        places[at] = place;
        if (found == wanted) limit = squares[wanted - 1];
    }
};

NeighbourIndex::NeighbourIndex(const Columns& rows, std::size_t max_rows, Random random) {
    auto order = choose_rows(rows.rows, max_rows, random);
    TreeOrder(rows, order);
    points_ = PointBlocks(order.size(), rows.count);
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (i % 1024 == 0) poll();
        for (std::size_t j = 0; j < rows.count; ++j) points_.set(i, j, rows.at(order[i], j));
    }
    make_levels();
}

void NeighbourIndex::load(Reader& in, std::size_t columns) {
    points_.load(in, columns);
    make_levels();
}

std::uint32_t NeighbourIndex::usable_neighbours(double wanted) const {
    return static_cast<std::uint32_t>(
        std::clamp(std::min(wanted, static_cast<double>(rows()) - 1.0), 1.0,
                   static_cast<double>(kMaxNeighbours)));
}

void NeighbourIndex::make_levels() {
    levels_.clear();
    if (columns() > kTreeColumns) return;
    std::size_t nodes = points_.blocks();
    for (std::size_t rows_of_node = kBlockPoints; nodes > 1; rows_of_node *= kBoxFan) {
        Level level{nodes, rows_of_node, {}};
        fill_boxes(level);
        levels_.push_back(std::move(level));
        nodes = (nodes + kBoxFan - 1) / kBoxFan;
    }
}

/// From the rows, or from the boxes of the level below.
void NeighbourIndex::fill_boxes(Level& level) const {
    Eight nowhere;
    std::fill_n(nowhere.lane, kBoxFan, kInfinity);
    level.boxes.assign((level.nodes + kBoxFan - 1) / kBoxFan * 2 * columns(), nowhere);
    const bool leaves = levels_.empty();
    const std::size_t parts = leaves ? rows() : levels_.back().nodes;
    const std::size_t fan = leaves ? kBlockPoints : kBoxFan;
    for (std::size_t node = 0; node < level.nodes; ++node) {
        poll();
        Eight* boxes = level.boxes.data() + node / kBoxFan * 2 * columns();
        for (std::size_t j = 0; j < columns(); ++j) {
            double lowest = kInfinity;
            double highest = -kInfinity;
            for (std::size_t i = node * fan; i < std::min(parts, (node + 1) * fan); ++i) {
                const Eight* part = leaves ? nullptr : boxes_of(levels_.size() - 1, i / kBoxFan);
                const std::size_t lane = i % kBoxFan;
                lowest = std::min(lowest, leaves ? points_.at(i, j) : part[2 * j].lane[lane]);
                highest = std::max(highest, leaves ? points_.at(i, j) : part[2 * j + 1].lane[lane]);
            }
            boxes[2 * j].lane[node % kBoxFan] = lowest;
            boxes[2 * j + 1].lane[node % kBoxFan] = highest;
        }
    }
}

/// The leaf at the end of the way down through the nearest boxes.
std::size_t NeighbourIndex::home_of(const double* query) const {
    std::size_t node = 0;
    for (std::size_t level = levels_.size(); level > 0; --level) {
        double squares[kBoxFan];
        points_.box_squares(boxes_of(level - 1, node), query, squares);
        const auto nearest = std::min_element(squares, squares + kBoxFan) - squares;
        node = node * kBoxFan + static_cast<std::size_t>(nearest);
    }
    return node;
}

void NeighbourIndex::search_block(Search& search, std::size_t block) const {
    double squares[kBlockPoints];
    std::uint64_t near = points_.squares(block, search.query, search.limit, squares);
    for (; near != 0; near &= near - 1) {
        const auto i = static_cast<std::size_t>(std::countr_zero(near));
        search.offer(squares[i], static_cast<std::uint32_t>(block * kBlockPoints + i));
    }
}

/// The nearest nodes first; into each go those of the packet that may find something there.
void NeighbourIndex::search_group(Search* const* packet, std::size_t size, std::size_t level,
                                  std::size_t group) const {
    double squares[kPacket][kBoxFan];
    double nearest[kBoxFan];
    std::fill_n(nearest, kBoxFan, kInfinity);
    for (std::size_t i = 0; i < size; ++i) {
        points_.box_squares(boxes_of(level, group), packet[i]->query, squares[i]);
        for (std::size_t c = 0; c < kBoxFan; ++c) nearest[c] = std::min(nearest[c], squares[i][c]);
    }
    std::size_t order[kBoxFan];
    sort_nearest(nearest, order);
    for (const std::size_t c : order) {
        const std::size_t node = group * kBoxFan + c;
        if (node >= levels_[level].nodes) continue;
        Search* inside[kPacket];
        std::size_t count = 0;
        for (std::size_t i = 0; i < size; ++i) {
            inside[count] = packet[i];
            count += packet[i]->wants(squares[i][c], node * levels_[level].rows);
        }
        if (count == 0) continue;
        if (level > 0) {
            search_group(inside, count, level - 1, node);
            continue;
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (inside[i]->home != node) search_block(*inside[i], node);
        }
    }
}

void NeighbourIndex::search_packet(Search* const* packet, std::size_t size) const {
    poll();
    for (std::size_t i = 0; i < size; ++i) search_block(*packet[i], packet[i]->home);
    if (!levels_.empty()) return search_group(packet, size, levels_.size() - 1, 0);
    for (std::size_t block = 1; block < points_.blocks(); ++block) {
        poll();
        for (std::size_t i = 0; i < size; ++i) search_block(*packet[i], block);
    }
}

void NeighbourIndex::find(const Columns& rows, std::size_t count, bool leave_out_equal,
                          Neighbours& found) const {
    const bool leave_out = leave_out_equal && this->rows() > count;
    found.per_row = count + leave_out;
    found.squares.resize(rows.rows * found.per_row);
    found.places.resize(rows.rows * found.per_row);
    std::vector<double> queries(rows.rows * columns());
    std::vector<Search> searches(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i) {
        double* query = queries.data() + i * columns();
        for (std::size_t j = 0; j < columns(); ++j) query[j] = rows.at(i, j);
        searches[i] = {.query = query,
                       .wanted = found.per_row,
                       .squares = found.squares.data() + i * found.per_row,
                       .places = found.places.data() + i * found.per_row,
                       .home = home_of(query)};
    }
    // rows that are near to each other go together
    std::vector<Search*> order(rows.rows);
    for (std::size_t i = 0; i < rows.rows; ++i) order[i] = &searches[i];
    std::sort(order.begin(), order.end(), [](const Search* a, const Search* b) {
        return a->home < b->home || (a->home == b->home && a < b);
    });
    for (std::size_t i = 0; i < rows.rows; i += kPacket) {
        search_packet(order.data() + i, std::min(kPacket, rows.rows - i));
    }
    if (!leave_out) return;
    found.per_row = count;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        const std::size_t from = i * (count + 1) + (searches[i].squares[0] == 0.0);
        std::copy_n(found.squares.data() + from, count, found.squares.data() + i * count);
        std::copy_n(found.places.data() + from, count, found.places.data() + i * count);
    }
    found.squares.resize(rows.rows * count);
    found.places.resize(rows.rows * count);
}

Neighbours NeighbourIndex::find_own(std::size_t count) const {
    Neighbours all{count, {}, {}};
    all.squares.reserve(rows() * count);
    all.places.reserve(rows() * count);
    Neighbours found;
    for (std::size_t first = 0; first < rows(); first += kOwnRows) {
        Matrix block(std::min(kOwnRows, rows() - first), columns());
        for (std::size_t i = 0; i < block.rows(); ++i) {
            for (std::size_t j = 0; j < columns(); ++j) {
                block.column(j)[i] = points_.at(first + i, j);
            }
        }
        find(block.view(), count, true, found);
        all.squares.insert(all.squares.end(), found.squares.begin(), found.squares.end());
        all.places.insert(all.places.end(), found.places.begin(), found.places.end());
    }
    return all;
}

std::size_t NeighbourIndex::memory_bytes() const {
    std::size_t bytes = points_.memory_bytes();
    for (const Level& level : levels_) bytes += level.boxes.size() * sizeof(Eight);
    return bytes;
}

std::uint64_t NeighbourIndex::fit_bytes(const Params& params, const FitShape& shape) {
    const auto [rows, columns, categorical, scorings] = shape;
    const auto reference =
        std::min(rows, static_cast<std::uint64_t>(params.number("max_reference")));
    const auto neighbours = static_cast<std::uint64_t>(params.number("n_neighbors")) + 1;
    const std::uint64_t nodes = reference / (kBlockPoints - kBlockPoints / kBoxFan) + 8 * kBoxFan;
    const std::uint64_t of_query = columns * sizeof(double) + sizeof(Search) + sizeof(Search*) +
                                   neighbours * (sizeof(double) + sizeof(std::uint32_t));
    return rows * sizeof(std::uint32_t) + PointBlocks::bytes(reference, columns) +
           nodes * 2 * columns * sizeof(double) +
           std::min<std::uint64_t>(rows, kOwnRows) * of_query;
}

std::uint64_t NeighbourIndex::own_bytes(const Params& params, const FitShape& shape) {
    const auto reference =
        std::min(shape.rows, static_cast<std::uint64_t>(params.number("max_reference")));
    const auto neighbours = static_cast<std::uint64_t>(params.number("n_neighbors"));
    return reference * neighbours * (sizeof(double) + sizeof(std::uint32_t)) +
           std::min<std::uint64_t>(reference, kOwnRows) * shape.columns * sizeof(double);
}

double NeighbourIndex::search_steps(double rows, double columns) {
    // how the boxes that are near to a row grow in number, in experience: the more columns, the
    // more like all of them
    double power = 1.0;
    if (columns <= static_cast<double>(kTreeColumns)) {
        power =
            std::max(std::min(columns / 32.0, 0.5), columns / static_cast<double>(kTreeColumns));
    }
    constexpr double kBlock = kBlockPoints;
    return columns * std::min(rows, kBlock * std::pow(std::max(rows / kBlock, 1.0), power));
}

void add_shares(const PointBlocks& points, std::size_t point, const Columns& row, double square,
                double amount, double* shares) {
    for (std::size_t j = 0; j < row.count; ++j) {
        const double gap = row.at(0, j) - points.at(point, j);
        shares[j] += amount * (gap * gap / square);
    }
}

}  // namespace ad
