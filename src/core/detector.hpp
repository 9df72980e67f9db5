// What an algorithm is to the rest of the program.
#pragma once

#include <memory>

#include "columns.hpp"
#include "params.hpp"
#include "random.hpp"
#include "wire.hpp"

namespace ad {

/// A fitted (or, before fit and load, empty) anomaly detector. Implementations are deterministic:
/// the same rows, parameters and random stream give the same bytes and the same scores on every
/// CPU, and a row's score does not depend on the rows that are scored with it.
class Detector {
  public:
    Detector() = default;
    Detector(const Detector&) = delete;
    Detector& operator=(const Detector&) = delete;
    virtual ~Detector() = default;

    /// Learns from a sample of at least one row and one column. Values are finite; NaN occurs only
    /// if the registry says that the algorithm takes missing values.
    virtual void fit(const Columns& sample, const Params& params, Random random) = 0;

    /// Rows in one call of `score`, at most.
    static constexpr std::size_t kMaxBlock = 1024;

    /// Writes one finite score a row, higher is stranger. Values may be infinite.
    virtual void score(const Columns& rows, double* scores) const = 0;

    /// Writes to `contributions` what each column adds to the score of row `row`, in the
    /// algorithm's documented unit; positive means stranger.
    virtual void explain(const Columns& rows, std::size_t row, double* contributions) const = 0;

    /// The threshold that the literature gives for this score, or NaN: then `auto` takes it from
    /// the distribution of the training scores.
    virtual double natural_threshold() const { return kMissing; }

    virtual void save(Writer& out) const = 0;
    /// Reads what `save` wrote for `columns` columns; throws CorruptModel.
    virtual void load(Reader& in, std::size_t columns) = 0;

    /// Memory held, for the cache that keeps models.
    virtual std::size_t memory_bytes() const = 0;
};

/// A row of the registry.
struct Algorithm {
    std::string_view name;
    std::string_view family;
    std::string_view summary;
    std::string_view score_scale;
    std::string_view paper;
    bool takes_missing;             ///< NaN reaches fit and score; otherwise values are imputed
    std::uint16_t payload_version;  ///< of the bytes between save and load
    std::span<const ParamSpec> params;
    std::unique_ptr<Detector> (*make)();
    /// Upper bound of what a detector holds after a fit on that many rows and columns.
    std::uint64_t (*detector_bytes)(const Params& params, std::uint64_t rows,
                                    std::uint64_t columns);
};

}  // namespace ad
