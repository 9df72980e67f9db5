// What a pipeline hands to its detector, seen by one that keeps what it gets.
#include "core/pipeline.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

/// Scores a row by the value of its first column.
class Probe final : public Detector {
  public:
    void fit(const Training& training, const Params&, Random) override {
        categories_ = training.categories_of(0);
        weighted_ = training.weights != nullptr;
        for (std::size_t i = 0; i < training.rows.rows; ++i) {
            seen_.push_back(training.rows.at(i, 0));
        }
    }
    void score(const Columns& rows, double* scores) const override {
        std::copy_n(rows.column[0], rows.rows, scores);
    }
    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        for (std::size_t j = 0; j < rows.count; ++j) contributions[j] = rows.at(row, j);
    }
    void save(Writer&) const override {}
    void load(Reader&, std::size_t) override {}
    std::size_t memory_bytes() const override { return 0; }

    std::uint32_t categories_ = 0;
    bool weighted_ = false;
    std::vector<double> seen_;
};

constexpr Algorithm algorithm(bool takes_missing, bool takes_categories) {
    return {.name = "probe",
            .family = "test",
            .summary = "",
            .score_scale = "",
            .paper = "",
            .random = false,
            .takes_missing = takes_missing,
            .takes_categories = takes_categories,
            .max_columns = 3,
            .payload_version = 1,
            .params = {},
            .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Probe>(); },
            .fit_bytes = nullptr,
            .fit_steps = nullptr};
}
constexpr Algorithm kPlain = algorithm(false, false);
constexpr Algorithm kTakesAll = algorithm(true, true);
constexpr Algorithm kTakesCategories = algorithm(false, true);

struct Column {
    std::vector<double> values;
    const double* pointer = values.data();
    Columns view() const { return {&pointer, 1, values.size()}; }
};

Pipeline fitted(const Algorithm& algorithm, const Column& column, Scale scale,
                std::uint32_t categories = 0) {
    Pipeline pipeline(algorithm);
    pipeline.fit({.rows = column.view(), .categories = categories > 0 ? &categories : nullptr},
                 Params({}, Json::object(), "probe"), scale, Random(0));
    return pipeline;
}

const Probe& probe_of(const Pipeline& pipeline) {
    return dynamic_cast<const Probe&>(pipeline.detector());
}

std::vector<double> scores_of(const Pipeline& pipeline, const std::vector<double>& values) {
    const Column column{values};
    std::vector<double> scores(values.size());
    pipeline.score(column.view(), scores.data());
    return scores;
}

std::vector<double> through(const Pipeline& pipeline, const std::vector<double>& values) {
    Writer out;
    pipeline.save(out);
    Reader in(out.bytes());
    Pipeline loaded(pipeline.algorithm());
    loaded.load(in, 1);
    in.end();
    EXPECT_EQ(bits_of(scores_of(loaded, values)), bits_of(scores_of(pipeline, values)));
    return scores_of(pipeline, values);
}

using Values = std::vector<double>;

// 1 2 3 4 10: mean 4, variance (9 + 4 + 1 + 0 + 36) / 5 = 10; median 3, quartiles 2 and 4
TEST(Pipeline, Scales) {
    const Column column{{10, 2, 3, 4, 1}};
    const auto scaled = [&](Scale scale) {
        return through(fitted(kPlain, column, scale), {4, 14, kInfinity});
    };
    EXPECT_EQ(scaled(Scale::None), (Values{4, 14, 1e100}));
    EXPECT_EQ(scaled(Scale::Standard), (Values{0, 10 / std::sqrt(10.0), 1e100 / std::sqrt(10.0)}));
    EXPECT_EQ(scaled(Scale::Robust), (Values{0.5, 5.5, 1e100 / 2}));
    // quartiles 0 and 0: of the other distances, 1, 2 and 1e9, the middle one, twice
    const auto robust =
        fitted(kPlain, {Values{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -2, 1e9}}, Scale::Robust);
    EXPECT_EQ(through(robust, {0, 1, -2}), (Values{0, 0.25, -0.5}));
    EXPECT_EQ(scaled(Scale::MinMax),
              (Values{4 * (1.0 / 9) - 1.0 / 9, 14 * (1.0 / 9) - 1.0 / 9, 1e100 * (1.0 / 9)}));
    const auto pipeline = fitted(kPlain, column, Scale::MinMax);
    const Values expected{1, 1.0 / 9, 2.0 / 9, 3.0 / 9, 0};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(probe_of(pipeline).seen_[i], expected[i], 1e-15);
    }
}

TEST(Pipeline, ConstantColumnsAreMovedOnly) {
    for (const Scale scale : {Scale::Standard, Scale::Robust, Scale::MinMax}) {
        for (const double value : {0.0, 0.1, -3e99}) {
            const auto pipeline = fitted(kPlain, {Values(7, value)}, scale);
            const auto scores = through(pipeline, {value, value + 2.0});
            EXPECT_NEAR(scores[0], 0.0, std::fabs(value) * 1e-15);
            EXPECT_NEAR(scores[1], 2.0, std::fabs(value) * 1e-15);
        }
    }
}

TEST(Pipeline, ExtremesStayWithinTheLargestValue) {
    const Column column{{-1e308, 1e308, kDenormal, 0.0}};
    for (const Scale scale : {Scale::None, Scale::Standard, Scale::Robust, Scale::MinMax}) {
        for (const double score :
             through(fitted(kPlain, column, scale), {kInfinity, -kInfinity, 1e308, 0.0})) {
            EXPECT_LE(std::fabs(score), kLargestValue);
        }
    }
    // however small the spread is
    const auto small = fitted(kPlain, {{0.0, 1e-300, 0.0, 1e-300}}, Scale::MinMax);
    EXPECT_EQ(through(small, {1.0, -1.0}), (Values{1e100, -1e100}));
    const auto tiny = fitted(kPlain, {{0.0, kDenormal, 0.0, kDenormal}}, Scale::MinMax);
    EXPECT_EQ(through(tiny, {1.0, -1.0}), (Values{1.0, -1.0}));
}

TEST(Pipeline, MissingValuesBecomeTheMedian) {
    const Column column{{kMissing, 5, 1, 2, kMissing}};
    const auto pipeline = fitted(kPlain, column, Scale::None);
    EXPECT_EQ(probe_of(pipeline).seen_, (Values{2, 5, 1, 2, 2}));
    EXPECT_EQ(through(pipeline, {kMissing, 7}), (Values{2, 7}));
    const auto nothing = fitted(kPlain, {{kMissing, kMissing}}, Scale::Standard);
    EXPECT_EQ(through(nothing, {kMissing}), Values{0});
}

TEST(Pipeline, MissingValuesAndExtremesReachWhoTakesThem) {
    const Column column{{kMissing, 5, 1, 3}};
    for (const Scale scale : {Scale::None, Scale::MinMax}) {
        const auto scores = through(fitted(kTakesAll, column, scale), {kMissing, kInfinity});
        EXPECT_TRUE(std::isnan(scores[0]));
        EXPECT_EQ(scores[1], kInfinity);
    }
}

// -log2((count + 1) / (6 + 2)) of counts 3, 2, 1 and, for an unseen one, 0
TEST(Pipeline, CategoriesBecomeTheirSurprisal) {
    const Column column{{0, 1, 0, 2, 0, 1}};
    const auto pipeline = fitted(kPlain, column, Scale::None, 3);
    const auto scores = through(pipeline, {0, 1, 2, 3, kMissing});
    EXPECT_EQ(scores[0], 1.0);
    EXPECT_NEAR(scores[1], 1.4150374992788437, 1e-15);
    EXPECT_EQ(scores[2], 2.0);
    EXPECT_EQ(scores[3], 3.0);
    EXPECT_EQ(scores[4], 1.0);
    EXPECT_EQ(probe_of(pipeline).categories_, 0U);
}

// Rows of categories beyond those that are told apart have the number of the unseen.
TEST(Pipeline, CategoriesThatAreTooManyCountAsUnseen) {
    const auto pipeline = fitted(kPlain, {{0, 1, 1, 1}}, Scale::None, 1);
    EXPECT_NEAR(through(pipeline, {1})[0], 2.584962500721156, 1e-15);  // log2(4 + 2)
}

TEST(Pipeline, CategoriesReachWhoTakesThem) {
    const auto pipeline = fitted(kTakesAll, {{0, 1, 0, 2}}, Scale::Standard, 3);
    EXPECT_EQ(probe_of(pipeline).categories_, 3U);
    EXPECT_EQ(through(pipeline, {0, 2, 3}), (Values{0, 2, 3}));
}

TEST(Pipeline, MissingCategoriesBecomeTheMostFrequent) {
    const auto pipeline = fitted(kTakesCategories, {{0, 2, 2, 1, kMissing}}, Scale::None, 3);
    EXPECT_EQ(through(pipeline, {kMissing, 2}), (Values{0, 2}));
}

TEST(Pipeline, TooManyColumnsAreRefused) {
    const Matrix matrix(2, 4);
    Pipeline pipeline(kPlain);
    expect_error<InvalidData>(
        [&] {
            pipeline.fit({.rows = matrix.view()}, Params({}, Json::object(), "probe"), Scale::None,
                         Random(0));
        },
        {"probe takes at most 3 columns, not 4"}, {"fewer features"});
}

TEST(Pipeline, HostileBytes) {
    const auto pipeline = fitted(kPlain, {{0, 1, 0, 2}}, Scale::Standard, 3);
    Writer out;
    pipeline.save(out);
    const auto load = [](const std::string& bytes) {
        Reader in(bytes);
        Pipeline(kPlain).load(in, 1);
    };
    for (std::size_t size = 0; size < out.bytes().size(); ++size) {
        EXPECT_THROW(load(out.bytes().substr(0, size)), CorruptModel) << size;
    }
    // every number in turn becomes NaN: all of them must be one
    constexpr std::size_t kFirst = 8;
    for (std::size_t at = kFirst; at + sizeof(double) <= out.bytes().size(); at += sizeof(double)) {
        std::string bytes = out.bytes();
        std::memcpy(bytes.data() + at, &kMissing, sizeof(double));
        EXPECT_THROW(load(bytes), CorruptModel) << at;
    }
}

}  // namespace
}  // namespace ad::test
