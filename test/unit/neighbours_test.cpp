// The index of nearest neighbours against a plain search, on every instruction set of this CPU.
#include "core/neighbours.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

Matrix matrix_of(const Rows& rows) {
    Matrix matrix(rows.size(), rows.at(0).size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t j = 0; j < rows[i].size(); ++j) matrix.column(j)[i] = rows[i][j];
    }
    return matrix;
}

NeighbourIndex index_of(const Rows& rows) {
    return NeighbourIndex(matrix_of(rows).view(), rows.size(), Random(1));
}

double square_of(const std::vector<double>& row, const NeighbourIndex& index, std::size_t place) {
    double sum = 0.0;
    for (std::size_t j = 0; j < row.size(); ++j) {
        const double gap = row[j] - index.points().at(place, j);
        sum += gap * gap;
    }
    return sum;
}

/// Compares with all reference rows, sorted by distance and place; on every instruction set.
void expect_nearest(NeighbourIndex index, const Rows& rows, std::size_t count) {
    std::vector<double> squares;
    std::vector<std::uint32_t> places;
    for (const auto& row : rows) {
        std::vector<std::pair<double, std::uint32_t>> all;
        for (std::uint32_t p = 0; p < index.rows(); ++p) {
            all.emplace_back(square_of(row, index, p), p);
        }
        std::sort(all.begin(), all.end());
        for (std::size_t n = 0; n < count; ++n) {
            squares.push_back(all[n].first);
            places.push_back(all[n].second);
        }
    }
    for (const NeighbourLoops& loops : neighbour_loops()) {
        SCOPED_TRACE(loops.name);
        index.use(loops);
        Neighbours found;
        index.find(matrix_of(rows).view(), count, false, found);
        EXPECT_EQ(found.per_row, count);
        EXPECT_EQ(found.squares, squares);
        EXPECT_EQ(found.places, places);
    }
}

/// Tight groups far from each other, and some rows between them.
Rows clustered_rows(std::size_t count, std::size_t columns, std::uint64_t seed) {
    auto rows = normal_rows(count, columns, seed);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t j = 0; i % 10 != 0 && j < columns; ++j) {
            rows[i][j] = 0.1 * rows[i][j] + static_cast<double>((i * (j + 3)) % 5);
        }
    }
    return rows;
}

TEST(Neighbours, AreThoseOfAPlainSearch) {
    for (const std::size_t columns : {1, 9, 17, 64, 65}) {
        for (const std::size_t count : {1, 8, 65, 1300}) {
            for (const bool clusters : {false, true}) {
                SCOPED_TRACE(std::to_string(count) + " x " + std::to_string(columns));
                const auto rows =
                    clusters ? clustered_rows(count, columns, 1) : normal_rows(count, columns, 1);
                auto queries = clustered_rows(70, columns, 2);
                queries.push_back(rows[0]);
                expect_nearest(index_of(rows), queries, std::min<std::size_t>(count, 6));
            }
        }
    }
}

TEST(Neighbours, OfEqualDistanceComeInTheOrderOfTheIndex) {
    Rows grid;
    for (int i = 0; i < 4000; ++i) {
        grid.push_back({static_cast<double>(i % 5), static_cast<double>(i / 5 % 4)});
    }
    const auto index = index_of(grid);
    for (const std::size_t count : {1, 20, 300}) {
        expect_nearest(index, {{2, 2}, {0, 0}, {2.5, 1.5}, {-3, 9}}, count);
    }
}

TEST(Neighbours, OfExtremeRows) {
    auto rows = normal_rows(200, 2);
    rows[3] = {kLargestValue, -kLargestValue};
    rows[4] = {kDenormal, -kDenormal};
    const auto index = index_of(rows);
    expect_nearest(
        index, {{-kLargestValue, kLargestValue}, {kLargestValue, 0}, {0, 0}, {-0.0, 1e-300}}, 200);
}

// All of 500 rows, whose neighbours are the 499 others.
TEST(Neighbours, LeaveOutTheRowItself) {
    const auto rows = normal_rows(500, 3);
    const auto index = index_of(rows);
    const auto own = index.find_own(499);
    for (std::uint32_t p = 0; p < 500; ++p) {
        std::vector<std::uint32_t> places(own.places_of(p), own.places_of(p) + 499);
        EXPECT_GT(own.squares_of(p)[0], 0.0);
        EXPECT_EQ(std::count(places.begin(), places.end(), p), 0);
        std::sort(places.begin(), places.end());
        EXPECT_EQ(std::unique(places.begin(), places.end()) - places.begin(), 499);
    }
}

TEST(Neighbours, LeaveOutOneOfTwoEqualRows) {
    const auto index = index_of({{1}, {1}, {4}});
    Neighbours found;
    const Matrix queries = matrix_of({{1}, {4}, {2}});
    index.find(queries.view(), 2, true, found);
    EXPECT_EQ(found.squares, (std::vector<double>{0, 9, 9, 9, 1, 1}));
    index.find(queries.view(), 3, true, found);  // there are no other three
    EXPECT_EQ(found.squares, (std::vector<double>{0, 0, 9, 0, 9, 9, 1, 1, 4}));
}

TEST(Neighbours, DrawReferenceRows) {
    const auto rows = normal_rows(1000, 2);
    const Matrix matrix = matrix_of(rows);
    const auto drawn = [&](std::uint64_t seed) {
        const NeighbourIndex index(matrix.view(), 100, Random(seed));
        EXPECT_EQ(index.rows(), 100U);
        Rows found;
        for (std::size_t p = 0; p < 100; ++p) {
            found.push_back({index.points().at(p, 0), index.points().at(p, 1)});
            EXPECT_EQ(std::count(rows.begin(), rows.end(), found.back()), 1);
        }
        std::sort(found.begin(), found.end());
        EXPECT_TRUE(std::unique(found.begin(), found.end()) == found.end());
        return found;
    };
    EXPECT_EQ(drawn(1), drawn(1));
    EXPECT_NE(drawn(1), drawn(2));
}

TEST(Neighbours, SurviveSaving) {
    for (const std::size_t columns : {2, 70}) {
        const auto rows = clustered_rows(300, columns, 1);
        const auto index = index_of(rows);
        Writer out;
        index.save(out);
        NeighbourIndex loaded;
        Reader in(out.bytes());
        loaded.load(in, columns);
        in.end();
        Writer again;
        loaded.save(again);
        EXPECT_EQ(again.bytes(), out.bytes());
        Neighbours expected;
        Neighbours found;
        const Matrix queries = matrix_of(clustered_rows(50, columns, 2));
        index.find(queries.view(), 5, false, expected);
        loaded.find(queries.view(), 5, false, found);
        EXPECT_EQ(found.squares, expected.squares);
        EXPECT_EQ(found.places, expected.places);
    }
}

// Whatever the order of the rows, their neighbours are right.
TEST(Neighbours, OfRowsInAnyOrder) {
    auto rows = clustered_rows(1000, 3, 1);
    shuffle(rows, 7);
    Writer out;
    out.number(std::uint32_t{1000});
    for (const auto& row : rows) {
        for (const double value : row) out.number(value);
    }
    NeighbourIndex index;
    Reader in(out.bytes());
    index.load(in, 3);
    EXPECT_EQ(index.points().at(999, 2), rows[999][2]);
    expect_nearest(index, clustered_rows(20, 3, 2), 5);
}

TEST(Neighbours, RefuseBytesThatAreNone) {
    const auto refused = [](std::uint32_t count, std::vector<double> values, std::string_view why) {
        Writer out;
        out.number(count);
        for (const double value : values) out.number(value);
        Reader in(out.bytes());
        NeighbourIndex index;
        expect_error<CorruptModel>([&] { index.load(in, 2); }, {why});
    };
    refused(0, {}, "no points");
    refused(2, {1, 2, 3}, "exceeds");
    refused(0xffffffff, {1, 2, 3, 4}, "exceeds");
    for (const double bad : {kMissing, kInfinity, -kInfinity, 2e100}) {
        refused(2, {1, 2, 3, bad}, "out of range");
    }
}

}  // namespace
}  // namespace ad::test
