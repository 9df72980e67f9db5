// Partitioned models: a row is scored by the model of its entity, and by the fallback where there
// is none; their bytes, good and hostile.
#include <map>

#include "testing.hpp"

namespace ad::test {
namespace {

constexpr std::string_view kNames[] = {"north", "south", "east", "west"};
constexpr std::size_t kEntities = 3;  ///< with a model; "west" has none
constexpr std::uint64_t kRowsEach = 40;

/// Two features, then the entity.
Schema schema() {
    return {
        {"x", FeatureKind::Number}, {"y", FeatureKind::Number}, {"where", FeatureKind::Category}};
}

std::vector<Cell> row_of(std::size_t entity, std::uint64_t i) {
    const double x = 100.0 * static_cast<double>(entity) + static_cast<double>(i * 7 % 11);
    return {number_cell(x), number_cell(static_cast<double>(i * 5 % 13)),
            category_cell(category_hash(kNames[entity]))};
}

void add(FitState& state, std::size_t entity, std::uint64_t i) {
    const auto row = row_of(entity, i);
    const std::string_view labels[] = {{}, {}, kNames[entity]};
    const std::uint64_t hash = row_hash(entity * 1000 + i);
    if (state.offer(hash)) state.add(hash, row.data(), labels);
}

std::string request_for(std::string_view algorithm, Json more = Json::object()) {
    more["partition_columns"] = 1;
    if (algorithm == "isolation_forest") {
        more["parameters"] = {{"n_estimators", 3}, {"max_samples", 8}};
    }
    return request(algorithm, more);
}

Model fallback_model(std::string_view algorithm, std::uint64_t rows = kRowsEach) {
    FitState state(request_for(algorithm), schema());
    for (std::size_t entity = 0; entity < std::size(kNames); ++entity) {
        for (std::uint64_t i = 0; i < rows; ++i) add(state, entity, i);
    }
    return Model::fit(state);
}

Model entity_model(std::string_view algorithm, std::size_t entity, std::uint64_t rows = kRowsEach) {
    FitState state(request_for(algorithm, {{"min_rows", 5}}), schema());
    for (std::uint64_t i = 0; i < rows; ++i) add(state, entity, i);
    return *Model::fit_if_enough(state);
}

std::string key_bytes(std::initializer_list<std::uint64_t> key) {
    return {reinterpret_cast<const char*>(std::data(key)), key.size() * sizeof(std::uint64_t)};
}
std::string key_of(std::size_t entity) { return key_bytes({category_hash(kNames[entity])}); }

std::string joined(std::string_view algorithm, std::uint64_t rows = kRowsEach) {
    const auto fallback = fallback_model(algorithm, rows).save();
    PartitionJoin join(fallback, FitState::kNoLimit);
    for (std::size_t entity = 0; entity < kEntities; ++entity) {
        join.add(key_of(entity), entity_model(algorithm, entity, rows).save());
    }
    join.add_without_model();
    return join.save();
}

Table table_of(const std::vector<std::vector<Cell>>& rows) {
    Table table;
    table.rows = rows.size();
    table.columns.resize(3);
    for (const auto& row : rows) {
        for (std::size_t j = 0; j < row.size(); ++j) table.columns[j].push_back(row[j]);
    }
    table.point();
    return table;
}

/// All entities in turn, an unseen one and a missing one.
Table mixed_rows(std::size_t count) {
    std::vector<std::vector<Cell>> rows;
    for (std::size_t i = 0; i < count; ++i) {
        rows.push_back(row_of(i % 4, i));
        if (i % 11 == 0) rows.back()[2] = category_cell(category_hash("elsewhere"));
        if (i % 13 == 0) rows.back()[2] = category_cell(kMissingCategory);
        if (i % 5 == 0) rows.back()[0] = number_cell(250.0);
    }
    return table_of(rows);
}

std::string explain_row(const Model& model, const Table& table, std::size_t row) {
    const std::vector<std::string_view> texts(3);
    Scratch scratch;
    return model.explain(table.cells(), row, texts.data(), scratch);
}

/// What an algorithm does has no say here: one of random and one of plain models, and a
/// combination.
class Partition : public ::testing::TestWithParam<std::string_view> {
  protected:
    std::string_view algorithm() const { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Algorithms, Partition, ::testing::Values("isolation_forest", "mad"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Partition, ARowIsScoredByItsEntity) {
    const auto model = Model::load(joined(algorithm()));
    const auto fallback = fallback_model(algorithm());
    std::vector<Model> of_entities;
    for (std::size_t e = 0; e < kEntities; ++e) {
        of_entities.push_back(entity_model(algorithm(), e));
    }
    const auto table = mixed_rows(300);
    const auto scores = score(model, table);
    const auto of_fallback = score(fallback, table);
    std::size_t differ = 0;
    for (std::size_t i = 0; i < table.rows; ++i) {
        const bool stray = i % 11 == 0 || i % 13 == 0 || i % 4 >= kEntities;
        const Model& expected = stray ? fallback : of_entities[i % 4];
        const auto score_alone = score(expected, table)[i];
        EXPECT_EQ(std::bit_cast<std::uint64_t>(scores[i]),
                  std::bit_cast<std::uint64_t>(score_alone))
            << i;
        const auto prediction = model.for_row(table.cells(), i).predict(scores[i]);
        EXPECT_EQ(prediction.threshold, expected.threshold());
        EXPECT_EQ(prediction.p_value, expected.predict(scores[i]).p_value);
        EXPECT_EQ(explain_row(model, table, i), explain_row(expected, table, i));
        differ += scores[i] != of_fallback[i] ? 1 : 0;
    }
    EXPECT_GT(differ, 100U);
}

TEST_P(Partition, OneRowIsScoredAsMany) {
    const auto model = Model::load(joined(algorithm()));
    for (const std::size_t count : {1, 2, 7, 1500}) {
        const auto table = mixed_rows(count);
        const auto scores = score(model, table);
        Scratch scratch;
        for (std::size_t i = 0; i < count; ++i) {
            const Cell* columns[] = {&table.columns[0][i], &table.columns[1][i],
                                     &table.columns[2][i]};
            double one = -1.0;
            model.score({columns, 1}, scratch, &one);
            ASSERT_EQ(std::bit_cast<std::uint64_t>(one), std::bit_cast<std::uint64_t>(scores[i]));
        }
    }
    Scratch scratch;
    model.score({nullptr, 0}, scratch, nullptr);
}

// Preprocessing and the detector never see them.
TEST_P(Partition, TheFallbackIsTheModelWithoutPartitionColumns) {
    Json options = Json::parse(request_for(algorithm()));
    options.erase("partition_columns");
    FitState state(options.dump(), {schema()[0], schema()[1]});
    for (std::size_t entity = 0; entity < std::size(kNames); ++entity) {
        for (std::uint64_t i = 0; i < kRowsEach; ++i) {
            const auto row = row_of(entity, i);
            const std::string_view labels[2];
            const std::uint64_t hash = row_hash(entity * 1000 + i);
            if (state.offer(hash)) state.add(hash, row.data(), labels);
        }
    }
    const auto plain = Model::fit(state).save();
    const auto bytes = joined(algorithm());
    auto container = read_container(bytes);
    EXPECT_EQ(PartitionedBytes::load(container.in).fallback, plain);
}

TEST_P(Partition, SurvivesLoadingAndSaving) {
    const auto bytes = joined(algorithm());
    const auto model = Model::load(bytes);
    EXPECT_EQ(model.save(), bytes);
    const auto about = Json::parse(model.describe());
    EXPECT_EQ(about["format_version"], 2);
    EXPECT_EQ(about["features"].size(), 2U);
    EXPECT_EQ(about["partition_by"].dump(), R"(["where"])");
    EXPECT_EQ(about["entities"], kEntities);
    EXPECT_EQ(about["entities_without_model"], 1);
    ASSERT_EQ(model.schema().size(), 3U);
    EXPECT_EQ(model.schema()[2].name, "where");
    // the order in which the entities come does not matter
    const auto fallback = fallback_model(algorithm()).save();
    PartitionJoin join(fallback, FitState::kNoLimit);
    join.add_without_model();
    for (std::size_t e = kEntities; e-- > 0;) {
        join.add(key_of(e), entity_model(algorithm(), e).save());
    }
    EXPECT_EQ(join.save(), bytes);
}

TEST_P(Partition, MemoryCountsEveryEntity) {
    const auto model = Model::load(joined(algorithm()));
    std::size_t expected = fallback_model(algorithm()).memory_bytes();
    for (std::size_t e = 0; e < kEntities; ++e) {
        expected += entity_model(algorithm(), e).memory_bytes();
    }
    EXPECT_GE(model.memory_bytes(), expected + kEntities * sizeof(std::uint64_t));
}

TEST_P(Partition, CutAnywhereIsRefused) {
    const auto bytes = joined(algorithm(), 8);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_THROW(Model::load(bytes.substr(0, size)), CorruptModel) << size;
        auto body = bytes.substr(0, size) + "checksum";  // of eight bytes
        if (size + 8 == bytes.size()) continue;          // nothing is missing
        sign(body);
        EXPECT_THROW(Model::load(body), CorruptModel) << size << " with a valid checksum";
    }
    auto longer = bytes.substr(0, bytes.size() - 8) + "x" + "checksum";
    sign(longer);
    expect_error<CorruptModel>([&] { Model::load(longer); }, {"1 unexpected bytes"});
}

void mutate(std::string& bytes, std::size_t end, Random& random) {
    const auto at = random.below(static_cast<std::uint32_t>(end));
    switch (random.below(4)) {
        case 0:
            bytes[at] = static_cast<char>(random.next());
            break;
        case 1:
            bytes[at] ^= static_cast<char>(1 << random.below(8));
            break;
        case 2:  // a huge or an empty count
            for (std::size_t k = at; k < std::min<std::size_t>(at + 4, end); ++k) {
                bytes[k] = static_cast<char>(random.below(2) == 0 ? 0xff : 0x00);
            }
            break;
        default:
            bytes.erase(at, random.below(3));
    }
}

void exercise(const std::string& bytes, const Table& table, int* loaded) {
    try {
        const auto model = Model::load(bytes);
        ++*loaded;
        EXPECT_GT(model.memory_bytes(), 0U);
        EXPECT_TRUE(Json::accept(model.describe()));
        if (model.schema().size() != 3) return;
        for (const double one : score(model, table)) EXPECT_FALSE(std::isinf(one));
        EXPECT_TRUE(Json::accept(explain_row(model, table, 1)));
        EXPECT_NO_THROW(Model::load(model.save()));
    } catch (const CorruptModel&) {
    }
}

TEST_P(Partition, HostileBytesDoNotCrash) {
    const auto bytes = joined(algorithm(), 8);
    const auto table = mixed_rows(40);
    auto container = read_container(bytes);
    auto parts = PartitionedBytes::load(container.in);
    Random random(99);
    int loaded_outside = 0;
    int loaded_inside = 0;
    for (int round = 0; round < 3000; ++round) {
        auto outside = bytes;
        mutate(outside, outside.size() - 8, random);
        sign(outside);
        exercise(outside, table, &loaded_outside);
        // a model within, with checksums that are right all the way
        std::string inside(parts.models[1]);
        mutate(inside, inside.size() - 8, random);
        sign(inside);
        auto changed = parts;
        (random.below(2) == 0 ? changed.fallback : changed.models[1]) = inside;
        exercise(changed.save(), table, &loaded_inside);
    }
    EXPECT_GT(loaded_outside, 0);
    EXPECT_GT(loaded_inside, 100);
    EXPECT_LT(loaded_inside, 3000);
}

/// The parts of a good model, to be spoilt. They point into `bytes`.
struct Parts {
    std::string bytes = joined("mad", 8);
    PartitionedBytes parts;
    Parts() {
        auto container = read_container(bytes);
        parts = PartitionedBytes::load(container.in);
    }
    void expect_corrupt(std::string_view message) const {
        const auto spoilt = parts.save();
        expect_error<CorruptModel>([&] { Model::load(spoilt); }, {message});
    }
};

TEST(PartitionBytes, SayWhatIsWrong) {
    {
        Parts p;
        p.parts.keys = EntityKeys(1);
        for (const std::uint64_t key : {3, 2, 4}) p.parts.keys.append(&key);
        p.expect_corrupt("not in order");
    }
    {
        Parts p;
        p.parts.keys = EntityKeys(1);
        for (const std::uint64_t key : {2, 2, 4}) p.parts.keys.append(&key);
        p.expect_corrupt("not in order");
    }
    {
        Parts p;
        p.parts.partition.push_back({"more", FeatureKind::Number});
        p.expect_corrupt("not complete");
    }
    {
        Parts p;
        p.parts.partition.clear();
        p.expect_corrupt("partition columns");
        p.parts.partition.assign(kMaxPartitionColumns + 1, {"p", FeatureKind::Number});
        p.expect_corrupt("partition columns");
    }
    {
        Parts p;
        p.parts.models.pop_back();
        p.expect_corrupt("unexpected end of data");
    }
    {
        Parts p;
        p.parts.models[0] = p.bytes;
        p.expect_corrupt("a partition within a partition");
        p.parts.models[0] = "no model at all";
        p.expect_corrupt("checksum");
    }
    {
        Parts p;
        const auto other = fit(request("mad"), {{1.0, 2.0}, {3.0, 4.0}}).save();  // f0 and f1
        p.parts.models[2] = other;
        p.expect_corrupt("other features");
    }
}

TEST(PartitionJoin, RefusesWhatDoesNotFit) {
    const auto plain = fit(request("mad"), {{1.0, 2.0}, {3.0, 4.0}}).save();
    expect_error<CorruptModel>([&] { PartitionJoin(plain, 1); }, {"not partitioned"});
    const auto fallback = fallback_model("mad").save();
    const auto model = entity_model("mad", 0).save();
    PartitionJoin join(fallback, FitState::kNoLimit);
    EXPECT_THROW(join.add(key_bytes({1, 2}), model), CorruptModel);
    EXPECT_THROW(join.add(key_of(0), plain), CorruptModel);
    join.add(key_of(0), model);
    join.add(key_of(0), model);
    expect_error<InvalidData>([&] { join.save(); }, {"an entity came twice"});
}

TEST(PartitionJoin, IsBounded) {
    const auto fallback = fallback_model("mad").save();
    const auto model = entity_model("mad", 0).save();
    PartitionJoin join(fallback, fallback.size() + 2 * model.size());
    join.add(key_bytes({1}), model);
    join.add(key_bytes({2}), model);
    expect_error<MemoryLimit>([&] { join.add(key_bytes({3}), model); }, {"first 3 entities"},
                              {"smaller models", "fewer entities", "max_training_memory"});
    const auto bytes = join.save();
    EXPECT_LE(bytes.size(), fallback.size() + 2 * model.size());
}

TEST(EntityKeys, AreFoundAmongMany) {
    Random random(3);
    std::map<std::vector<std::uint64_t>, std::size_t> all;
    for (int i = 0; i < 500; ++i) all[{random.below(30), random.below(30)}] = 0;
    EntityKeys keys(2);
    std::size_t place = 0;
    for (auto& [key, index] : all) {
        keys.append(key.data());
        index = place++;
    }
    EXPECT_EQ(keys.size(), all.size());
    for (std::uint64_t a = 0; a < 31; ++a) {
        for (std::uint64_t b = 0; b < 31; ++b) {
            const std::uint64_t key[] = {a, b};
            const auto found = all.find({a, b});
            EXPECT_EQ(keys.find(key), found == all.end() ? EntityKeys::kNone : found->second);
        }
    }
    const std::uint64_t key[] = {0, 0};
    EXPECT_EQ(EntityKeys(2).find(key), EntityKeys::kNone);
}

TEST(EntityKeys, NumbersAreEqualAsInSql) {
    const Schema partition{{"n", FeatureKind::Number}, {"b", FeatureKind::Boolean}};
    const auto key = [&](double n, double b) {
        const Cell cells[] = {number_cell(n), number_cell(b)};
        const Cell* columns[] = {cells, cells + 1};
        std::vector<std::uint64_t> made(2, 7);
        return entity_key(partition, columns, 0, made.data()) ? made : std::vector<std::uint64_t>();
    };
    EXPECT_EQ(key(-0.0, 1.0), key(0.0, 1.0));
    EXPECT_NE(key(1.0, 1.0), key(1.0, 0.0));
    EXPECT_NE(key(0x1.0p53, 0.0), key(0x1.0p53 - 1.0, 0.0));
    EXPECT_FALSE(key(kInfinity, 1.0).empty());
    EXPECT_TRUE(key(kMissing, 1.0).empty());
    EXPECT_TRUE(key(1.0, kMissing).empty());
}

TEST(MinRows, WithFewerThereIsNoModel) {
    const auto fitted = [](const Json& options, const Rows& rows) {
        FitState state = state_of(request("mad", options), rows);
        return Model::fit_if_enough(state).has_value();
    };
    const auto rows = normal_rows(20, 2);
    EXPECT_TRUE(fitted({{"min_rows", 20}}, rows));
    EXPECT_FALSE(fitted({{"min_rows", 21}}, rows));
    auto gaps = rows;
    gaps[3][1] = kMissing;
    const Json reject{{"impute", "reject"}};
    EXPECT_TRUE(fitted({{"min_rows", 19}, {"preprocess", reject}}, gaps));
    EXPECT_FALSE(fitted({{"min_rows", 20}, {"preprocess", reject}}, gaps));
    const Json rule{{"method", "p_value"}, {"value", 1.0 / 21}};
    EXPECT_TRUE(fitted({{"min_rows", 1}, {"threshold", rule}}, rows));
    const Json strict{{"method", "p_value"}, {"value", 1.0 / 22}};
    EXPECT_FALSE(fitted({{"min_rows", 1}, {"threshold", strict}}, rows));
    FitState empty(request("mad", {{"min_rows", 1}}), numbers(1));
    EXPECT_FALSE(Model::fit_if_enough(empty).has_value());
    EXPECT_THROW(Model::fit(empty), InvalidData);
}

TEST(PartitionRequest, NeedsAFeatureBesides) {
    for (const int count : {3, 4}) {
        expect_error<InvalidParameter>(
            [&] {
                FitState(request("mad", {{"partition_columns", count}}), schema());
            },
            {"at least one feature"});
    }
    expect_error<InvalidParameter>([] { FitRequest::parse(R"({"partition_columns": 17})"); },
                                   {"partition_columns", "17"});
}

TEST(PartitionScore, CanBeCancelled) {
    const auto model = Model::load(joined("mad"));
    const auto table = mixed_rows(100);
    std::vector<double> scores(100);
    Scratch scratch;
    {
        const PollCounter counter(2);
        EXPECT_THROW(model.score(table.cells(), scratch, scores.data()), PollCounter::Cancel);
    }
    model.score(table.cells(), scratch, scores.data());
    EXPECT_EQ(bits_of(scores), bits_of(score(model, table)));
}

}  // namespace
}  // namespace ad::test
