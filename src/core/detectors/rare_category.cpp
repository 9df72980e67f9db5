// Rare categories: finds rows with a rare or never-seen value in a column of categories. Fit
// linear, score one lookup a column.
// The surprisal of a value (Shannon: "A Mathematical Theory of Communication", 1948) less the
// column's entropy, so that a column in which every value is rare says nothing.
#include <algorithm>

#include "../portable_math.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr double kMostBits = 128.0;
/// A value a hundred times rarer than what is usual in its column.
constexpr double kUsualThreshold = 6.643856189774724;

class RareCategory final : public Detector {
  public:
    void fit(const Training& training, const Params&, Random) override {
        bool any = false;
        excess_.reserve(training.rows.count);
        for (std::size_t j = 0; j < training.rows.count; ++j) {
            poll();
            const std::uint32_t categories = training.categories_of(j);
            any = any || categories > 0;
            excess_.push_back(categories > 0
                                  ? learn(training.rows.column[j], training.rows.rows, categories)
                                  : std::vector<double>());
        }
        if (any) return;
        throw InvalidData("rare_category needs a feature with categories",
                          "Numbers, booleans, dates and times are not looked at: cast a code that "
                          "is stored as a number to text, or choose another algorithm.");
    }

    void score(const Columns& rows, double* scores) const override {
        std::fill_n(scores, rows.rows, -kMostBits);
        for (std::size_t j = 0; j < rows.count; ++j) {
            if (excess_[j].empty()) continue;
            for (std::size_t i = 0; i < rows.rows; ++i) {
                scores[i] = std::max(scores[i], excess(j, rows.at(i, j)));
            }
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        for (std::size_t j = 0; j < rows.count; ++j) {
            contributions[j] = excess_[j].empty() ? 0.0 : excess(j, rows.at(row, j));
        }
    }

    double natural_threshold() const override { return kUsualThreshold; }

    void save(Writer& out) const override {
        for (const auto& column : excess_) out.array(column);
    }

    void load(Reader& in, std::size_t columns) override {
        bool any = false;
        for (std::size_t j = 0; j < columns; ++j) {
            excess_.push_back(in.array<double>());
            if (excess_[j].empty()) continue;
            any = true;
            if (excess_[j].size() < 2) throw CorruptModel("too few categories");
            for (const double bits : excess_[j]) {
                if (!(std::fabs(bits) <= kMostBits)) throw CorruptModel("surprisal out of range");
            }
        }
        if (!any) throw CorruptModel("no column has categories");
    }

    std::size_t memory_bytes() const override {
        std::size_t bytes = sizeof(RareCategory);
        for (const auto& column : excess_) bytes += sizeof(column) + column.size() * sizeof(double);
        return bytes;
    }

  private:
    /// Places of a column: the categories, one that stands for all others, and the missing value.
    static std::size_t place_of(double code, std::size_t places) {
        if (std::isnan(code)) return places - 1;
        const std::size_t unseen = places - 2;
        return code >= 0.0 && code < static_cast<double>(unseen) ? static_cast<std::size_t>(code)
                                                                 : unseen;
    }

    /// A category that is too rare to be told apart counts as one that was never seen.
    static std::vector<double> learn(const double* codes, std::size_t rows,
                                     std::uint32_t categories) {
        const std::size_t places = std::size_t{categories} + 2;
        std::vector<double> counts(places);
        for (std::size_t i = 0; i < rows; ++i) counts[place_of(codes[i], places)] += 1.0;
        const auto n = static_cast<double>(rows);
        std::vector<double> bits(places);
        double entropy = 0.0;
        for (std::size_t c = 0; c < places; ++c) {
            const double seen = c == categories ? 0.0 : counts[c];
            bits[c] = portable_log2((n + 2.0) / (seen + 1.0));
            entropy += counts[c] / n * bits[c];
        }
        for (double& value : bits) value -= entropy;
        return bits;
    }

    double excess(std::size_t j, double code) const {
        return excess_[j][place_of(code, excess_[j].size())];
    }

    std::vector<std::vector<double>> excess_;  ///< by place; empty of a column of numbers
};

}  // namespace

constexpr Algorithm kRareCategory{
    .name = "rare_category",
    .family = "univariate",
    .summary = "rare and never-seen values in columns of categories",
    .score_scale =
        "largest excess of the columns in bits: how much more surprising the value is "
        "than is usual in its column; 6.64 (a hundred times rarer) is the threshold",
    .paper = "Shannon: A Mathematical Theory of Communication (1948)",
    .random = false,
    .takes_missing = true,
    .takes_categories = true,
    .needs_categories = true,
    .payload_version = 1,
    .params = {},
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<RareCategory>(); },
    .fit_bytes =
        [](const Params&, const FitShape& shape) {
            const std::uint64_t places =
                std::min<std::uint64_t>(shape.rows, Training::kMaxCategories) + 2;
            // and the counts of one column
            return shape.columns * sizeof(std::vector<double>) +
                   (shape.categorical + 1) * places * sizeof(double);
        },
    .fit_steps = [](const Params&, double rows, double columns) { return rows * columns; },
};

}  // namespace ad
