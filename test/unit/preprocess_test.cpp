#include "core/preprocess.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

constexpr double kDay = 86400.0;

/// One feature of `kind` that has been learned from `training`.
Preprocess learned(FeatureKind kind, const std::vector<Cell>& training, const Json& rule) {
    FitState state(request("isolation_forest", {{"preprocess", rule}}), {{"x", kind}});
    const std::string_view label = "label";
    for (std::size_t i = 0; i < training.size(); ++i) {
        state.offer(row_hash(i));
        state.add(row_hash(i), &training[i], &label);
    }
    const auto sample = state.sample();
    return Preprocess(state.schema(), sample, state);
}

std::vector<double> encode(const Preprocess& preprocess, Cell cell) {
    const Cell* column = &cell;
    Block block;
    preprocess.apply({&column, 1}, block);
    std::vector<double> values;
    for (const double* pointer : block.pointers) values.push_back(*pointer);
    return values;
}

std::vector<Cell> cells_of(const std::vector<double>& values) {
    std::vector<Cell> cells;
    for (const double value : values) cells.push_back(number_cell(value));
    return cells;
}

std::vector<double> encode_number(FeatureKind kind, double value,
                                  const Json& rule = Json::object()) {
    return encode(learned(kind, cells_of({0.0}), rule), number_cell(value));
}

void expect_near(const std::vector<double>& values, const std::vector<double>& expected,
                 double tolerance) {
    ASSERT_EQ(values.size(), expected.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(values[i], expected[i], tolerance) << "column " << i;
    }
}

TEST(Preprocess, NumbersStayAsTheyAre) {
    for (const double value : {0.0, -1.5, 1e308, kInfinity, -kInfinity, kDenormal}) {
        EXPECT_EQ(encode_number(FeatureKind::Number, value), std::vector<double>{value});
        EXPECT_EQ(encode_number(FeatureKind::Number, value, {{"impute", "median"}}),
                  std::vector<double>{value});
    }
    EXPECT_EQ(encode_number(FeatureKind::Boolean, 1.0), std::vector<double>{1.0});
}

// The curve starts at (-1, 0), and reaches (0, 1), (1, 0) and (0, -1) after a quarter each.
TEST(Preprocess, TimeOfDayIsAClosedCurve) {
    const auto at = [](double hour) { return encode_number(FeatureKind::Time, hour * 3600); };
    EXPECT_EQ(at(0), (std::vector<double>{-1.0, 0.0}));
    EXPECT_EQ(at(6), (std::vector<double>{0.0, 1.0}));
    EXPECT_EQ(at(12), (std::vector<double>{1.0, 0.0}));
    EXPECT_EQ(at(18), (std::vector<double>{0.0, -1.0}));
    EXPECT_EQ(at(24), at(0));
    // 23:59 is two minutes from 00:01: 4 units a day, 2 minutes are 1/720 of it
    expect_near(at(23 + 59.0 / 60), at(1.0 / 60), 4.0 / 720 + 1e-12);
}

TEST(Preprocess, TimestampsKeepTimeOfDayAndWeekday) {
    const auto at = [](double seconds) { return encode_number(FeatureKind::Timestamp, seconds); };
    EXPECT_EQ(at(0), (std::vector<double>{-1.0, 0.0, -1.0, 0.0}));
    EXPECT_EQ(at(3.5 * kDay), (std::vector<double>{1.0, 0.0, 1.0, 0.0}));  // noon, mid-week
    for (const double start : {8.1e8, -3.0e8, 12345.678}) {                // in 2025, in 1990
        expect_near(at(start + 7 * kDay), at(start), 1e-6);
        expect_near(at(start - 700 * kDay), at(start), 1e-6);
        const auto today = at(start);
        const auto tomorrow = at(start + kDay);
        EXPECT_NEAR(today[0], tomorrow[0], 1e-6);
        EXPECT_GT(std::fabs(today[2] - tomorrow[2]) + std::fabs(today[3] - tomorrow[3]), 0.5);
    }
    expect_near(at(kDay - 60), at(kDay + 60), 4.0 / 720 + 1e-12);
}

TEST(Preprocess, DatesKeepWeekdayAndSeason) {
    const auto at = [](double day) { return encode_number(FeatureKind::Date, day); };
    EXPECT_EQ(at(0), (std::vector<double>{-1.0, 0.0, -1.0, 0.0}));
    const auto day = at(9000);
    const auto next_week = at(9007);
    expect_near({next_week[0], next_week[1]}, {day[0], day[1]}, 1e-9);
    // 365 days later it is the same season and one weekday later
    const auto next_year = at(9365);
    expect_near({next_year[2], next_year[3]}, {day[2], day[3]}, 0.01);
    EXPECT_GT(std::fabs(next_year[0] - day[0]) + std::fabs(next_year[1] - day[1]), 0.5);
}

TEST(Preprocess, TimesAtInfinityAreMissing) {
    for (const auto kind : {FeatureKind::Timestamp, FeatureKind::Date, FeatureKind::Time}) {
        for (const double value : {kInfinity, -kInfinity, kMissing}) {
            for (const double column : encode_number(kind, value)) EXPECT_TRUE(std::isnan(column));
            EXPECT_EQ(encode_number(kind, value, {{"impute", "median"}}), encode_number(kind, 0.0));
        }
    }
}

std::vector<Cell> words(const std::vector<std::string_view>& texts) {
    std::vector<Cell> cells;
    for (const auto text : texts) {
        cells.push_back(category_cell(text.empty() ? kMissingCategory : category_hash(text)));
    }
    return cells;
}

double number_of(const Preprocess& preprocess, std::string_view word) {
    return encode(preprocess, words({word})[0])[0];
}

TEST(Preprocess, CategoriesBecomeNumbersByFrequency) {
    const auto preprocess =
        learned(FeatureKind::Category, words({"a", "b", "a", "c", "a", "b"}), Json::object());
    EXPECT_EQ(number_of(preprocess, "a"), 0.0);
    EXPECT_EQ(number_of(preprocess, "b"), 1.0);
    EXPECT_EQ(number_of(preprocess, "c"), 2.0);
    EXPECT_EQ(number_of(preprocess, "never seen"), 3.0);
    EXPECT_TRUE(std::isnan(number_of(preprocess, "")));
    EXPECT_EQ(preprocess.categories(), std::vector<std::uint32_t>{3});
}

TEST(Preprocess, MissingCategoryCountsAsTheMostFrequent) {
    const auto preprocess = learned(FeatureKind::Category, words({"a", "b", "", "a", "", "b", "a"}),
                                    {{"impute", "median"}});
    EXPECT_EQ(number_of(preprocess, ""), 0.0);
    EXPECT_EQ(preprocess.stats(0).missing_fraction, 2.0 / 7.0);
}

// One category is left for the missing ones; whatever comes is new.
TEST(Preprocess, AllCategoriesMissing) {
    const auto cells = words({"", ""});
    const auto imputed = learned(FeatureKind::Category, cells, {{"impute", "median"}});
    EXPECT_EQ(imputed.categories(), std::vector<std::uint32_t>{1});
    EXPECT_EQ(number_of(imputed, ""), 0.0);
    EXPECT_EQ(number_of(imputed, "a"), 1.0);
    const auto kept = learned(FeatureKind::Category, cells, Json::object());
    EXPECT_TRUE(std::isnan(number_of(kept, "")));
}

TEST(Preprocess, KeepsTheMostFrequentCategories) {
    std::vector<Cell> cells;
    for (std::size_t i = 0; i < Preprocess::kMaxCategories + 100; ++i) {
        cells.push_back(category_cell(category_hash(std::to_string(i))));
        if (i < 5) cells.push_back(cells.back());
    }
    const auto preprocess = learned(FeatureKind::Category, cells, Json::object());
    const auto& categories = preprocess.stats(0).categories;
    ASSERT_EQ(categories.size(), Preprocess::kMaxCategories);
    for (std::size_t i = 0; i < categories.size(); ++i) {
        EXPECT_EQ(categories[i].count, i < 5 ? 2U : 1U);
    }
}

TEST(Preprocess, ImputePolicies) {
    const auto training = cells_of({1.0, 2.0, 9.0, kMissing});
    const auto filled = [&](const Json& rule) {
        return encode(learned(FeatureKind::Number, training, rule), number_cell(kMissing))[0];
    };
    EXPECT_TRUE(std::isnan(filled({{"impute", "none"}})));
    EXPECT_EQ(filled({{"impute", "median"}}), 2.0);
    EXPECT_EQ(filled({{"impute", "mean"}}), 4.0);
    EXPECT_EQ(filled({{"impute", "constant"}}), 0.0);
    EXPECT_EQ(filled({{"impute", "constant"}, {"fill_value", -7.5}}), -7.5);
}

TEST(Preprocess, ColumnWithoutAValueIsFilledWithZero) {
    for (const auto policy : {"median", "mean", "reject"}) {
        const auto preprocess =
            learned(FeatureKind::Number, cells_of({kMissing, kMissing}), {{"impute", policy}});
        EXPECT_EQ(encode(preprocess, number_cell(kMissing))[0], 0.0) << policy;
        EXPECT_EQ(preprocess.stats(0).missing_fraction, 1.0);
        EXPECT_TRUE(std::isnan(preprocess.stats(0).mean));
        EXPECT_TRUE(std::isnan(preprocess.stats(0).median()));
    }
}

TEST(Preprocess, RejectMarksRows) {
    const auto preprocess =
        learned(FeatureKind::Timestamp, cells_of({0.0}), {{"impute", "reject"}});
    const auto cells = cells_of({1.0, kMissing, 2.0, kInfinity});
    const Cell* column = cells.data();
    Block block;
    preprocess.apply({&column, cells.size()}, block);
    EXPECT_EQ(block.rejected, (std::vector<std::uint8_t>{0, 1, 0, 1}));
}

// One block serves models of all policies in turn.
TEST(Preprocess, BlockForgetsTheRowsThatAnotherModelRejected) {
    const auto rejecting = learned(FeatureKind::Number, cells_of({0.0}), {{"impute", "reject"}});
    const auto keeping = learned(FeatureKind::Number, cells_of({0.0}), Json::object());
    const auto cells = cells_of({kMissing, kMissing});
    const Cell* column = cells.data();
    Block block;
    rejecting.apply({&column, 2}, block);
    EXPECT_EQ(block.rejected.size(), 2U);
    keeping.apply({&column, 1}, block);
    EXPECT_TRUE(block.rejected.empty());
}

TEST(Preprocess, StatsOfNumbers) {
    std::vector<double> values{kMissing, kMissing, kMissing, kMissing};
    for (int i = 20; i >= 0; --i) values.push_back(i);
    const auto preprocess = learned(FeatureKind::Number, cells_of(values), Json::object());
    const auto& stats = preprocess.stats(0);
    EXPECT_DOUBLE_EQ(stats.missing_fraction, 4.0 / 25.0);
    EXPECT_DOUBLE_EQ(stats.mean, 10.0);
    EXPECT_DOUBLE_EQ(stats.stddev, std::sqrt(770.0 / 20.0));  // sum of (i - 10)^2 = 2 * 385
    ASSERT_EQ(stats.quantiles.size(), FeatureStats::kQuantiles);
    for (std::size_t i = 0; i < stats.quantiles.size(); ++i) {
        EXPECT_NEAR(stats.quantiles[i], static_cast<double>(i), 1e-12);
    }
}

TEST(Preprocess, StatsOfExtremeNumbersAreFinite) {
    for (const auto& values : {std::vector<double>{kLargest, kLargest, kLargest},
                               std::vector<double>{-kLargest, kLargest},
                               std::vector<double>{kDenormal, -kDenormal},
                               {1e308}}) {
        const auto preprocess = learned(FeatureKind::Number, cells_of(values), Json::object());
        EXPECT_TRUE(std::isfinite(preprocess.stats(0).mean));
        EXPECT_TRUE(std::isfinite(preprocess.stats(0).stddev));
        for (const double q : preprocess.stats(0).quantiles) EXPECT_TRUE(std::isfinite(q));
    }
}

TEST(Preprocess, ColumnsOfAMixedSchema) {
    const Schema schema{{"n", FeatureKind::Number},    {"b", FeatureKind::Boolean},
                        {"s", FeatureKind::Timestamp}, {"d", FeatureKind::Date},
                        {"t", FeatureKind::Time},      {"c", FeatureKind::Category}};
    FitState state(request("mad"), schema);
    const Cell row[] = {number_cell(1.0), number_cell(0.0), number_cell(2.0),
                        number_cell(3.0), number_cell(4.0), category_cell(5)};
    const std::vector<std::string_view> labels(schema.size());
    state.offer(1);
    state.add(1, row, labels.data());
    const Preprocess preprocess(schema, state.sample(), state);
    const std::size_t first[] = {0, 1, 2, 6, 10, 12, 13};
    for (std::size_t j = 0; j <= schema.size(); ++j) {
        EXPECT_EQ(preprocess.first_column(j), first[j]);
    }
    EXPECT_EQ(preprocess.columns(), 13U);
    EXPECT_EQ(preprocess.features(), 6U);
    std::vector<std::uint32_t> categories(13, 0);
    categories[12] = 1;
    EXPECT_EQ(preprocess.categories(), categories);
    EXPECT_TRUE(learned(FeatureKind::Number, cells_of({0.0}), Json::object()).categories().empty());
}

TEST(Features, SchemaSurvivesSaving) {
    const Schema schema{{"a", FeatureKind::Number}, {"", FeatureKind::Category}};
    Writer out;
    save_schema(schema, out);
    Reader in(out.bytes());
    const auto loaded = load_schema(in);
    ASSERT_EQ(loaded.size(), 2U);
    EXPECT_EQ(loaded[0].name, "a");
    EXPECT_EQ(loaded[1].kind, FeatureKind::Category);
    auto bytes = out.take();
    bytes.back() = static_cast<char>(kFeatureKinds);
    Reader hostile(bytes);
    EXPECT_THROW(load_schema(hostile), CorruptModel);
}

TEST(Features, NamesOfKinds) {
    EXPECT_EQ(kind_name(FeatureKind::Number), "number");
    EXPECT_EQ(kind_name(FeatureKind::Category), "category");
    EXPECT_NE(category_hash(""), kMissingCategory);
}

}  // namespace
}  // namespace ad::test
