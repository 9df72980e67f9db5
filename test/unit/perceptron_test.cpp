// Products of matrices on every instruction set, and a network against derivatives by hand.
#include "core/perceptron.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

using Buffer = Perceptron::Buffer;

Buffer random_floats(std::size_t count, std::uint64_t seed) {
    Random random(seed);
    Buffer values(count);
    for (float& value : values) value = static_cast<float>(2.0 * random.uniform() - 1.0);
    return values;
}

TEST(Multiply, EveryInstructionSetGivesThePlainBits) {
    for (const std::size_t inner : {0, 1, 3, 4, 9}) {
        for (const std::size_t columns : {kPack, 3 * kPack}) {
            constexpr std::size_t kRows = 5;
            const Buffer left = random_floats(kRows * inner, 1);
            const Buffer right = random_floats(inner * columns, 2);
            const Buffer before = random_floats(kRows * columns, 3);
            Buffer expected = before;
            for (std::size_t i = 0; i < kRows; ++i) {
                for (std::size_t k = 0; k < inner; ++k) {
                    for (std::size_t j = 0; j < columns; ++j) {
                        expected[i * columns + j] += left[i * inner + k] * right[k * columns + j];
                    }
                }
            }
            Buffer turned(left.size());
            for (std::size_t i = 0; i < kRows; ++i) {
                for (std::size_t k = 0; k < inner; ++k) turned[k * kRows + i] = left[i * inner + k];
            }
            for (const Multiply product : multiplies()) {
                Buffer out = before;
                product({left.data(), inner, 1}, right.data(), kRows, inner, columns, out.data());
                EXPECT_EQ(out, expected);
                out = before;
                product({turned.data(), 1, kRows}, right.data(), kRows, inner, columns, out.data());
                EXPECT_EQ(out, expected);
            }
        }
    }
}

/// Rows of packed(columns) floats.
Buffer pack(const Rows& rows) {
    const std::size_t width = packed(rows[0].size());
    Buffer buffer(rows.size() * width);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t j = 0; j < rows[i].size(); ++j) {
            buffer[i * width + j] = static_cast<float>(rows[i][j]);
        }
    }
    return buffer;
}

// 2 inputs, 2 hidden units, 1 output: h = max(0, x W + b), y = h V + c
TEST(Perceptron, RunsAsWorkedOutByHand) {
    const std::uint32_t sizes[] = {2, 2, 1};
    Perceptron network(sizes);
    auto& first = network.layers()[0];
    first.weights[0] = 1.0F;      // from input 0 to unit 0
    first.weights[1] = -2.0F;     // to unit 1
    first.weights[kPack] = 0.5F;  // from input 1
    first.weights[kPack + 1] = 3.0F;
    first.biases[1] = 1.0F;
    auto& second = network.layers()[1];
    second.weights[0] = 2.0F;
    second.weights[kPack] = 4.0F;
    second.biases[0] = -1.0F;
    std::vector<Buffer> activations{pack({{1.0, 2.0}, {2.0, 0.0}, {-4.0, -4.0}})};
    network.run(3, activations);
    EXPECT_EQ(activations.back()[0], 2.0F * 2.0F + 4.0F * 5.0F - 1.0F);  // units 2 and -2 + 6 + 1
    EXPECT_EQ(activations.back()[kPack], 2.0F * 2.0F - 1.0F);            // units 2 and -3
    EXPECT_EQ(activations.back()[2 * kPack], -1.0F);                     // units -6 and -3
}

double error_of(const Perceptron& network, const Buffer& rows, std::size_t count) {
    std::vector<Buffer> activations{rows};
    network.run(count, activations);
    double sum = 0.0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        sum += std::pow(static_cast<double>(activations.back()[i] - rows[i]), 2);
    }
    return sum;
}

// The first step of Adam is learning_rate times the sign of the derivative, for every weight.
TEST(Perceptron, FirstStepGoesAgainstTheDerivatives) {
    const std::uint32_t sizes[] = {3, 5, 4, 3};
    Perceptron before(sizes);
    Random random(4);
    before.initialize(random);
    for (auto& layer : before.layers()) {
        for (std::size_t o = 0; o < layer.out; ++o) layer.biases[o] = 0.3F;
    }
    const std::size_t rows = 20;
    const Buffer inputs = pack(normal_rows(rows, 3, 5));
    Perceptron after = before;
    const TrainingPlan plan{1, rows, 1e-4, 0.0, 0.0, 10};
    const auto result = train_to_reconstruct(after, inputs, rows, plan, random);
    EXPECT_EQ(result.epochs, 1U);
    EXPECT_LT(error_of(after, inputs, rows), error_of(before, inputs, rows));
    int checked = 0;
    for (std::size_t l = 0; l < 3; ++l) {
        const auto& layer = before.layers()[l];
        for (std::size_t i = 0; i < layer.in; ++i) {
            for (std::size_t o = 0; o < layer.out; ++o) {
                const std::size_t at = i * packed(layer.out) + o;
                const auto slope_at = [&](float step) {
                    Perceptron moved = before;
                    moved.layers()[l].weights[at] += step;
                    return error_of(moved, inputs, rows);
                };
                constexpr float kStep = 1e-2F;
                const double slope = (slope_at(kStep) - slope_at(-kStep)) / (2.0 * kStep);
                if (std::fabs(slope) < 0.5) continue;  // too near 0 for the sign to be sure
                const double moved = after.layers()[l].weights[at] - layer.weights[at];
                EXPECT_NEAR(moved, slope > 0.0 ? -1e-4 : 1e-4, 1e-6) << l << " " << i << " " << o;
                ++checked;
            }
        }
    }
    EXPECT_GT(checked, 20);
}

TEST(Perceptron, LearnsWhatFitsThroughItsMiddle) {
    Rows rows;
    for (const auto& row : normal_rows(500, 1, 6)) rows.push_back({row[0], -row[0], 0.5 * row[0]});
    const Buffer inputs = pack(rows);
    const std::uint32_t sizes[] = {3, 16, 4, 16, 3};
    Perceptron network(sizes);
    Random random(1);
    network.initialize(random);
    double variance = 0.0;
    for (const float value : inputs) variance += static_cast<double>(value * value);
    const TrainingPlan plan{200, 32, 2e-3, 0.0, 0.1, 200};
    const auto result = train_to_reconstruct(network, inputs, rows.size(), plan, random);
    EXPECT_LT(error_of(network, inputs, rows.size()), 0.02 * variance);
    EXPECT_LT(result.validation_error, 0.05);
}

TEST(Perceptron, StopsWithoutProgress) {
    const Buffer nothing(50 * kPack);
    const std::uint32_t sizes[] = {2, 2, 2};
    Perceptron network(sizes);
    Random random(1);
    network.initialize(random);
    const TrainingPlan plan{100, 8, 1e-3, 0.0, 0.2, 7};
    EXPECT_EQ(train_to_reconstruct(network, nothing, 50, plan, random).epochs, 7U);
}

// Buffers at other addresses, and rows one by one, give the same bits.
TEST(Perceptron, AddressesDoNotMatter) {
    const std::uint32_t sizes[] = {3, 7, 2, 7, 3};
    const Rows rows = normal_rows(100, 3, 8);
    const auto weights_of = [&](std::size_t holes) {
        std::vector<std::vector<char>> others;
        for (std::size_t i = 0; i < holes; ++i) others.emplace_back(1 + 40 * i);
        Buffer inputs = pack(rows);
        Perceptron network(sizes);
        Random random(3);
        network.initialize(random);
        const TrainingPlan plan{3, 16, 1e-3, 1e-3, 0.1, 10};
        train_to_reconstruct(network, inputs, rows.size(), plan, random);
        Writer out;
        network.save(out);
        return out.take();
    };
    const auto expected = weights_of(0);
    for (std::size_t holes = 1; holes < 8; ++holes) EXPECT_EQ(weights_of(holes), expected);

    // what `multiply` is given at any multiple of four bytes
    const Buffer left = random_floats(4, 1);
    Buffer right(4 * kPack + 16);
    Buffer first;
    for (std::size_t shift = 0; shift < 16; ++shift) {
        const Buffer values = random_floats(4 * kPack, 2);
        std::copy(values.begin(), values.end(), right.begin() + static_cast<std::ptrdiff_t>(shift));
        Buffer out(kPack + 16);
        multiply()({left.data(), 4, 1}, right.data() + shift, 1, 4, kPack, out.data() + shift);
        const Buffer product(out.begin() + static_cast<std::ptrdiff_t>(shift),
                             out.begin() + static_cast<std::ptrdiff_t>(shift + kPack));
        if (shift == 0) first = product;
        EXPECT_EQ(product, first);
    }
}

TEST(Multiply, LargeProductsPoll) {
    constexpr std::size_t kRows = 64, kInner = 256, kColumns = 2048;
    const std::vector<float> left(kRows * kInner, 0.5F), right(kInner * kColumns, 0.25F);
    std::vector<float> at_once(kRows * kColumns), in_steps(kRows * kColumns);
    const LeftFactor factor{left.data(), kInner, 1};
    multiply()(factor, right.data(), kRows, kInner, kColumns, at_once.data());
    PollCounter counter;
    multiply_in_steps(factor, right.data(), kRows, kInner, kColumns, in_steps.data());
    EXPECT_EQ(in_steps, at_once);
    EXPECT_EQ(counter.calls(), 8U);  // 2^25 products
}

}  // namespace
}  // namespace ad::test
