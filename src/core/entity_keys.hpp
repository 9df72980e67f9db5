// Which entity a row belongs to: the values of its partition columns as integers, and a sorted list
// of those that have a model.
#pragma once

#include "features.hpp"

namespace ad {

/// Partition columns of a model, at most.
inline constexpr std::size_t kMaxPartitionColumns = 16;

/// Writes the key of row `row`: one integer for each feature of `partition`. False if a value is
/// missing: such a row belongs to no entity. Numbers are equal as in SQL, -0 to 0.
bool entity_key(const Schema& partition, const Cell* const* columns, std::size_t row,
                std::uint64_t* key) noexcept;

/// Distinct keys of the same width in lexicographic order.
class EntityKeys {
  public:
    static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

    EntityKeys() = default;
    explicit EntityKeys(std::size_t width) : width_(width) {}

    std::size_t size() const { return width_ == 0 ? 0 : keys_.size() / width_; }
    /// `key` must come after all others.
    void append(const std::uint64_t* key) { keys_.insert(keys_.end(), key, key + width_); }
    /// The place of a key, or kNone.
    std::size_t find(const std::uint64_t* key) const noexcept;

    void save(Writer& out) const { out.array(keys_); }
    static EntityKeys load(Reader& in, std::size_t width);
    std::size_t memory_bytes() const { return keys_.size() * sizeof(std::uint64_t); }

  private:
    bool before(std::size_t place, const std::uint64_t* key) const noexcept;

    std::size_t width_ = 0;
    std::vector<std::uint64_t> keys_;
};

}  // namespace ad
