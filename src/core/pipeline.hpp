// A detector and the columns as it wants them: what stands between the columns that all algorithms
// share and the ones that this detector sees. A model has one pipeline; an ensemble has one for
// each of its members.
#pragma once

#include <memory>

#include "detector.hpp"

namespace ad {

class Pipeline {
  public:
    explicit Pipeline(const Algorithm& algorithm);

    const Algorithm& algorithm() const { return *algorithm_; }
    const Detector& detector() const { return *detector_; }

    /// `training` may have missing values, categories and weights, whatever the algorithm takes:
    /// - a missing value becomes the median, or the most frequent category;
    /// - a category becomes its surprisal, -log2((count + 1) / (n + 2)) bits; unseen = highest;
    /// - numbers are brought within kLargestValue, and scaled.
    void fit(const Training& training, const Params& params, Scale scale, Random random);
    /// As Algorithm::fit_bytes, with the columns as the detector wants them.
    static std::uint64_t fit_bytes(const Algorithm& algorithm, const Params& params, Scale scale,
                                   const FitShape& shape);
    /// What of that are the columns as the detector wants them, which it does not keep.
    static std::uint64_t converted_bytes(const Algorithm& algorithm, Scale scale,
                                         const FitShape& shape);

    /// Any number of rows; as Detector::score otherwise.
    void score(const Columns& rows, double* scores) const;
    void explain(const Columns& rows, std::size_t row, double* contributions) const;

    void save(Writer& out) const;
    void load(Reader& in, std::size_t columns);
    std::size_t memory_bytes() const;

  private:
    struct Column {
        std::vector<double> surprisals;  ///< by category, and one for the unseen; of numbers empty
        double fill = kMissing;          ///< for a missing value
        ColumnScale scale;

        double apply(double value, bool keep_extremes) const;
    };

    static Column learn(const Training& training, std::size_t j, bool surprisals);
    static bool changes(const Algorithm& algorithm, Scale scale, bool categories);
    bool changes_nothing() const { return columns_.empty(); }
    void score_block(const Columns& block, std::vector<double>& storage, double* scores) const;
    void convert(const Columns& rows, std::size_t first, std::size_t count, double* storage) const;

    const Algorithm* algorithm_;
    std::unique_ptr<Detector> detector_;
    std::vector<Column> columns_;  ///< empty: the detector takes all columns as they are
};

}  // namespace ad
