// Schedules in time zones. The tables of the zones are those of the IANA data, release 2024b or
// later, as Python's zoneinfo gives them; the runs to compare with come from schedule_testing.hpp.
#include "core/schedule.hpp"

#include <gtest/gtest.h>

#include "schedule_testing.hpp"

namespace ad {
namespace {

using Times = std::vector<std::int64_t>;
using Zone = std::vector<ZonePeriod>;

const Zone kUtc{{0, 0}};

Times next_few(const char* text, std::int64_t from, std::size_t n, const Zone& zone = kUtc) {
    const Schedule schedule = Schedule::parse(text);
    Times found;
    for (; found.size() < n; from = found.back()) found.push_back(schedule.next(from, zone));
    return found;
}

struct ZoneYears {
    const char* name;
    int first_year;
    int last_year;
    Zone periods;  ///< from a week before to a week after these years
};

const std::vector<ZoneYears>& zones() {
    static const std::vector<ZoneYears> all{
        {"Europe/Berlin",
         2023,
         2025,
         {{1671926400, 3600},
          {1679792400, 7200},
          {1698541200, 3600},
          {1711846800, 7200},
          {1729990800, 3600},
          {1743296400, 7200},
          {1761440400, 3600}}},
        {"America/New_York",
         2006,
         2008,
         {{1135468800, -18000},
          {1143961200, -14400},
          {1162101600, -18000},
          {1173596400, -14400},
          {1194156000, -18000},
          {1205046000, -14400},
          {1225605600, -18000}}},
        {"America/St_Johns",
         2009,
         2011,
         {{1230163200, -12600},
          {1236483060, -9000},
          {1257042660, -12600},
          {1268537460, -9000},
          {1289097060, -12600},
          {1299987060, -9000},
          {1320553800, -12600}}},
        {"America/Sao_Paulo",
         2017,
         2019,
         {{1482624000, -7200},
          {1487469600, -10800},
          {1508036400, -7200},
          {1518919200, -10800},
          {1541300400, -7200},
          {1550368800, -10800}}},
        {"Asia/Kolkata", 2023, 2025, {{1671926400, 19800}}},
        {"Asia/Kathmandu", 1985, 1987, {{472780800, 19800}, {504901800, 20700}}},
        {"Australia/Lord_Howe",
         2023,
         2025,
         {{1671926400, 39600},
          {1680361200, 37800},
          {1696087800, 39600},
          {1712415600, 37800},
          {1728142200, 39600},
          {1743865200, 37800},
          {1759591800, 39600}}},
        {"Pacific/Chatham",
         2023,
         2025,
         {{1671926400, 49500},
          {1680357600, 45900},
          {1695477600, 49500},
          {1712412000, 45900},
          {1727532000, 49500},
          {1743861600, 45900},
          {1758981600, 49500}}},
        {"Pacific/Apia",
         2010,
         2012,
         {{1261699200, -39600},
          {1285498800, -36000},
          {1301752800, -39600},
          {1316872800, -36000},
          {1325239200, 50400},
          {1333202400, 46800},
          {1348927200, 50400}}},
        {"Africa/Casablanca",
         2023,
         2025,
         {{1671926400, 3600},
          {1679191200, 0},
          {1682215200, 3600},
          {1710036000, 0},
          {1713060000, 3600},
          {1740276000, 0},
          {1743904800, 3600}}},
        {"Antarctica/Troll",
         2023,
         2025,
         {{1671926400, 0},
          {1679792400, 7200},
          {1698541200, 0},
          {1711846800, 7200},
          {1729990800, 0},
          {1743296400, 7200},
          {1761440400, 0}}},
    };
    return all;
}

/// Clocks that were put back or forward by a day or by odd seconds: the 20 days on both sides.
const std::vector<std::pair<const char*, Zone>>& odd_days() {
    static const std::vector<std::pair<const char*, Zone>> all{
        {"Africa/Monrovia", {{61862400, -2670}, {63593070, 0}}},
        {"Asia/Manila", {{-3946406400, -57368}, {-3944621032, 29032}}},
        {"America/Juneau", {{-3227040000, 54139}, {-3225223727, -32261}}},
        {"Pacific/Kwajalein", {{-9676800, 39600}, {-7988400, -43200}}},
        {"Pacific/Kwajalein", {{744163200, -43200}, {745934400, 43200}}},
    };
    return all;
}

const Zone& zone_of(std::string_view name) {
    for (const ZoneYears& zone : zones()) {
        if (zone.name == name) return zone.periods;
    }
    throw std::invalid_argument("no such zone");
}

/// A schedule with some days in the years of a zone, so that there is something to compare.
RandomCron draw(Random& random, const ZoneYears& zone, int fewest_days) {
    for (;;) {
        RandomCron cron(random);
        int days = 0;
        for (auto day = at(zone.first_year, 1, 1); day < at(zone.last_year, 12, 31); day += kDay) {
            days += cron.has_day(calendar()[day / kDay - kFirstDay]) ? 1 : 0;
        }
        if (days >= fewest_days) return cron;
    }
}

Times walk(const RandomCron& cron, const ZoneYears& zone) {
    return walk(cron, zone.periods, at(zone.first_year, 1, 1), at(zone.last_year + 1, 1, 1),
                kMinute);
}

TEST(Schedule, AgreesWithTheClockInEveryMinute) {
    Random random(11);
    for (const ZoneYears& zone : zones()) {
        const std::int64_t end = at(zone.last_year + 1, 1, 1);
        const RandomCron drawn = draw(random, zone, 100);
        const Times runs = walk(drawn, zone);
        const Schedule schedule = Schedule::parse(drawn.text);
        auto expected = runs.begin();
        for (std::int64_t now = at(zone.first_year, 1, 1); now < end; now += kMinute) {
            while (expected != runs.end() && *expected <= now) ++expected;
            const std::int64_t next = schedule.next(now, zone.periods);
            if (expected == runs.end()) {
                ASSERT_GE(next, end) << zone.name << " " << drawn.text << " after " << now;
            } else {
                ASSERT_EQ(next, *expected) << zone.name << " " << drawn.text << " after " << now;
            }
        }
    }
}

TEST(Schedule, AgreesWithTheClockOnManySchedules) {
    Random random(12);
    for (const ZoneYears& zone : zones()) {
        for (int round = 0; round < 4; ++round) {
            const RandomCron drawn = draw(random, zone, 1);
            const Times runs = walk(drawn, zone);
            const Schedule schedule = Schedule::parse(drawn.text);
            std::int64_t from = at(zone.first_year, 1, 1) - 1;
            for (const std::int64_t run : runs) {
                ASSERT_EQ(schedule.next(from, zone.periods), run) << zone.name << " " << drawn.text;
                ASSERT_EQ(schedule.next(run - 1, zone.periods), run)
                    << zone.name << " " << drawn.text;
                const std::int64_t within = from + random.below(1 << 20) % (run - from);
                ASSERT_EQ(schedule.next(within, zone.periods), run)
                    << zone.name << " " << drawn.text;
                from = run;
            }
        }
    }
}

TEST(Schedule, AgreesWithTheClockInEverySecondOfOddDays) {
    Random random(13);
    for (const auto& [name, zone] : odd_days()) {
        const std::int64_t begin = zone[1].start - 3 * kDay / 2;
        const std::int64_t end = zone[1].start + 3 * kDay / 2;
        int compared = 0;
        for (int round = 0; round < 3 || compared < 2; ++round) {
            const RandomCron drawn(random);
            const Times runs = walk(drawn, zone, begin, end, 1);
            if (runs.empty()) continue;
            ++compared;
            const Schedule schedule = Schedule::parse(drawn.text);
            auto expected = runs.begin();
            for (std::int64_t now = begin; now < end; ++now) {
                while (expected != runs.end() && *expected <= now) ++expected;
                const std::int64_t next = schedule.next(now, zone);
                if (expected == runs.end()) {
                    ASSERT_GE(next, end) << name << " " << drawn.text << " after " << now;
                } else {
                    ASSERT_EQ(next, *expected) << name << " " << drawn.text << " after " << now;
                }
            }
        }
    }
}

// In Berlin 02:00 became 03:00 on 2024-03-31 at 01:00 UTC, and 03:00 became 02:00 on 2024-10-27 at
// 01:00 UTC.
TEST(Schedule, RunsSkippedTimesOnceAtTheNextValidOne) {
    const Zone& berlin = zone_of("Europe/Berlin");
    EXPECT_EQ(next_few("30 2 * * *", at(2024, 3, 29, 12), 3, berlin),
              (Times{at(2024, 3, 30, 1, 30), at(2024, 3, 31, 1), at(2024, 4, 1, 0, 30)}));
    EXPECT_EQ(next_few("*/20 1-3 31 3 *", at(2024, 3, 31, 0, 20), 4, berlin),
              (Times{at(2024, 3, 31, 0, 40), at(2024, 3, 31, 1), at(2024, 3, 31, 1, 20),
                     at(2024, 3, 31, 1, 40)}));
    EXPECT_EQ(next_few("15,45 2 * * *", at(2024, 3, 31), 2, berlin),
              (Times{at(2024, 3, 31, 1), at(2024, 4, 1, 0, 15)}));
    // Half an hour, of which 02:15 is a part: at 15:30 UTC 02:00 became 02:30.
    EXPECT_EQ(next_few("15 2 * * *", at(2024, 10, 5), 2, zone_of("Australia/Lord_Howe")),
              (Times{at(2024, 10, 5, 15, 30), at(2024, 10, 6, 15, 15)}));
    // A day that is not there at all: Samoa went from the 29th to the 31st of December.
    EXPECT_EQ(next_few("0 12 * * *", at(2011, 12, 29), 3, zone_of("Pacific/Apia")),
              (Times{at(2011, 12, 29, 22), at(2011, 12, 30, 10), at(2011, 12, 30, 22)}));
    // Midnight, in Sao Paulo: 00:00 became 01:00.
    EXPECT_EQ(next_few("@daily", at(2018, 11, 3, 12), 2, zone_of("America/Sao_Paulo")),
              (Times{at(2018, 11, 4, 3), at(2018, 11, 5, 2)}));
}

TEST(Schedule, RunsRepeatedTimesOnceTheFirst) {
    const Zone& berlin = zone_of("Europe/Berlin");
    const Times once{at(2024, 10, 26, 0, 30), at(2024, 10, 27, 0, 30), at(2024, 10, 28, 1, 30)};
    EXPECT_EQ(next_few("30 2 * * *", at(2024, 10, 26), 3, berlin), once);
    EXPECT_EQ(next_few("0 * * * *", at(2024, 10, 26, 23, 30), 3, berlin),
              (Times{at(2024, 10, 27), at(2024, 10, 27, 2), at(2024, 10, 27, 3)}));
    // From any moment of the second time round the next is the day after.
    for (std::int64_t now = at(2024, 10, 27, 1); now < at(2024, 10, 27, 2); now += 7) {
        EXPECT_EQ(next_few("30 2 * * *", now, 1, berlin), (Times{once[2]}));
    }
    // By half an hour: 02:00 became 01:30 at 15:00 UTC.
    EXPECT_EQ(next_few("45 1 * * *", at(2024, 4, 6, 12), 2, zone_of("Australia/Lord_Howe")),
              (Times{at(2024, 4, 6, 14, 45), at(2024, 4, 7, 15, 15)}));
}

TEST(Schedule, KnowsOffsetsOfHalfAndQuarterHours) {
    EXPECT_EQ(next_few("0 9 * * *", at(2024, 1, 1), 1, zone_of("Asia/Kolkata")),
              (Times{at(2024, 1, 1, 3, 30)}));
    EXPECT_EQ(next_few("0 0 * * *", at(1985, 12, 30, 20), 2, zone_of("Asia/Kathmandu")),
              (Times{at(1985, 12, 31, 18, 30), at(1986, 1, 1, 18, 15)}));
    EXPECT_EQ(next_few("0 0 L 2 *", at(2024, 1, 1), 1, zone_of("Pacific/Chatham")),
              (Times{at(2024, 2, 28, 10, 15)}));
}

TEST(Schedule, KnowsWords) {
    const std::int64_t from = at(2024, 2, 29, 12, 30);  // a Thursday
    const auto next = [&](const char* text) { return next_few(text, from, 1)[0]; };
    EXPECT_EQ(next("@hourly"), at(2024, 2, 29, 13));
    EXPECT_EQ(next("@daily"), at(2024, 3, 1));
    EXPECT_EQ(next("@midnight"), at(2024, 3, 1));
    EXPECT_EQ(next("@weekly"), at(2024, 3, 3));
    EXPECT_EQ(next("@monthly"), at(2024, 3, 1));
    EXPECT_EQ(next("@yearly"), at(2025, 1, 1));
    EXPECT_EQ(next("@annually"), at(2025, 1, 1));
    EXPECT_EQ(next("  @Daily\n"), at(2024, 3, 1));
}

TEST(Schedule, RunsIntervalsAtTheirMultiples) {
    const std::int64_t from = at(2024, 2, 29, 12, 30, 1);
    const auto next = [&](const char* text) { return next_few(text, from, 1)[0]; };
    EXPECT_EQ(next("1 second"), from + 1);
    EXPECT_EQ(next("30 seconds"), at(2024, 2, 29, 12, 30, 30));
    EXPECT_EQ(next("5 minutes"), at(2024, 2, 29, 12, 35));
    EXPECT_EQ(next(" 90  Minutes "), at(2024, 2, 29, 13, 30));
    EXPECT_EQ(next("2 HOURS"), at(2024, 2, 29, 14));
    EXPECT_EQ(next("1 hour"), at(2024, 2, 29, 13));
    EXPECT_EQ(next("24 hours"), at(2024, 3, 1));
    EXPECT_EQ(next("86400 seconds"), at(2024, 3, 1));
    EXPECT_EQ(next("1440minutes"), at(2024, 3, 1));
    // 7 hours do not divide a day: still there is no drift, and it does not matter who asks when.
    EXPECT_EQ(next("7 hours"), (from / (7 * kHour) + 1) * 7 * kHour);
    // Before 1970, and neither 0 nor the run itself counts twice.
    EXPECT_EQ(next_few("7 seconds", -15, 5), (Times{-14, -7, 0, 7, 14}));
    // Through the end of summer time without a pause.
    EXPECT_EQ(next_few("1 hour", at(2024, 10, 27), 2, zone_of("Europe/Berlin")),
              (Times{at(2024, 10, 27, 1), at(2024, 10, 27, 2)}));
}

void expect_refused(const std::string& text, const std::string& message, const std::string& hint) {
    try {
        Schedule::parse(text);
        ADD_FAILURE() << "accepted: " << text;
    } catch (const InvalidParameter& error) {
        EXPECT_EQ(error.what(), message) << text;
        EXPECT_NE(error.hint().find(hint), std::string::npos) << text << ": " << error.hint();
    }
}

TEST(Schedule, NamesWhatIsWrong) {
    for (const std::string text :
         {"0 seconds", "86401 seconds", "1441 minutes", "25 hours", "99999999999999999999 hours"}) {
        expect_refused(text, "invalid schedule \"" + text + "\": interval out of range",
                       "from \"1 second\" to \"24 hours\"");
    }
    for (const std::string text : {"5 mins", "30s", "1 day", "5 hourss", "3 s"}) {
        expect_refused(text, "invalid schedule \"" + text + "\": unknown unit",
                       "seconds, minutes or hours");
    }
    for (const std::string text : {"@reboot", "@", "@every", "@daily @daily", "@ daily"}) {
        expect_refused(text, "invalid schedule \"" + text + "\": unknown word",
                       "Valid words are: @hourly, @daily, ");
    }
    for (const auto& [text, count] : {std::pair<std::string, int>{"", 0},
                                      {"-5 minutes", 2},
                                      {"1.5 hours", 2},
                                      {"daily", 1},
                                      {"5 *", 2},
                                      {"1 hour 30 minutes", 4},
                                      {"every 5 minutes", 3}}) {
        expect_refused(
            text,
            "invalid schedule \"" + text + "\": 5 fields expected, found " + std::to_string(count),
            "intervals like \"30 seconds\"");
    }
    expect_refused(" 0 25 * * * ", "invalid hour in cron schedule: \"25\"", "Valid are 0 to 23");
}

TEST(Schedule, TakesOrRefusesAnyText) {
    const std::vector<std::string> pieces{
        "*",     "/",    "-",  ",",      " ",  "L",    "l",   "0",   "1",   "5",
        "7",     "12",   "31", "59",     "60", "JAN",  "dec", "sun", "Fri", "@",
        "daily", "hour", "s",  "second", "\t", "\xff", "?",   "#",   "+",   "99999999999"};
    Random random(14);
    int taken = 0;
    for (int round = 0; round < 30000; ++round) {
        std::string text = random.below(4) == 0 ? "" : RandomCron(random).text;
        for (int edits = static_cast<int>(random.below(4)); edits > 0; --edits) {
            const auto place = random.below(static_cast<std::uint32_t>(text.size()) + 1);
            text.erase(place, random.below(3));
            text.insert(place, pieces[random.below(static_cast<std::uint32_t>(pieces.size()))]);
        }
        try {
            const Schedule schedule = Schedule::parse(text);
            const std::int64_t now = static_cast<std::int64_t>(random.next() >> 24);
            EXPECT_GT(schedule.next(now, kUtc), now) << text;
            EXPECT_LE(schedule.next(now, kUtc), now + Schedule::kLookAhead) << text;
            ++taken;
        } catch (const InvalidParameter& error) {
            EXPECT_FALSE(error.hint().empty()) << text;
        }
    }
    EXPECT_GT(taken, 3000);
    EXPECT_LT(taken, 27000);
}

}  // namespace
}  // namespace ad
