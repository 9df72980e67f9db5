// First include of every core header: the tripwire that keeps the layers apart, and the one call
// that core code makes to its host.
#pragma once

#ifdef POSTGRES_H
#error "src/core must not see postgres.h: convert Datums in src/pg and pass plain numbers"
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace ad {

inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// Detectors that take no missing values see no number beyond: its square and sums of squares are
/// finite.
inline constexpr double kLargestValue = 1e100;

/// Set by the host (the server, a test). It may throw to stop the work: a cancelled query, a
/// shutdown. Null means that nobody wants to interrupt.
extern void (*poll_hook)();

/// Long loops call this about every thousand rows.
inline void poll() {
    if (poll_hook != nullptr) poll_hook();
}

/// Calls poll() once for so many values that were looked at, where a loop may be short or long.
class Pacer {
  public:
    void work(std::size_t values) {
        constexpr std::size_t kValues = 16384;
        done_ += values;
        if (done_ < kValues) return;
        done_ = 0;
        poll();
    }

  private:
    std::size_t done_ = 0;
};

}  // namespace ad
