#include "forest_planes_builder.hpp"

#include <algorithm>
#include <numeric>

namespace ad {

PlaneTree PlaneBuilder::build(const std::vector<std::uint32_t>& sample,
                              std::span<const std::uint32_t> features, Random random) {
    random_ = random;
    tree_ = PlaneTree();
    tree_.seed = static_cast<std::uint32_t>(random_.next());
    sample_ = sample;
    features_ = features;
    values_.resize(sample.size() * features.size());
    taken_in_.assign(features.size(), 0);
    order_.resize(sample.size());
    std::iota(order_.begin(), order_.end(), 0U);
    std::vector<std::uint32_t> columns(features.size());
    std::iota(columns.begin(), columns.end(), 0U);
    draw_ = ColumnDraw(std::move(columns),
                       settings_.weighs_by_kurtosis ? kurtosis_weights() : std::vector<double>());
    grow(order_, {}, features.size());
    tree_.shrink();
    return std::move(tree_);
}

const float* PlaneBuilder::values(std::uint32_t local) {
    float* out = values_.data() + std::size_t{local} * sample_.size();
    if (taken_in_[local] != 0) return out;
    taken_in_[local] = 1;
    pacer_.work(sample_.size());
    const std::uint32_t feature = features_[local];
    const PlaneColumn& column = of_columns_[feature];
    for (std::size_t i = 0; i < sample_.size(); ++i) {
        out[i] = column.apply(all_.at(sample_[i], feature));
        if (column.categories > 0 && settings_.dimensions > 1)
            out[i] = category_code(tree_.seed, feature, out[i]);
    }
    return out;
}

std::vector<double> PlaneBuilder::kurtosis_weights() {
    std::vector<double> weights;
    std::vector<double> column(sample_.size());
    for (std::uint32_t local = 0; local < features_.size(); ++local) {
        pacer_.work(sample_.size());
        const float* in = values(local);
        const bool category = is_category(local) && settings_.dimensions == 1;
        for (std::size_t i = 0; i < sample_.size(); ++i)
            column[i] = category ? category_code(tree_.seed, features_[local], in[i]) : in[i];
        weights.push_back(kurtosis_weight(column));
    }
    return weights;
}

/// Grows the subtree of some rows. Of the columns, the first `usable` may vary here; one found
/// constant moves behind them and stays there for the whole subtree.
std::uint32_t PlaneBuilder::grow(Range rows, Place place, std::size_t usable) {
    pacer_.work(rows.size());
    const auto i = static_cast<std::uint32_t>(tree_.nodes.size());
    tree_.reserve_node();
    const auto count = static_cast<double>(rows.size());
    tree_.rows[i] = static_cast<std::uint32_t>(rows.size());
    tree_.path[i] = settings_.by_density ? path_by_density(place.log_volume, count,
                                                           static_cast<double>(sample_.size()))
                                         : path_by_depth(place.depth, exact_average_path(count));
    // two rows are one cut apart wherever it is: their expected path is known
    if (rows.size() <= 2 || place.depth >= settings_.max_depth || !find_best(rows, usable)) {
        tree_.depth = std::max(tree_.depth, place.depth);
        return i;
    }
    best_.node.first_term = static_cast<std::uint32_t>(tree_.terms.size());
    best_.node.terms = static_cast<std::uint16_t>(best_.terms.size());
    best_.node.first_category = static_cast<std::uint32_t>(tree_.categories.size());
    best_.node.categories = static_cast<std::uint16_t>(best_.categories.size());
    tree_.nodes[i] = best_.node;
    tree_.terms.insert(tree_.terms.end(), best_.terms.begin(), best_.terms.end());
    tree_.categories.insert(tree_.categories.end(), best_.categories.begin(),
                            best_.categories.end());
    const auto share = static_cast<float>(best_.left_share);
    tree_.left_share[i] = share;
    const std::size_t left = partition(rows, best_.right);
    Place below{place.depth + 1, place.log_volume};
    if (settings_.by_density) below.log_volume = place.log_volume + log_share(share);
    grow(rows.first(left), below, usable);
    if (settings_.by_density) below.log_volume = place.log_volume + log_share(1.0F - share);
    const std::uint32_t right = grow(rows.subspan(left), below, usable);
    tree_.nodes[i].right = right;
    return i;
}

Criterion PlaneBuilder::draw_criterion() {
    if (settings_.pooled + settings_.averaged == 0.0) return Criterion::None;
    const double u = random_.uniform();
    if (u < settings_.averaged) return Criterion::Averaged;
    return u < settings_.averaged + settings_.pooled ? Criterion::Pooled : Criterion::None;
}

/// Leaves the split in best_.
bool PlaneBuilder::find_best(Range rows, std::size_t& usable) {
    const Criterion criterion = draw_criterion();
    const std::uint32_t tries = criterion == Criterion::None ? 1 : settings_.tries;
    best_.gain = -1.0;
    for (std::uint32_t attempt = 0; attempt < tries; ++attempt) {
        // single columns are tried once each
        const std::size_t taken = settings_.dimensions == 1 ? attempt : 0;
        if (!propose(rows, taken, usable, next_)) break;
        const std::uint32_t local = draw_[taken];
        pacer_.work(rows.size());
        const bool cut_well = next_.node.kind == PlaneNode::Kind::Subset
                                  ? cut_categories(criterion, rows, local, next_)
                                  : cut(criterion, next_);
        if (cut_well && next_.gain > best_.gain) std::swap(best_, next_);
    }
    return best_.gain >= 0.0;
}

/// Brings a random column that varies to the place `taken`.
bool PlaneBuilder::find_column(Range rows, std::size_t taken, std::size_t& usable) {
    while (taken < usable) {
        const std::size_t place = draw_.pick(taken, usable, random_);
        if (place == usable) return false;
        const float* column = values(draw_[place]);
        pacer_.work(rows.size());
        float low = std::numeric_limits<float>::infinity();
        float high = -low;
        for (const std::uint32_t row : rows) {
            low = column[row] < low ? column[row] : low;
            high = column[row] > high ? column[row] : high;
        }
        if (low < high) {
            draw_.swap(place, taken);
            return true;
        }
        draw_.swap(place, --usable);
    }
    return false;
}

bool PlaneBuilder::propose(Range rows, std::size_t taken, std::size_t& usable,
                           Candidate& candidate) {
    candidate.node = PlaneNode();
    candidate.node.kind = PlaneNode::Kind::Plane;
    candidate.terms.clear();
    candidate.categories.clear();
    if (settings_.dimensions == 1) {
        if (!find_column(rows, taken, usable)) return false;
        propose_axis(rows, draw_[taken], candidate);
        return true;
    }
    std::size_t found = 0;
    while (found < settings_.dimensions && find_column(rows, found, usable)) ++found;
    if (found == 0) return false;
    for (std::size_t k = 0; k < found; ++k) add_term(rows, draw_[k], candidate);
    combine(rows, candidate);
    return true;
}

void PlaneBuilder::propose_axis(Range rows, std::uint32_t local, Candidate& candidate) {
    candidate.terms.push_back({1.0F, 0.0F, features_[local]});
    if (is_category(local)) {
        candidate.node.kind = PlaneNode::Kind::Subset;
        return;
    }
    const float* column = values(local);
    candidate.sums.clear();
    for (const std::uint32_t row : rows) candidate.sums.push_back(column[row]);
}

/// A term of the plane that goes through this column in a random direction, in units of the node's
/// standard deviation. The column is told by its place in features_ for now.
void PlaneBuilder::add_term(Range rows, std::uint32_t local, Candidate& candidate) {
    pacer_.work(rows.size());
    const float* column = values(local);
    sorted_.clear();
    double mean = 0.0;
    for (const std::uint32_t row : rows) {
        if (std::isnan(column[row])) continue;
        sorted_.push_back(column[row]);
        mean += column[row];
    }
    mean /= static_cast<double>(sorted_.size());
    double squares = 0.0;
    for (const float value : sorted_) squares += (value - mean) * (value - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(sorted_.size()));
    const auto middle = sorted_.begin() + static_cast<std::ptrdiff_t>(sorted_.size() / 2);
    std::nth_element(sorted_.begin(), middle, sorted_.end());
    const double direction =
        settings_.normal_coefficients ? normal_deviate(random_) : 2.0 * random_.uniform() - 1.0;
    scratch_.resize(candidate.terms.size() + 1);
    scratch_.back() = direction / deviation;
    candidate.terms.push_back({0.0F, *middle, local});
}

/// The term with the largest coefficient, in scratch_, comes first, and the others are relative to
/// it: a plane has the same sides whatever its scale.
void PlaneBuilder::combine(Range rows, Candidate& candidate) {
    auto& terms = candidate.terms;
    std::size_t lead = 0;
    for (std::size_t k = 1; k < terms.size(); ++k) {
        if (std::fabs(scratch_[k]) > std::fabs(scratch_[lead])) lead = k;
    }
    std::swap(terms[0], terms[lead]);
    std::swap(scratch_[0], scratch_[lead]);
    for (std::size_t k = 0; k < terms.size(); ++k) {
        const double relative = k == 0 ? 1.0 : scratch_[k] / scratch_[0];
        terms[k].coefficient = std::isnan(relative) ? 0.0F : static_cast<float>(relative);
    }
    candidate.sums.resize(rows.size());
    for (PlaneTerm& term : terms) {
        pacer_.work(rows.size());
        const float* column = values(term.column);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const float value = column[rows[i]];
            const float part = term.coefficient * (std::isnan(value) ? term.fill : value);
            candidate.sums[i] = &term == terms.data() ? part : candidate.sums[i] + part;
        }
        term.column = features_[term.column];
    }
}

/// Chooses the threshold on the candidate's sums; false if they are all equal or no cut gains.
bool PlaneBuilder::cut(Criterion criterion, Candidate& candidate) {
    sorted_.clear();
    for (const float sum : candidate.sums) {
        if (!std::isnan(sum)) sorted_.push_back(sum);
    }
    if (criterion == Criterion::None) {
        const auto [low, high] = std::minmax_element(sorted_.begin(), sorted_.end());
        sorted_ = {*low, *high};
    } else {
        std::sort(sorted_.begin(), sorted_.end());
    }
    const float low = sorted_.front();
    const float high = sorted_.back();
    if (!(low < high)) return false;
    PlaneNode& node = candidate.node;
    if (criterion == Criterion::None) {
        candidate.gain = 0.0;
        node.threshold = between(low, high, random_.uniform());
    } else {
        scratch_.resize(sorted_.size());
        const Cut found = best_cut(criterion, sorted_, scratch_);
        if (!(found.gain > 0.0)) return false;
        candidate.gain = found.gain;
        node.threshold = found.threshold;
    }
    node.width = high - low;
    candidate.left_share =
        (static_cast<double>(node.threshold) - low) / (static_cast<double>(high) - low);
    candidate.right.clear();
    for (const float sum : candidate.sums)
        candidate.right.push_back(static_cast<std::uint8_t>(sum > node.threshold));
    if (settings_.dimensions == 1) send_missing(candidate);
    return true;
}

/// In single columns, as in an AxisForest: to a side drawn once, with the probability that a
/// present value went there.
void PlaneBuilder::send_missing(Candidate& candidate) {
    std::size_t present = 0;
    std::size_t right = 0;
    for (std::size_t i = 0; i < candidate.sums.size(); ++i) {
        present += static_cast<std::size_t>(!std::isnan(candidate.sums[i]));
        right += candidate.right[i];
    }
    const bool to_right =
        random_.uniform() * static_cast<double>(present) < static_cast<double>(right);
    float& fill = candidate.terms[0].fill;
    fill = candidate.node.threshold;
    if (to_right) fill = std::nextafter(fill, std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < candidate.sums.size(); ++i) {
        if (std::isnan(candidate.sums[i])) candidate.right[i] = static_cast<std::uint8_t>(to_right);
    }
}

/// Leaves the categories of some rows in present_, the rarest first.
void PlaneBuilder::count_categories(Range rows, const float* numbers) {
    present_.clear();
    for (const std::uint32_t row : rows) {
        if (std::isnan(numbers[row])) continue;
        const auto number = static_cast<std::uint16_t>(numbers[row]);
        if (number >= counts_.size()) counts_.resize(number + std::size_t{1});
        if (counts_[number]++ == 0) present_.push_back({0, number, false});
    }
    for (Category& category : present_) category.count = std::exchange(counts_[category.number], 0);
    std::sort(present_.begin(), present_.end(), [](const Category& a, const Category& b) {
        return a.count != b.count ? a.count < b.count : a.number < b.number;
    });
}

/// A set of categories for each side: at random, or the one whose sides differ most.
bool PlaneBuilder::cut_categories(Criterion criterion, Range rows, std::uint32_t local,
                                  Candidate& candidate) {
    const float* numbers = values(local);
    count_categories(rows, numbers);
    if (criterion == Criterion::None) {
        candidate.gain = 0.0;
        do {
            for (Category& category : present_) category.right = random_.below(2) == 0;
        } while (std::all_of(present_.begin(), present_.end(), [&](const Category& category) {
            return category.right == present_.front().right;
        }));
    } else {
        std::vector<std::uint32_t> counts;
        for (const Category& category : present_) counts.push_back(category.count);
        const Cut found = best_cut(criterion, counts);
        if (!(found.gain > 0.0)) return false;
        candidate.gain = found.gain;
        for (std::size_t k = found.left; k < present_.size(); ++k) present_[k].right = true;
    }
    list_categories(rows, numbers, of_columns_[features_[local]].categories, candidate);
    return true;
}

/// Lists the categories of one side; the other one is where everything else goes, but for what
/// training did not see at all, which has the number `unseen` and goes to the smaller side.
void PlaneBuilder::list_categories(Range rows, const float* numbers, std::uint32_t unseen,
                                   Candidate& candidate) {
    std::size_t right = 0;
    std::size_t all = 0;
    std::size_t left_categories = 0;
    for (const Category& category : present_) {
        all += category.count;
        if (category.right) right += category.count;
        left_categories += static_cast<std::size_t>(!category.right);
    }
    candidate.node.default_right =
        random_.uniform() * static_cast<double>(all) < static_cast<double>(right);
    candidate.left_share =
        static_cast<double>(left_categories) / static_cast<double>(present_.size());
    for (const Category& category : present_) {
        if (category.right != candidate.node.default_right)
            candidate.categories.push_back(category.number);
        counts_[category.number] = static_cast<std::uint32_t>(category.right);
    }
    const bool smaller_right = 2 * right < all;
    const bool present =
        std::any_of(present_.begin(), present_.end(),
                    [&](const Category& category) { return category.number == unseen; });
    if (!present && smaller_right != (candidate.node.default_right != 0)) {
        candidate.categories.push_back(static_cast<std::uint16_t>(unseen));
    }
    std::sort(candidate.categories.begin(), candidate.categories.end());
    candidate.right.clear();
    for (const std::uint32_t row : rows) {
        const bool goes_right = std::isnan(numbers[row])
                                    ? candidate.node.default_right
                                    : counts_[static_cast<std::size_t>(numbers[row])] != 0;
        candidate.right.push_back(static_cast<std::uint8_t>(goes_right));
    }
    for (const Category& category : present_) counts_[category.number] = 0;
}

/// Keeps the order within each side; returns how many go left.
std::size_t PlaneBuilder::partition(Range rows, const std::vector<std::uint8_t>& right) {
    aside_.clear();
    std::size_t left = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::uint32_t row = rows[i];
        if (right[i] != 0) {
            aside_.push_back(row);
        } else {
            rows[left++] = row;
        }
    }
    std::copy(aside_.begin(), aside_.end(), rows.begin() + static_cast<std::ptrdiff_t>(left));
    return left;
}

}  // namespace ad
