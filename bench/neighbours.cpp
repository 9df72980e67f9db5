// Scores rows with a detector that looks at neighbours, for neighbours.py, which measures
// scikit-learn on the same rows.
//
//   neighbours <algorithm> <parameters> <file> <rows> <columns>
//
// The file has numbers row by row: as many reference rows, then those to score. For each line of
// the input, all of these are scored once, 512 in a call as the scan of a table does, and the
// output gets a line with the seconds that it took.
#include <chrono>
#include <fstream>
#include <iostream>

#include "core/pipeline.hpp"
#include "core/registry.hpp"

namespace {

constexpr std::size_t kScanRows = 512;

std::vector<double> read_numbers(const char* file) {
    std::ifstream in(file, std::ios::binary | std::ios::ate);
    std::vector<double> numbers(static_cast<std::size_t>(in.tellg()) / sizeof(double));
    in.seekg(0);
    in.read(reinterpret_cast<char*>(numbers.data()),
            static_cast<std::streamsize>(numbers.size() * sizeof(double)));
    return numbers;
}

ad::Matrix to_matrix(const double* numbers, std::size_t rows, std::size_t columns) {
    ad::Matrix matrix(rows, columns);
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < columns; ++j) matrix.column(j)[i] = *numbers++;
    }
    return matrix;
}

double seconds_to_score(const ad::Pipeline& pipeline, const ad::Columns& rows) {
    std::vector<const double*> columns(rows.count);
    std::vector<double> scores(kScanRows);
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t first = 0; first < rows.rows; first += kScanRows) {
        for (std::size_t j = 0; j < rows.count; ++j) columns[j] = rows.column[j] + first;
        const std::size_t count = std::min(kScanRows, rows.rows - first);
        pipeline.score({columns.data(), rows.count, count}, scores.data());
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) return 1;
    const auto numbers = read_numbers(argv[3]);
    const std::size_t rows = std::stoul(argv[4]);
    const std::size_t columns = std::stoul(argv[5]);
    const ad::Matrix reference = to_matrix(numbers.data(), rows, columns);
    const ad::Matrix queries =
        to_matrix(numbers.data() + rows * columns, numbers.size() / columns - rows, columns);
    const ad::Algorithm& algorithm = ad::find_algorithm(argv[1]);
    ad::Pipeline pipeline(algorithm);
    pipeline.fit({.rows = reference.view()},
                 ad::Params(algorithm.params, ad::Json::parse(argv[2]), algorithm.name),
                 algorithm.scale, ad::Random(1));
    for (std::string line; std::getline(std::cin, line);) {
        std::cout << seconds_to_score(pipeline, queries.view()) << std::endl;
    }
}
