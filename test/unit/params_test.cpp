#include "core/params.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

constexpr std::string_view kColours[] = {"red", "green"};
constexpr ParamSpec kSpecs[] = {
    {"count", ParamType::Integer, 5, 1, 10, {}, "how many"},
    {"share", ParamType::Real, 0.5, 0.25, 1.0, {}, "how much"},
    {"shuffle", ParamType::Boolean, 1, 0, 1, {}, "whether"},
    {"colour", ParamType::Choice, 1, 0, 1, kColours, "which"},
    {"width", ParamType::Real, kMissing, 0, 9, kColours, "a number or a word"},
    {"sizes", ParamType::List, 0, 0, 0, {}, "a list", "[3]"},
};

Params parse(const Json& values) { return Params(kSpecs, values, "paint"); }

void expect_refused(const Json& values, std::initializer_list<std::string_view> message,
                    std::initializer_list<std::string_view> hint = {}) {
    SCOPED_TRACE(values.dump());
    expect_error<InvalidParameter>([&] { parse(values); }, message, hint);
}

TEST(Params, Defaults) {
    const auto params = parse(Json::object());
    EXPECT_EQ(params.number("count"), 5.0);
    EXPECT_EQ(params.number("share"), 0.5);
    EXPECT_TRUE(params.flag("shuffle"));
    EXPECT_EQ(params.choice("colour"), "green");
    EXPECT_EQ(params.to_json().dump(),
              R"({"count":5,"share":0.5,"shuffle":true,"colour":"green","width":"red",)"
              R"("sizes":[3]})");
}

TEST(Params, TakesGivenValues) {
    const auto params = parse({{"colour", "red"},
                               {"shuffle", false},
                               {"share", 1},
                               {"count", 10.0},
                               {"width", 2},
                               {"sizes", {1, "x"}}});
    EXPECT_EQ(params.to_json().dump(),
              R"({"count":10,"share":1.0,"shuffle":false,"colour":"red","width":2.0,)"
              R"("sizes":[1,"x"]})");
}

TEST(Params, WrongTypesNameTheValidValues) {
    expect_refused({{"shuffle", "yes"}}, {"true or false"}, {"Valid values are: true, false."});
    expect_refused({{"colour", 1}}, {"must be a string"}, {"Valid values are: "});
    expect_refused({{"count", "many"}}, {"a number"}, {"Valid values are between 1 and 10."});
    expect_refused({{"width", "wide"}}, {"\"wide\""}, {", and numbers between 0 and 9."});
}

TEST(Params, UnknownKeyNamesTheValidOnes) {
    expect_refused({{"cuont", 3}}, {"unknown parameter of paint", "\"cuont\""},
                   {"count, share, shuffle, colour, width, sizes"});
    expect_error<InvalidParameter>(
        [] {
            Params({}, {{"x", 1}}, "plain");
        },
        {"plain", "\"x\""}, {"takes none"});
}

TEST(Params, WrongTypeNamesTheParameter) {
    for (const Json& wrong : {Json("3"), Json(true), Json(nullptr), Json::array({3})}) {
        expect_refused({{"count", wrong}}, {"\"count\"", "paint", "a number"});
        expect_refused({{"share", wrong}}, {"\"share\"", "paint", "a number"});
    }
    expect_refused({{"count", 2.5}}, {"\"count\"", "a whole number"});
    expect_refused({{"shuffle", 1}}, {"\"shuffle\"", "true or false"});
    expect_refused({{"shuffle", "true"}}, {"\"shuffle\"", "true or false"});
    expect_refused({{"colour", 0}}, {"\"colour\"", "a string"});
    expect_refused({{"width", true}}, {"\"width\"", "a number or \"red\" or \"green\""});
    expect_refused({{"width", "blue"}}, {"\"blue\"", "\"width\""}, {"red, green"});
    expect_refused({{"sizes", 3}}, {"\"sizes\"", "an array"});
}

TEST(Params, OutOfRangeNamesTheRange) {
    expect_refused({{"count", 0}}, {"value 0 ", "\"count\"", "paint"}, {"between 1 and 10"});
    expect_refused({{"count", 11}}, {"value 11 ", "\"count\""}, {"between 1 and 10"});
    expect_refused({{"count", 1e300}}, {"1e+300", "\"count\""}, {"between 1 and 10"});
    expect_refused({{"share", 0.2}}, {"value 0.2 ", "\"share\""}, {"between 0.25 and 1"});
    expect_refused({{"share", 1.01}}, {"value 1.01 ", "\"share\""}, {"between 0.25 and 1"});
    expect_refused({{"colour", "blue"}}, {"\"blue\"", "\"colour\"", "paint"}, {"red, green"});
}

TEST(Params, DescribeListsEverything) {
    const auto list = describe(kSpecs);
    ASSERT_EQ(list.size(), 6U);
    EXPECT_EQ(list[4].dump(),
              R"({"name":"width","type":"real","default":"red","choices":["red","green"],)"
              R"("minimum":0.0,"maximum":9.0,"help":"a number or a word"})");
    EXPECT_EQ(list[5].dump(), R"({"name":"sizes","type":"list","default":[3],"help":"a list"})");
    EXPECT_EQ(list[0].dump(),
              R"({"name":"count","type":"integer","default":5,"minimum":1,"maximum":10,)"
              R"("help":"how many"})");
    EXPECT_EQ(list[2].dump(),
              R"({"name":"shuffle","type":"boolean","default":true,"help":"whether"})");
    EXPECT_EQ(list[3].dump(), R"({"name":"colour","type":"choice","default":"green",)"
                              R"("choices":["red","green"],"help":"which"})");
}

// Every parameter of every algorithm takes its default and both limits, and nothing beyond.
TEST(Params, EveryDeclarationHolds) {
    for (const Algorithm* algorithm : algorithms()) {
        for (const auto& spec : algorithm->params) {
            SCOPED_TRACE(std::string(algorithm->name) + "." + std::string(spec.name));
            const auto with = [&](const Json& value) {
                return Params(algorithm->params, {{spec.name, value}}, algorithm->name);
            };
            EXPECT_THROW(with(nullptr), InvalidParameter);
            EXPECT_THROW(with(Json::object()), InvalidParameter);
            EXPECT_FALSE(spec.help.empty());
            if (spec.type == ParamType::List) {
                EXPECT_EQ(
                    with(Json::parse(spec.default_list)).list(spec.name),
                    Params(algorithm->params, Json::object(), algorithm->name).list(spec.name));
            }
            for (const auto word : spec.choices) {
                EXPECT_EQ(with(word).choice(spec.name), word);
            }
            if (spec.type != ParamType::Integer && spec.type != ParamType::Real) continue;
            for (const double value : {spec.minimum, spec.default_value, spec.maximum}) {
                if (std::isnan(value)) continue;
                EXPECT_EQ(with(value).number(spec.name), value);
            }
            EXPECT_THROW(with(std::nextafter(spec.minimum, -kInfinity)), InvalidParameter);
            EXPECT_THROW(with(std::nextafter(spec.maximum, kInfinity)), InvalidParameter);
        }
    }
}

TEST(Params, ParseObjectRefusesOtherText) {
    for (const auto text : {"", "{", "[1]", "3", "{} {}", "{\"a\": 1e999}", "{\"a\": \"\xff\"}"}) {
        expect_error<InvalidParameter>([&] { parse_object(text, "the option"); }, {"the option"});
    }
    EXPECT_EQ(parse_object(" {\"a\": [1]} ", "x").dump(), R"({"a":[1]})");
}

// Writing a deep value back, as messages do, would overflow the stack.
TEST(Params, ParseObjectRefusesDeepNesting) {
    const std::string deep = "{\"a\":" + std::string(1000000, '[');
    expect_error<InvalidParameter>([&] { parse_object(deep, "the option"); },
                                   {"the option", "nested too deeply"});
}

TEST(Registry, UnknownAlgorithmNamesTheKnown) {
    expect_error<InvalidParameter>([] { find_algorithm("magic"); },
                                   {"unknown algorithm", "\"magic\""}, {"isolation_forest", "mad"});
    for (const Algorithm* algorithm : algorithms()) {
        EXPECT_EQ(&find_algorithm(algorithm->name), algorithm);
    }
}

TEST(Registry, DescribesEveryAlgorithm) {
    const auto list = describe_algorithms();
    ASSERT_EQ(list.size(), algorithms().size());
    for (const auto& entry : list) {
        for (const auto key : {"name", "family", "summary", "score_scale", "paper"}) {
            EXPECT_FALSE(entry.at(key).get<std::string>().empty()) << entry;
        }
        EXPECT_TRUE(entry.at("takes_missing").is_boolean());
        EXPECT_TRUE(entry.at("parameters").is_array());
    }
}

}  // namespace
}  // namespace ad::test
