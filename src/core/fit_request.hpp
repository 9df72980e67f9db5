// What ad_fit is asked to do: its first argument, checked before a row is read.
#pragma once

#include "features.hpp"
#include "pipeline.hpp"
#include "threshold.hpp"

namespace ad {

enum class Impute : std::uint8_t { None, Median, Mean, Constant, Reject };

/// How missing values are treated before a detector sees them.
struct PreprocessRule {
    Impute impute = Impute::None;
    double fill_value = 0.0;  ///< of Impute::Constant
    Scale scale = Scale::None;

    /// The defaults are the algorithm's: without "impute" missing values stay, if it takes them, or
    /// become the median.
    static PreprocessRule parse(const Json& options, const Algorithm& algorithm);
    Json to_json() const;
};

struct FitRequest {
    static constexpr std::uint32_t kDefaultSampleSize = 32768;
    static constexpr std::uint32_t kSmallestSampleSize = 256;

    const Algorithm* algorithm;
    Params params;
    PreprocessRule preprocess;
    ThresholdRule threshold;
    std::vector<std::string> features;  ///< names; empty: the caller names them
    std::uint32_t identity_columns;     ///< leading arguments that identify the row
    std::uint32_t partition_columns;    ///< trailing features that only name the row's entity
    std::string weight;                 ///< the last feature, if it is none but the row's weight
    std::uint32_t min_rows;             ///< with fewer there is no model, and no error
    std::uint32_t sample_size;          ///< 0: as many as memory allows, up to kDefaultSampleSize
    std::uint32_t max_sample_size;      ///< what the sample is cut to, for a trial; 0: not cut
    std::int64_t random_seed;

    static FitRequest parse(std::string_view text);

    /// Of the features that come with the rows, how many the model sees. Throws InvalidParameter
    /// if there are none, or if the weight is not the last one or no number.
    std::size_t model_features(const Schema& schema) const;

    /// Whether an entity has too few rows for a model of its own: fewer than "min_rows", or too few
    /// for the p-value that is asked for. Never so without "min_rows".
    bool too_few(std::uint64_t rows) const;

    /// The rows to keep of a source with these features, so that the fit takes at most
    /// `max_memory` bytes. Throws MemoryLimit when the rows asked for need more.
    std::uint32_t affordable_sample(const Schema& schema, std::uint64_t max_memory) const;

    struct Cost {
        std::uint64_t sample;          ///< rows
        std::uint64_t sample_bytes;    ///< this and the next are bounded each by itself
        std::uint64_t detector_bytes;  ///< of the columns as it wants them, too
        double steps;                  ///< of the detector's fit, as Algorithm::fit_steps
    };
    /// What a training on a source of `rows` rows takes. Throws MemoryLimit where it would.
    Cost training_cost(const Schema& schema, std::uint64_t rows, std::uint64_t max_memory) const;

    /// Throws MemoryLimit if the detector of a sample of this shape would need more.
    void check_detector(const FitShape& shape, std::uint64_t max_memory) const;

  private:
    std::uint64_t detector_bytes(const FitShape& shape) const {
        return Pipeline::fit_bytes(*algorithm, params, preprocess.scale, shape);
    }
    FitShape shape_of(const Schema& schema, std::uint64_t rows) const;
};

}  // namespace ad
