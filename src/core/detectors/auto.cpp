// Auto: a fixed set of detectors with complementary strengths, combined without tuning and without
// labels. What of the set fits the data is decided by a few rules, which the model records.
// Fit and score: three forests, a robust covariance and the ranks of each column.
// Cortes: "Revisiting randomized choices in isolation forests", arXiv:2110.13402; Liu, Ting, Zhou:
// "On Detecting Clustered Anomalies Using SCiForest", ECML 2010; Rousseeuw, Van Driessen: "A Fast
// Algorithm for the Minimum Covariance Determinant Estimator", Technometrics 1999; Li et al.:
// "ECOD", TKDE 2022.
#include <algorithm>

#include "../committee.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

/// Rows a column that a covariance needs before it says more about the data than about chance.
constexpr std::size_t kRowsAColumn = 5;
/// Anomalies are expected to be fewer than a quarter of the rows; the half that withstands more of
/// them knows less of the others (Croux, Haesbroeck: "Influence Function and Efficiency of the
/// Minimum Covariance Determinant Scatter Matrix Estimator", JMVA 71, 1999).
constexpr double kSupport = 0.75;
/// Its cost grows with the cube of the columns.
constexpr std::size_t kMostColumns = 200;

/// What the rules look at.
struct Shape {
    std::size_t rows;
    std::size_t columns;
    std::size_t categorical;
    std::size_t varying;  ///< columns that are not constant
};

Shape shape_of(const Training& training) {
    const Columns& rows = training.rows;
    Shape shape{.rows = rows.rows, .columns = rows.count, .categorical = 0, .varying = 0};
    for (std::size_t j = 0; j < rows.count; ++j) {
        if (training.categories_of(j) > 0) ++shape.categorical;
        const double* first = rows.column[j];
        const double* end = first + rows.rows;
        first = std::find_if(first, end, [](double value) { return !std::isnan(value); });
        const bool varies = std::any_of(
            first, end, [&](double value) { return !std::isnan(value) && value != *first; });
        if (varies) ++shape.varying;
    }
    return shape;
}

struct Choice {
    std::vector<MemberSpec> members;
    Json reasons = Json::array();

    void take(const Json& member) { members.push_back(MemberSpec::parse(member)); }
    void say(const std::string& reason) { reasons.push_back(reason); }
};

Json forest(double weight, Json parameters) {
    return {{"algorithm", "isolation_forest"},
            {"parameters", std::move(parameters)},
            {"weight", weight}};
}

void choose_covariance(const Shape& shape, Choice& choice) {
    const std::size_t numbers = shape.columns - shape.categorical;
    const std::size_t needed = kRowsAColumn * shape.varying;
    if (numbers == 0) {
        choice.say("no elliptic_envelope: all columns are categories");
    } else if (shape.columns > kMostColumns) {
        choice.say("no elliptic_envelope: " + std::to_string(shape.columns) +
                   " columns, more than " + std::to_string(kMostColumns));
    } else if (shape.rows < needed) {
        choice.say("no elliptic_envelope: " + std::to_string(shape.rows) + " rows, less than " +
                   std::to_string(kRowsAColumn) + " for each of " + std::to_string(shape.varying) +
                   " columns that vary");
    } else {
        choice.take(
            {{"algorithm", "elliptic_envelope"}, {"parameters", {{"support_fraction", kSupport}}}});
        choice.say("elliptic_envelope: enough rows for a covariance");
    }
}

Choice choose(const Shape& shape) {
    Choice choice;
    choice.take(forest(
        4,
        {{"n_estimators", 300}, {"ndim", 3}, {"prob_pick_pooled_gain", 1}, {"max_depth", "none"}}));
    choice.take(forest(2, Json::object()));
    choice.say("fair-cut forest and isolation forest: always");
    if (shape.varying > 1) {
        choice.take(forest(3, {{"n_estimators", 200},
                               {"ndim", 2},
                               {"ntry", 10},
                               {"coefs", "normal"},
                               {"prob_pick_avg_gain", 1},
                               {"penalize_range", true}}));
        choice.say("SCiForest: several columns vary");
    } else {
        choice.say("no SCiForest: not more than one column varies");
    }
    choose_covariance(shape, choice);
    if (shape.categorical < shape.columns) {
        choice.take("ecod");
        choice.say("ecod: there are numbers");
    }
    if (shape.categorical > 0) {
        choice.take("rare_category");
        choice.say("rare_category: there are categories");
    }
    return choice;
}

class Auto final : public Detector {
  public:
    void fit(const Training& training, const Params&, Random random) override {
        const Shape shape = shape_of(training);
        const Choice choice = choose(shape);
        committee_.fit(training, choice.members, Combination::PowerTail, random);
        threshold_ = Committee::usual_tail(training.rows.rows);
        Json members = Json::array();
        for (const MemberSpec& member : choice.members) members.push_back(member.to_json());
        chosen_ = {{"members", std::move(members)},
                   {"combination", "power_tail"},
                   {"reasons", choice.reasons}};
    }

    void score(const Columns& rows, double* scores) const override {
        committee_.score(rows, scores);
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        committee_.explain(rows, row, contributions);
    }

    double natural_threshold() const override { return threshold_; }

    double largest_score() const override { return committee_.largest_score(); }

    Json describe() const override { return chosen_; }

    void save(Writer& out) const override { committee_.save(out); }

    void load(Reader& in, std::size_t columns) override { committee_.load(in, columns); }

    std::size_t memory_bytes() const override { return committee_.memory_bytes(); }

  private:
    Committee committee_;
    // known after a fit
    Json chosen_;
    double threshold_ = kMissing;
};

/// Members at most: those of so many columns that all vary, with rows enough.
std::vector<MemberSpec> most_members(std::size_t columns, std::size_t categorical) {
    return choose({.rows = kRowsAColumn * columns,
                   .columns = columns,
                   .categorical = categorical,
                   .varying = columns})
        .members;
}

}  // namespace

constexpr Algorithm kAuto{
    .name = "auto",
    .family = kEnsembleFamily,
    .summary = "what forests, a robust covariance and ranks find together, without tuning",
    .score_scale = "cube root of the mean of (-ln(p))^3 over the members: 0 and up",
    .paper = "Cortes: Revisiting randomized choices in isolation forests (arXiv:2110.13402)",
    .random = true,
    .takes_missing = true,
    .takes_categories = true,
    .payload_version = 1,
    .params = {},
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Auto>(); },
    .fit_bytes =
        [](const Params&, const FitShape& shape) {
            return Committee::fit_bytes(most_members(shape.columns, shape.categorical), shape);
        },
    .fit_steps =
        [](const Params&, double rows, double columns) {
            const auto members = most_members(static_cast<std::size_t>(columns), 0);
            return Committee::fit_steps(members, rows, columns);
        },
};

}  // namespace ad
