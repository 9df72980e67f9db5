#include "container.hpp"

#include <algorithm>

#include "hash.hpp"

namespace ad {

namespace {

constexpr std::string_view kMagic = "ADMODEL\n";

}  // namespace

void open_container(ContainerFormat format, Writer& out) {
    out.text(kMagic);
    out.number(static_cast<std::uint16_t>(format));
}

std::string close_container(Writer& out) {
    out.number(hash_bytes(out.bytes()));
    return out.take();
}

OpenedContainer read_container(std::string_view bytes) {
    constexpr std::size_t kChecksum = sizeof(std::uint64_t);
    if (bytes.size() < kChecksum) throw CorruptModel("unexpected end of data");
    const auto body = bytes.substr(0, bytes.size() - kChecksum);
    Reader tail(bytes.substr(body.size()));
    if (tail.number<std::uint64_t>() != hash_bytes(body)) {
        throw CorruptModel("the checksum does not match");
    }
    Reader in(body);
    if (in.view() != kMagic) throw CorruptModel("these bytes are not a model");
    const auto format = in.number<std::uint16_t>();
    if (format < static_cast<std::uint16_t>(ContainerFormat::Plain) ||
        format > static_cast<std::uint16_t>(ContainerFormat::Partitioned)) {
        throw CorruptModel("the model was written by a newer release");
    }
    return {static_cast<ContainerFormat>(format), in};
}

std::string PartitionedBytes::save() const {
    Writer out;
    open_container(ContainerFormat::Partitioned, out);
    save_schema(partition, out);
    out.number(entities_without_model);
    out.text(fallback);
    keys.save(out);
    for (const auto model : models) out.text(model);
    return close_container(out);
}

PartitionedBytes PartitionedBytes::load(Reader& in) {
    PartitionedBytes bytes;
    bytes.partition = load_schema(in);
    if (bytes.partition.empty() || bytes.partition.size() > kMaxPartitionColumns) {
        throw CorruptModel("wrong number of partition columns");
    }
    bytes.entities_without_model = in.number<std::uint64_t>();
    bytes.fallback = in.view();
    bytes.keys = EntityKeys::load(in, bytes.partition.size());
    for (std::size_t i = 0; i < bytes.keys.size(); ++i) bytes.models.push_back(in.view());
    in.end();
    return bytes;
}

namespace {

PartitionedBytes outside_of(std::string_view model) {
    auto [format, in] = read_container(model);
    if (format != ContainerFormat::Partitioned) throw CorruptModel("the model is not partitioned");
    return PartitionedBytes::load(in);
}

}  // namespace

PartitionJoin::PartitionJoin(std::string_view fallback, std::uint64_t max_bytes)
    : outside_(outside_of(fallback)), max_bytes_(max_bytes), bytes_(fallback.size()) {}

void PartitionJoin::add(std::string_view key, std::string_view model) {
    const std::size_t width = outside_.partition.size();
    if (key.size() != width * sizeof(std::uint64_t)) {
        throw CorruptModel("a key of an entity has the wrong size");
    }
    Entity entity{std::vector<std::uint64_t>(width), std::string(outside_of(model).fallback)};
    std::memcpy(entity.key.data(), key.data(), key.size());
    bytes_ += key.size() + sizeof(std::uint32_t) + entity.model.size();
    if (bytes_ > max_bytes_) {
        constexpr std::uint64_t kKilobyte = 1024;
        throw MemoryLimit("the models of the first " + std::to_string(entities_.size() + 1) +
                              " entities take " + std::to_string(bytes_ / kKilobyte + 1) +
                              " kB, but only " + std::to_string(max_bytes_ / kKilobyte) +
                              " are allowed",
                          "Choose an algorithm or parameters that make smaller models, partition "
                          "into fewer entities, or increase "
                          "\"anomaly_detect.max_training_memory\".");
    }
    entities_.push_back(std::move(entity));
}

std::string PartitionJoin::save() const {
    std::vector<const Entity*> order;
    for (const Entity& entity : entities_) order.push_back(&entity);
    std::sort(order.begin(), order.end(), [](auto a, auto b) { return a->key < b->key; });
    PartitionedBytes joined{.partition = outside_.partition,
                            .entities_without_model = entities_without_model_,
                            .fallback = outside_.fallback,
                            .keys = EntityKeys(outside_.partition.size()),
                            .models = {}};
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (i > 0 && order[i]->key == order[i - 1]->key) {
            throw InvalidData("an entity came twice",
                              "Its rows must come to one call of the aggregate.");
        }
        joined.keys.append(order[i]->key.data());
        joined.models.push_back(order[i]->model);
    }
    return joined.save();
}

}  // namespace ad
