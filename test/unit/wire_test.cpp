#include "core/wire.hpp"

#include "testing.hpp"

namespace ad::test {
namespace {

template <typename T>
std::string bytes_of(T value) {
    Writer out;
    out.number(value);
    return out.take();
}

TEST(Wire, NumbersAreLittleEndian) {
    EXPECT_EQ(bytes_of(std::uint32_t{0x01020304}), "\x04\x03\x02\x01");
    EXPECT_EQ(bytes_of(std::int16_t{-2}), "\xfe\xff");
    EXPECT_EQ(bytes_of(1.0), std::string("\0\0\0\0\0\0\xf0\x3f", 8));
}

TEST(Wire, ReadsWhatWasWritten) {
    Writer out;
    out.text("naïve");
    out.text("");
    out.array(std::vector<double>{1.5, kInfinity});
    out.array(std::vector<std::uint64_t>{});
    out.number(std::uint8_t{7});
    Reader in(out.bytes());
    EXPECT_EQ(in.text(), "naïve");
    EXPECT_EQ(in.text(), "");
    EXPECT_EQ(in.array<double>(), (std::vector<double>{1.5, kInfinity}));
    EXPECT_TRUE(in.array<std::uint64_t>().empty());
    EXPECT_EQ(in.number<std::uint8_t>(), 7);
    EXPECT_NO_THROW(in.end());
}

TEST(Wire, RefusesToReadPastTheEnd) {
    Writer out;
    out.text("four");
    out.array(std::vector<std::uint32_t>{1, 2});
    for (std::size_t size = 0; size < out.bytes().size(); ++size) {
        const auto cut = [&] {
            Reader in(std::string_view(out.bytes()).substr(0, size));
            in.text();
            in.array<std::uint32_t>();
        };
        EXPECT_THROW(cut(), CorruptModel) << size;
    }
}

TEST(Wire, RefusesCountsBeforeItAllocates) {
    const auto bytes = bytes_of(std::uint32_t{0xffffffff}) + "some";
    EXPECT_THROW(Reader(bytes).array<double>(), CorruptModel);
    EXPECT_THROW(Reader(bytes).text(), CorruptModel);
    expect_error<CorruptModel>([&] { Reader(bytes).count(1); }, {"4294967295", "4 bytes"});
    const auto two = bytes_of(std::uint32_t{2}) + "somexyz";
    EXPECT_EQ(Reader(two).count(3), 2U);  // 2 * 3 bytes of 7
    EXPECT_THROW(Reader(two).count(4), CorruptModel);
}

TEST(Wire, ChecksRanges) {
    EXPECT_EQ(Reader(bytes_of(0.5)).real(0.0, 0.5), 0.5);
    for (const double value : {-0.1, 0.6, kInfinity, kMissing}) {
        const auto bytes = bytes_of(value);
        EXPECT_THROW(Reader(bytes).real(0.0, 0.5), CorruptModel);
    }
    const auto byte = bytes_of(std::uint8_t{3});
    EXPECT_EQ(Reader(byte).at_most<std::uint8_t>(3), 3);
    EXPECT_THROW(Reader(byte).at_most<std::uint8_t>(2), CorruptModel);
}

TEST(Wire, RefusesTrailingBytes) {
    expect_error<CorruptModel>([] { Reader("xyz").end(); }, {"3 unexpected bytes"});
}

}  // namespace
}  // namespace ad::test
