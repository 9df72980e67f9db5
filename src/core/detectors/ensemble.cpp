// Ensemble: several detectors that judge a row together. Scores of different units become
// comparable by their place among the scores of the training rows. Fit and score: the sum of those
// of its members. Aggarwal, Sathe: "Outlier Ensembles: An Introduction" (2017); Zimek, Campello,
// Sander: "Ensembles for Unsupervised Outlier Detection", SIGKDD Explorations 2013; the mean of
// -ln(p) is Fisher's method: "Statistical Methods for Research Workers" (1925).
#include "../committee.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

std::vector<MemberSpec> members_of(const Params& params) {
    return MemberSpec::parse_list(params.list("members"));
}

Combination combination_of(const Params& params) {
    std::size_t k = 0;
    while (kCombinationNames[k] != params.choice("combination")) ++k;
    return static_cast<Combination>(k);
}

double usual_threshold(Combination combination, std::size_t rows) {
    constexpr double kMajority = 0.5;
    switch (combination) {
        case Combination::Voting:
            return kMajority;
        case Combination::LogRankTail:
        case Combination::PowerTail:
            return Committee::usual_tail(rows);
        default:
            return kMissing;
    }
}

class Ensemble final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Combination combination = combination_of(params);
        committee_.fit(training, members_of(params), combination, random);
        threshold_ = params.number("confidence_threshold");
        if (std::isnan(threshold_)) threshold_ = usual_threshold(combination, training.rows.rows);
    }

    void score(const Columns& rows, double* scores) const override {
        committee_.score(rows, scores);
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        committee_.explain(rows, row, contributions);
    }

    double natural_threshold() const override { return threshold_; }
    double largest_score() const override { return committee_.largest_score(); }

    void save(Writer& out) const override {
        out.number(threshold_);
        committee_.save(out);
    }

    void load(Reader& in, std::size_t columns) override {
        threshold_ = in.number<double>();
        if (!std::isnan(threshold_) &&
            !(threshold_ >= 0.0 && threshold_ <= Committee::kUsualTail)) {
            throw CorruptModel("confidence threshold out of range");
        }
        committee_.load(in, columns);
    }

    std::size_t memory_bytes() const override { return committee_.memory_bytes(); }

  private:
    Committee committee_;
    double threshold_ = kMissing;
};

constexpr std::string_view kAuto[] = {"auto"};

constexpr ParamSpec kParams[] = {
    {.name = "members",
     .type = ParamType::List,
     .default_value = 0,
     .minimum = 0,
     .maximum = 0,
     .choices = {},
     .help = "names of algorithms, or objects with \"algorithm\", \"parameters\", \"scale\", "
             "\"weight\" and \"threshold\"",
     .default_list = R"(["isolation_forest", "local_outlier_factor"])"},
    {"combination", ParamType::Choice, 0, 0, 0, kCombinationNames,
     "how the judgements of the members become one score"},
    {"confidence_threshold", ParamType::Real, kMissing, 0, 1, kAuto,
     "score from which on a row is an anomaly, unless \"threshold\" says otherwise; \"auto\" is "
     "0.5 for voting and up to ln(100) for the tails"},
};

void check(const Params& params) {
    members_of(params);
    const auto combination = params.choice("combination");
    if ((combination == "log_rank_tail" || combination == "power_tail") &&
        !std::isnan(params.number("confidence_threshold"))) {
        throw InvalidParameter(
            "\"confidence_threshold\" does not go with the combination \"" +
                std::string(combination) + "\"",
            "Its scores are no confidences: use \"threshold\", or another combination.");
    }
}

}  // namespace

constexpr Algorithm kEnsemble{
    .name = "ensemble",
    .family = kEnsembleFamily,
    .summary = "what several algorithms find together",
    .score_scale =
        "0 to 1 for voting, average, maximum and median; for log_rank_tail the mean of -ln(p), 0 "
        "and up, 1 on the average training row; for power_tail the cube root of its mean cube",
    .paper = "Aggarwal, Sathe: Outlier Ensembles (2017)",
    .random = true,
    .takes_missing = true,
    .takes_categories = true,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Ensemble>(); },
    .fit_bytes =
        [](const Params& params, const FitShape& shape) {
            return Committee::fit_bytes(members_of(params), shape);
        },
    .fit_steps =
        [](const Params& params, double rows, double columns) {
            return Committee::fit_steps(members_of(params), rows, columns);
        },
    .check = check,
};

}  // namespace ad
