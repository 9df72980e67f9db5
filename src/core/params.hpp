// Parameters declared as data. Validation, the view ad_algorithms and the table in
// docs/algorithms.md all read the same declarations.
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "error.hpp"

namespace ad {

using Json = nlohmann::ordered_json;

enum class ParamType : std::uint8_t { Integer, Real, Boolean, Choice, List };

struct ParamSpec {
    std::string_view name;
    ParamType type;
    double default_value;  ///< of a Choice: the index in `choices`; NaN: the first of `choices`
    double minimum;
    double maximum;
    std::span<const std::string_view> choices;  ///< words that a number may be replaced by
    std::string_view help;
    std::string_view default_list = "[]";  ///< of a List, as JSON
};

/// The values of one algorithm's parameters, in the order of their declarations.
class Params {
  public:
    /// Reads `values` (a JSON object), fills in defaults, and refuses unknown keys and values
    /// that are out of range. `owner` names the algorithm in messages.
    Params(std::span<const ParamSpec> specs, const Json& values, std::string_view owner);

    /// NaN if the value is one of the words in place of a number.
    double number(std::string_view name) const;
    bool flag(std::string_view name) const { return number(name) != 0.0; }
    /// Empty if the value is a number.
    std::string_view choice(std::string_view name) const;
    /// Elements are as the user gave them: the algorithm checks them.
    const Json& list(std::string_view name) const;

    /// Every parameter with its effective value.
    Json to_json() const;

  private:
    struct Value {
        double number = kMissing;
        std::string_view choice;
        Json list;
    };
    static Value read(const ParamSpec& spec, const Json& value, std::string_view owner);
    const Value& value(std::string_view name) const;

    std::span<const ParamSpec> specs_;
    std::vector<Value> values_;
};

/// Type, default, range and help of each parameter, as ad_algorithms shows them.
Json describe(std::span<const ParamSpec> specs);

/// Parses text that the server says is JSON; the message of a failure names `what`.
Json parse_object(std::string_view text, std::string_view what);

/// Raises InvalidParameter for the first key of `object` that is not in `known`.
void refuse_unknown_keys(const Json& object, std::span<const std::string_view> known,
                         std::string_view what);

/// 'a, b, c' for hints.
std::string join(std::span<const std::string_view> names);

}  // namespace ad
