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

std::string valid_values(const ParamSpec& spec) {
    switch (spec.type) {
        case ParamType::Boolean:
            return "Valid values are: true, false.";
        case ParamType::Choice:
            return "Valid values are: " + join(spec.choices) + ".";
        case ParamType::List:
            return "The view ad_algorithms describes the parameters.";
        default: {
            const std::string range = "between " + format_number(spec.minimum) + " and " +
                                      format_number(spec.maximum) + ".";
            return spec.choices.empty()
                       ? "Valid values are " + range
                       : "Valid values are: " + join(spec.choices) + ", and numbers " + range;
        }
    }
}

[[noreturn]] void refuse_type(const ParamSpec& spec, std::string_view owner,
                              std::string_view wanted) {
    throw InvalidParameter("parameter \"" + std::string(spec.name) + "\" of " + std::string(owner) +
                               " must be " + std::string(wanted),
                           valid_values(spec));
}

std::string quoted(std::span<const std::string_view> words) {
    std::string text;
    for (const auto& word : words) {
        if (!text.empty()) text += " or ";
        text += '"' + std::string(word) + '"';
    }
    return text;
}

std::string_view read_choice(const ParamSpec& spec, const Json& value, std::string_view owner) {
    if (!value.is_string()) refuse_type(spec, owner, "a string");
    const auto text = value.get<std::string>();
    const auto found = std::find(spec.choices.begin(), spec.choices.end(), text);
    if (found == spec.choices.end()) {
        throw InvalidParameter("invalid value \"" + text + "\" for parameter \"" +
                                   std::string(spec.name) + "\" of " + std::string(owner),
                               valid_values(spec));
    }
    return *found;
}

double read_number(const ParamSpec& spec, const Json& value, std::string_view owner) {
    if (!value.is_number()) {
        refuse_type(spec, owner,
                    spec.choices.empty() ? "a number" : "a number or " + quoted(spec.choices));
    }
    const auto number = value.get<double>();
    const bool whole = spec.type != ParamType::Integer || std::trunc(number) == number;
    if (!whole) refuse_type(spec, owner, "a whole number");
    if (!(number >= spec.minimum && number <= spec.maximum)) {
        throw InvalidParameter("value " + format_number(number) + " of parameter \"" +
                                   std::string(spec.name) + "\" of " + std::string(owner) +
                                   " is out of range",
                               valid_values(spec));
    }
    return number;
}

Json number_to_json(const ParamSpec& spec, double number) {
    if (spec.type == ParamType::Integer) return static_cast<std::int64_t>(number);
    return number;
}

Json default_of(const ParamSpec& spec) {
    switch (spec.type) {
        case ParamType::Boolean:
            return spec.default_value != 0.0;
        case ParamType::Choice:
            return spec.choices[static_cast<std::size_t>(spec.default_value)];
        case ParamType::List:
            return Json::parse(spec.default_list);
        default:
            if (std::isnan(spec.default_value)) return spec.choices.front();
            return number_to_json(spec, spec.default_value);
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
        values_.push_back(read(spec, found == values.end() ? default_of(spec) : *found, owner));
    }
}

Params::Value Params::read(const ParamSpec& spec, const Json& value, std::string_view owner) {
    Value result;
    switch (spec.type) {
        case ParamType::Boolean:
            if (!value.is_boolean()) refuse_type(spec, owner, "true or false");
            result.number = value.get<bool>() ? 1.0 : 0.0;
            break;
        case ParamType::Choice:
            result.choice = read_choice(spec, value, owner);
            break;
        case ParamType::List:
            if (!value.is_array()) refuse_type(spec, owner, "an array");
            result.list = value;
            break;
        default:
            if (value.is_string() && !spec.choices.empty()) {
                result.choice = read_choice(spec, value, owner);
            } else {
                result.number = read_number(spec, value, owner);
            }
    }
    return result;
}

const Params::Value& Params::value(std::string_view name) const {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
        if (specs_[i].name == name) return values_[i];
    }
    throw std::logic_error("undeclared parameter " + std::string(name));
}

double Params::number(std::string_view name) const { return value(name).number; }
std::string_view Params::choice(std::string_view name) const { return value(name).choice; }
const Json& Params::list(std::string_view name) const { return value(name).list; }

Json Params::to_json() const {
    Json object = Json::object();
    for (std::size_t i = 0; i < specs_.size(); ++i) {
        const ParamSpec& spec = specs_[i];
        const Value& value = values_[i];
        Json& out = object[std::string(spec.name)];
        if (spec.type == ParamType::List) {
            out = value.list;
        } else if (spec.type == ParamType::Boolean) {
            out = value.number != 0.0;
        } else if (!value.choice.empty()) {
            out = value.choice;
        } else {
            out = number_to_json(spec, value.number);
        }
    }
    return object;
}

Json describe(std::span<const ParamSpec> specs) {
    constexpr std::array<std::string_view, 5> kTypeNames{"integer", "real", "boolean", "choice",
                                                         "list"};
    Json list = Json::array();
    for (const auto& spec : specs) {
        Json entry{{"name", spec.name},
                   {"type", kTypeNames[static_cast<std::size_t>(spec.type)]},
                   {"default", default_of(spec)}};
        if (!spec.choices.empty()) {
            entry["choices"] =
                std::vector<std::string_view>(spec.choices.begin(), spec.choices.end());
        }
        if (spec.type == ParamType::Integer || spec.type == ParamType::Real) {
            entry["minimum"] = number_to_json(spec, spec.minimum);
            entry["maximum"] = number_to_json(spec, spec.maximum);
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
    } catch (const nlohmann::json::out_of_range&) {
        throw InvalidParameter(
            "a number in " + std::string(what) + " is out of range of double precision",
            "The largest is about 1.8e308.");
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
