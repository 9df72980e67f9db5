#include "perceptron.hpp"

#include <algorithm>

namespace ad {

namespace {

constexpr std::uint32_t kMostUnits = 65536;

}  // namespace

Perceptron::Perceptron(std::span<const std::uint32_t> sizes) {
    for (std::size_t l = 0; l + 1 < sizes.size(); ++l) layers_.emplace_back(sizes[l], sizes[l + 1]);
}

void Perceptron::initialize(Random& random) {
    for (Layer& layer : layers_) {
        const double variance =
            (&layer == &layers_.back() ? 1.0 : 2.0) / static_cast<double>(layer.in);
        const double reach = std::sqrt(3.0 * variance);
        for (std::size_t i = 0; i < layer.in; ++i) {
            for (std::size_t o = 0; o < layer.out; ++o) {
                layer.weights[i * packed(layer.out) + o] =
                    static_cast<float>((2.0 * random.uniform() - 1.0) * reach);
            }
        }
    }
}

void Perceptron::run(std::size_t rows, std::vector<Buffer>& activations) const {
    activations.resize(layers_.size() + 1);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
        const Layer& layer = layers_[l];
        const std::size_t width = packed(layer.out);
        Buffer& out = activations[l + 1];
        out.resize(rows * width);
        for (std::size_t i = 0; i < rows; ++i) {
            std::copy(layer.biases.begin(), layer.biases.end(),
                      out.begin() + static_cast<std::ptrdiff_t>(i * width));
        }
        multiply_in_steps({activations[l].data(), packed(layer.in), 1}, layer.weights.data(), rows,
                          layer.in, width, out.data());
        if (l + 1 == layers_.size()) return;
        for (float& value : out) value = value > 0.0F ? value : 0.0F;
    }
}

void Perceptron::save(Writer& out) const {
    out.number(static_cast<std::uint32_t>(layers_.size() + 1));
    out.number(static_cast<std::uint32_t>(layers_.front().in));
    for (const Layer& layer : layers_) out.number(static_cast<std::uint32_t>(layer.out));
    for (const Layer& layer : layers_) {
        for (std::size_t i = 0; i < layer.in; ++i) {
            for (std::size_t o = 0; o < layer.out; ++o) {
                out.number(layer.weights[i * packed(layer.out) + o]);
            }
        }
        for (std::size_t o = 0; o < layer.out; ++o) out.number(layer.biases[o]);
    }
}

void Perceptron::load(Reader& in) {
    std::vector<std::uint32_t> sizes(in.count(sizeof(std::uint32_t)));
    for (auto& size : sizes) size = in.number<std::uint32_t>();
    for (const auto size : sizes) {
        if (size == 0 || size > kMostUnits) throw CorruptModel("bad number of units");
    }
    if (sizes.size() < 2) throw CorruptModel("the network has no layers");
    layers_.clear();
    for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
        if (in.left() / sizeof(float) / sizes[l] < sizes[l + 1]) {
            throw CorruptModel("unexpected end of data");
        }
        Layer& layer = layers_.emplace_back(sizes[l], sizes[l + 1]);
        for (std::size_t i = 0; i < layer.in; ++i) {
            for (std::size_t o = 0; o < layer.out; ++o) {
                layer.weights[i * packed(layer.out) + o] = in.number<float>();
            }
        }
        for (std::size_t o = 0; o < layer.out; ++o) layer.biases[o] = in.number<float>();
    }
}

std::size_t Perceptron::memory_bytes() const {
    std::size_t numbers = 0;
    for (const Layer& layer : layers_) numbers += layer.weights.size() + layer.biases.size();
    return numbers * sizeof(float) + layers_.size() * sizeof(Layer);
}

std::uint64_t Perceptron::count_weights(std::span<const std::uint32_t> sizes) {
    std::uint64_t count = 0;
    for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
        count += (sizes[l] + 1ULL) * packed(sizes[l + 1]);
    }
    return count;
}

std::uint64_t Perceptron::count_activations(std::span<const std::uint32_t> sizes) {
    std::uint64_t count = 0;
    for (const auto size : sizes) count += packed(size);
    return count;
}

}  // namespace ad
