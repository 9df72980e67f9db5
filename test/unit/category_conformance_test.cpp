// What every algorithm of the registry promises where some of the columns hold categories. Beside
// conformance_test, which trains on numbers alone.
#include "testing.hpp"

namespace ad::test {
namespace {

constexpr const char* kWords[] = {"red", "red", "red", "red", "green", "green", "blue"};

class CategoryConformance : public ::testing::TestWithParam<const Algorithm*> {
  protected:
    static Schema schema() {
        return {{"word", FeatureKind::Category},
                {"x", FeatureKind::Number},
                {"other", FeatureKind::Category}};
    }
    std::string ask(const Json& more = Json::object()) const {
        return request(GetParam()->name, more);
    }
    /// Words, a number and words again, now and then missing.
    static std::vector<std::string_view> labels(std::uint64_t i) {
        return {i % 31 == 0 ? std::string_view() : kWords[i % 7], {}, kWords[i / 7 % 7]};
    }
    static std::vector<Cell> row(std::uint64_t i) {
        std::vector<Cell> cells;
        for (const auto label : labels(i)) {
            cells.push_back(label.empty() ? missing_cell(FeatureKind::Category)
                                          : category_cell(category_hash(label)));
        }
        cells[1] = number_cell(i % 17 == 0 ? kMissing : static_cast<double>(i * 37 % 101));
        return cells;
    }
    static void add(FitState& state, std::uint64_t i) {
        const auto cells = row(i);
        const auto texts = labels(i);
        if (state.offer(row_hash(i))) state.add(row_hash(i), cells.data(), texts.data());
    }
    static FitState state_of_rows(const std::string& request, std::uint64_t rows) {
        FitState state(request, schema());
        for (std::uint64_t i = 0; i < rows; ++i) add(state, i);
        return state;
    }
    Model fitted(std::uint64_t rows) const {
        auto state = state_of_rows(ask(), rows);
        return Model::fit(state);
    }
    /// The training rows, a row that is missing and one that is as new as can be.
    static Table table(std::uint64_t rows) {
        Table table;
        table.columns.resize(3);
        const auto add_row = [&](const std::vector<Cell>& cells) {
            for (std::size_t j = 0; j < 3; ++j) table.columns[j].push_back(cells[j]);
            ++table.rows;
        };
        for (std::uint64_t i = 0; i < rows; ++i) add_row(row(i));
        const Cell nothing = missing_cell(FeatureKind::Category);
        add_row({nothing, number_cell(kMissing), nothing});
        add_row({category_cell(1), number_cell(-kInfinity), category_cell(2)});
        table.point();
        return table;
    }
};

INSTANTIATE_TEST_SUITE_P(Algorithms, CategoryConformance, ::testing::ValuesIn(algorithms()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(CategoryConformance, ScoresAreFiniteAndOfEachRowAlone) {
    const auto rows = table(500);
    const auto model = fitted(500);
    const auto expected = score(model, rows);
    for (const double score : expected) EXPECT_TRUE(std::isfinite(score)) << score;
    std::vector<double> scores(rows.rows);
    Scratch scratch;
    for (std::size_t i = 0; i < rows.rows; ++i) {
        std::vector<const Cell*> shifted;
        for (const Cell* column : rows.pointers) shifted.push_back(column + i);
        model.score({shifted.data(), 1}, scratch, scores.data() + i);
    }
    EXPECT_EQ(bits_of(scores), bits_of(expected));
    EXPECT_EQ(bits_of(score(Model::load(model.save()), rows)), bits_of(expected));
}

TEST_P(CategoryConformance, RowOfUnseenValuesRanksAboveMost) {
    const auto scores = score(fitted(500), table(500));
    const auto below = std::count_if(scores.begin(), scores.end(),
                                     [&](double score) { return score < scores.back(); });
    EXPECT_GE(below, 490);
}

TEST_P(CategoryConformance, ModelDoesNotDependOnOrderOrSplit) {
    const auto request = ask({{"sample_size", 150}, {"random_seed", 5}});
    auto whole = state_of_rows(request, 400);
    const auto expected = Model::fit(whole).save();
    std::vector<FitState> parts;
    for (int p = 0; p < 3; ++p) parts.emplace_back(request, schema());
    for (std::uint64_t i = 400; i-- > 0;) add(parts[i % 3], i);
    parts[2].merge(parts[0]);
    parts[2].merge(parts[1]);
    EXPECT_EQ(Model::fit(parts[2]).save(), expected);
}

TEST_P(CategoryConformance, OneRowAndConstantColumnsFlagNothing) {
    for (const std::uint64_t count : {1, 100}) {
        FitState state(ask(), schema());
        const auto cells = row(1);
        const auto texts = labels(1);
        for (std::uint64_t i = 0; i < count; ++i) {
            if (state.offer(row_hash(i))) state.add(row_hash(i), cells.data(), texts.data());
        }
        const auto model = Model::fit(state);
        Table same;
        same.rows = 1;
        for (const Cell cell : cells) same.columns.push_back({cell});
        same.point();
        EXPECT_FALSE(model.predict(score(model, same)[0]).is_anomaly) << count << " rows";
    }
}

TEST_P(CategoryConformance, FitCanBeCancelledAnywhere) {
    auto state = state_of_rows(ask(), 2000);
    std::uint64_t calls = 0;
    {
        PollCounter counter;
        Model::fit(state);
        calls = counter.calls();
    }
    EXPECT_GE(calls, 3U);
    for (std::uint64_t at = 1; at <= calls; at += at + 1) {
        PollCounter counter(at);
        EXPECT_THROW(Model::fit(state), PollCounter::Cancel) << "call " << at;
    }
}

TEST_P(CategoryConformance, NumbersAloneAreRefusedExactlyWhereTheRegistrySaysSo) {
    auto state = state_of(ask(), normal_rows(50, 2));
    if (GetParam()->needs_categories) {
        EXPECT_THROW(Model::fit(state), InvalidData);
    } else {
        EXPECT_NO_THROW(Model::fit(state));
    }
}

}  // namespace
}  // namespace ad::test
