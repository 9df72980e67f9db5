#include <algorithm>
#include <numeric>

#include "perceptron.hpp"

namespace ad {

namespace {

using Buffer = Perceptron::Buffer;

/// Adam's moments of the numbers of one layer.
struct Moments {
    explicit Moments(std::size_t count) : gradient(count), first(count), second(count) {}

    Buffer gradient;
    Buffer first;
    Buffer second;
};

class Trainer {
  public:
    Trainer(Perceptron& network, const Buffer& rows, const TrainingPlan& plan)
        : network_(network), rows_(rows), plan_(plan) {
        for (const Perceptron::Layer& layer : network.layers()) {
            moments_.emplace_back(layer.weights.size());
            moments_.emplace_back(layer.biases.size());
        }
    }

    /// Goes over the rows once; returns the mean squared error of their values.
    double epoch(const std::vector<std::uint32_t>& order) {
        double error = 0.0;
        for (std::size_t start = 0; start < order.size(); start += plan_.batch_size) {
            poll();
            const std::size_t count = std::min(plan_.batch_size, order.size() - start);
            take(order.data() + start, count);
            network_.run(count, activations_);
            error += output_error(count);
            go_back(count);
            update();
        }
        return error / values_in(order.size());
    }

    double error_of(const std::vector<std::uint32_t>& order) {
        double error = 0.0;
        for (std::size_t start = 0; start < order.size(); start += plan_.batch_size) {
            poll();
            const std::size_t count = std::min(plan_.batch_size, order.size() - start);
            take(order.data() + start, count);
            network_.run(count, activations_);
            error += output_error(count);
        }
        return error / values_in(order.size());
    }

  private:
    std::size_t columns() const { return network_.layers().front().in; }
    double values_in(std::size_t rows) const { return static_cast<double>(rows * columns()); }

    void take(const std::uint32_t* order, std::size_t count) {
        const std::size_t width = packed(columns());
        activations_.resize(network_.layers().size() + 1);
        activations_[0].resize(count * width);
        for (std::size_t i = 0; i < count; ++i) {
            std::copy_n(rows_.begin() + static_cast<std::ptrdiff_t>(order[i] * width), width,
                        activations_[0].begin() + static_cast<std::ptrdiff_t>(i * width));
        }
    }

    /// The sum of squared errors; leaves their derivatives, of the mean over the rows, in deltas_.
    double output_error(std::size_t count) {
        const Buffer& inputs = activations_.front();
        const Buffer& outputs = activations_.back();
        const float share = 2.0F / static_cast<float>(count);
        deltas_.resize(inputs.size());
        double sum = 0.0;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const float difference = outputs[i] - inputs[i];
            deltas_[i] = share * difference;
            sum += static_cast<double>(difference) * static_cast<double>(difference);
        }
        return sum;
    }

    /// Backpropagation: gradients of all layers.
    void go_back(std::size_t count) {
        const auto layers = network_.layers();
        for (std::size_t l = layers.size(); l-- > 0;) {
            const Perceptron::Layer& layer = layers[l];
            const std::size_t width = packed(layer.out);
            Buffer& of_weights = moments_[2 * l].gradient;
            Buffer& of_biases = moments_[2 * l + 1].gradient;
            std::fill(of_weights.begin(), of_weights.end(), 0.0F);
            std::fill(of_biases.begin(), of_biases.end(), 0.0F);
            const Buffer& inputs = activations_[l];
            multiply_in_steps({inputs.data(), 1, packed(layer.in)}, deltas_.data(), layer.in, count,
                              width, of_weights.data());
            for (std::size_t i = 0; i < count; ++i) {
                for (std::size_t o = 0; o < width; ++o) of_biases[o] += deltas_[i * width + o];
            }
            if (l == 0) return;
            transpose(layer);
            earlier_.assign(inputs.size(), 0.0F);
            multiply_in_steps({deltas_.data(), width, 1}, transposed_.data(), count, layer.out,
                              packed(layer.in), earlier_.data());
            for (std::size_t i = 0; i < inputs.size(); ++i) {
                if (!(inputs[i] > 0.0F)) earlier_[i] = 0.0F;
            }
            deltas_.swap(earlier_);
        }
    }

    void transpose(const Perceptron::Layer& layer) {
        const std::size_t width = packed(layer.in);
        transposed_.assign(layer.out * width, 0.0F);
        for (std::size_t i = 0; i < layer.in; ++i) {
            for (std::size_t o = 0; o < layer.out; ++o) {
                transposed_[o * width + i] = layer.weights[i * packed(layer.out) + o];
            }
        }
    }

    void update() {
        keep_first_ *= kKeepFirst;
        keep_second_ *= kKeepSecond;
        const auto rate = static_cast<float>(plan_.learning_rate / (1.0 - keep_first_));
        const auto correction = static_cast<float>(1.0 / (1.0 - keep_second_));
        const auto kept = static_cast<float>(1.0 - plan_.learning_rate * plan_.weight_decay);
        const auto layers = network_.layers();
        for (std::size_t l = 0; l < layers.size(); ++l) {
            for (float& weight : layers[l].weights) weight *= kept;
            descend(layers[l].weights, moments_[2 * l], rate, correction);
            descend(layers[l].biases, moments_[2 * l + 1], rate, correction);
        }
    }

    static void descend(Buffer& values, Moments& moments, float rate, float correction) {
        constexpr float kEpsilon = 1e-8F;
        constexpr auto kFirst = static_cast<float>(kKeepFirst);
        constexpr auto kSecond = static_cast<float>(kKeepSecond);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float gradient = moments.gradient[i];
            float& first = moments.first[i];
            float& second = moments.second[i];
            // what is added keeps the moments of silent units off the slow subnormal numbers
            first = kFirst * first + ((1.0F - kFirst) * gradient + 1e-30F) - 1e-30F;
            second = kSecond * second + ((1.0F - kSecond) * gradient * gradient);
            values[i] -= rate * first / (std::sqrt(second * correction) + kEpsilon);
        }
    }

    static constexpr double kKeepFirst = 0.9;
    static constexpr double kKeepSecond = 0.999;

    Perceptron& network_;
    const Buffer& rows_;
    const TrainingPlan& plan_;
    std::vector<Moments> moments_;  ///< of weights and biases, layer by layer
    double keep_first_ = 1.0;       ///< kKeepFirst to the power of the number of updates
    double keep_second_ = 1.0;
    std::vector<Buffer> activations_;
    Buffer deltas_;
    Buffer earlier_;
    Buffer transposed_;
};

void shuffle(std::vector<std::uint32_t>& items, Random& random) {
    for (std::size_t i = items.size(); i > 1; --i) {
        std::swap(items[i - 1], items[random.below(static_cast<std::uint32_t>(i))]);
    }
}

}  // namespace

TrainingResult train_to_reconstruct(Perceptron& network, const Buffer& rows, std::size_t count,
                                    const TrainingPlan& plan, Random& random) {
    std::vector<std::uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    shuffle(order, random);
    const auto aside =
        static_cast<std::size_t>(plan.validation_fraction * static_cast<double>(count));
    const auto middle = order.begin() + static_cast<std::ptrdiff_t>(aside);
    const std::vector<std::uint32_t> validation(order.begin(), aside > 0 ? middle : order.end());
    order.erase(order.begin(), middle);

    Trainer trainer(network, rows, plan);
    Perceptron best = network;
    TrainingResult result;
    result.validation_error = trainer.error_of(validation);
    std::size_t epochs_without = 0;
    while (result.epochs < plan.epochs && epochs_without < plan.patience) {
        shuffle(order, random);
        result.training_error = trainer.epoch(order);
        ++result.epochs;
        ++epochs_without;
        const double error = trainer.error_of(validation);
        if (!(error < result.validation_error)) continue;
        result.validation_error = error;
        best = network;
        epochs_without = 0;
    }
    network = std::move(best);
    return result;
}

std::uint64_t training_bytes(std::span<const std::uint32_t> sizes, std::uint64_t rows,
                             std::uint64_t batch_size) {
    // network, best, three of moments, the transposed; activations with two sets of derivatives
    const std::uint64_t numbers =
        6 * Perceptron::count_weights(sizes) +
        3 * std::min(rows, batch_size) * Perceptron::count_activations(sizes);
    return numbers * sizeof(float) + 2 * rows * sizeof(std::uint32_t);
}

}  // namespace ad
