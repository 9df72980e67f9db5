// Speed of the core by itself: fitting an isolation forest, and each way of scoring with it.
// Run by kernels.sh and, for its two first figures, by speed.py.
#include <benchmark/benchmark.h>

#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>
#include <tuple>

#include "core/forest_kernel.hpp"
#include "core/forest_planes.hpp"
#include "core/registry.hpp"

namespace ad::bench {
namespace {

constexpr std::size_t kRows =
    65536;  ///< fitted and scored; more than the caches next to a CPU hold
constexpr std::size_t kScanRows = 512;  ///< that the scan of a table scores at a time

struct Shape {
    int trees = 100;
    int samples = 256;
    int columns = 10;
    int planes = 0;           ///< columns of each, in a fair-cut forest
    bool missing = false;     ///< every twentieth value is
    bool categories = false;  ///< every second column is of categories

    auto operator<=>(const Shape&) const = default;
    std::string name() const {
        return std::to_string(trees) + "x" + std::to_string(samples) + "x" +
               std::to_string(columns) + (planes > 0 ? ", ndim " + std::to_string(planes) : "") +
               (missing ? ", missing values" : "") + (categories ? ", categories" : "");
    }
};

/// Bell-shaped: the sum of 12 uniforms.
double normal(Random& random) {
    double sum = -6.0;
    for (int k = 0; k < 12; ++k) sum += random.uniform();
    return sum;
}

constexpr std::uint32_t kCategories = 50;

/// As bench/data.py makes them: correlated columns, and every hundredth row far out.
Matrix make_rows(const Shape& shape) {
    Random random(1);
    const auto columns = static_cast<std::size_t>(shape.columns);
    Matrix rows(kRows, columns);
    for (std::size_t i = 0; i < kRows; ++i) {
        const double common = normal(random);
        const double scale = i % 100 == 99 ? 4.0 : 1.0;
        for (std::size_t j = 0; j < columns; ++j) {
            double& value = rows.column(j)[i];
            value = scale * (0.6 * common + 0.8 * normal(random));
            if (shape.categories && j % 2 == 1)
                value = std::min<double>(std::floor(std::fabs(8.0 * value)), kCategories - 1);
            if (shape.missing && random.below(20) == 0)
                value = std::numeric_limits<double>::quiet_NaN();
        }
    }
    return rows;
}

const Matrix& rows_of(const Shape& shape) {
    static std::map<std::tuple<int, bool, bool>, Matrix> made;
    const std::tuple key(shape.columns, shape.missing, shape.categories);
    const auto found = made.find(key);
    if (found != made.end()) return found->second;
    return made.emplace(key, make_rows(shape)).first->second;
}

std::unique_ptr<Detector> fit(const Shape& shape) {
    const Algorithm& algorithm = find_algorithm("isolation_forest");
    Json options{{"n_estimators", shape.trees}, {"max_samples", shape.samples}};
    if (shape.planes > 0) {
        options["ndim"] = shape.planes;
        options["prob_pick_pooled_gain"] = 1;
        options["max_depth"] = "none";
    }
    std::vector<std::uint32_t> categories(static_cast<std::size_t>(shape.columns), 0);
    for (std::size_t j = 1; j < categories.size() && shape.categories; j += 2)
        categories[j] = kCategories;
    auto detector = algorithm.make();
    detector->fit({.rows = rows_of(shape).view(), .categories = categories.data()},
                  Params(algorithm.params, options, algorithm.name), Random(1));
    return detector;
}

/// Fitted once, however often a benchmark is entered, and in the form that scoring many rows makes.
const Detector& detector_of(const Shape& shape) {
    static std::map<Shape, std::unique_ptr<Detector>> fitted;
    auto& detector = fitted[shape];
    if (detector != nullptr) return *detector;
    detector = fit(shape);
    constexpr std::size_t kManyBlocks = 16;
    const Columns all = rows_of(shape).view();
    double scores[kScanRows];
    for (std::size_t i = 0; i < kManyBlocks; ++i) {
        detector->score({all.column, all.count, kScanRows}, scores);
        detector->score({all.column, all.count, 1}, scores);
    }
    return *detector;
}

std::uint32_t read_subtree(Reader& in, ForestTree& tree, std::uint32_t depth) {
    constexpr std::uint16_t kLeaf = 0xffff;
    const auto feature = in.number<std::uint16_t>();
    const auto count = in.number<std::uint32_t>();
    if (feature == kLeaf) return tree.add_leaf(count, depth);
    const auto threshold = in.number<double>();
    const bool missing_left = in.number<std::uint8_t>() != 0;
    const auto i = tree.add_split(count, feature, threshold, missing_left);
    read_subtree(in, tree, depth + 1);
    const auto right = read_subtree(in, tree, depth + 1);
    tree.nodes[i].right = right;
    return i;
}

/// A detector keeps its trees to itself, but for its stored form.
std::vector<ForestTree> trees_of(const Shape& shape) {
    if (find_algorithm("isolation_forest").payload_version != 1)
        throw std::logic_error("read_subtree reads another version of the stored form");
    Writer out;
    detector_of(shape).save(out);
    Reader in(out.bytes());
    in.number<std::uint16_t>();  // cuts in single columns, by depth
    in.number<std::uint32_t>();  // rows of the sample
    std::vector<ForestTree> trees(in.number<std::uint32_t>());
    for (ForestTree& tree : trees) {
        in.number<std::uint32_t>();  // nodes
        read_subtree(in, tree, 0);
    }
    in.end();
    return trees;
}

/// Calls `score` for one block after the other, from the first to the last row and again.
template <typename Score>
void each_block(benchmark::State& state, const Shape& shape, std::size_t block, Score&& score) {
    const Columns all = rows_of(shape).view();
    std::vector<const double*> columns(all.count);
    std::size_t first = 0;
    for (auto _ : state) {
        for (std::size_t j = 0; j < all.count; ++j) columns[j] = all.column[j] + first;
        score(Columns{columns.data(), all.count, block});
        first = (first + block) % kRows;
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(block));
}

void score(benchmark::State& state, const Shape& shape, std::size_t block) {
    const Detector& detector = detector_of(shape);
    std::vector<double> scores(block);
    each_block(state, shape, block, [&](const Columns& rows) {
        detector.score(rows, scores.data());
        benchmark::DoNotOptimize(scores.data());
    });
}

void walk(benchmark::State& state, const Shape& shape, std::size_t block) {
    const auto trees = trees_of(shape);
    std::vector<std::uint64_t> sums(block);
    each_block(state, shape, block, [&](const Columns& rows) {
        walk_forest(trees, rows, sums.data());
        benchmark::DoNotOptimize(sums.data());
    });
}

void walk_planes(benchmark::State& state, const Shape& shape, std::size_t block) {
    Writer out;
    detector_of(shape).save(out);
    Reader in(out.bytes());
    in.number<std::uint8_t>();  // that the trees are of planes
    PlaneForest forest;
    forest.load(in, static_cast<std::size_t>(shape.columns));
    std::vector<std::uint64_t> sums(block);
    each_block(state, shape, block, [&](const Columns& rows) {
        forest.walk(rows, sums.data());
        benchmark::DoNotOptimize(sums.data());
    });
}

void sum_blocks(benchmark::State& state, const Shape& shape, const ForestLoops& loops) {
    const auto trees = trees_of(shape);
    const ForestKernel kernel(trees, static_cast<std::size_t>(shape.columns));
    if (!kernel.usable(kScanRows)) return state.SkipWithError("the kernel declines this forest");
    std::vector<std::uint64_t> sums(kScanRows);
    each_block(state, shape, kScanRows, [&](const Columns& rows) {
        kernel.sum_blocks(rows, loops, sums.data());
        benchmark::DoNotOptimize(sums.data());
    });
}

void fit_forest(benchmark::State& state, const Shape& shape) {
    rows_of(shape);
    for (auto _ : state) benchmark::DoNotOptimize(fit(shape));
}

void load_forest(benchmark::State& state, const Shape& shape) {
    Writer out;
    detector_of(shape).save(out);
    for (auto _ : state) {
        Reader in(out.bytes());
        auto detector = find_algorithm("isolation_forest").make();
        detector->load(in, static_cast<std::size_t>(shape.columns));
        benchmark::DoNotOptimize(detector);
    }
}

template <typename Function, typename... Arguments>
void add(const std::string& what, Function function, const Shape& shape, Arguments... arguments) {
    benchmark::RegisterBenchmark((what + "/" + shape.name()).c_str(), function, shape,
                                 arguments...);
}

void add_all() {
    const Shape usual;
    add("block", score, usual, kScanRows);
    add("row", score, usual, std::size_t{1});
    for (const ForestLoops& loops : forest_loops()) {
        add("block, " + std::string(loops.name), sum_blocks, usual, loops);
    }
    for (const Shape& shape :
         {Shape{.columns = 2}, Shape{.columns = 100}, Shape{.trees = 1000}, Shape{.samples = 512},
          Shape{.samples = 4096}, Shape{.samples = 65536}}) {
        add("block", score, shape, kScanRows);
        add("row", score, shape, std::size_t{1});
    }
    for (const Shape& shape :
         {usual, Shape{.samples = 512}, Shape{.samples = 4096}, Shape{.samples = 65536}}) {
        add("block, plain walk", walk, shape, kScanRows);
    }
    for (const int samples : {256, 4096, 65536}) {
        for (const Shape& shape :
             {Shape{.samples = samples, .planes = 1},
              Shape{.samples = samples, .planes = 1, .categories = true},
              Shape{.samples = samples, .planes = 2}, Shape{.samples = samples, .planes = 3},
              Shape{.samples = samples, .planes = 3, .missing = true},
              Shape{.samples = samples, .planes = 3, .categories = true},
              Shape{.samples = samples, .planes = 5}, Shape{.samples = samples, .planes = 10}}) {
            add("block", score, shape, kScanRows);
            add("block, plain walk", walk_planes, shape, kScanRows);
            add("row", score, shape, std::size_t{1});
            add("row, plain walk", walk_planes, shape, std::size_t{1});
        }
    }
    for (const Shape& shape : {usual, Shape{.samples = 4096}, Shape{.samples = 65536}}) {
        add("fit", fit_forest, shape);
        add("load", load_forest, shape);
    }
}

}  // namespace
}  // namespace ad::bench

int main(int argc, char** argv) {
    ad::bench::add_all();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
