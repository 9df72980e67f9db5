// XXH3: stable across machines, endianness and versions since xxHash 0.8.
#pragma once

#include "base.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ad {

inline std::uint64_t hash_bytes(const void* bytes, std::size_t size, std::uint64_t seed = 0) {
    return XXH3_64bits_withSeed(bytes, size, seed);
}

inline std::uint64_t hash_bytes(std::string_view text, std::uint64_t seed = 0) {
    return hash_bytes(text.data(), text.size(), seed);
}

}  // namespace ad
