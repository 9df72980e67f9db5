// The five fields of cron: the minutes of local time that they name. Time zones are not its matter.
#pragma once

#include <optional>

#include "error.hpp"

namespace ad {

class Cron {
  public:
    /// "minute hour day-of-month month day-of-week". Refuses what names no day of the calendar.
    static Cron parse(std::string_view text);

    /// The first minute after `local` that the fields name. Both are seconds since 1970-01-01 00:00
    /// on the clock on the wall.
    std::int64_t next(std::int64_t local) const;

  private:
    std::optional<std::int64_t> next_day(std::int64_t day) const;
    int next_minute(int minute_of_day) const;
    std::uint32_t days_of(std::int64_t year, int month) const;

    // Sets of numbers, one bit for each.
    std::uint64_t minutes_ = 0;
    std::uint32_t hours_ = 0;
    std::uint32_t days_ = 0;
    std::uint32_t months_ = 0;
    std::uint32_t weekdays_ = 0;       ///< Sunday is 0
    std::uint32_t last_weekdays_ = 0;  ///< those of which the last of the month is meant
    bool last_day_ = false;
    /// A day has to suit both of its fields, since one of them begins with a star.
    bool both_days_ = false;
};

}  // namespace ad
