// What an algorithm is to the rest of the program.
#pragma once

#include <memory>

#include "columns.hpp"
#include "params.hpp"
#include "random.hpp"
#include "scaling.hpp"
#include "wire.hpp"

namespace ad {

/// What a detector learns from: at least one row and one column. A value is finite; NaN occurs only
/// if the registry says that the algorithm takes missing values.
struct Training {
    static constexpr std::uint32_t kMaxCategories = 1000;  ///< of a column

    Columns rows;
    /// One a row, positive; null if all rows count alike, as they always do unless the registry
    /// says that the algorithm takes weights.
    const double* weights = nullptr;
    /// One a column: how many categories it has, or 0 for numbers. A category is a whole number
    /// below that, the most frequent one 0; a row that is scored may have this number itself, which
    /// stands for every category that training did not see. Null: all columns hold numbers, as they
    /// always do unless the registry says that the algorithm takes categories.
    const std::uint32_t* categories = nullptr;

    std::uint32_t categories_of(std::size_t j) const {
        return categories == nullptr ? 0 : categories[j];
    }
};

/// A fitted (or, before fit and load, empty) anomaly detector. Implementations are deterministic:
/// the same rows, parameters and random stream give the same bytes and the same scores on every
/// CPU, and a row's score does not depend on the rows that are scored with it.
class Detector {
  public:
    Detector() = default;
    Detector(const Detector&) = delete;
    Detector& operator=(const Detector&) = delete;
    virtual ~Detector() = default;

    /// Called once, on an empty detector.
    virtual void fit(const Training& training, const Params& params, Random random) = 0;

    /// Rows in one call of `score`, at most.
    static constexpr std::size_t kMaxBlock = 1024;

    /// Writes one finite score a row, higher is stranger. Values are within kLargestValue unless
    /// the algorithm takes missing values: then they may be NaN or infinite.
    virtual void score(const Columns& rows, double* scores) const = 0;

    /// Writes to `contributions` what each column adds to the score of row `row`, in the
    /// algorithm's documented unit; positive means stranger.
    virtual void explain(const Columns& rows, std::size_t row, double* contributions) const = 0;

    /// The threshold that the literature gives for this score, or NaN: then `auto` takes it from
    /// the distribution of the training scores.
    virtual double natural_threshold() const { return kMissing; }

    /// What no score exceeds; infinity if scores have no end, or one that is not known. A threshold
    /// for rows rarer than any seen is not set beyond.
    virtual double largest_score() const { return std::numeric_limits<double>::infinity(); }

    /// What the fit chose by itself, an object for the metadata of the model; null if there is
    /// nothing to say. Asked for after a fit only: the model keeps it.
    virtual Json describe() const { return nullptr; }

    virtual void save(Writer& out) const = 0;
    /// Reads what `save` wrote for `columns` columns; throws CorruptModel.
    virtual void load(Reader& in, std::size_t columns) = 0;

    /// Memory held, for the cache that keeps models.
    virtual std::size_t memory_bytes() const = 0;
};

/// What is known of the rows of a fit beforehand.
struct FitShape {
    std::uint64_t rows;
    std::uint64_t columns;
    std::uint64_t categorical = 0;  ///< columns of them that have categories
    std::uint64_t scorings = 1;     ///< how often the rows are scored afterwards
};

/// A row of the registry.
struct Algorithm {
    std::string_view name;
    std::string_view family;
    std::string_view summary;
    std::string_view score_scale;
    std::string_view paper;
    bool random;                    ///< the seed changes the model, with some parameters at least
    bool takes_missing = false;     ///< NaN reaches fit and score; otherwise values are imputed
    bool takes_categories = false;  ///< numbers of categories do; otherwise their surprisals
    bool needs_categories = false;  ///< and looks at nothing else: numbers alone are refused
    bool takes_weights = false;
    Scale scale = Scale::None;  ///< of the columns, unless "preprocess" names another
    std::uint32_t max_columns = 65534;
    std::uint16_t payload_version;  ///< of the bytes between save and load
    std::span<const ParamSpec> params;
    std::unique_ptr<Detector> (*make)();
    /// Upper bound of the memory that a fit, and scoring its rows afterwards, takes at any time
    /// beyond the rows and the scores: what the detector holds is part of it.
    std::uint64_t (*fit_bytes)(const Params& params, const FitShape& shape);
    /// How the time of a fit grows, and of scoring the same rows, which comes after it: about the
    /// multiplications that it takes, so that members of an ensemble add up. Where the rows decide
    /// when a fit ends, as many rounds as usual: with clear clusters it takes fewer.
    double (*fit_steps)(const Params& params, double rows, double columns);
    /// Refuses parameters that are wrong together (InvalidParameter); null if none can be.
    void (*check)(const Params& params) = nullptr;
};

}  // namespace ad
