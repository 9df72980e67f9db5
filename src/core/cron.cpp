#include "cron.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <span>

namespace ad {

namespace {

constexpr std::int64_t kMinuteSeconds = 60;
constexpr std::int64_t kDayMinutes = 24 * 60;
/// The Gregorian calendar, weekdays included, repeats after 400 years.
constexpr int kCycleMonths = 400 * 12;

constexpr std::array<std::string_view, 12> kMonths{"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                                   "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
constexpr std::array<std::string_view, 7> kWeekdays{"SUN", "MON", "TUE", "WED",
                                                    "THU", "FRI", "SAT"};

enum FieldIndex : std::uint8_t { Minute, Hour, DayOfMonth, Month, DayOfWeek };

struct Field {
    FieldIndex index;
    std::string_view name;
    int low;
    int high;
    std::span<const std::string_view> names;  ///< of `low` and what follows
    std::string_view hint;
};

constexpr std::array<Field, 5> kFields{{
    {Minute,
     "minute",
     0,
     59,
     {},
     "Valid are 0 to 59, as in \"30\", \"0,30\", \"0-29\" or \"*/5\"."},
    {Hour, "hour", 0, 23, {}, "Valid are 0 to 23, as in \"2\", \"6,18\", \"9-17\" or \"*/4\"."},
    {DayOfMonth,
     "day of month",
     1,
     31,
     {},
     "Valid are 1 to 31, and L for the last one, as in \"15\", \"1,L\", \"1-7\" or \"*/2\"."},
    {Month, "month", 1, 12, kMonths,
     "Valid are 1 to 12 and JAN to DEC, as in \"3\", \"JAN,JUL\", \"APR-SEP\" or \"*/3\"."},
    {DayOfWeek, "day of week", 0, 7, kWeekdays,
     "Valid are 0 to 7 and SUN to SAT (Sunday is 0 and 7), as in \"MON-FRI\" or \"6,7\"; \"FRIL\" "
     "is the last Friday of the month."},
}};

/// The numbers of one field.
struct Values {
    std::uint64_t plain = 0;
    std::uint64_t last = 0;  ///< with L: weekdays; any bit for the last day of the month
};

std::string quote(std::string_view text) { return "\"" + std::string(text) + "\""; }

bool equal_ignoring_case(std::string_view text, std::string_view capitals) {
    const auto same = [](char a, char b) {
        return (a >= 'a' && a <= 'z' ? static_cast<char>(a - 'a' + 'A') : a) == b;
    };
    return std::equal(text.begin(), text.end(), capitals.begin(), capitals.end(), same);
}

[[noreturn]] void refuse(const Field& field, std::string_view item) {
    throw InvalidParameter(
        "invalid " + std::string(field.name) + " in cron schedule: " + quote(item),
        std::string(field.hint));
}

std::optional<int> to_number(std::string_view text) {
    int number = 0;
    if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

/// A number or a name; `item` is what it is a part of.
int parse_value(const Field& field, std::string_view text, std::string_view item) {
    for (std::size_t i = 0; i < field.names.size(); ++i) {
        if (equal_ignoring_case(text, field.names[i])) return field.low + static_cast<int>(i);
    }
    const auto number = to_number(text);
    if (!number || *number < field.low || *number > field.high) refuse(field, item);
    return *number;
}

int parse_step(const Field& field, std::string_view text, std::string_view item) {
    const auto number = to_number(text);
    if (!number || *number < 1 || *number > field.high) {
        throw InvalidParameter(
            "invalid step of " + std::string(field.name) + " in cron schedule: " + quote(item),
            "Valid steps are 1 to " + std::to_string(field.high) + ", as in \"*/2\".");
    }
    return *number;
}

/// Whether the item is one of those with L, which then is in `values`.
bool parse_last(const Field& field, std::string_view item, Values& values) {
    if (item.empty() || !equal_ignoring_case(item.substr(item.size() - 1), "L")) return false;
    const auto text = item.substr(0, item.size() - 1);
    if (field.index == DayOfMonth && text.empty()) {
        values.last = 1;
    } else if (field.index == DayOfWeek && !text.empty()) {
        values.last |= std::uint64_t{1} << parse_value(field, text, item);
    } else {
        return false;
    }
    return true;
}

/// One of the items between commas: a value, or a range or star that may have a step.
void parse_item(const Field& field, std::string_view item, Values& values) {
    if (parse_last(field, item, values)) return;
    const auto slash = item.find('/');
    const auto range = item.substr(0, slash);
    const auto dash = range.find('-');
    int low = field.low;
    int high = field.high;
    if (range != "*") {
        low = parse_value(field, range.substr(0, dash), item);
        high = dash == range.npos ? low : parse_value(field, range.substr(dash + 1), item);
    }
    if (field.index == DayOfWeek && high == 0 && low > 0) high = 7;
    if (low > high) {
        throw InvalidParameter("range of " + std::string(field.name) +
                                   " in cron schedule runs backwards: " + quote(item),
                               "Write it as two, as in \"" + std::to_string(low) + "-" +
                                   std::to_string(field.high) + "," + std::to_string(field.low) +
                                   "-" + std::to_string(high) + "\".");
    }
    int step = 1;
    if (slash != item.npos) {
        step = parse_step(field, item.substr(slash + 1), item);
        if (range != "*" && dash == range.npos) {
            throw InvalidParameter("step of " + std::string(field.name) +
                                       " in cron schedule has no range: " + quote(item),
                                   "Write the range, as in \"" + std::to_string(low) + "-" +
                                       std::to_string(field.high) + "/" + std::to_string(step) +
                                       "\".");
        }
    }
    for (int value = low; value <= high; value += step) values.plain |= std::uint64_t{1} << value;
}

Values parse_field(const Field& field, std::string_view text) {
    Values values;
    for (std::size_t begin = 0; begin <= text.size();) {
        const auto end = std::min(text.find(',', begin), text.size());
        parse_item(field, text.substr(begin, end - begin), values);
        begin = end + 1;
    }
    if (field.index == DayOfWeek) {
        const auto fold = [](std::uint64_t set) { return (set | set >> 7) & 0x7f; };
        values.plain = fold(values.plain);
        values.last = fold(values.last);
    }
    return values;
}

std::array<std::string_view, kFields.size()> split_fields(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n";
    std::array<std::string_view, kFields.size()> fields;
    std::size_t count = 0;
    for (auto begin = text.find_first_not_of(kSpace); begin != text.npos; ++count) {
        const auto end = std::min(text.find_first_of(kSpace, begin), text.size());
        if (count < fields.size()) fields[count] = text.substr(begin, end - begin);
        begin = text.find_first_not_of(kSpace, end);
    }
    if (count != fields.size()) {
        throw InvalidParameter(
            "invalid schedule " + quote(text) + ": 5 fields expected, found " +
                std::to_string(count),
            "Valid are the minute, hour, day of month, month and day of week of cron, as in "
            "\"30 2 * * MON-FRI\", words like \"@daily\", and intervals like \"30 seconds\".");
    }
    return fields;
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

/// The days from 1970-01-01 to the first of a month (Gregorian; years begin in March, so that the
/// leap day is the last).
std::int64_t first_of(std::int64_t year, int month) {
    const std::int64_t y = month > 2 ? year : year - 1;
    const std::int64_t cycle = floor_divide(y, 400);
    const std::int64_t year_of_cycle = y - cycle * 400;
    const std::int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
    return cycle * 146097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 +
           day_of_year - 719468;
}

struct YearMonth {
    std::int64_t year;
    int month;

    YearMonth next() const {
        return month < 12 ? YearMonth{year, month + 1} : YearMonth{year + 1, 1};
    }
};

YearMonth month_of(std::int64_t day) {
    // The mean year is 365.2425 days long: a year found by it is off by one at most.
    std::int64_t year = 1970 + floor_divide(day * 400, 146097);
    if (first_of(year, 1) > day) --year;
    if (first_of(year + 1, 1) <= day) ++year;
    // Twelve times 31 days are less than a month more than a year: this is at most one too low.
    int month = static_cast<int>((day - first_of(year, 1)) / 31) + 1;
    if (month < 12 && first_of(year, month + 1) <= day) ++month;
    return {year, month};
}

/// The smallest number of a set that is not below `from`, or -1.
int at_least(std::uint64_t set, int from) {
    set = set >> from << from;
    return set == 0 ? -1 : std::countr_zero(set);
}

}  // namespace

Cron Cron::parse(std::string_view text) {
    const auto fields = split_fields(text);
    std::array<Values, kFields.size()> values;
    for (std::size_t i = 0; i < kFields.size(); ++i) values[i] = parse_field(kFields[i], fields[i]);
    const auto set = [&](FieldIndex i) { return static_cast<std::uint32_t>(values[i].plain); };

    Cron cron;
    cron.minutes_ = values[Minute].plain;
    cron.hours_ = set(Hour);
    cron.days_ = set(DayOfMonth);
    cron.months_ = set(Month);
    cron.weekdays_ = set(DayOfWeek);
    cron.last_weekdays_ = static_cast<std::uint32_t>(values[DayOfWeek].last);
    cron.last_day_ = values[DayOfMonth].last != 0;
    cron.both_days_ = fields[DayOfMonth].starts_with('*') || fields[DayOfWeek].starts_with('*');
    if (!cron.next_day(0)) {
        throw InvalidParameter(
            "cron schedule " + quote(text) + " never comes due",
            "The calendar has no day for its day of month, month and day of week.");
    }
    return cron;
}

std::int64_t Cron::next(std::int64_t local) const {
    const std::int64_t first = floor_divide(local, kMinuteSeconds) + 1;
    const std::int64_t today = floor_divide(first, kDayMinutes);
    std::int64_t day = *next_day(today);
    int minute = next_minute(day == today ? static_cast<int>(first - today * kDayMinutes) : 0);
    if (minute < 0) {
        day = *next_day(today + 1);
        minute = next_minute(0);
    }
    return (day * kDayMinutes + minute) * kMinuteSeconds;
}

/// The first suitable day that is not before `day`, counted from 1970-01-01; none in a whole cycle
/// of the calendar means none ever.
std::optional<std::int64_t> Cron::next_day(std::int64_t day) const {
    YearMonth month = month_of(day);
    for (int i = 0; i <= kCycleMonths; ++i, month = month.next()) {
        const std::uint32_t days = days_of(month.year, month.month);
        if (days == 0) continue;
        const std::int64_t before_first = first_of(month.year, month.month) - 1;
        const int from = i == 0 ? static_cast<int>(day - before_first) : 1;
        if (const int found = at_least(days, from); found > 0) return before_first + found;
    }
    return std::nullopt;
}

int Cron::next_minute(int minute_of_day) const {
    const int hour = minute_of_day / 60;
    if ((hours_ >> hour & 1) != 0) {
        const int minute = at_least(minutes_, minute_of_day % 60);
        if (minute >= 0) return hour * 60 + minute;
    }
    const int later = at_least(hours_, hour + 1);
    return later < 0 ? -1 : later * 60 + at_least(minutes_, 0);
}

std::uint32_t Cron::days_of(std::int64_t year, int month) const {
    if ((months_ >> month & 1) == 0) return 0;
    const std::int64_t first = first_of(year, month);
    const YearMonth following = YearMonth{year, month}.next();
    const int length = static_cast<int>(first_of(following.year, following.month) - first);
    constexpr int kThursday = 4;  // 1970-01-01
    const std::int64_t since = first + kThursday;
    int weekday = static_cast<int>(since - floor_divide(since, 7) * 7);

    std::uint32_t by_date = days_;
    if (last_day_) by_date |= std::uint32_t{1} << length;
    std::uint32_t by_weekday = 0;
    std::uint32_t in_month = 0;
    for (int day = 1; day <= length; ++day, weekday = (weekday + 1) % 7) {
        const std::uint32_t suitable = weekdays_ | (day > length - 7 ? last_weekdays_ : 0);
        by_weekday |= (suitable >> weekday & 1) << day;
        in_month |= std::uint32_t{1} << day;
    }
    return in_month & (both_days_ ? by_date & by_weekday : by_date | by_weekday);
}

}  // namespace ad
