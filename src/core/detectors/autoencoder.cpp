// Autoencoder: finds rows that a neural network with a narrow middle, trained to give back the
// training rows, does not give back. Fit epochs * rows * weights, score one multiplication a
// weight. Hawkins, He, Williams, Baxter: "Outlier Detection Using Replicator Neural Networks",
// DaWaK 2002; Sakurada, Yairi: "Anomaly Detection Using Autoencoders with Nonlinear Dimensionality
// Reduction", MLSDA 2014; Chen, Sathe, Aggarwal, Turaga: "Outlier Detection with Autoencoder
// Ensembles", SDM 2017.
#include <algorithm>

#include "../perceptron.hpp"
#include "../registry.hpp"

namespace ad {

namespace {

constexpr std::uint32_t kMostUnits = 1024;
constexpr std::size_t kMostLayers = 16;
constexpr double kReach = 5.0;  ///< the network sees no value beyond, in units of the model
constexpr double kLargestUnit = 1e102;
constexpr double kSmallestUnit = 1e-200;
constexpr double kLargestOutput = 1e30;

std::vector<std::uint32_t> sizes_of(const Params& params, std::size_t columns) {
    const auto inputs = static_cast<std::uint32_t>(columns);
    std::vector<std::uint32_t> sizes{inputs};
    const Json& hidden = params.list("hidden");
    for (const Json& size : hidden) sizes.push_back(size.get<std::uint32_t>());
    if (hidden.empty()) {
        const std::uint32_t middle = std::min(16U, (3 * inputs + 3) / 4);
        sizes.insert(sizes.end(), {64, 32, middle, 32, 64});
    }
    sizes.push_back(inputs);
    return sizes;
}

void check_autoencoder(const Params& params) {
    const Json& hidden = params.list("hidden");
    if (hidden.size() > kMostLayers) {
        throw InvalidParameter("parameter \"hidden\" of autoencoder has " +
                                   std::to_string(hidden.size()) + " elements",
                               "At most " + std::to_string(kMostLayers) + " are allowed.");
    }
    for (const Json& size : hidden) {
        const bool valid = size.is_number_integer() && size.get<double>() >= 1.0 &&
                           size.get<double>() <= kMostUnits;
        if (valid) continue;
        throw InvalidParameter(
            "invalid element " + size.dump() + " of parameter \"hidden\" of autoencoder",
            "Sizes of layers are whole numbers between 1 and " + std::to_string(kMostUnits) + ".");
    }
}

class Autoencoder final : public Detector {
  public:
    void fit(const Training& training, const Params& params, Random random) override {
        const Columns& rows = training.rows;
        learn_unit(rows);
        const auto sizes = sizes_of(params, rows.count);
        network_ = Perceptron(sizes);
        network_.initialize(random);
        const TrainingPlan plan{
            .epochs = static_cast<std::size_t>(params.number("epochs")),
            .batch_size = static_cast<std::size_t>(params.number("batch_size")),
            .learning_rate = params.number("learning_rate"),
            .weight_decay = params.number("weight_decay"),
            .validation_fraction = params.number("validation_fraction"),
            .patience = static_cast<std::size_t>(params.number("patience")),
        };
        Perceptron::Buffer inputs;
        take(rows, inputs);
        const auto result = train_to_reconstruct(network_, inputs, rows.rows, plan, random);
        description_ = {{"hidden", std::vector<std::uint32_t>(sizes.begin() + 1, sizes.end() - 1)},
                        {"epochs", result.epochs},
                        {"training_error", result.training_error},
                        {"validation_error", result.validation_error}};
    }

    void score(const Columns& rows, double* scores) const override {
        std::vector<Perceptron::Buffer> activations;
        reconstruct(rows, activations);
        std::fill_n(scores, rows.rows, 0.0);
        for (std::size_t j = 0; j < rows.count; ++j) {
            for (std::size_t i = 0; i < rows.rows; ++i) {
                scores[i] += error_of(rows, i, j, activations.back());
            }
        }
    }

    void explain(const Columns& rows, std::size_t row, double* contributions) const override {
        std::vector<const double*> pointers;
        for (std::size_t j = 0; j < rows.count; ++j) pointers.push_back(rows.column[j] + row);
        const Columns one{pointers.data(), rows.count, 1};
        std::vector<Perceptron::Buffer> activations;
        reconstruct(one, activations);
        for (std::size_t j = 0; j < rows.count; ++j) {
            contributions[j] = error_of(one, 0, j, activations.back());
        }
    }

    Json describe() const override { return description_; }

    void save(Writer& out) const override {
        out.number(unit_);
        network_.save(out);
    }

    void load(Reader& in, std::size_t columns) override {
        unit_ = in.real(kSmallestUnit, kLargestUnit);
        network_.load(in);
        const auto layers = network_.layers();
        if (layers.front().in != columns || layers.back().out != columns) {
            throw CorruptModel("wrong number of columns");
        }
    }

    std::size_t memory_bytes() const override { return network_.memory_bytes(); }

  private:
    /// The unit is the largest root mean square of a column: 1 where columns are standardised.
    void learn_unit(const Columns& rows) {
        double largest = 0.0;
        for (std::size_t j = 0; j < rows.count; ++j) {
            poll();
            double squares = 0.0;
            for (std::size_t i = 0; i < rows.rows; ++i) squares += rows.at(i, j) * rows.at(i, j);
            largest = std::max(largest, squares / static_cast<double>(rows.rows));
        }
        unit_ = largest > 0.0 ? std::clamp(std::sqrt(largest), kSmallestUnit, kLargestUnit) : 1.0;
    }

    void take(const Columns& rows, Perceptron::Buffer& inputs) const {
        const std::size_t width = packed(rows.count);
        inputs.assign(rows.rows * width, 0.0F);
        for (std::size_t j = 0; j < rows.count; ++j) {
            for (std::size_t i = 0; i < rows.rows; ++i) {
                inputs[i * width + j] =
                    static_cast<float>(std::clamp(rows.at(i, j) / unit_, -kReach, kReach));
            }
        }
    }

    void reconstruct(const Columns& rows, std::vector<Perceptron::Buffer>& activations) const {
        activations.resize(1);
        take(rows, activations.front());
        network_.run(rows.rows, activations);
    }

    /// The share of a value in the score of its row.
    double error_of(const Columns& rows, std::size_t i, std::size_t j,
                    const Perceptron::Buffer& outputs) const {
        const auto output = static_cast<double>(outputs[i * packed(rows.count) + j]);
        const double given_back = std::fabs(output) <= kLargestOutput ? output * unit_ : 0.0;
        const double difference = rows.at(i, j) - given_back;
        return difference * difference / static_cast<double>(rows.count);
    }

    double unit_ = 1.0;
    Perceptron network_;
    Json description_;  ///< known after a fit
};

std::uint64_t bytes_of_autoencoder(const Params& params, const FitShape& shape) {
    const auto [rows, columns, categorical, scorings] = shape;
    const auto sizes = sizes_of(params, columns);
    const std::uint64_t of_training =
        rows * packed(columns) * sizeof(float) +
        training_bytes(sizes, rows, static_cast<std::uint64_t>(params.number("batch_size")));
    const std::uint64_t of_scoring =
        (Perceptron::count_weights(sizes) + std::min<std::uint64_t>(rows, Detector::kMaxBlock) *
                                                Perceptron::count_activations(sizes)) *
        sizeof(float);
    constexpr std::uint64_t kOfLayer = 256;  // vectors themselves, and the list of sizes
    return std::max(of_training, of_scoring) + sizes.size() * kOfLayer;
}

double steps_of_autoencoder(const Params& params, double rows, double columns) {
    const auto sizes = sizes_of(params, static_cast<std::size_t>(columns));
    return params.number("epochs") * rows * static_cast<double>(Perceptron::count_weights(sizes));
}

constexpr ParamSpec kParams[] = {
    {"hidden",
     ParamType::List,
     0,
     0,
     0,
     {},
     "sizes of the hidden layers; empty: 64, 32, the lesser of 16 and 3/4 of the columns, 32, 64"},
    {"epochs", ParamType::Integer, 20, 1, 100000, {}, "times that training sees each row, at most"},
    {"batch_size", ParamType::Integer, 32, 1, 4096, {}, "rows of one step of training"},
    {"learning_rate", ParamType::Real, 1e-3, 1e-8, 1, {}, "of Adam"},
    {"weight_decay", ParamType::Real, 0, 0, 1, {}, "decay of the weights, decoupled"},
    {"validation_fraction",
     ParamType::Real,
     0.1,
     0,
     0.9,
     {},
     "share of the rows that tells when to stop"},
    {"patience", ParamType::Integer, 10, 1, 100000, {}, "epochs without progress before the end"},
};

}  // namespace

constexpr Algorithm kAutoencoder{
    .name = "autoencoder",
    .family = "neural",
    .summary = "rows that a network with a narrow middle does not give back",
    .score_scale = "mean squared error of the reconstruction, in the units of the scaled columns",
    .paper =
        "Hawkins, He, Williams, Baxter: Outlier Detection Using Replicator Neural Networks "
        "(DaWaK 2002); Sakurada, Yairi (MLSDA 2014); Chen et al. (SDM 2017)",
    .random = true,
    .scale = Scale::Standard,
    .max_columns = 512,
    .payload_version = 1,
    .params = kParams,
    .make = []() -> std::unique_ptr<Detector> { return std::make_unique<Autoencoder>(); },
    .fit_bytes = bytes_of_autoencoder,
    .fit_steps = steps_of_autoencoder,
    .check = check_autoencoder,
};

}  // namespace ad
