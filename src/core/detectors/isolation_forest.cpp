// Isolation forests: find rows that random cuts separate from the rest early. By their parameters
// the forest as it was published, extended isolation forest, SCiForest and the fair-cut forest.
// Fit: n_estimators x max_samples x depth (x ndim x ntry), whatever the size of the table. Score:
// one way from the root to a leaf for each tree.
// Liu, Ting, Zhou: "Isolation Forest", ICDM 2008; "Isolation-Based Anomaly Detection", TKDD 2012.
// Hariri, Carrasco Kind, Brunner: "Extended Isolation Forest", 2019. Liu, Ting, Zhou: "On Detecting
// Clustered Anomalies Using SCiForest", ECML 2010. Cortes: "Revisiting randomized choices in
// isolation forests", arXiv:2110.13402; "Isolation forests: looking beyond tree depth",
// arXiv:2111.11639. Parameters mean what they do in his library isotree.
#include <algorithm>
#include <variant>

#include "../forest_axis.hpp"
#include "../forest_draw.hpp"
#include "../forest_planes.hpp"
#include "../portable_math.hpp"
#include "../quantiles.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

std::uint32_t max_depth_of(const Params& params, double samples) {
    if (params.choice("max_depth") == "none") return kMaxTreeDepth;
    if (params.choice("max_depth").empty())
        return static_cast<std::uint32_t>(params.number("max_depth"));
    std::uint32_t depth = 0;
    while (static_cast<double>(1ULL << depth) < std::max(samples, 2.0)) ++depth;
    return depth;
}

ForestSettings settings_of(const Params& params) {
    return {.trees = static_cast<std::uint32_t>(params.number("n_estimators")),
            .samples = static_cast<std::uint32_t>(params.number("max_samples")),
            .features = params.number("max_features"),
            .bootstrap = params.flag("bootstrap"),
            .max_depth = kMaxTreeDepth,
            .dimensions = static_cast<std::uint32_t>(params.number("ndim")),
            .tries = static_cast<std::uint32_t>(params.number("ntry")),
            .pooled = params.number("prob_pick_pooled_gain"),
            .averaged = params.number("prob_pick_avg_gain"),
            .normal_coefficients = params.choice("coefs") == "normal",
            .penalizes_range = params.flag("penalize_range"),
            .weighs_by_kurtosis = params.flag("weigh_by_kurtosis"),
            .by_density = params.choice("scoring_metric") == "density"};
}

/// Whether random cuts in single columns are all that is asked for.
bool is_plain(const ForestSettings& settings) {
    return settings.dimensions == 1 && settings.pooled + settings.averaged == 0.0 &&
           !settings.penalizes_range;
}

bool has_categories(const Training& training) {
    for (std::size_t j = 0; j < training.rows.count; ++j) {
        if (training.categories_of(j) > 0) return true;
    }
    return false;
}

class IsolationForest final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        if (training.rows.count > AxisForest::kMaxColumns)
            throw InvalidData("an isolation forest takes at most 65534 columns");
        ForestSettings settings = settings_of(params);
        const auto rows = static_cast<double>(training.rows.rows);
        settings.max_depth = max_depth_of(params, std::min<double>(settings.samples, rows));
        if (!is_plain(settings) || has_categories(training)) forest_.emplace<PlaneForest>();
        std::visit([&](auto& forest) { forest.fit(training, settings, random); }, forest_);
        finish();
    }

    void score(const Columns& rows, double* scores) const override {
        std::uint64_t sums[kMaxBlock];
        std::visit([&](const auto& forest) { forest.sum_paths(rows, sums); }, forest_);
        for (std::size_t i = 0; i < rows.rows; ++i) scores[i] = score_of(sums[i]);
    }

    /// The steps of a row's paths, averaged over the trees. By depth and divided by
    /// c(max_samples), the contributions of a row add up to 1 + log2(score); by density, to the
    /// score.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::fill_n(contributions, rows.count, 0.0);
        if (samples_ <= 1) return;
        const double share = 1.0 / (by_density_ ? trees_ : trees_ * average_path_);
        std::visit([&](const auto& forest) { forest.explain(rows, row, share, contributions); },
                   forest_);
    }

    void save(Writer& out) const override {
        out.number(static_cast<std::uint8_t>(forest_.index()));
        std::visit([&](const auto& forest) { forest.save(out); }, forest_);
    }

    void load(Reader& in, std::size_t columns) override {
        if (in.at_most<std::uint8_t>(1) == 1) forest_.emplace<PlaneForest>();
        std::visit([&](auto& forest) { forest.load(in, columns); }, forest_);
        finish();
    }

    std::size_t memory_bytes() const override {
        return std::visit([](const auto& forest) { return forest.memory_bytes(); }, forest_);
    }

  private:
    void finish() {
        std::visit(
            [&](const auto& forest) {
                trees_ = static_cast<double>(forest.trees());
                samples_ = forest.samples();
                by_density_ = forest.by_density();
                average_path_ = forest.expected_path();
            },
            forest_);
    }

    /// 2^(-E[h] / c(max_samples)), or the mean of the logarithms of the density's inverse; a forest
    /// of one row cannot isolate anything and says 0.5, or 0.
    double score_of(std::uint64_t sum) const {
        const double mean = static_cast<double>(sum) / (kPathUnit * trees_);
        if (by_density_) return mean - kDensityOffset;
        if (samples_ <= 1) return 0.5;
        return portable_exp2(-mean / average_path_);
    }

    std::variant<AxisForest, PlaneForest> forest_;
    double trees_ = 0.0;
    std::uint32_t samples_ = 0;
    bool by_density_ = false;
    double average_path_ = 0.0;  ///< c(max_samples)
};

/// Rows from which on the trees are brought into a faster form.
constexpr std::uint64_t kFastPays = 256;

/// Leaves of a tree, if the depth leaves room for that many. Where it leaves no more than there are
/// rows, some of it stays empty: a PlaneForest does not part two rows, which is a quarter whatever
/// the cuts; and rows that are drawn from many do not part evenly, which leaves a quarter to an
/// AxisForest even if each of its cuts goes between two clusters.
std::uint64_t most_leaves(const Params& params, bool planes, std::uint64_t rows) {
    const auto samples = static_cast<std::uint64_t>(params.number("max_samples"));
    const std::uint64_t drawn = std::min(rows, samples);
    const std::uint32_t depth = max_depth_of(params, static_cast<double>(drawn));
    if (depth >= 32) return drawn;
    const std::uint64_t room = std::uint64_t{1} << depth;
    if (room < drawn) return room;
    const bool even = !planes && rows < 2 * samples;
    return std::min(drawn, even ? room : room * (planes ? 15 : 16) / 20);
}

std::uint64_t bytes_of_forest(const Params& params, const FitShape& shape) {
    const ForestSettings settings = settings_of(params);
    const bool categories = shape.categorical > 0;
    const bool planes = !is_plain(settings) || categories;
    const std::uint64_t leaves = most_leaves(params, planes, shape.rows);
    if (!planes) return AxisForest::fit_bytes(settings, leaves, shape);
    const std::uint64_t drawn = std::min<std::uint64_t>(shape.rows, settings.samples);
    const std::uint64_t of_tree = PlaneForest::expected_bytes_of_tree(
        leaves, std::min<std::uint64_t>(settings.dimensions, shape.columns), shape.columns,
        categories, shape.rows * shape.scorings >= kFastPays);
    const std::uint64_t of_trees = settings.trees * of_tree + drawn * shape.columns * sizeof(float);
    // before there are trees: of a column, what its median needs
    const std::uint64_t of_column = 3 * shape.rows * sizeof(double) + quantiles_bytes(shape.rows);
    return RowDraw::bytes(shape.rows, drawn) + std::max(of_trees, of_column);
}

double steps_of_forest(const Params& params, double rows, double columns) {
    const double samples = std::min(rows, params.number("max_samples"));
    const double tried = std::min(params.number("ndim"), columns) * params.number("ntry");
    return params.number("n_estimators") * (samples * std::log2(samples + 1.0) * tried + rows);
}

void check_parameters(const Params& params) {
    const ForestSettings settings = settings_of(params);
    if (settings.pooled + settings.averaged > 1.0) {
        throw InvalidParameter(
            "parameters \"prob_pick_pooled_gain\" and \"prob_pick_avg_gain\" of isolation_forest "
            "add up to more than 1",
            "They are the fractions of the splits that each criterion decides.");
    }
    if (settings.by_density && settings.penalizes_range) {
        throw InvalidParameter(
            "parameter \"penalize_range\" of isolation_forest does not apply to the "
            "\"scoring_metric\" density",
            "Leave one of them out.");
    }
}

constexpr std::string_view kCoefficients[] = {"uniform", "normal"};
constexpr std::string_view kDepths[] = {"auto", "none"};
constexpr std::string_view kMetrics[] = {"depth", "density"};

constexpr ParamSpec kParams[] = {
    {"n_estimators", ParamType::Integer, 100, 1, kMaxTrees, {}, "number of trees"},
    {"max_samples", ParamType::Integer, 256, 2, kMaxSamples, {}, "rows drawn for each tree"},
    {"max_features",
     ParamType::Real,
     1.0,
     1e-6,
     65534,
     {},
     "columns drawn for each tree: a fraction up to 1, or a count"},
    {"bootstrap", ParamType::Boolean, 0, 0, 1, {}, "draw the rows of a tree with replacement"},
    {"max_depth", ParamType::Integer, kMissing, 1, kMaxTreeDepth, kDepths,
     "levels of a tree: auto is log2 of max_samples, none goes on until every row is alone"},
    {"ndim",
     ParamType::Integer,
     1,
     1,
     PlaneForest::kMaxDimensions,
     {},
     "columns of a split; splits of several are planes"},
    {"coefs", ParamType::Choice, 0, 0, 0, kCoefficients,
     "distribution of the coefficients of planes"},
    {"ntry",
     ParamType::Integer,
     1,
     1,
     1000,
     {},
     "columns or planes tried for a split that is chosen by gain"},
    {"prob_pick_pooled_gain",
     ParamType::Real,
     0,
     0,
     1,
     {},
     "fraction of the splits that cut where most of the variance is explained"},
    {"prob_pick_avg_gain",
     ParamType::Real,
     0,
     0,
     1,
     {},
     "fraction of the splits that cut where the sides' mean deviation is least"},
    {"penalize_range",
     ParamType::Boolean,
     0,
     0,
     1,
     {},
     "a row far outside of the range of a node is stranger by one step"},
    {"weigh_by_kurtosis",
     ParamType::Boolean,
     0,
     0,
     1,
     {},
     "prefer columns of high kurtosis in the rows of a tree"},
    {"scoring_metric", ParamType::Choice, 0, 0, 0, kMetrics,
     "score by the depth or by the density of the leaves that a row reaches"},
};

}  // namespace

constexpr Algorithm kIsolationForest{
    .name = "isolation_forest",
    .family = "isolation",
    .summary = "rows that random cuts separate from the others early",
    .score_scale =
        "0 to 1, equal in meaning to scikit-learn's -score_samples; about 0.5 and below is "
        "ordinary; by density, the logarithm of how much sparser a row's surroundings are than "
        "the average",
    .paper = "Liu, Ting, Zhou: Isolation Forest (ICDM 2008)",
    .random = true,
    .takes_missing = true,
    .takes_categories = true,
    .takes_weights = true,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<IsolationForest>(); },
    .fit_bytes = bytes_of_forest,
    .fit_steps = steps_of_forest,
    .check = check_parameters,
};

}  // namespace ad
