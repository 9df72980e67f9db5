#include "schedule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "params.hpp"

namespace ad {

namespace {

constexpr std::int64_t kLongestInterval = 86400;

constexpr std::string_view kSpace = " \t\r\n";

constexpr std::array<std::string_view, 7> kWords{"@hourly",  "@daily",  "@midnight", "@weekly",
                                                 "@monthly", "@yearly", "@annually"};
constexpr std::array<std::string_view, 7> kMeanings{
    "0 * * * *", "0 0 * * *", "0 0 * * *", "0 0 * * 0", "0 0 1 * *", "0 0 1 1 *", "0 0 1 1 *"};

std::string_view trim(std::string_view text) {
    const auto begin = std::min(text.find_first_not_of(kSpace), text.size());
    return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

std::string to_lower(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return lower;
}

std::string_view meaning_of(std::string_view word) {
    const auto* const found = std::find(kWords.begin(), kWords.end(), to_lower(word));
    if (found == kWords.end()) {
        throw InvalidParameter("invalid schedule \"" + std::string(word) + "\": unknown word",
                               "Valid words are: " + join(kWords) + ".");
    }
    return kMeanings[static_cast<std::size_t>(found - kWords.begin())];
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Whether the text is two words, a number and something that is none: what else it may be is not
/// cron.
bool looks_like_interval(std::string_view text) {
    const auto digits = std::find_if_not(text.begin(), text.end(), is_digit) - text.begin();
    const auto rest = trim(text.substr(static_cast<std::size_t>(digits)));
    return digits > 0 && !rest.empty() && rest.find_first_of(kSpace) == rest.npos &&
           ((rest[0] >= 'a' && rest[0] <= 'z') || (rest[0] >= 'A' && rest[0] <= 'Z'));
}

std::int64_t parse_interval(std::string_view text) {
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 3> kUnits{
        {{"second", 1}, {"minute", 60}, {"hour", 3600}}};
    constexpr const char* kHint =
        "Valid are whole numbers of seconds, minutes or hours, from \"1 second\" to \"24 hours\"; "
        "cron has longer ones, such as \"0 0 */2 * *\".";

    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    std::string unit = to_lower(trim(text.substr(static_cast<std::size_t>(end - text.data()))));
    if (unit.ends_with('s')) unit.pop_back();
    const auto* const found = std::find_if(kUnits.begin(), kUnits.end(),
                                           [&](auto& entry) { return entry.first == unit; });
    if (found == kUnits.end()) {
        throw InvalidParameter("invalid schedule \"" + std::string(text) + "\": unknown unit",
                               kHint);
    }
    if (error != std::errc{} || number < 1 || number > kLongestInterval / found->second) {
        throw InvalidParameter(
            "invalid schedule \"" + std::string(text) + "\": interval out of range", kHint);
    }
    return number * found->second;
}

/// The latest time that the clock on the wall has shown up to an instant.
std::int64_t latest_local(std::int64_t instant, std::span<const ZonePeriod> zone) {
    std::int64_t latest = std::numeric_limits<std::int64_t>::min();
    for (std::size_t i = 0; i == 0 || (i < zone.size() && zone[i].start <= instant); ++i) {
        const bool over = i + 1 < zone.size() && zone[i + 1].start <= instant;
        const std::int64_t last = over ? zone[i + 1].start - 1 : instant;
        latest = std::max(latest, last + zone[i].offset);
    }
    return latest;
}

/// The first instant at which the clock on the wall shows `local` or a later time.
std::int64_t first_instant(std::int64_t local, std::span<const ZonePeriod> zone) {
    std::size_t i = 0;
    while (i + 1 < zone.size() && local - zone[i].offset >= zone[i + 1].start) ++i;
    const std::int64_t instant = local - zone[i].offset;
    return i == 0 ? instant : std::max(instant, zone[i].start);
}

}  // namespace

Schedule Schedule::parse(std::string_view text) {
    text = trim(text);
    Schedule schedule;
    if (looks_like_interval(text)) {
        schedule.interval_ = parse_interval(text);
    } else {
        schedule.cron_ = Cron::parse(text.starts_with('@') ? meaning_of(text) : text);
    }
    return schedule;
}

std::int64_t Schedule::next(std::int64_t after, std::span<const ZonePeriod> zone) const {
    if (interval_ == 0) return first_instant(cron_.next(latest_local(after, zone)), zone);
    const std::int64_t phase = after % interval_;
    return after - phase + (phase < 0 ? 0 : interval_);
}

}  // namespace ad
