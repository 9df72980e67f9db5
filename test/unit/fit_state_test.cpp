#include "core/fit_state.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

std::string sample_of(std::uint32_t size, const char* impute = "none") {
    return request("isolation_forest",
                   {{"sample_size", size}, {"preprocess", {{"impute", impute}}}});
}

Rows counting_rows(std::size_t n) {
    Rows rows;
    for (std::size_t i = 0; i < n; ++i) rows.push_back({static_cast<double>(i), 0.5});
    return rows;
}

std::vector<double> first_column(FitState& state) {
    std::vector<double> values;
    const auto sample = state.sample();
    for (const Cell cell : sample.columns[0]) values.push_back(cell.number);
    return values;
}

TEST(FitState, NeedsAFeature) {
    expect_error<InvalidParameter>([] { FitState("{}", {}); }, {"at least one feature"});
}

TEST(FitState, KeepsTheRowsWithTheSmallestHashes) {
    constexpr std::size_t kRows = 1000;
    std::vector<std::uint64_t> order(kRows);
    for (std::size_t i = 0; i < kRows; ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [](auto a, auto b) { return row_hash(a) < row_hash(b); });
    for (const std::uint32_t size : {1U, 2U, 37U, 999U, 1000U, 5000U}) {
        auto state = state_of(sample_of(size), counting_rows(kRows));
        std::vector<double> expected;
        for (std::size_t i = 0; i < std::min<std::size_t>(size, kRows); ++i) {
            expected.push_back(static_cast<double>(order[i]));
        }
        EXPECT_EQ(first_column(state), expected);
        EXPECT_EQ(state.rows_seen(), kRows);
    }
}

// Each of 100 blocks of 100 rows should hold 20 of 2,000 sampled rows.
TEST(FitState, SampleIsUniform) {
    auto state = state_of(sample_of(2000), counting_rows(10000));
    std::vector<double> counts(100);
    for (const double value : first_column(state)) counts[static_cast<std::size_t>(value) / 100]++;
    double chi_square = 0.0;
    for (const double count : counts) chi_square += (count - 20.0) * (count - 20.0) / 20.0;
    // mean 99 x 0.8 (drawn without replacement), standard deviation about 11
    EXPECT_GT(chi_square, 79.0 - 5 * 11.0);
    EXPECT_LT(chi_square, 79.0 + 5 * 11.0);
}

TEST(FitState, DoesNotDependOnOrderOrSplit) {
    const auto rows = normal_rows(500, 3);
    for (const std::uint32_t size : {10U, 100U, 1000U}) {
        const auto text = sample_of(size, "mean");
        const auto expected = state_of(text, rows).save();
        for (const std::size_t parts : {1, 2, 5, 100}) {
            auto state = gathered(text, rows, parts, parts);
            EXPECT_EQ(state.save(), expected) << size << " rows from " << parts << " parts";
        }
    }
}

// Without an identity, or with few distinct ones, all hashes may be equal.
TEST(FitState, EqualHashesDoNotDependOnOrder) {
    auto rows = counting_rows(300);
    std::string expected;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        FitState state(sample_of(20), numbers(2));
        for (const auto& row : rows) add_row(state, 7, row);
        EXPECT_EQ(state.sample().rows, 20U);
        if (seed == 0) expected = state.save();
        EXPECT_EQ(state.save(), expected);
        shuffle(rows, seed);
    }
}

TEST(FitState, MergingNothingChangesNothing) {
    auto state = state_of(sample_of(50), counting_rows(200));
    const auto expected = state.save();
    state.merge(FitState(sample_of(50), numbers(2)));
    EXPECT_EQ(state.save(), expected);
    FitState empty(sample_of(50), numbers(2));
    EXPECT_EQ(empty.sample().rows, 0U);
    empty.merge(state);
    EXPECT_EQ(empty.save(), expected);
    EXPECT_EQ(empty.rows_seen(), 200U);
}

TEST(FitState, OffersOnlyRowsThatCanBeKept) {
    auto state = state_of(sample_of(10), counting_rows(1000));
    EXPECT_TRUE(state.offer(0));
    EXPECT_FALSE(state.offer(std::numeric_limits<std::uint64_t>::max()));
    EXPECT_EQ(state.rows_seen(), 1002U);
    auto means = state_of(sample_of(10, "mean"), counting_rows(1000));
    EXPECT_TRUE(means.offer(std::numeric_limits<std::uint64_t>::max()));
}

TEST(FitState, MeansAreOverAllRows) {
    auto state = state_of(sample_of(10, "mean"),
                          {{1.0, 1e308}, {2.0, 1.0}, {kMissing, -1e308}, {kInfinity, 2.0}});
    EXPECT_EQ(state.mean(0), 1.5);
    EXPECT_EQ(state.mean(1), 0.75);
    EXPECT_TRUE(std::isnan(state_of(sample_of(10), {{1.0}}).mean(0)));
}

TEST(FitState, InfinitiesOfTheSampleAreMissing) {
    auto state = state_of(sample_of(10), {{kInfinity, -kInfinity}, {1.0, kMissing}});
    const auto sample = state.sample();
    std::size_t missing = 0;
    for (const auto& column : sample.columns) {
        for (const Cell cell : column) missing += std::isnan(cell.number) ? 1 : 0;
    }
    EXPECT_EQ(missing, 3U);
}

Schema one_category() { return {{"c", FeatureKind::Category}}; }

void add_label(FitState& state, std::uint64_t identity, std::string_view label) {
    const Cell cell = category_cell(category_hash(label));
    if (state.offer(row_hash(identity))) state.add(row_hash(identity), &cell, &label);
}

std::string label_kept(std::string_view label) {
    FitState state(sample_of(10), one_category());
    add_label(state, 1, label);
    return state.sample().labels.at(category_hash(label));
}

TEST(FitState, LabelsAreClippedBetweenCharacters) {
    const std::string a62(62, 'a');
    EXPECT_EQ(label_kept(a62 + "b"), a62 + "b");  // 63 bytes fit
    EXPECT_EQ(label_kept(a62 + "bc"), a62 + "b");
    EXPECT_EQ(label_kept(a62 + "ü"), a62);         // bytes 63 and 64
    EXPECT_EQ(label_kept(a62 + "bü"), a62 + "b");  // bytes 64 and 65
    EXPECT_EQ(label_kept(a62.substr(1) + "ü"), a62.substr(1) + "ü");
    EXPECT_EQ(label_kept(a62.substr(1) + "€x"), a62.substr(1));  // bytes 62 to 64
    EXPECT_EQ(label_kept(a62.substr(3) + "😀x"), a62.substr(3) + "😀");
    EXPECT_EQ(label_kept(a62.substr(2) + "😀"), a62.substr(2));
    EXPECT_EQ(label_kept(std::string(100, '\x80')), "");  // no UTF-8: still bounded
}

TEST(FitState, LabelsAreThoseOfTheSample) {
    FitState state(sample_of(20), one_category());
    for (std::uint64_t i = 0; i < 5000; ++i) add_label(state, i, "label " + std::to_string(i));
    const auto sample = state.sample();
    EXPECT_EQ(sample.rows, 20U);
    EXPECT_EQ(sample.labels.size(), 20U);
    for (const Cell cell : sample.columns[0]) EXPECT_EQ(sample.labels.count(cell.category), 1U);
    EXPECT_LT(state.save().size(), 2000U);
}

TEST(FitState, MergedLabelsAreThoseOfTheSample) {
    FitState all(sample_of(20), one_category());
    for (std::uint64_t i = 0; i < 1000; ++i) add_label(all, i, std::to_string(i));
    const auto before = all.save();
    for (std::uint64_t part = 0; part < 50; ++part) {
        FitState state(sample_of(20), one_category());
        const std::string label = "part " + std::to_string(part);
        const Cell cell = category_cell(category_hash(label));
        const std::string_view text = label;
        const auto highest = std::numeric_limits<std::uint64_t>::max();
        ASSERT_TRUE(state.offer(highest));
        state.add(highest, &cell, &text);
        all.merge(state);
    }
    EXPECT_EQ(all.rows_seen(), 1050U);
    EXPECT_EQ(all.sample().labels.size(), 20U);
    EXPECT_EQ(all.save().size(), before.size());
}

TEST(FitState, MissingCategoriesHaveNoLabel) {
    FitState state(sample_of(20), one_category());
    const Cell cell = category_cell(kMissingCategory);
    const std::string_view nothing;
    state.offer(1);
    state.add(1, &cell, &nothing);
    EXPECT_TRUE(state.sample().labels.empty());
    EXPECT_EQ(state.sample().rows, 1U);
}

FitState mixed_state() {
    FitState state(sample_of(4, "mean"),
                   {{"c", FeatureKind::Category}, {"x", FeatureKind::Number}});
    for (std::uint64_t i = 0; i < 6; ++i) {
        const std::string label = "v" + std::to_string(i);
        const Cell cells[] = {category_cell(category_hash(label)), number_cell(0.5 * i)};
        const std::string_view labels[] = {label, {}};
        state.offer(row_hash(i));
        state.add(row_hash(i), cells, labels);
    }
    return state;
}

TEST(FitState, LoadsWhatItSaved) {
    auto state = mixed_state();
    const auto bytes = state.save();
    auto loaded = FitState::load(bytes);
    EXPECT_EQ(loaded.rows_seen(), 6U);
    EXPECT_EQ(loaded.mean(1), 1.25);
    EXPECT_EQ(loaded.sample().labels, state.sample().labels);
    EXPECT_EQ(loaded.save().size(), bytes.size());
}

TEST(FitState, RefusesCutAndLongBytes) {
    auto state = mixed_state();
    const auto bytes = state.save();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_THROW(FitState::load(bytes.substr(0, size)), CorruptModel) << size;
    }
    EXPECT_THROW(FitState::load(bytes + "x"), CorruptModel);
}

TEST(FitState, SurvivesHostileBytes) {
    auto state = mixed_state();
    const auto good = state.save();
    Random random(11);
    int loaded = 0;
    for (int round = 0; round < 5000; ++round) {
        auto bytes = good;
        for (auto n = 1 + random.below(4); n > 0; --n) {
            bytes[random.below(static_cast<std::uint32_t>(bytes.size()))] =
                static_cast<char>(random.next());
        }
        try {
            auto hostile = FitState::load(bytes);
            hostile.merge(FitState::load(good));
            const auto model = Model::fit(hostile);
            EXPECT_FALSE(model.save().empty());
            ++loaded;
        } catch (const Error&) {
        }
    }
    EXPECT_GT(loaded, 100);
}

}  // namespace
}  // namespace ad::test
