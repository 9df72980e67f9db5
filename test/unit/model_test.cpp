// The bytes of models, good and hostile, and what models say about themselves.
#include "core/model.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

Schema mixed_schema() {
    return {{"amount", FeatureKind::Number},
            {"colour", FeatureKind::Category},
            {"at", FeatureKind::Timestamp},
            {"paid", FeatureKind::Boolean}};
}

constexpr std::string_view kColours[] = {"red", "red", "red", "green", "green", "blue"};

/// Row i: an amount near 10, a colour, an hour of the day, a boolean.
std::vector<Cell> mixed_row(std::uint64_t i) {
    return {number_cell(10.0 + static_cast<double>(i % 7)),
            category_cell(category_hash(kColours[i % 6])),
            number_cell(3600.0 * static_cast<double>(i)), number_cell(static_cast<double>(i % 2))};
}

Model mixed_model(std::string_view algorithm, const Json& more = Json::object()) {
    FitState state(request(algorithm, more), mixed_schema());
    for (std::uint64_t i = 0; i < 30; ++i) {
        const auto row = mixed_row(i);
        const std::string_view labels[] = {{}, kColours[i % 6], {}, {}};
        if (state.offer(row_hash(i))) state.add(row_hash(i), row.data(), labels);
    }
    return Model::fit(state);
}

/// A model of few bytes, so that a mutation is likely to hit something.
Model small_model(std::string_view algorithm) {
    Json more{{"sample_size", 16}};
    if (algorithm == "isolation_forest") {
        more["parameters"] = {{"n_estimators", 3}, {"max_samples", 8}};
    }
    return mixed_model(algorithm, more);
}

Table table_of(const std::vector<std::vector<Cell>>& rows) {
    Table table;
    table.rows = rows.size();
    table.columns.resize(4);
    for (const auto& row : rows) {
        for (std::size_t j = 0; j < row.size(); ++j) table.columns[j].push_back(row[j]);
    }
    table.point();
    return table;
}

/// Ten rows without missing values: the known, the unseen and the extreme.
Table complete_rows() {
    std::vector<std::vector<Cell>> rows;
    for (std::uint64_t i = 0; i < 7; ++i) rows.push_back(mixed_row(i));
    rows.push_back({number_cell(kInfinity), category_cell(99), number_cell(1e300), number_cell(0)});
    rows.push_back({number_cell(-kLargest), category_cell(1), number_cell(-1), number_cell(1)});
    rows.push_back({number_cell(kDenormal), category_cell(2), number_cell(0), number_cell(7)});
    return table_of(rows);
}

Table rows_with_gaps() {
    const auto gap = number_cell(kMissing);
    return table_of({{gap, category_cell(kMissingCategory), gap, gap},
                     {number_cell(1), category_cell(5), number_cell(kInfinity), gap}});
}

std::string explain_row(const Model& model, const Table& table, std::size_t row,
                        std::vector<std::string_view> texts = {{}, {}, {}, {}}) {
    Scratch scratch;
    return model.explain(table.cells(), row, texts.data(), scratch);
}

/// Of a model of several forests, whose parts are tested by themselves, not every byte.
std::size_t step_through(const std::string& bytes) { return 1 + bytes.size() / 2048; }

class ModelBytes : public ::testing::TestWithParam<const Algorithm*> {
  protected:
    std::string good() const { return small_model(GetParam()->name).save(); }
};

INSTANTIATE_TEST_SUITE_P(Algorithms, ModelBytes, ::testing::ValuesIn(algorithms()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(ModelBytes, SurviveLoadingAndSaving) {
    for (const auto impute : {"median", "mean", "constant", "reject"}) {
        const auto model = mixed_model(GetParam()->name,
                                       {{"preprocess", {{"impute", impute}}},
                                        {"threshold", {{"method", "quantile"}, {"value", 0.9}}}});
        const auto bytes = model.save();
        const auto loaded = Model::load(bytes);
        EXPECT_EQ(loaded.save(), bytes);
        EXPECT_EQ(loaded.describe(), model.describe());
        for (const Table& table : {complete_rows(), rows_with_gaps()}) {
            EXPECT_EQ(bits_of(score(loaded, table)), bits_of(score(model, table)));
            EXPECT_EQ(explain_row(loaded, table, 0), explain_row(model, table, 0));
        }
        EXPECT_EQ(loaded.predict(1.0).threshold, model.predict(1.0).threshold);
        EXPECT_EQ(loaded.predict(1.0).p_value, model.predict(1.0).p_value);
    }
}

TEST_P(ModelBytes, CutAnywhereAreRefused) {
    const auto bytes = good();
    for (std::size_t size = 0; size < bytes.size(); size += step_through(bytes)) {
        EXPECT_THROW(Model::load(bytes.substr(0, size)), CorruptModel) << size;
        auto body = bytes.substr(0, size) + "checksum";  // of eight bytes
        if (size + 8 == bytes.size()) continue;          // nothing is missing
        sign(body);
        EXPECT_THROW(Model::load(body), CorruptModel) << size << " with a valid checksum";
    }
}

TEST_P(ModelBytes, EveryFlippedBitIsNoticed) {
    auto bytes = good();
    for (std::size_t i = 0; i < bytes.size(); i += step_through(bytes)) {
        for (int bit = 0; bit < 8; ++bit) {
            bytes[i] ^= static_cast<char>(1 << bit);
            EXPECT_THROW(Model::load(bytes), CorruptModel) << "byte " << i << " bit " << bit;
            bytes[i] ^= static_cast<char>(1 << bit);
        }
    }
    EXPECT_NO_THROW(Model::load(bytes));
}

TEST_P(ModelBytes, TrailingBytesAreRefused) {
    const auto bytes = good();
    EXPECT_THROW(Model::load(bytes + '\0'), CorruptModel);
    auto longer = bytes.substr(0, bytes.size() - 8) + "x" + "checksum";
    sign(longer);
    expect_error<CorruptModel>([&] { Model::load(longer); }, {"1 unexpected bytes"});
}

void mutate(std::string& bytes, Random& random) {
    const auto size = static_cast<std::uint32_t>(bytes.size());
    const std::uint32_t at = random.below(size - 8);  // before the checksum
    switch (random.below(5)) {
        case 0:
            bytes[at] = static_cast<char>(random.next());
            break;
        case 1:
            bytes[at] ^= static_cast<char>(1 << random.below(8));
            break;
        case 2:
            bytes[at] = static_cast<char>(bytes[at] + (random.below(2) == 0 ? 1 : -1));
            break;
        case 3:  // a huge or an empty count, a NaN
            for (std::uint32_t k = at; k < std::min(at + 8, size - 8); ++k) {
                bytes[k] = static_cast<char>(random.below(2) == 0 ? 0xff : 0x00);
            }
            break;
        default:
            bytes.erase(at, random.below(3));
            if (bytes.size() < 16) bytes.resize(16);
    }
}

/// Uses a model that hostile bytes made in every way; it may be absurd, but not crash.
void exercise(const Model& model, const Table& complete, const Table& gaps) {
    if (model.schema().size() != 4) return;
    for (const double score : score(model, complete)) ASSERT_TRUE(std::isfinite(score)) << score;
    for (const double score : score(model, gaps)) {
        ASSERT_FALSE(std::isinf(score));  // NaN: rejected
        const auto prediction = model.predict(score);
        ASSERT_TRUE(prediction.p_value > 0.0 && prediction.p_value <= 1.0);
    }
    ASSERT_TRUE(Json::accept(explain_row(model, complete, 7)));
    ASSERT_TRUE(Json::accept(explain_row(model, gaps, 0)));
    const auto about = Json::parse(model.describe());
    const auto& algorithm = find_algorithm(about["algorithm"].get<std::string>());
    ASSERT_TRUE(algorithm.takes_missing || about["preprocess"]["impute"] != "none");
    ASSERT_GT(model.memory_bytes(), 0U);
    ASSERT_NO_THROW(Model::load(model.save()));
}

TEST_P(ModelBytes, HostileBytesWithAValidChecksumDoNotCrash) {
    const auto original = good();
    const int rounds = 5000 / static_cast<int>(step_through(original));
    const auto complete = complete_rows();
    const auto gaps = rows_with_gaps();
    Random random(2024);
    int loaded = 0;
    for (int round = 0; round < rounds; ++round) {
        auto bytes = original;
        for (auto n = 1 + random.below(3); n > 0; --n) mutate(bytes, random);
        sign(bytes);
        try {
            const auto model = Model::load(bytes);
            ++loaded;
            exercise(model, complete, gaps);
        } catch (const CorruptModel&) {
        }
        ASSERT_FALSE(HasFatalFailure()) << "round " << round;
    }
    // otherwise the mutations are too wild to reach anything
    EXPECT_GT(loaded, rounds / 50);
    EXPECT_LT(loaded, rounds);
}

TEST(Model, RefusesWhatIsNoModel) {
    for (const std::string bytes : {"", "x", "12345678", "ADMODEL\n", "some text, but no model"}) {
        EXPECT_THROW(Model::load(bytes), CorruptModel);
        auto checked = bytes + "checksum";
        sign(checked);
        EXPECT_THROW(Model::load(checked), CorruptModel);
    }
}

/// Replaces the first `from` in the bytes of a model, of the same length, and signs them.
Model with_replaced(const std::string& from, const std::string& to) {
    auto bytes = small_model("isolation_forest").save();
    EXPECT_EQ(from.size(), to.size());
    const auto at = bytes.find(from);
    EXPECT_NE(at, std::string::npos);
    bytes.replace(at, to.size(), to);
    sign(bytes);
    return Model::load(bytes);
}

TEST(Model, SaysWhatIsWrong) {
    const std::string head = "ADMODEL\n";
    expect_error<CorruptModel>([&] { with_replaced(head + '\1', head + '\3'); }, {"newer"});
    expect_error<CorruptModel>([&] { with_replaced(head, "ADNODEL\n"); }, {"not a model"});
    expect_error<CorruptModel>([] { with_replaced("isolation_forest", "isolation_garden"); },
                               {"unknown algorithm"});
    expect_error<CorruptModel>([] { with_replaced("isolation_forest\1", "isolation_forest\2"); },
                               {"version 2 of isolation_forest", "newer"});
    expect_error<CorruptModel>([] { with_replaced("{\"n_estim", "[\"n_estim"); }, {"JSON"});
    expect_error<CorruptModel>([] { with_replaced("method\":\"auto\"", "method\":\"otto\""); },
                               {"otto"});
}

TEST(Model, ExplainsCategories) {
    const auto model = mixed_model("mad");
    auto usual = mixed_row(0);
    auto rare = mixed_row(0);
    auto unseen = mixed_row(0);
    auto missing = mixed_row(0);
    rare[1] = category_cell(category_hash("blue"));
    unseen[1] = category_cell(category_hash("violet"));
    missing[1] = category_cell(kMissingCategory);
    const auto table = table_of({usual, rare, unseen, missing});
    const auto of_colour = [&](std::size_t row, std::string_view text) {
        for (const auto& entry : Json::parse(explain_row(model, table, row, {{}, text, {}, {}}))) {
            if (entry["feature"] == "colour") return entry;
        }
        return Json();
    };
    EXPECT_EQ(of_colour(0, "red")["expected"], "red");
    EXPECT_EQ(of_colour(0, "red")["value"], "red");
    EXPECT_EQ(of_colour(0, "red")["direction"], nullptr);
    EXPECT_EQ(of_colour(1, "blue")["direction"], "rare");
    EXPECT_EQ(of_colour(2, "violet")["direction"], "unseen");
    EXPECT_EQ(of_colour(3, "")["direction"], "missing");
    EXPECT_EQ(of_colour(3, "")["value"], nullptr);
    EXPECT_GT(of_colour(2, "violet")["contribution"], of_colour(1, "blue")["contribution"]);
    EXPECT_EQ(of_colour(3, "")["contribution"], 0.0);
}

TEST(Model, ExplainsNumbers) {
    const Rows training{{1, 0.5}, {2, 1.5}, {3, 2.5}, {4, 3.5}, {5, 4.5}};
    const auto model = fit(request("mad"), training);
    const auto list = explain(model, {{9, kMissing}});
    EXPECT_EQ(list[0].dump(), R"({"feature":"f0","value":9,"expected":3,"contribution":)" +
                                  Json(6 / 1.4826).dump() + R"(,"direction":"high"})");
    EXPECT_EQ(list[1].dump(), R"({"feature":"f1","value":null,"expected":2.5,)"
                              R"("contribution":0.0,"direction":"missing"})");
    EXPECT_EQ(explain(model, {{-kInfinity, 2.5}})[0]["value"], "-Infinity");
    EXPECT_EQ(explain(model, {{-kInfinity, 2.5}})[0]["direction"], "low");
}

TEST(Model, TextThatIsNoUtf8DoesNotBreakTheExplanation) {
    const auto model = mixed_model("isolation_forest");
    const auto text = explain_row(model, complete_rows(), 0, {"\xff\xfe", "\xc3", {}, {}});
    EXPECT_TRUE(Json::accept(text)) << text;
}

TEST(Model, DescribesItself) {
    const auto model = mixed_model("mad", {{"random_seed", 7}, {"sample_size", 20}});
    const auto about = Json::parse(model.describe());
    EXPECT_EQ(about["algorithm"], "mad");
    EXPECT_EQ(about["parameters"], Json::object());
    EXPECT_EQ(about["preprocess"].dump(), R"({"impute":"none","scale":"none"})");
    EXPECT_EQ(about["threshold_rule"].dump(), R"({"method":"auto"})");
    EXPECT_EQ(about["threshold"], 3.5);
    EXPECT_EQ(about["random_seed"], 7);
    EXPECT_EQ(about["training_rows"], 30);
    EXPECT_EQ(about["fitted_rows"], 20);
    EXPECT_EQ(about["calibration_scores"], 20);
    ASSERT_EQ(about["features"].size(), 4U);
    EXPECT_EQ(about["features"][1]["feature"], "colour");
    EXPECT_EQ(about["features"][1]["kind"], "category");
    EXPECT_EQ(about["features"][1]["categories"].size(), 3U);
    EXPECT_EQ(about["features"][2]["kind"], "timestamp");
    EXPECT_EQ(about["features"][0]["quantiles"].size(), FeatureStats::kQuantiles);
}

// The server hands the same scratch to model after model.
TEST(Model, ScratchServesModelsInTurn) {
    const Rows rows(3, {kMissing, 1.0});
    const auto rejecting =
        fit(request("mad", {{"preprocess", {{"impute", "reject"}}}}), {{1.0, 2.0}});
    const auto filling = fit(request("mad"), {{1.0, 2.0}});
    const Table table(rows);
    Scratch scratch;
    std::vector<double> scores(3);
    rejecting.score(table.cells(), scratch, scores.data());
    EXPECT_TRUE(std::isnan(scores[0]));
    const std::unique_ptr<double> one(new double(0.0));  // a write beyond it is an error
    filling.score({table.pointers.data(), 1}, scratch, one.get());
    EXPECT_EQ(*one, 1e9);
}

TEST(Model, MemoryGrowsWithTheForest) {
    const auto rows = normal_rows(300, 2);
    const auto bytes = [&](int trees) {
        return fit(request("isolation_forest", {{"parameters", {{"n_estimators", trees}}}}), rows)
            .memory_bytes();
    };
    EXPECT_GT(bytes(100), 5 * bytes(10));
    // at least 16 bytes for each of some 300 nodes a tree
    EXPECT_GT(bytes(100), 100 * 300 * 16U);
}

}  // namespace
}  // namespace ad::test
