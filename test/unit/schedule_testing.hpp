// A second opinion on schedules: a calendar counted day by day, fields that were drawn as sets and
// never parsed, and a clock that walks through time step by step.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "core/random.hpp"
#include "core/schedule.hpp"

namespace ad {

inline constexpr std::int64_t kMinute = 60;
inline constexpr std::int64_t kHour = 3600;
inline constexpr std::int64_t kDay = 86400;

/// Seconds since 1970-01-01 00:00.
inline std::int64_t at(int year, unsigned month, unsigned day, int hour = 0, int minute = 0,
                       int second = 0) {
    const std::chrono::sys_days date{std::chrono::year{year} / static_cast<int>(month) /
                                     static_cast<int>(day)};
    return date.time_since_epoch().count() * kDay + hour * kHour + minute * kMinute + second;
}

struct Date {
    int month;
    int day;
    int month_length;
    int weekday;
};

/// The days from 1600-01-01, a Saturday, to 2459-12-31.
inline const std::vector<Date>& calendar() {
    static const std::vector<Date> days = [] {
        std::vector<Date> all;
        int weekday = 6;
        for (int year = 1600; year < 2460; ++year) {
            const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (int month = 1; month <= 12; ++month) {
                constexpr std::array<int, 12> kLengths{31, 28, 31, 30, 31, 30,
                                                       31, 31, 30, 31, 30, 31};
                const int length = kLengths[month - 1] + (month == 2 && leap ? 1 : 0);
                for (int day = 1; day <= length; ++day, weekday = (weekday + 1) % 7) {
                    all.push_back({month, day, length, weekday});
                }
            }
        }
        return all;
    }();
    return days;
}

/// The number of 1600-01-01: 370 years of 365 days and 90 leap days before 1970.
inline constexpr std::int64_t kFirstDay = -(370 * 365 + 90);

/// Fields drawn at random, as text and as what it means.
struct RandomCron {
    std::string text;
    std::array<bool, 60> minutes{};
    std::array<bool, 60> hours{};
    std::array<bool, 60> days{};
    std::array<bool, 60> months{};
    std::array<bool, 60> weekdays{};
    std::array<bool, 60> last_weekdays{};
    bool last_day = false;
    bool star_day = false;
    bool star_weekday = false;

    explicit RandomCron(Random& random) {
        using Names = std::vector<std::string>;
        static const Names months_of_year{"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
        static const Names days_of_week{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
        text = field(random, 0, 59, {}, minutes) + " " + field(random, 0, 23, {}, hours);
        std::string day = field(random, 1, 31, {}, days);
        if (random.below(6) == 0) {
            day = random.below(2) == 0 ? day + ",L" : "l," + day;
            last_day = true;
        }
        text += " " + day + " " + field(random, 1, 12, months_of_year, months);
        std::string weekday = field(random, 0, 7, days_of_week, weekdays);
        if (random.below(6) == 0) {
            const int number = static_cast<int>(random.below(8));
            weekday += "," + written(random, number, 0, days_of_week) + "L";
            last_weekdays[number] = true;
        }
        text += " " + weekday;
        weekdays[0] = weekdays[0] || weekdays[7];
        last_weekdays[0] = last_weekdays[0] || last_weekdays[7];
        star_day = day[0] == '*';
        star_weekday = weekday[0] == '*';
    }

    bool has_day(const Date& date) const {
        const bool by_date = days[date.day] || (last_day && date.day == date.month_length);
        const bool by_weekday = weekdays[date.weekday] ||
                                (last_weekdays[date.weekday] && date.day + 7 > date.month_length);
        if (!months[date.month]) return false;
        return star_day || star_weekday ? by_date && by_weekday : by_date || by_weekday;
    }

    /// Which minutes of local time, counted from the first of `day`, are in the schedule.
    std::vector<char> minutes_from(std::int64_t day, std::int64_t count) const {
        std::vector<char> has(static_cast<std::size_t>(count * 1440));
        for (std::int64_t i = 0; i < count; ++i) {
            if (!has_day(calendar()[day + i - kFirstDay])) continue;
            for (int minute = 0; minute < 1440; ++minute) {
                has[i * 1440 + minute] = hours[minute / 60] && minutes[minute % 60];
            }
        }
        return has;
    }

  private:
    static std::string written(Random& random, int value, int low,
                               const std::vector<std::string>& names) {
        const auto index = static_cast<std::size_t>(value - low);
        if (index >= names.size() || random.below(2) == 0) return std::to_string(value);
        std::string name = names[index];
        for (char& c : name) {
            if (random.below(2) == 0) c = static_cast<char>(c - 'a' + 'A');
        }
        return name;
    }

    static std::string field(Random& random, int low, int high,
                             const std::vector<std::string>& names, std::array<bool, 60>& in) {
        const auto draw = [&](int from, int to) {
            return from + static_cast<int>(random.below(static_cast<std::uint32_t>(to - from + 1)));
        };
        const auto mark = [&](int from, int to, int step) {
            for (int value = from; value <= to; value += step) in[value] = true;
        };
        if (random.below(3) == 0) {
            const int step = random.below(2) == 0 ? 1 : draw(1, high);
            mark(low, high, step);
            return step == 1 ? "*" : "*/" + std::to_string(step);
        }
        std::string text;
        for (int items = draw(1, 3); items > 0; --items) {
            const int from = draw(low, high);
            const int to = random.below(2) == 0 ? from : draw(from, high);
            const int step = to == from || random.below(2) == 0 ? 1 : draw(1, high);
            mark(from, to, step);
            text += written(random, from, low, names);
            if (to != from) text += "-" + written(random, to, low, names);
            if (step != 1) text += "/" + std::to_string(step);
            if (items > 1) text += ",";
        }
        return text;
    }
};

inline std::int64_t offset_at(const std::vector<ZonePeriod>& zone, std::int64_t instant) {
    std::int64_t offset = zone.front().offset;
    for (const ZonePeriod& period : zone) {
        if (period.start <= instant) offset = period.offset;
    }
    return offset;
}

/// The runs in [begin, end), found by looking at the clock on the wall every `step` seconds: it
/// runs when it shows a minute of the schedule for the first time, or has just skipped one.
inline std::vector<std::int64_t> walk(const RandomCron& cron, const std::vector<ZonePeriod>& zone,
                                      std::int64_t begin, std::int64_t end, std::int64_t step) {
    const std::int64_t start = begin - 3 * kDay;
    const std::int64_t first_day = start / kDay - 3;
    const std::int64_t base = first_day * kDay;
    // A minute that the clock has shown is struck out.
    std::vector<char> left = cron.minutes_from(first_day, (end - base) / kDay + 3);
    std::vector<std::int64_t> runs;
    std::int64_t before = start + offset_at(zone, start) - step;
    std::size_t period = 0;
    for (std::int64_t instant = start; instant < end; instant += step) {
        while (period + 1 < zone.size() && zone[period + 1].start <= instant) ++period;
        const std::int64_t local = instant + zone[period].offset;
        bool due = false;
        for (std::int64_t shown = std::min(before + step, local); shown <= local; shown += step) {
            if (shown % kMinute != 0) continue;
            const auto minute = static_cast<std::size_t>((shown - base) / kMinute);
            due = due || left[minute] != 0;
            left[minute] = 0;
        }
        if (due && instant >= begin) runs.push_back(instant);
        before = local;
    }
    return runs;
}

}  // namespace ad
