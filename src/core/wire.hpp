// Little-endian bytes for models and for the fit states that parallel workers hand over.
// The reader treats every byte as hostile: it checks bounds before it reads, counts before it
// allocates, and the end of the input when it is done.
#pragma once

#include <bit>
#include <cstring>

#include "error.hpp"

namespace ad {

static_assert(std::endian::native == std::endian::little,
              "the wire format is written as it lies in memory");

class Writer {
  public:
    template <typename T>
    void number(T value) {
        static_assert(std::is_arithmetic_v<T>);
        append(&value, sizeof(T));
    }

    void text(std::string_view value) {
        number(static_cast<std::uint32_t>(value.size()));
        append(value.data(), value.size());
    }

    template <typename T>
    void array(const std::vector<T>& values) {
        static_assert(std::is_arithmetic_v<T>);
        number(static_cast<std::uint32_t>(values.size()));
        append(values.data(), values.size() * sizeof(T));
    }

    const std::string& bytes() const { return bytes_; }
    std::string take() { return std::move(bytes_); }

  private:
    void append(const void* data, std::size_t size) {
        if (size > 0) bytes_.append(static_cast<const char*>(data), size);
    }

    std::string bytes_;
};

class Reader {
  public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}

    template <typename T>
    T number() {
        static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
        T value;
        std::memcpy(&value, take(sizeof(T)), sizeof(T));
        return value;
    }

    /// A count of things that take at least `bytes_each`; refused when the rest cannot hold them.
    std::uint32_t count(std::size_t bytes_each) {
        const auto n = number<std::uint32_t>();
        if (n > rest_.size() / bytes_each) {
            throw CorruptModel("count " + std::to_string(n) + " exceeds the remaining " +
                               std::to_string(rest_.size()) + " bytes");
        }
        return n;
    }

    std::string text() { return std::string(view()); }

    /// As text, but within the bytes that are read.
    std::string_view view() {
        const auto n = count(1);
        return {take(n), n};
    }

    template <typename T>
    std::vector<T> array() {
        static_assert(std::is_arithmetic_v<T>);
        const auto n = count(sizeof(T));
        std::vector<T> values(n);
        if (n > 0) std::memcpy(values.data(), take(n * sizeof(T)), n * sizeof(T));
        return values;
    }

    /// A finite double in [low, high].
    double real(double low, double high) {
        const auto value = number<double>();
        if (!(value >= low && value <= high)) throw CorruptModel("number out of range");
        return value;
    }

    /// An unsigned number of type T, at most `high`.
    template <typename T>
    T at_most(T high) {
        const T value = number<T>();
        if (value > high) throw CorruptModel("number out of range");
        return value;
    }

    std::size_t left() const { return rest_.size(); }

    void end() const {
        if (!rest_.empty()) {
            throw CorruptModel(std::to_string(rest_.size()) + " unexpected bytes at the end");
        }
    }

  private:
    const char* take(std::size_t size) {
        if (size > rest_.size()) throw CorruptModel("unexpected end of data");
        const char* start = rest_.data();
        rest_.remove_prefix(size);
        return start;
    }

    std::string_view rest_;
};

}  // namespace ad
