#include "params.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace ad {

namespace {

std::string format_number(double value) {
    std::array<char, 32> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

[[noreturn]] void refuse_type(const ParamSpec& spec, std::string_view owner,
                              std::string_view wanted) {
    throw InvalidParameter("parameter \"" + std::string(spec.name) + "\" of " + std::string(owner) +
                               " must be " + std::string(wanted),
                           "The view ad_algorithms describes the parameters.");
}

double read_choice(const ParamSpec& spec, const Json& value, std::string_view owner) {
    if (!value.is_string()) refuse_type(spec, owner, "a string");
    const auto text = value.get<std::string>();
    const auto found = std::find(spec.choices.begin(), spec.choices.end(), text);
    if (found == spec.choices.end()) {
        throw InvalidParameter("invalid value \"" + text + "\" for parameter \"" +
                                   std::string(spec.name) + "\" of " + std::string(owner),
                               "Valid values are: " + join(spec.choices) + ".");
    }
    return static_cast<double>(found - spec.choices.begin());
}

double read_number(const ParamSpec& spec, const Json& value, std::string_view owner) {
    if (!value.is_number()) refuse_type(spec, owner, "a number");
    const auto number = value.get<double>();
    const bool whole = spec.type != ParamType::Integer || std::trunc(number) == number;
    if (!whole) refuse_type(spec, owner, "a whole number");
    if (!(number >= spec.minimum && number <= spec.maximum)) {
        throw InvalidParameter("value " + format_number(number) + " of parameter \"" +
                                   std::string(spec.name) + "\" of " + std::string(owner) +
                                   " is out of range",
                               "Valid values are between " + format_number(spec.minimum) + " and " +
                                   format_number(spec.maximum) + ".");
    }
    return number;
}

double read_value(const ParamSpec& spec, const Json& value, std::string_view owner) {
    switch (spec.type) {
        case ParamType::Boolean:
            if (!value.is_boolean()) refuse_type(spec, owner, "true or false");
            return value.get<bool>() ? 1.0 : 0.0;
        case ParamType::Choice:
            return read_choice(spec, value, owner);
        default:
            return read_number(spec, value, owner);
    }
}

Json value_to_json(const ParamSpec& spec, double value) {
    switch (spec.type) {
        case ParamType::Boolean:
            return value != 0.0;
        case ParamType::Choice:
            return spec.choices[static_cast<std::size_t>(value)];
        case ParamType::Integer:
            return static_cast<std::int64_t>(value);
        default:
            return value;
    }
}

}  // namespace

Params::Params(std::span<const ParamSpec> specs, const Json& values, std::string_view owner)
    : specs_(specs) {
    std::vector<std::string_view> names;
    for (const auto& spec : specs) names.push_back(spec.name);
    refuse_unknown_keys(values, names, "parameter of " + std::string(owner));
    for (const auto& spec : specs) {
        const auto found = values.find(spec.name);
        values_.push_back(found == values.end() ? spec.default_value
                                                : read_value(spec, *found, owner));
    }
}

std::size_t Params::index(std::string_view name) const {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
        if (specs_[i].name == name) return i;
    }
    throw std::logic_error("undeclared parameter " + std::string(name));
}

double Params::number(std::string_view name) const { return values_[index(name)]; }

std::string_view Params::choice(std::string_view name) const {
    const auto i = index(name);
    return specs_[i].choices[static_cast<std::size_t>(values_[i])];
}

Json Params::to_json() const {
    Json object = Json::object();
    for (std::size_t i = 0; i < specs_.size(); ++i) {
        object[std::string(specs_[i].name)] = value_to_json(specs_[i], values_[i]);
    }
    return object;
}

Json describe(std::span<const ParamSpec> specs) {
    constexpr std::array<std::string_view, 4> kTypeNames{"integer", "real", "boolean", "choice"};
    Json list = Json::array();
    for (const auto& spec : specs) {
        Json entry{{"name", spec.name},
                   {"type", kTypeNames[static_cast<std::size_t>(spec.type)]},
                   {"default", value_to_json(spec, spec.default_value)}};
        if (spec.type == ParamType::Choice) {
            entry["choices"] =
                std::vector<std::string_view>(spec.choices.begin(), spec.choices.end());
        } else if (spec.type != ParamType::Boolean) {
            entry["minimum"] = value_to_json(spec, spec.minimum);
            entry["maximum"] = value_to_json(spec, spec.maximum);
        }
        entry["help"] = spec.help;
        list.push_back(std::move(entry));
    }
    return list;
}

Json parse_object(std::string_view text, std::string_view what) {
    // nothing that we read is deep, and writing deep JSON recurses
    constexpr int kDeepest = 16;
    const auto refuse_deep = [&](int depth, Json::parse_event_t, Json&) {
        if (depth > kDeepest) throw InvalidParameter(std::string(what) + " is nested too deeply");
        return true;
    };
    Json value;
    try {
        value = Json::parse(text, refuse_deep);
    } catch (const nlohmann::json::exception& failure) {
        throw InvalidParameter(std::string(what) + " is not valid JSON: " + failure.what());
    }
    if (!value.is_object()) throw InvalidParameter(std::string(what) + " must be a JSON object");
    return value;
}

void refuse_unknown_keys(const Json& object, std::span<const std::string_view> known,
                         std::string_view what) {
    for (const auto& [key, value] : object.items()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        throw InvalidParameter(
            "unknown " + std::string(what) + ": \"" + key + "\"",
            known.empty() ? "It takes none." : "Valid names are: " + join(known) + ".");
    }
}

std::string join(std::span<const std::string_view> names) {
    std::string text;
    for (const auto& name : names) {
        if (!text.empty()) text += ", ";
        text += name;
    }
    return text;
}

}  // namespace ad
