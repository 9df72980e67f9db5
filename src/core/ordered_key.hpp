// Numbers as integers in the same order, and the step from a node to its child that compares two of
// them without a branch: nobody can predict it, and it would cost most of the time.
#pragma once

#include <bit>

#include "base.hpp"

namespace ad {

/// Both zeros have the same key. NaN has any.
inline std::uint64_t ordered_key(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value + 0.0);
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    return bits ^ (kSign | (0 - (bits >> 63)));
}

/// `first` + 1 if `pivot` is below `key`, else `first`. On x86-64 the carry of the comparison is
/// added, which no compiler finds.
[[gnu::always_inline]] inline std::uint64_t second_if_below(std::uint64_t first,
                                                            std::uint64_t pivot,
                                                            std::uint64_t key) {
#if defined(__x86_64__)
    asm("cmp %[key], %[pivot]\n\tadc $0, %[first]"
        : [first] "+r"(first)
        : [pivot] "r"(pivot), [key] "rm"(key)
        : "cc");
    return first;
#else
    return first + std::uint64_t{pivot < key};
#endif
}

/// The child of node `at` in a tree whose node i has the children 2 i and 2 i + 1: the second if
/// `pivot` is below `key`.
template <typename Unsigned>
[[gnu::always_inline]] inline std::uint64_t descend(std::uint64_t at, Unsigned pivot,
                                                    Unsigned key) {
#if defined(__x86_64__)
    asm("cmp %[key], %[pivot]\n\tadc %[at], %[at]"
        : [at] "+r"(at)
        : [pivot] "r"(pivot), [key] "rm"(key)
        : "cc");
    return at;
#else
    return 2 * at + std::uint64_t{pivot < key};
#endif
}

}  // namespace ad
