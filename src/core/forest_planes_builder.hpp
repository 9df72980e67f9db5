// Grows the trees of a PlaneForest.
#pragma once

#include "forest_cuts.hpp"
#include "forest_draw.hpp"
#include "forest_planes.hpp"

namespace ad {

class PlaneBuilder {
  public:
    PlaneBuilder(const Columns& rows, const std::vector<PlaneColumn>& columns,
                 const ForestSettings& settings)
        : all_(rows), of_columns_(columns), settings_(settings) {}

    /// Grows a tree of some rows and columns of the training data.
    PlaneTree build(const std::vector<std::uint32_t>& sample,
                    std::span<const std::uint32_t> features, Random random);

  private:
    using Range = std::span<std::uint32_t>;  ///< of order_

    struct Place {
        std::uint32_t depth = 0;
        double log_volume = 0.0;
    };
    struct Candidate {
        PlaneNode node;
        double gain = -1.0;
        double left_share = 0.5;
        std::vector<PlaneTerm> terms;
        std::vector<std::uint16_t> categories;
        std::vector<std::uint8_t> right;  ///< of each row of the node
        std::vector<float> sums;
    };
    struct Category {
        std::uint32_t count;
        std::uint16_t number;
        bool right;
    };

    const float* values(std::uint32_t local);
    std::vector<double> kurtosis_weights();
    bool is_category(std::uint32_t local) const {
        return of_columns_[features_[local]].categories > 0;
    }

    std::uint32_t grow(Range rows, Place place, std::size_t usable);
    Criterion draw_criterion();
    bool find_best(Range rows, std::size_t& usable);
    bool find_column(Range rows, std::size_t taken, std::size_t& usable);
    bool propose(Range rows, std::size_t taken, std::size_t& usable, Candidate& candidate);
    void propose_axis(Range rows, std::uint32_t local, Candidate& candidate);
    void add_term(Range rows, std::uint32_t local, Candidate& candidate);
    void combine(Range rows, Candidate& candidate);
    bool cut(Criterion criterion, Candidate& candidate);
    void send_missing(Candidate& candidate);
    bool cut_categories(Criterion criterion, Range rows, std::uint32_t local, Candidate& candidate);
    void count_categories(Range rows, const float* numbers);
    void list_categories(Range rows, const float* numbers, std::uint32_t unseen,
                         Candidate& candidate);
    std::size_t partition(Range rows, const std::vector<std::uint8_t>& right);

    const Columns& all_;
    const std::vector<PlaneColumn>& of_columns_;
    const ForestSettings& settings_;

    // of the tree at hand; rows and columns are numbered as they were drawn
    Random random_{0};
    PlaneTree tree_;
    std::span<const std::uint32_t> features_;
    std::vector<std::uint32_t> sample_;
    std::vector<std::uint32_t> order_;
    std::vector<float> values_;           ///< column after column
    std::vector<std::uint8_t> taken_in_;  ///< whether a column's values are there
    ColumnDraw draw_{{}, {}};

    Candidate best_;
    Candidate next_;
    std::vector<float> sorted_;
    std::vector<double> scratch_;
    std::vector<std::uint32_t> aside_;
    std::vector<std::uint32_t> counts_;  ///< by category
    std::vector<Category> present_;
    Pacer pacer_;
};

}  // namespace ad
