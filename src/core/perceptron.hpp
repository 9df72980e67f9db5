// A multilayer perceptron: dense layers with rectified linear units, the last one linear. All sums
// have a fixed order, so that a row gives the same bits alone and among others.
#pragma once

#include <span>

#include "multiply.hpp"
#include "random.hpp"
#include "wire.hpp"

namespace ad {

class Perceptron {
  public:
    /// Rows of floats, each packed(columns) of them, filled up with zeros.
    using Buffer = std::vector<float>;

    struct Layer {
        Layer(std::size_t inputs, std::size_t outputs)
            : in(inputs), out(outputs), weights(in * packed(out)), biases(packed(out)) {}

        std::size_t in;
        std::size_t out;
        Buffer weights;  ///< a row for each input
        Buffer biases;
    };

    Perceptron() = default;
    /// Sizes of the inputs, the hidden layers and the outputs; at least two. All weights are 0.
    explicit Perceptron(std::span<const std::uint32_t> sizes);

    /// Random weights of variance 2 / inputs (He, Zhang, Ren, Sun: "Delving Deep into Rectifiers",
    /// ICCV 2015); half of that in the linear layer.
    void initialize(Random& random);

    std::span<Layer> layers() { return layers_; }
    std::span<const Layer> layers() const { return layers_; }

    /// activations[0] holds the inputs of `rows` rows; [l + 1] gets what layer l makes of [l].
    void run(std::size_t rows, std::vector<Buffer>& activations) const;

    void save(Writer& out) const;
    /// Whatever the numbers, `run` is safe; its outputs may be infinite or NaN.
    void load(Reader& in);
    std::size_t memory_bytes() const;

    /// Numbers that the layers hold, and that the activations of a row do.
    static std::uint64_t count_weights(std::span<const std::uint32_t> sizes);
    static std::uint64_t count_activations(std::span<const std::uint32_t> sizes);

  private:
    std::vector<Layer> layers_;
};

/// How to train. Adam: Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015;
/// decay of the weights beside the gradient: Loshchilov, Hutter: "Decoupled Weight Decay
/// Regularization", ICLR 2019.
struct TrainingPlan {
    std::size_t epochs;
    std::size_t batch_size;
    double learning_rate;
    double weight_decay;
    double validation_fraction;  ///< of the rows; on the others the weights are trained
    std::size_t patience;        ///< epochs without a better validation error before the end
};

struct TrainingResult {
    std::size_t epochs = 0;
    double training_error = 0.0;  ///< mean squared, of the last epoch as it went
    double validation_error =
        0.0;  ///< of the weights that were kept; of all rows if none was set aside
};

/// Trains the network to give back its inputs; `rows` rows of packed(columns) floats.
TrainingResult train_to_reconstruct(Perceptron& network, const Perceptron::Buffer& rows,
                                    std::size_t count, const TrainingPlan& plan, Random& random);
/// Upper bound of the memory that this takes, beyond the rows.
std::uint64_t training_bytes(std::span<const std::uint32_t> sizes, std::uint64_t rows,
                             std::uint64_t batch_size);

}  // namespace ad
