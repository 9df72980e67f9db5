#include "committee.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "portable_math.hpp"
#include "registry.hpp"

namespace ad {

namespace {

double cube(double x) { return x * x * x; }

double cube_root(double x) { return x > 0.0 ? portable_exp2(portable_log2(x) / 3.0) : 0.0; }

[[noreturn]] void refuse_member(const std::string& why) {
    throw InvalidParameter(why,
                           "For example: {\"algorithm\": \"knn\", \"parameters\": "
                           "{\"n_neighbors\": 10}, \"weight\": 2}.");
}

Json object_of(const Json& member, const char* key) {
    const auto found = member.find(key);
    if (found == member.end()) return Json::object();
    if (!found->is_object()) {
        refuse_member("\"" + std::string(key) + "\" of a member must be a JSON object");
    }
    return *found;
}

Scale read_scale(const Json& member, const Algorithm& algorithm) {
    const auto found = member.find("scale");
    if (found == member.end()) return algorithm.scale;
    return parse_scale(*found);
}

}  // namespace

MemberSpec MemberSpec::parse(const Json& member) {
    if (member.is_string()) return parse({{"algorithm", member}});
    constexpr std::array<std::string_view, 5> kKeys{"algorithm", "parameters", "scale", "weight",
                                                    "threshold"};
    if (!member.is_object()) {
        refuse_member("a member must be the name of an algorithm or a JSON object");
    }
    refuse_unknown_keys(member, kKeys, "key of a member");
    const auto name = member.find("algorithm");
    if (name == member.end() || !name->is_string()) {
        refuse_member("a member needs an \"algorithm\"");
    }
    const Algorithm& algorithm = find_algorithm(name->get<std::string>());
    if (algorithm.family == kEnsembleFamily) {
        throw InvalidParameter(std::string(algorithm.name) + " cannot be a member of an ensemble",
                               "Name its members instead.");
    }
    MemberSpec spec{
        .algorithm = &algorithm,
        .params = Params(algorithm.params, object_of(member, "parameters"), algorithm.name),
        .scale = read_scale(member, algorithm),
        .threshold = ThresholdRule::parse(object_of(member, "threshold"))};
    if (algorithm.check != nullptr) algorithm.check(spec.params);
    if (const auto weight = member.find("weight"); weight != member.end()) {
        constexpr double kLargestWeight = 1e6;
        if (!weight->is_number() || !(weight->get<double>() > 0.0) ||
            weight->get<double>() > kLargestWeight) {
            refuse_member("\"weight\" of a member must be a number above 0, up to 1e6");
        }
        spec.weight = weight->get<double>();
    }
    return spec;
}

std::vector<MemberSpec> MemberSpec::parse_list(const Json& members) {
    if (members.empty() || members.size() > kMaxMembers) {
        throw InvalidParameter("an ensemble has 1 to " + std::to_string(kMaxMembers) +
                                   " members, not " + std::to_string(members.size()),
                               "For example: {\"members\": [\"isolation_forest\", \"knn\"]}.");
    }
    std::vector<MemberSpec> specs;
    for (const auto& member : members) specs.push_back(parse(member));
    return specs;
}

Json MemberSpec::to_json() const {
    return {{"algorithm", algorithm->name},
            {"parameters", params.to_json()},
            {"scale", kScaleNames[static_cast<std::size_t>(scale)]},
            {"weight", weight}};
}

double Committee::usual_tail(std::size_t rows) {
    constexpr std::size_t kFew = 10;  // with fewer, ranks say nothing
    constexpr double kNearly = 0.9;
    if (rows < kFew) return kUsualTail;
    return std::min(kUsualTail, kNearly * portable_log((1.0 + static_cast<double>(rows)) / 2.0));
}

void Committee::fit(const Training& training, const std::vector<MemberSpec>& specs,
                    Combination combination, Random random) {
    combination_ = combination;
    members_.reserve(specs.size());
    double total = 0.0;
    for (const MemberSpec& spec : specs) total += spec.weight;
    for (const MemberSpec& spec : specs) {
        Member member{.pipeline = Pipeline(*spec.algorithm),
                      .weight = spec.weight / total,
                      .vote = 0.0,
                      .tail = {}};
        member.pipeline.fit(training, spec.params, spec.scale, random.split());
        std::vector<double> scores(training.rows.rows);
        member.pipeline.score(training.rows, scores.data());
        std::sort(scores.begin(), scores.end());
        const Detector& detector = member.pipeline.detector();
        member.vote =
            spec.threshold.resolve(scores, detector.natural_threshold(), detector.largest_score());
        member.tail = TailCurve(scores);
        members_.push_back(std::move(member));
    }
}

/// What a member says of a row, in the unit in which members are combined.
double Committee::opinion(const Member& member, double score) const {
    switch (combination_) {
        case Combination::LogRankTail:
        case Combination::PowerTail:
            return member.tail.at(score);
        case Combination::Voting:
            return score >= member.vote ? 1.0 : 0.0;
        default:
            return member.tail.confidence(score);
    }
}

double Committee::combine(const double* opinions) const {
    if (combination_ == Combination::Maximum) {
        return *std::max_element(opinions, opinions + members_.size());
    }
    if (combination_ == Combination::Median) {
        std::array<std::size_t, MemberSpec::kMaxMembers> order{};
        const auto end = order.begin() + static_cast<std::ptrdiff_t>(members_.size());
        std::iota(order.begin(), end, std::size_t{0});
        std::stable_sort(order.begin(), end,
                         [&](auto a, auto b) { return opinions[a] < opinions[b]; });
        // where the weights below and above are equal, the middle of two
        double below = 0.0;
        for (std::size_t k = 0; k < members_.size(); ++k) {
            below += members_[order[k]].weight;
            constexpr double kRounding = 1e-9;
            if (below > 0.5 + kRounding || k + 1 == members_.size()) return opinions[order[k]];
            if (below > 0.5 - kRounding) {
                return std::midpoint(opinions[order[k]], opinions[order[k + 1]]);
            }
        }
    }
    const bool raised = combination_ == Combination::PowerTail;
    double sum = 0.0;
    for (std::size_t k = 0; k < members_.size(); ++k) {
        sum += members_[k].weight * (raised ? cube(opinions[k]) : opinions[k]);
    }
    return raised ? cube_root(sum) : sum;
}

void Committee::score(const Columns& rows, double* scores) const {
    std::vector<double> opinions(rows.rows * members_.size());
    for (std::size_t k = 0; k < members_.size(); ++k) {
        members_[k].pipeline.score(rows, scores);
        for (std::size_t i = 0; i < rows.rows; ++i) {
            opinions[i * members_.size() + k] = opinion(members_[k], scores[i]);
        }
    }
    for (std::size_t i = 0; i < rows.rows; ++i) {
        scores[i] = combine(&opinions[i * members_.size()]);
    }
}

/// How much of the score comes from each member. Of a median each has its weight.
void Committee::shares(const double* opinions, double* parts) const {
    const double score = combine(opinions);
    double sum = 0.0;
    for (std::size_t k = 0; k < members_.size(); ++k) {
        const bool counts = combination_ != Combination::Maximum || opinions[k] == score;
        const bool raised = combination_ == Combination::PowerTail;
        parts[k] = counts ? members_[k].weight * (raised ? cube(opinions[k]) : opinions[k]) : 0.0;
        sum += parts[k];
    }
    for (std::size_t k = 0; k < members_.size() && sum > 0.0; ++k) parts[k] *= score / sum;
}

void Committee::explain(const Columns& rows, std::size_t row, double* contributions) const {
    std::vector<const double*> pointers;
    for (std::size_t j = 0; j < rows.count; ++j) pointers.push_back(rows.column[j] + row);
    const Columns one{pointers.data(), rows.count, 1};
    std::array<double, MemberSpec::kMaxMembers> opinions{};
    std::array<double, MemberSpec::kMaxMembers> parts{};
    for (std::size_t k = 0; k < members_.size(); ++k) {
        double score = 0.0;
        members_[k].pipeline.score(one, &score);
        opinions[k] = opinion(members_[k], score);
    }
    shares(opinions.data(), parts.data());
    std::fill_n(contributions, rows.count, 0.0);
    std::vector<double> own(rows.count);
    for (std::size_t k = 0; k < members_.size(); ++k) {
        members_[k].pipeline.explain(one, 0, own.data());
        const double largest = *std::max_element(own.begin(), own.end());
        if (!(largest > 0.0)) own.assign(rows.count, 1.0);
        double sum = 0.0;
        for (double& value : own) {
            value = std::max(value, 0.0) / std::max(largest, 1.0);  // sums stay finite
            sum += value;
        }
        for (std::size_t j = 0; j < rows.count && sum > 0.0; ++j) {
            contributions[j] += parts[k] * (own[j] / sum);
        }
    }
}

double Committee::largest_score() const {
    const bool tails =
        combination_ == Combination::LogRankTail || combination_ == Combination::PowerTail;
    return tails ? std::numeric_limits<double>::infinity() : 1.0;
}

void Committee::save(Writer& out) const {
    out.number(static_cast<std::uint8_t>(combination_));
    out.number(static_cast<std::uint32_t>(members_.size()));
    for (const Member& member : members_) {
        save_algorithm(member.pipeline.algorithm(), out);
        out.number(member.weight);
        out.number(member.vote);
        member.tail.save(out);
        member.pipeline.save(out);
    }
}

void Committee::load(Reader& in, std::size_t columns) {
    constexpr std::size_t kSmallestMember = 64;
    combination_ = static_cast<Combination>(in.at_most<std::uint8_t>(kCombinations - 1));
    const auto count = in.count(kSmallestMember);
    if (count == 0 || count > MemberSpec::kMaxMembers) {
        throw CorruptModel("wrong number of members");
    }
    for (std::uint32_t k = 0; k < count; ++k) {
        const Algorithm& algorithm = load_algorithm(in);
        if (algorithm.family == kEnsembleFamily) throw CorruptModel("an ensemble within another");
        Member member{.pipeline = Pipeline(algorithm), .weight = 0.0, .vote = 0.0, .tail = {}};
        constexpr double kLargest = std::numeric_limits<double>::max();
        member.weight = in.real(0.0, 1.0);
        member.vote = in.real(-kLargest, kLargest);
        member.tail = TailCurve::load(in);
        member.pipeline.load(in, columns);
        members_.push_back(std::move(member));
    }
}

std::size_t Committee::memory_bytes() const {
    std::size_t bytes = 0;
    for (const Member& member : members_) {
        bytes += sizeof(Member) + member.pipeline.memory_bytes() + member.tail.memory_bytes();
    }
    return bytes;
}

/// Members are fitted one after the other, and what one takes besides what it holds the next may
/// have: of the columns as they want them, which are most of that, only one copy counts.
std::uint64_t Committee::fit_bytes(const std::vector<MemberSpec>& specs, const FitShape& shape) {
    FitShape of_members = shape;
    of_members.scorings += 1;  // by the fit itself
    std::uint64_t own = 0;
    std::uint64_t converted = 0;
    for (const auto& [algorithm, params, scale, weight, threshold] : specs) {
        const auto of_member = Pipeline::converted_bytes(*algorithm, scale, shape);
        own += sizeof(Member) + TailCurve::bytes(shape.rows) +
               Pipeline::fit_bytes(*algorithm, params, scale, of_members) - of_member;
        converted = std::max(converted, of_member);
    }
    // the scores of a member, and of a block what each of them says
    const std::uint64_t block = std::min<std::uint64_t>(shape.rows, Detector::kMaxBlock);
    return own + converted + (2 * shape.rows + specs.size() * block) * sizeof(double);
}

double Committee::fit_steps(const std::vector<MemberSpec>& specs, double rows, double columns) {
    double steps = 0.0;
    for (const MemberSpec& spec : specs) {
        steps += spec.algorithm->fit_steps(spec.params, rows, columns);
    }
    return steps;
}

}  // namespace ad
