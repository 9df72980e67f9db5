#include "entity_keys.hpp"

#include <algorithm>

namespace ad {

bool entity_key(const Schema& partition, const Cell* const* columns, std::size_t row,
                std::uint64_t* key) noexcept {
    for (std::size_t k = 0; k < partition.size(); ++k) {
        const Cell cell = columns[k][row];
        if (is_missing(cell, partition[k].kind)) return false;
        key[k] = partition[k].kind == FeatureKind::Category
                     ? cell.category
                     : std::bit_cast<std::uint64_t>(cell.number + 0.0);
    }
    return true;
}

bool EntityKeys::before(std::size_t place, const std::uint64_t* key) const noexcept {
    const std::uint64_t* mine = keys_.data() + place * width_;
    return std::lexicographical_compare(mine, mine + width_, key, key + width_);
}

std::size_t EntityKeys::find(const std::uint64_t* key) const noexcept {
    std::size_t first = 0;
    for (std::size_t count = size(); count > 0;) {
        const std::size_t half = count / 2;
        if (before(first + half, key)) {
            first += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    const bool found =
        first < size() && std::equal(key, key + width_, keys_.data() + first * width_);
    return found ? first : kNone;
}

EntityKeys EntityKeys::load(Reader& in, std::size_t width) {
    EntityKeys keys(width);
    keys.keys_ = in.array<std::uint64_t>();
    if (keys.keys_.size() % width != 0) throw CorruptModel("a key of an entity is not complete");
    for (std::size_t i = 0; i + 1 < keys.size(); ++i) {
        if (!keys.before(i, keys.keys_.data() + (i + 1) * width)) {
            throw CorruptModel("the keys of the entities are not in order");
        }
    }
    return keys;
}

}  // namespace ad
