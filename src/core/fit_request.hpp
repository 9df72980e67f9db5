// What ad_fit is asked to do: its first argument, checked before a row is read.
#pragma once

#include "detector.hpp"
#include "threshold.hpp"

namespace ad {

enum class Impute : std::uint8_t { None, Median, Mean, Constant, Reject };

/// How missing values are treated before a detector sees them.
struct PreprocessRule {
    Impute impute = Impute::None;
    double fill_value = 0.0;  ///< of Impute::Constant

    /// `takes_missing` is the algorithm's: without "impute" its missing values stay, or become
    /// the median.
    static PreprocessRule parse(const Json& options, bool takes_missing);
    Json to_json() const;
};

struct FitRequest {
    static constexpr std::uint32_t kDefaultSampleSize = 32768;

    const Algorithm* algorithm;
    Params params;
    PreprocessRule preprocess;
    ThresholdRule threshold;
    std::vector<std::string> features;  ///< names; empty: the caller names them
    std::uint32_t identity_columns;     ///< leading arguments that identify the row
    std::uint32_t sample_size;
    std::int64_t random_seed;
    std::uint64_t max_memory;  ///< bytes

    static FitRequest parse(std::string_view text);

    /// Upper bound of the memory that a fit of this many features takes.
    std::uint64_t memory_bytes(std::size_t features) const;
    /// Throws MemoryLimit with both figures.
    void check_memory(std::size_t features) const;
};

}  // namespace ad
