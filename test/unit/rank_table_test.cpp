// A rank is the place that std::lower_bound finds, and a key has the order of its number.
#include "core/rank_table.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

constexpr double kSmallestNormal = std::numeric_limits<double>::min();

/// Numbers where arithmetic on their bits could go wrong, in ascending order; both zeros.
const std::vector<double>& special_numbers() {
    static const std::vector<double> numbers{-kInfinity,
                                             -kLargest,
                                             -1.0 - 0x1p-52,
                                             -1.0,
                                             -kSmallestNormal,
                                             -kSmallestNormal + kDenormal,
                                             -kDenormal,
                                             -0.0,
                                             0.0,
                                             kDenormal,
                                             kSmallestNormal - kDenormal,
                                             kSmallestNormal,
                                             1.0,
                                             1.0 + 0x1p-52,
                                             0x1p53,
                                             kLargest,
                                             kInfinity};
    return numbers;
}

/// Any finite number there is.
double any_number(Random& random) {
    for (;;) {
        const auto value = std::bit_cast<double>(random.next());
        if (std::isfinite(value)) return value;
    }
}

/// Ascending, each once: specials, neighbours of each other, and any numbers.
std::vector<double> make_sorted(std::size_t count, Random& random) {
    std::vector<double> sorted;
    if (random.below(2) == 0) {
        for (const double value : special_numbers()) {
            if (std::isfinite(value) && random.below(2) == 0) sorted.push_back(value);
        }
    }
    while (sorted.size() < count) {
        sorted.push_back(any_number(random));
        if (random.below(3) == 0) sorted.push_back(std::nextafter(sorted.back(), 0.0));
        if (random.below(3) == 0) sorted.push_back(random.uniform());
    }
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    while (sorted.size() > count) {
        const auto at = random.below(static_cast<std::uint32_t>(sorted.size()));
        sorted.erase(sorted.begin() + at);
    }
    return sorted.size() < count ? make_sorted(count, random) : sorted;
}

/// The numbers, what is beside them, and others; as many as the kernel searches together.
std::vector<double> make_values(const std::vector<double>& sorted, std::size_t step) {
    std::vector<double> values = special_numbers();
    for (std::size_t i = 0; i < sorted.size(); i += step) {
        values.push_back(sorted[i]);
        values.push_back(-sorted[i]);
        values.push_back(std::nextafter(sorted[i], kInfinity));
        values.push_back(std::nextafter(sorted[i], -kInfinity));
    }
    while (values.size() % RankTable::kTogether != 0) values.push_back(0.25);
    return values;
}

std::size_t expected_rank(const std::vector<double>& sorted, double value) {
    return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), value) -
                                    sorted.begin());
}

template <typename Rank>
void expect_ranks(const std::vector<double>& sorted, const RankTable& table,
                  const std::vector<double>& values) {
    Rank found[RankTable::kTogether];
    for (std::size_t i = 0; i < values.size(); i += RankTable::kTogether) {
        table.rank_all(&values[i], found);
        for (std::size_t k = 0; k < RankTable::kTogether; ++k) {
            const double value = values[i + k];
            const std::size_t expected = expected_rank(sorted, value);
            ASSERT_EQ(table.rank(value), expected) << value << " among " << sorted.size();
            ASSERT_EQ(found[k], expected) << value << " among " << sorted.size() << ", together";
        }
    }
}

TEST(RankTable, FindsWhatLowerBoundFinds) {
    Random random(1);
    for (std::size_t count = 0; count <= 300; ++count) {
        const auto sorted = make_sorted(count, random);
        const RankTable table(sorted);
        ASSERT_EQ(table.count(), count);
        expect_ranks<std::uint16_t>(sorted, table, make_values(sorted, 1));
    }
}

TEST(RankTable, FindsItInLargeTables) {
    Random random(2);
    for (const std::size_t count : {1023, 1024, 32767, 32768, 65000, 65534}) {
        const auto sorted = make_sorted(count, random);
        const RankTable table(sorted);
        expect_ranks<std::uint16_t>(sorted, table, make_values(sorted, 7));
        expect_ranks<std::uint32_t>(sorted, table, make_values(sorted, 101));
    }
}

/// Where a number cannot be compared the rank is still one that the table has.
TEST(RankTable, StaysWithinTheTable) {
    Random random(3);
    for (const std::size_t count : {0, 1, 2, 3, 5, 8, 200}) {
        const RankTable table(make_sorted(count, random));
        for (const std::uint64_t bits :
             {0x7ff8000000000000ULL, 0xfff8000000000000ULL, 0x7fffffffffffffffULL,
              0xffffffffffffffffULL, 0x7ff0000000000001ULL, 0xfff0000000000001ULL}) {
            EXPECT_LE(table.rank(std::bit_cast<double>(bits)), count);
        }
    }
}

/// Tables of one number of levels, with other numbers and of other lengths.
TEST(RankTable, SearchesManyTablesAtOnce) {
    Random random(4);
    constexpr std::size_t kTables = 5;
    for (unsigned levels = 0; levels <= 9; ++levels) {
        const std::uint32_t least = (1U << levels) / 2;
        std::vector<std::vector<double>> sorted;
        std::vector<RankTable> made;
        for (std::size_t k = 0; k < kTables; ++k) {
            const std::size_t count = levels == 0 ? 0 : least + random.below(least);
            sorted.push_back(make_sorted(count, random));
            made.emplace_back(sorted.back());
            ASSERT_EQ(made.back().levels(), levels) << count;
        }
        const RankTable* tables[kTables];
        std::vector<std::vector<double>> values;
        for (std::size_t k = 0; k < kTables; ++k) {
            tables[k] = &made[k];
            values.push_back(make_values(sorted[k], 1));
        }
        for (std::size_t i = 0; i < 2000; ++i) {
            double asked[kTables];
            for (std::size_t k = 0; k < kTables; ++k) asked[k] = values[k][i % values[k].size()];
            std::uint32_t found[kTables];
            RankTable::rank_each(tables, asked, found);
            for (std::size_t k = 0; k < kTables; ++k) {
                ASSERT_EQ(found[k], expected_rank(sorted[k], asked[k]))
                    << asked[k] << " in table " << k << " of " << levels << " levels";
            }
        }
    }
}

TEST(OrderedKey, HasTheOrderOfTheNumbers) {
    Random random(5);
    std::vector<double> values = special_numbers();
    for (int i = 0; i < 500; ++i) values.push_back(any_number(random));
    for (const double a : values) {
        for (const double b : values) {
            ASSERT_EQ(ordered_key(a) < ordered_key(b), a < b) << a << " and " << b;
            ASSERT_EQ(ordered_key(a) == ordered_key(b), a == b) << a << " and " << b;
        }
    }
}

template <typename Unsigned>
void expect_steps() {
    constexpr Unsigned kMost = std::numeric_limits<Unsigned>::max();
    constexpr Unsigned kHalf = kMost / 2;
    const Unsigned numbers[] = {0,         1,         2,         255,   256, kHalf - 1, kHalf,
                                kHalf + 1, kHalf + 2, kMost - 1, kMost, 77,  0xff00,    0xff};
    for (const Unsigned pivot : numbers) {
        for (const Unsigned key : numbers) {
            for (const std::uint64_t at : {1ULL, 2ULL, 127ULL, 0xffffffffULL, 1ULL << 40}) {
                ASSERT_EQ(descend(at, pivot, key), 2 * at + (pivot < key ? 1 : 0))
                    << at << ": " << pivot << " and " << key;
                ASSERT_EQ(second_if_below(at, pivot, key), at + (pivot < key ? 1 : 0))
                    << at << ": " << pivot << " and " << key;
            }
        }
    }
}

/// Compared as unsigned numbers of their own width.
TEST(OrderedKey, LeadsToTheSecondChildIfThePivotIsBelow) {
    expect_steps<std::uint64_t>();
    expect_steps<std::uint16_t>();
}

}  // namespace
}  // namespace ad::test
