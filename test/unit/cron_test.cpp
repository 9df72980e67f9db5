// The five fields of cron, without time zones.
#include "core/cron.hpp"

#include <gtest/gtest.h>

#include "schedule_testing.hpp"

namespace ad {
namespace {

/// The first minutes after `from`.
std::vector<std::int64_t> next_few(const char* text, std::int64_t from, std::size_t n) {
    const Cron cron = Cron::parse(text);
    std::vector<std::int64_t> found;
    for (; found.size() < n; from = found.back()) found.push_back(cron.next(from));
    return found;
}

using Times = std::vector<std::int64_t>;

TEST(Cron, NamesMinutes) {
    const std::int64_t from = at(2024, 2, 28, 23, 50);  // a Wednesday
    EXPECT_EQ(next_few("* * * * *", from, 2), (Times{from + 60, from + 120}));
    EXPECT_EQ(next_few("*/20 * * * *", from, 3),
              (Times{at(2024, 2, 29), at(2024, 2, 29, 0, 20), at(2024, 2, 29, 0, 40)}));
    EXPECT_EQ(next_few("5-25/10,50 22-23 * * *", from, 2),
              (Times{at(2024, 2, 29, 22, 5), at(2024, 2, 29, 22, 15)}));
    EXPECT_EQ(next_few("0 9 * * MON-FRI", from, 4),
              (Times{at(2024, 2, 29, 9), at(2024, 3, 1, 9), at(2024, 3, 4, 9), at(2024, 3, 5, 9)}));
    EXPECT_EQ(next_few("0 0 1 jan,JUL *", from, 3),
              (Times{at(2024, 7, 1), at(2025, 1, 1), at(2025, 7, 1)}));
    EXPECT_EQ(next_few("59 23 31 12 *", from, 2),
              (Times{at(2024, 12, 31, 23, 59), at(2025, 12, 31, 23, 59)}));
    EXPECT_EQ(next_few("\t07  007 *\n* * ", from, 1), (Times{at(2024, 2, 29, 7, 7)}));
}

TEST(Cron, IsStrictlyAfter) {
    const Cron cron = Cron::parse("0 12 * * *");
    const std::int64_t noon = at(2024, 1, 1, 12);
    EXPECT_EQ(cron.next(noon - 1), noon);
    EXPECT_EQ(cron.next(noon - 60), noon);
    EXPECT_EQ(cron.next(noon), noon + kDay);
    EXPECT_EQ(cron.next(noon + 1), noon + kDay);
}

TEST(Cron, TakesEitherDayUnlessOneBeginsWithAStar) {
    // 2024-03-01 is a Friday.
    const std::int64_t from = at(2024, 2, 29);
    EXPECT_EQ(next_few("0 0 13 * FRI", from, 4),
              (Times{at(2024, 3, 1), at(2024, 3, 8), at(2024, 3, 13), at(2024, 3, 15)}));
    EXPECT_EQ(next_few("0 0 13 * *", from, 2), (Times{at(2024, 3, 13), at(2024, 4, 13)}));
    EXPECT_EQ(next_few("0 0 * * FRI", from, 2), (Times{at(2024, 3, 1), at(2024, 3, 8)}));
    // odd days that are Fridays
    EXPECT_EQ(next_few("0 0 */2 * FRI", from, 3),
              (Times{at(2024, 3, 1), at(2024, 3, 15), at(2024, 3, 29)}));
    // 1-31/2 names the same days as */2, and has no star
    EXPECT_EQ(next_few("0 0 1-31/2 * FRI", from, 3),
              (Times{at(2024, 3, 1), at(2024, 3, 3), at(2024, 3, 5)}));
}

TEST(Cron, KnowsSundayAsZeroAndSeven) {
    const std::int64_t from = at(2024, 3, 1);  // a Friday
    const Times sundays{at(2024, 3, 3), at(2024, 3, 10)};
    for (const char* day : {"0", "7", "SUN", "sun", "0,7", "7-7", "0-0", "SUN-SUN"}) {
        EXPECT_EQ(next_few(("0 0 * * " + std::string(day)).c_str(), from, 2), sundays) << day;
    }
    const Times weekend{at(2024, 3, 2), at(2024, 3, 3), at(2024, 3, 9)};
    for (const char* days : {"6-7", "SAT-SUN", "6-0", "6,0", "Sat,Sun"}) {
        EXPECT_EQ(next_few(("0 0 * * " + std::string(days)).c_str(), from, 3), weekend) << days;
    }
}

TEST(Cron, KnowsLastDays) {
    EXPECT_EQ(next_few("0 0 L * *", at(2023, 12, 31), 3),
              (Times{at(2024, 1, 31), at(2024, 2, 29), at(2024, 3, 31)}));
    EXPECT_EQ(next_few("0 0 l 2 *", at(2024, 1, 1), 2), (Times{at(2024, 2, 29), at(2025, 2, 28)}));
    EXPECT_EQ(next_few("0 0 L,15 4 *", at(2024, 1, 1), 2),
              (Times{at(2024, 4, 15), at(2024, 4, 30)}));
    const Times fridays{at(2024, 1, 26), at(2024, 2, 23), at(2024, 3, 29)};
    for (const char* day : {"5L", "5l", "FRIL", "fril"}) {
        EXPECT_EQ(next_few(("0 0 * * " + std::string(day)).c_str(), at(2024, 1, 1), 3), fridays);
    }
    EXPECT_EQ(next_few("0 0 * * 7L", at(2024, 1, 1), 1), (Times{at(2024, 1, 28)}));
    EXPECT_EQ(next_few("0 0 * 1 MON,5L", at(2024, 1, 21), 3),
              (Times{at(2024, 1, 22), at(2024, 1, 26), at(2024, 1, 29)}));
}

TEST(Cron, KnowsLeapDays) {
    EXPECT_EQ(next_few("0 0 29 2 *", at(2096, 1, 1), 3),
              (Times{at(2096, 2, 29), at(2104, 2, 29), at(2108, 2, 29)}));
    EXPECT_EQ(next_few("0 0 29 FEB *", at(1896, 3, 1), 1), (Times{at(1904, 2, 29)}));
    EXPECT_EQ(next_few("0 0 29 2 *", at(1999, 1, 1), 1), (Times{at(2000, 2, 29)}));
}

TEST(Cron, WaitsFortyYearsAtMost) {
    std::int64_t longest = 0;
    for (int weekday = 0; weekday < 7; ++weekday) {
        // A leap day that also is a certain day of the week: the rarest day that can be named.
        const std::string text = "0 0 */28 2 " + std::to_string(weekday) + "L";
        const Cron cron = Cron::parse(text);
        std::int64_t last = cron.next(at(1999, 1, 1));
        for (const std::int64_t end = at(2500, 1, 1); last < end;) {
            const std::int64_t next = cron.next(last);
            longest = std::max(longest, next - last);
            last = next;
        }
    }
    EXPECT_EQ(longest, at(2128, 2, 29) - at(2088, 2, 29));
    EXPECT_LT(longest + 2 * Schedule::kLookBack, Schedule::kLookAhead);
}

TEST(Cron, ReachesAnyYear) {
    // The calendar of one cycle of 146,097 days is that of the next.
    constexpr std::int64_t kCycle = 146097 * kDay;
    for (const char* text : {"0 0 29 2 *", "0 0 L * 5L", "30 4 * * *"}) {
        const Cron cron = Cron::parse(text);
        for (std::int64_t from = at(1999, 1, 1); from < at(2013, 1, 1); from += 40 * kDay) {
            const std::int64_t next = cron.next(from);
            EXPECT_EQ(cron.next(from - 17 * kCycle), next - 17 * kCycle);  // before our era
            EXPECT_EQ(cron.next(from + 700 * kCycle), next + 700 * kCycle);
        }
    }
}

/// The fields for days of a drawn schedule, at midnight.
std::string midnights(const RandomCron& drawn) {
    return "0 0" + drawn.text.substr(drawn.text.find(' ', drawn.text.find(' ') + 1));
}

TEST(Cron, AgreesWithACalendarOfDays) {
    Random random(7);
    for (int round = 0; round < 60; ++round) {
        const RandomCron drawn(random);
        const Cron cron = Cron::parse(midnights(drawn));
        std::int64_t found = cron.next(at(1890, 1, 1) - 1);
        for (std::int64_t day = at(1890, 1, 1) / kDay; day < at(2110, 1, 1) / kDay; ++day) {
            if (!drawn.has_day(calendar()[day - kFirstDay])) continue;
            ASSERT_EQ(found, day * kDay) << drawn.text;
            found = cron.next(found);
        }
        ASSERT_GE(found, at(2110, 1, 1)) << drawn.text;
    }
}

TEST(Cron, RefusesExactlyWhatTheCalendarLacks) {
    Random random(8);
    int impossible = 0;
    for (int round = 0; round < 20000; ++round) {
        const RandomCron drawn(random);
        const auto suits = [&](const Date& date) { return drawn.has_day(date); };
        if (std::any_of(calendar().begin(), calendar().end(), suits)) {
            EXPECT_NO_THROW(Cron::parse(midnights(drawn))) << drawn.text;
        } else {
            EXPECT_THROW(Cron::parse(midnights(drawn)), InvalidParameter) << drawn.text;
            ++impossible;
        }
    }
    EXPECT_GT(impossible, 0);
}

TEST(Cron, NamesWhatIsWrong) {
    const std::string minutes = "Valid are 0 to 59, as in \"30\", \"0,30\", \"0-29\" or \"*/5\".";
    const std::string weekdays =
        "Valid are 0 to 7 and SUN to SAT (Sunday is 0 and 7), as in \"MON-FRI\" or \"6,7\"; "
        "\"FRIL\" is the last Friday of the month.";
    const auto check = [](const std::string& text, const std::string& message,
                          const std::string& hint) {
        try {
            Cron::parse(text);
            ADD_FAILURE() << "accepted: " << text;
        } catch (const InvalidParameter& error) {
            EXPECT_EQ(error.what(), message) << text;
            EXPECT_NE(error.hint().find(hint), std::string::npos) << text << ": " << error.hint();
        }
    };
    const auto check_item = [&](const std::string& before, const std::string& item,
                                const std::string& after, const std::string& what,
                                const std::string& hint) {
        check(before + item + after, what + ": \"" + item + "\"", hint);
    };
    for (const char* item :
         {"60", "-1", "a", "1.5", "+5", "1-", "-", "5--6", "1-60", "0x1", "99999999999999999999",
          "1-2-3", "**", "*-5", "5-*", "L", "?", "é", "SUN"}) {
        check_item("", item, " * * * *", "invalid minute in cron schedule", minutes);
    }
    check("1,,2 * * * *", "invalid minute in cron schedule: \"\"", minutes);
    check("1, * * * *", "invalid minute in cron schedule: \"\"", minutes);
    check(", * * * *", "invalid minute in cron schedule: \"\"", minutes);
    check("0,61 * * * *", "invalid minute in cron schedule: \"61\"", minutes);
    for (const char* item : {"24", "12am", "MON"}) {
        check_item("0 ", item, " * * *", "invalid hour in cron schedule", "Valid are 0 to 23");
    }
    for (const char* item : {"0", "32", "LW", "15W", "L-3", "1-L", "LL", "?"}) {
        check_item("0 0 ", item, " * *", "invalid day of month in cron schedule",
                   "Valid are 1 to 31, and L");
    }
    for (const char* item : {"0", "13", "JANUARY", "JA", "MON", "L", "JANL"}) {
        check_item("0 0 1 ", item, " *", "invalid month in cron schedule",
                   "Valid are 1 to 12 and JAN to DEC");
    }
    for (const char* item : {"8", "8L", "MONDAY", "L", "5#2", "JAN", "LL", "1-5L", "5L-6"}) {
        check_item("0 0 * * ", item, "", "invalid day of week in cron schedule", weekdays);
    }
    for (const char* item : {"*/0", "*/60", "*/", "*/a", "0-9/-1", "*/2/3", "1/"}) {
        check_item("", item, " * * * *", "invalid step of minute in cron schedule",
                   "Valid steps are 1 to 59, as in \"*/2\".");
    }
    check_item("0 ", "5/2", " * * *", "step of hour in cron schedule has no range",
               "Write the range, as in \"5-23/2\".");
    check_item("0 ", "17-9", " * * *", "range of hour in cron schedule runs backwards",
               "Write it as two, as in \"17-23,0-9\".");
    check_item("0 0 * * ", "SAT-MON", "", "range of day of week in cron schedule runs backwards",
               "Write it as two, as in \"6-7,0-1\".");
    check_item("0 0 1 ", "NOV-FEB", " *", "range of month in cron schedule runs backwards",
               "Write it as two, as in \"11-12,1-2\".");
}

TEST(Cron, RefusesOtherNumbersOfFields) {
    for (const auto& [text, count] :
         {std::pair{"", 0}, {"  ", 0}, {"*", 1}, {"* * * *", 4}, {"0 * * * * *", 6}}) {
        try {
            Cron::parse(text);
            ADD_FAILURE() << text;
        } catch (const InvalidParameter& error) {
            EXPECT_EQ(error.what(), "invalid schedule \"" + std::string(text) +
                                        "\": 5 fields expected, found " + std::to_string(count));
        }
    }
}

TEST(Cron, RefusesDaysThatNeverCome) {
    // 1 and 31 are days of */30, and the 31st may be the last Sunday.
    EXPECT_NO_THROW(Cron::parse("0 0 */30 * SUNL"));
    for (const char* text : {"0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 FEB *",
                             "0 0 */31 * 5L", "0 0 */30 4 SUNL"}) {
        try {
            Cron::parse(text);
            ADD_FAILURE() << text;
        } catch (const InvalidParameter& error) {
            EXPECT_EQ(error.what(), "cron schedule \"" + std::string(text) + "\" never comes due");
        }
    }
}

}  // namespace
}  // namespace ad
