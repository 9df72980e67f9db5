// The inner loops of ForestKernel, once for each instruction set. All of them compute the same.
#pragma once

#include <span>

#include "base.hpp"

namespace ad {

inline constexpr std::size_t kChunkRows = 64;  ///< one bit each in a machine word
inline constexpr std::size_t kBlockChunks = 8;
inline constexpr std::size_t kBlockRows = kChunkRows * kBlockChunks;

/// One node, for a block of rows: which of them have a rank above its own and go right.
struct ForestCompare {
    std::uint16_t plane;  ///< of ranks: 2 * column, + 1 if missing values go left
    std::int8_t rank;     ///< all ranks here are less by 128: instruction sets compare signed bytes
};

/// Takes the bits of `from` where those of `mask` are set, into `into`. Places of words.
struct ForestMerge {
    std::uint8_t into;
    std::uint8_t from;
    std::uint8_t mask;
};

/// A bit for each row of a block.
struct alignas(64) BlockBits {
    std::uint64_t chunk[kBlockChunks];
};

/// The upper levels of a tree for one row, by the place in the heap; 0 is unused.
struct alignas(64) UpperNodes {
    static constexpr std::uint32_t kLevels = 6;
    static constexpr std::size_t kNodes = std::size_t{1} << kLevels;
    static constexpr std::size_t kMaxPlanes = 128;

    std::uint8_t plane[kNodes];
    std::uint8_t rank[kNodes];
};

struct ForestLoops {
    const char* name;
    /// Writes one word for each of `count` nodes, for the first `chunks` chunks of the block;
    /// planes + plane * kBlockRows are the ranks.
    void (*compare)(const ForestCompare* nodes, std::size_t count, const std::int8_t* planes,
                    std::size_t chunks, BlockBits* words);
    void (*merge)(const ForestMerge* merges, std::size_t count, BlockBits* words);
    /// Turns eight words, the highest bit first, into one byte a row.
    void (*gather)(const BlockBits* words, const std::uint8_t (&places)[8], std::size_t chunks,
                   std::uint8_t* codes);
    /// Writes, for each of `count` trees rounded up to kDecideStep, the place in the heap where a
    /// row leaves the upper nodes. Null where a walk from node to node is as fast.
    void (*decide)(const UpperNodes* trees, std::size_t count,
                   const std::uint8_t (&planes)[UpperNodes::kMaxPlanes], std::uint64_t* places);
    static constexpr std::size_t kDecideStep = 8;
};

/// What this CPU can run, the fastest last.
std::span<const ForestLoops> forest_loops();

}  // namespace ad
