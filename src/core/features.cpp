#include "features.hpp"

#include <array>

#include "hash.hpp"

namespace ad {

std::string_view kind_name(FeatureKind kind) {
    constexpr std::array<std::string_view, kFeatureKinds> kNames{"number", "boolean", "timestamp",
                                                                 "date",   "time",    "category"};
    return kNames[static_cast<std::size_t>(kind)];
}

std::size_t columns_of(FeatureKind kind) {
    switch (kind) {
        case FeatureKind::Timestamp:
        case FeatureKind::Date:
            return 4;
        case FeatureKind::Time:
            return 2;
        default:
            return 1;
    }
}

std::uint64_t category_hash(std::string_view text) {
    const auto hash = hash_bytes(text);
    return hash == kMissingCategory ? 1 : hash;
}

void save_schema(const Schema& schema, Writer& out) {
    out.number(static_cast<std::uint32_t>(schema.size()));
    for (const auto& feature : schema) {
        out.text(feature.name);
        out.number(static_cast<std::uint8_t>(feature.kind));
    }
}

Schema load_schema(Reader& in) {
    constexpr std::size_t kSmallestFeature = 5;
    Schema schema(in.count(kSmallestFeature));
    for (auto& feature : schema) {
        feature.name = in.text();
        feature.kind = static_cast<FeatureKind>(in.at_most<std::uint8_t>(kFeatureKinds - 1));
    }
    return schema;
}

}  // namespace ad
