// k nearest neighbours: finds rows that are far from their nearest neighbours. Fit: n log n for the
// index. Score: a search in the index; few columns help, clusters too, at worst all of its rows.
// Ramaswamy, Rastogi, Shim: "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD
// 2000 (the distance of the k-th); Angiulli, Pizzuti: "Fast Outlier Detection in High Dimensional
// Spaces", PKDD 2002 (that of all k).
#include "../neighbours.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

enum class Method : std::uint8_t { Largest, Mean, Median };
constexpr std::string_view kMethods[] = {"largest", "mean", "median"};

class Knn final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const auto method =
            std::find(std::begin(kMethods), std::end(kMethods), params.choice("method"));
        method_ = static_cast<Method>(method - std::begin(kMethods));
        novelty_ = params.flag("novelty");
        index_ = NeighbourIndex(training.rows,
                                static_cast<std::size_t>(params.number("max_reference")), random);
        neighbours_ = index_.usable_neighbours(params.number("n_neighbors"));
    }

    void score(const Columns& rows, double* scores) const override {
        Neighbours found;
        index_.find(rows, neighbours_, !novelty_, found);
        const auto [first, last] = counted();
        for (std::size_t i = 0; i < rows.rows; ++i) {
            double sum = 0.0;
            for (std::size_t n = first; n < last; ++n) sum += std::sqrt(found.squares_of(i)[n]);
            scores[i] = sum / static_cast<double>(last - first);
        }
    }

    /// A distance is the sum of its columns' squared differences, each divided by the distance: the
    /// contributions of a row add up to its score.
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        const OneRow one(rows, row);
        Neighbours found;
        index_.find(one.view(), neighbours_, !novelty_, found);
        const auto [first, last] = counted();
        std::fill_n(contributions, rows.count, 0.0);
        for (std::size_t n = first; n < last; ++n) {
            const double distance = std::sqrt(found.squares[n]);
            if (distance == 0.0) continue;
            add_shares(index_.points(), found.places[n], one.view(), found.squares[n],
                       distance / static_cast<double>(last - first), contributions);
        }
    }

    void save(Writer& out) const override {
        out.number(static_cast<std::uint8_t>(method_));
        out.number(static_cast<std::uint8_t>(novelty_));
        out.number(neighbours_);
        index_.save(out);
    }

    void load(Reader& in, std::size_t columns) override {
        method_ = static_cast<Method>(in.at_most(static_cast<std::uint8_t>(Method::Median)));
        novelty_ = in.at_most<std::uint8_t>(1) != 0;
        neighbours_ = in.number<std::uint32_t>();
        index_.load(in, columns);
        if (neighbours_ == 0 || neighbours_ != index_.usable_neighbours(neighbours_))
            throw CorruptModel("wrong number of neighbors");
    }

    std::size_t memory_bytes() const override { return index_.memory_bytes(); }

  private:
    struct Range {
        std::size_t first;
        std::size_t last;
    };

    /// The neighbours whose distances are averaged.
    Range counted() const {
        switch (method_) {
            case Method::Largest:
                return {neighbours_ - 1, neighbours_};
            case Method::Median:
                return {(neighbours_ - 1) / 2, neighbours_ / 2 + 1};
            default:
                return {0, neighbours_};
        }
    }

    Method method_ = Method::Largest;
    bool novelty_ = false;
    std::uint32_t neighbours_ = 0;
    NeighbourIndex index_;
};

constexpr ParamSpec kParams[] = {
    {"n_neighbors",
     ParamType::Integer,
     5,
     1,
     NeighbourIndex::kMaxNeighbours,
     {},
     "neighbors of a row; all others if there are fewer"},
    {"method", ParamType::Choice, 0, 0, 0, kMethods,
     "which of the distances to the neighbors is the score"},
    kNoveltyParam,
    kMaxReferenceParam,
};

}  // namespace

constexpr Algorithm kKnn{
    .name = "knn",
    .family = "neighbors",
    .summary = "rows far from their nearest neighbors",
    .score_scale =
        "distance to the neighbors, 0 and up, in standard deviations of the columns "
        "unless \"scale\" says otherwise",
    .paper = "Ramaswamy, Rastogi, Shim: Efficient Algorithms for Mining Outliers (SIGMOD 2000)",
    .random = true,
    .scale = Scale::Standard,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Knn>(); },
    .fit_bytes = NeighbourIndex::fit_bytes,
    .fit_steps =
        [](const Params& params, double rows, double columns) {
            const double reference = std::min(rows, params.number("max_reference"));
            return reference * columns * std::log2(reference + 1.0) +
                   rows * NeighbourIndex::search_steps(reference, columns);
        },
};

}  // namespace ad
