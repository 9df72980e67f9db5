// The detector "rare_category" against numbers worked out by hand.
#include "testing.hpp"

namespace ad::test {
namespace {

const Schema kSchema{{"word", FeatureKind::Category}, {"number", FeatureKind::Number}};
constexpr const char* kNull = nullptr;

Cell word(const char* text) {
    return text == nullptr ? missing_cell(FeatureKind::Category)
                           : category_cell(category_hash(text));
}

/// One row for each word, with a number that means nothing.
Model fit_words(const std::vector<const char*>& words, const Json& more = Json::object()) {
    FitState state(request("rare_category", more), kSchema);
    for (std::uint64_t i = 0; i < words.size(); ++i) {
        const Cell cells[] = {word(words[i]), number_cell(static_cast<double>(i))};
        const std::string_view labels[] = {words[i] == nullptr ? "" : words[i], {}};
        if (state.offer(row_hash(i))) state.add(row_hash(i), cells, labels);
    }
    return Model::fit(state);
}

Table table_of(const std::vector<const char*>& words) {
    Table table;
    table.rows = words.size();
    table.columns.resize(2);
    for (const char* text : words) {
        table.columns[0].push_back(word(text));
        table.columns[1].push_back(number_cell(1e300));
    }
    table.point();
    return table;
}

std::vector<const char*> words_of(std::size_t a, std::size_t b, std::size_t null) {
    std::vector<const char*> words(a, "a");
    words.insert(words.end(), b, "b");
    words.insert(words.end(), null, kNull);
    return words;
}

TEST(RareCategory, ScoreIsSurprisalBeyondTheEntropy) {
    const auto model = fit_words(words_of(900, 90, 10));
    const double a = std::log2(1002.0 / 901);
    const double b = std::log2(1002.0 / 91);
    const double null = std::log2(1002.0 / 11);
    const double entropy = 0.9 * a + 0.09 * b + 0.01 * null;
    const auto scores = score(model, table_of({"a", "b", kNull, "new"}));
    EXPECT_NEAR(scores[0], a - entropy, 1e-12);
    EXPECT_NEAR(scores[1], b - entropy, 1e-12);
    EXPECT_NEAR(scores[2], null - entropy, 1e-12);
    EXPECT_NEAR(scores[3], std::log2(1002.0) - entropy, 1e-12);
    EXPECT_FALSE(model.predict(scores[1]).is_anomaly);
    EXPECT_TRUE(model.predict(scores[3]).is_anomaly);
    EXPECT_DOUBLE_EQ(model.predict(0.0).threshold, std::log2(100.0));
}

TEST(RareCategory, MissingValueThatNeverWasIsAsRareAsAnUnknownWord) {
    const auto scores = score(fit_words(words_of(500, 500, 0)), table_of({kNull, "new", "a"}));
    EXPECT_EQ(scores[0], scores[1]);
    EXPECT_GT(scores[0], scores[2]);
}

// Every value is rare where each occurs once; only one that is new says a little.
TEST(RareCategory, IdentifiersSayNothing) {
    std::vector<std::string> names;
    for (int i = 0; i < 800; ++i) names.push_back("id " + std::to_string(i));
    std::vector<const char*> words;
    for (const auto& name : names) words.push_back(name.c_str());
    const auto model = fit_words(words);
    const auto scores = score(model, table_of({"id 0", "id 799", "id 800"}));
    EXPECT_NEAR(scores[0], 0.0, 1e-12);
    EXPECT_NEAR(scores[1], 0.0, 1e-12);
    EXPECT_NEAR(scores[2], 1.0, 1e-12);
}

TEST(RareCategory, LargestOfTheColumnsAndItsContribution) {
    const Schema schema{{"x", FeatureKind::Category}, {"y", FeatureKind::Category}};
    FitState state(request("rare_category"), schema);
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const char* y = i % 2 == 0 ? "even" : "odd";
        const Cell cells[] = {word("same"), word(y)};
        const std::string_view labels[] = {"same", y};
        if (state.offer(row_hash(i))) state.add(row_hash(i), cells, labels);
    }
    const auto model = Model::fit(state);
    Table table;
    table.rows = 1;
    table.columns = {{word("other")}, {word("third")}};
    table.point();
    const double x = std::log2(1002.0) - std::log2(1002.0 / 1001);
    const double y = std::log2(1002.0) - std::log2(1002.0 / 501);
    EXPECT_NEAR(score(model, table)[0], x, 1e-12);
    Scratch scratch;
    const std::string_view texts[] = {"other", "third"};
    const auto list = Json::parse(model.explain(table.cells(), 0, texts, scratch));
    EXPECT_EQ(list[0]["feature"], "x");
    EXPECT_EQ(list[0]["direction"], "unseen");
    EXPECT_NEAR(list[0]["contribution"].get<double>(), x, 1e-12);
    EXPECT_NEAR(list[1]["contribution"].get<double>(), y, 1e-12);
}

TEST(RareCategory, NumbersAloneAreRefused) {
    auto state = state_of(request("rare_category"), normal_rows(10, 2));
    expect_error<InvalidData>([&] { Model::fit(state); }, {"rare_category", "categories"},
                              {"cast", "text"});
}

}  // namespace
}  // namespace ad::test
