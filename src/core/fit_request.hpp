// What ad_fit is asked to do: its first argument, checked before a row is read.
#pragma once

#include "detector.hpp"
#include "features.hpp"
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
    std::uint32_t sample_size;          ///< 0: as many as memory allows, up to kDefaultSampleSize
    std::int64_t random_seed;

    static FitRequest parse(std::string_view text);

    /// The rows to keep of a source with these features, so that the fit takes at most
    /// `max_memory` bytes. Throws MemoryLimit when the rows asked for need more.
    std::uint32_t affordable_sample(const Schema& schema, std::uint64_t max_memory) const;

    /// What a training on a source of `rows` rows takes, in bytes: the sample and the detector.
    /// Throws MemoryLimit where the training would.
    std::uint64_t training_bytes(const Schema& schema, std::uint64_t rows,
                                 std::uint64_t max_memory) const;

    /// Throws MemoryLimit if the detector of a sample of this size would need more.
    void check_detector(std::uint64_t rows, std::uint64_t columns, std::uint64_t max_memory) const;
};

}  // namespace ad
