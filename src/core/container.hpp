// The outer layers of the bytes of a model: what tells them from other bytes, the checksum, and, of
// a partitioned model, the models that it is made of.
#pragma once

#include "entity_keys.hpp"

namespace ad {

enum class ContainerFormat : std::uint16_t { Plain = 1, Partitioned = 2 };

void open_container(ContainerFormat format, Writer& out);
/// Adds the checksum.
std::string close_container(Writer& out);

/// Bytes whose checksum is right, up to it and behind the format.
struct OpenedContainer {
    ContainerFormat format;
    Reader in;
};
OpenedContainer read_container(std::string_view bytes);

/// A model for all rows (the fallback), and one each for some entities. Views of bytes, which must
/// outlive it; those of a model are a container of their own.
struct PartitionedBytes {
    Schema partition;  ///< the features that name an entity
    std::uint64_t entities_without_model = 0;
    std::string_view fallback;
    EntityKeys keys;
    std::vector<std::string_view> models;  ///< in the order of the keys

    std::string save() const;
    /// Reads what follows the format.
    static PartitionedBytes load(Reader& in);
};

/// Puts together what was fitted apart.
class PartitionJoin {
  public:
    /// `fallback` is a model that was fitted with "partition_columns", and lives as long as this;
    /// `max_bytes` bounds what comes out.
    PartitionJoin(std::string_view fallback, std::uint64_t max_bytes);

    /// `model` is fitted as the fallback, on the rows of one entity. Keys may come in any order.
    void add(std::string_view key, std::string_view model);
    void add_without_model() { ++entities_without_model_; }

    std::string save() const;

  private:
    struct Entity {
        std::vector<std::uint64_t> key;
        std::string model;
    };

    PartitionedBytes outside_;
    std::uint64_t max_bytes_;
    std::uint64_t bytes_;
    std::uint64_t entities_without_model_ = 0;
    std::vector<Entity> entities_;
};

}  // namespace ad
