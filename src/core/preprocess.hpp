// From the features that users name to the columns that detectors see, and what was learned about
// each feature on the way.
//
//   number, boolean   one column, the value
//   timestamp         four: position in the day and in the week, each as a point on a closed curve
//   date              four: position in the week and in the year
//   time              two: position in the day
//   category          one: its number, 0 for the most frequent; never seen = how many there are
#pragma once

#include "columns.hpp"
#include "fit_state.hpp"

namespace ad {

/// Column pointers for one call, with room for the columns that had to be computed.
struct Block {
    std::vector<const double*> pointers;
    std::vector<double> storage;
    std::vector<std::uint8_t> rejected;  ///< per row; only filled by Impute::Reject

    Columns view(std::size_t rows) const { return {pointers.data(), pointers.size(), rows}; }
};

/// The categories that the sample held, most frequent first.
struct Category {
    std::uint64_t hash;
    std::uint32_t count;
    std::string label;
};

/// What the training rows said about one feature; the baseline for drift.
struct FeatureStats {
    static constexpr std::size_t kQuantiles = 21;  ///< 0, 0.05, ... 1

    double missing_fraction = 0.0;
    double mean = kMissing;  ///< of numbers; NaN if there is none
    double stddev = kMissing;
    std::vector<double> quantiles;     ///< kQuantiles of them, or none
    std::vector<Category> categories;  ///< at most kMaxCategories

    double median() const { return quantiles.empty() ? kMissing : quantiles[kQuantiles / 2]; }
};

class Preprocess {
  public:
    static constexpr std::size_t kMaxCategories = Training::kMaxCategories;

    Preprocess() = default;
    Preprocess(const Schema& schema, const Sample& sample, FitState& state);

    std::size_t columns() const { return columns_; }
    std::size_t features() const { return features_.size(); }
    const FeatureStats& stats(std::size_t feature) const { return features_[feature].stats; }
    const PreprocessRule& rule() const { return rule_; }
    /// How many categories each column has, 0 for numbers; empty if there are only numbers.
    std::vector<std::uint32_t> categories() const;
    /// Columns of feature j: [first_column(j), first_column(j + 1)).
    std::size_t first_column(std::size_t feature) const;

    /// Fills `block`. Its pointers may point into `cells`, which must outlive their use.
    void apply(const Cells& cells, Block& block) const;

    void save(Writer& out) const;
    void load(Reader& in, const Schema& schema);

  private:
    struct Learned {
        FeatureKind kind;
        FeatureStats stats;
        double fill;                                        ///< replaces a missing number
        std::unordered_map<std::uint64_t, double> numbers;  ///< of categories
    };

    bool imputes() const { return rule_.impute != Impute::None; }
    void encode(const Learned& learned, const Cell* in, std::size_t rows, double* out) const;
    void mark_rejected(const Cells& cells, std::vector<std::uint8_t>& rejected) const;
    void finish();

    PreprocessRule rule_;
    std::vector<Learned> features_;
    std::size_t columns_ = 0;
    bool passes_through_ = false;  ///< each column is a feature as it is
};

}  // namespace ad
