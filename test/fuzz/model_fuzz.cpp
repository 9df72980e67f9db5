// A libFuzzer target: any bytes as a model. What loads must score and explain every row, be saved
// and be loaded again; what does not must say CorruptModel. Run by test/fuzz.sh.
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/hash.hpp"
#include "core/model.hpp"

namespace ad {
namespace {

constexpr double kAwkward[] = {0.0,
                               -1.0,
                               1e18,
                               std::numeric_limits<double>::max(),
                               std::numeric_limits<double>::denorm_min(),
                               -std::numeric_limits<double>::infinity(),
                               kMissing};
constexpr std::size_t kRows = std::size(kAwkward);

/// Row i has the i-th value in every column, of whatever kind the column is.
std::vector<std::vector<Cell>> columns_of(const Schema& schema) {
    std::vector<std::vector<Cell>> columns(schema.size());
    for (std::size_t j = 0; j < schema.size(); ++j) {
        for (std::size_t i = 0; i < kRows; ++i) {
            if (schema[j].kind == FeatureKind::Category) {
                columns[j].push_back(category_cell(i + 1 < kRows ? i + j : kMissingCategory));
            } else {
                columns[j].push_back(number_cell(kAwkward[(i + j) % kRows]));
            }
        }
    }
    return columns;
}

void require(bool holds) {
    if (!holds) std::abort();
}

void use(const Model& model) {
    const auto columns = columns_of(model.schema());
    std::vector<const Cell*> pointers;
    for (const auto& column : columns) pointers.push_back(column.data());
    const Cells cells{pointers.data(), kRows};
    const std::vector<std::string_view> texts(columns.size());
    std::vector<double> scores(kRows);
    Scratch scratch;
    model.score(cells, scratch, scores.data());
    for (std::size_t i = 0; i < kRows; ++i) {
        const Model& of_row = model.for_row(cells, i);
        const auto prediction = of_row.predict(scores[i]);
        require(!std::isinf(scores[i]));  // NaN: rejected
        require(prediction.p_value > 0.0 && prediction.p_value <= 1.0);
        require(Json::accept(model.explain(cells, i, texts.data(), scratch)));
    }
    require(Json::accept(model.describe()));
    require(model.memory_bytes() > 0);
    Model::load(model.save());
}

}  // namespace
}  // namespace ad

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string bytes(reinterpret_cast<const char*>(data), size);
    if (bytes.size() >= sizeof(std::uint64_t)) {  // the right checksum, so that bytes get past it
        const std::size_t body = bytes.size() - sizeof(std::uint64_t);
        const auto sum = ad::hash_bytes(std::string_view(bytes).substr(0, body));
        std::memcpy(bytes.data() + body, &sum, sizeof(sum));
    }
    try {
        ad::use(ad::Model::load(bytes));
    } catch (const ad::CorruptModel&) {
    }
    return 0;
}
