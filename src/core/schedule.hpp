// When a job runs: cron, a word such as @daily, or an interval, in a time zone.
#pragma once

#include <span>

#include "cron.hpp"

namespace ad {

/// The offset of local time from UTC, in seconds to the east, from an instant until the next
/// period begins. Instants are seconds since 1970-01-01 00:00 UTC.
struct ZonePeriod {
    std::int64_t start;
    std::int64_t offset;
};

class Schedule {
  public:
    static Schedule parse(std::string_view text);

    /// What next() has to know of a time zone, before `after` and beyond: offsets differ by less
    /// than two days; and no cron schedule waits longer than 40 years, as for a Sunday that is the
    /// last of February in a leap year.
    static constexpr std::int64_t kLookBack = std::int64_t{2} * 86400;
    static constexpr std::int64_t kLookAhead = std::int64_t{41} * 366 * 86400;

    /// The first run after an instant. `zone`: the periods in order, the first of which reaches
    /// back to after - kLookBack, the last ahead to after + kLookAhead.
    ///
    /// A cron schedule names local times, and runs when the clock on the wall first shows that
    /// time or a later one. So a time that is skipped runs at the end of the gap, together with all
    /// others of the gap, and a time that comes twice runs the first time.
    ///
    /// An interval runs at its multiples since 1970-01-01 00:00 UTC, in every zone: it never
    /// drifts, and daylight saving is nothing to it.
    std::int64_t next(std::int64_t after, std::span<const ZonePeriod> zone) const;

  private:
    std::int64_t interval_ = 0;  ///< seconds; 0: cron
    Cron cron_;
};

}  // namespace ad
