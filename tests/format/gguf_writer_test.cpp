// SPDX-License-Identifier: MIT
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/gguf_writer.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace deepseek;
using namespace deepseek::format;
using deepseek_tests::FileSizeLimit;
using deepseek_tests::ScratchDirectory;

namespace {

// Reads a file as the format's description says, one field after the other.
struct Reader {
    std::string bytes;
    std::size_t at = 0;

    template <class T>
    T take() {
        T value;
        REQUIRE(at + sizeof value <= bytes.size());
        std::memcpy(&value, bytes.data() + at, sizeof value);
        at += sizeof value;
        return value;
    }
    std::string take_string() {
        auto const size = take<std::uint64_t>();
        REQUIRE(size <= bytes.size() - at);
        auto text = bytes.substr(at, size);
        at += size;
        return text;
    }
};

std::span<std::byte const> bytes_of(std::span<float const> values) { return std::as_bytes(values); }

GgufTensor tensor(std::string name, std::vector<index_t> extents, std::vector<float> const& values) {
    return {std::move(name), GgmlType::f32, std::move(extents),
            [&values](ByteSink const& sink) { sink(bytes_of(values)); }};
}

std::vector<float> noise(std::size_t count) {
    std::mt19937 engine(7);
    std::vector<float> values(count);
    for (auto& value : values) {
        value = std::uniform_real_distribution<float>(-3, 3)(engine);
    }
    return values;
}

}  // namespace

TEST_CASE("GGUF: every field stands where the format's description puts it") {
    ScratchDirectory const directory;
    auto const path = directory / "x.gguf";
    auto const a = noise(5);
    auto const b = noise(6);
    GgufMetadata metadata;
    metadata.add_string("name", "caf\u00e9");
    metadata.add_u32("count", 4'294'967'295);
    metadata.add_f32("epsilon", 1e-6);
    metadata.add_bool("yes", true);
    metadata.add_strings("words", std::vector<std::string>{"a", ""});
    metadata.add_strings("none", {});
    metadata.add_i32s("numbers", std::vector<std::int32_t>{-1, 7});
    write_gguf(path, metadata, {tensor("vector", {5}, a), tensor("matrix", {3, 2}, b)});

    Reader file{read_file(path)};
    CHECK(file.bytes.substr(0, 4) == "GGUF");
    file.at = 4;
    CHECK(file.take<std::uint32_t>() == 3);
    CHECK(file.take<std::uint64_t>() == 2);
    CHECK(file.take<std::uint64_t>() == 7);
    auto const key = [&](std::string_view name, std::uint32_t type) {
        CHECK(file.take_string() == name);
        CHECK(file.take<std::uint32_t>() == type);
    };
    key("name", 8);
    CHECK(file.take_string() == "caf\u00e9");
    key("count", 4);
    CHECK(file.take<std::uint32_t>() == 4'294'967'295);
    key("epsilon", 6);
    CHECK(file.take<float>() == 1e-6F);
    key("yes", 7);
    CHECK(file.take<std::uint8_t>() == 1);
    key("words", 9);
    CHECK(file.take<std::uint32_t>() == 8);
    CHECK(file.take<std::uint64_t>() == 2);
    CHECK(file.take_string() == "a");
    CHECK(file.take_string().empty());
    key("none", 9);
    CHECK(file.take<std::uint32_t>() == 8);
    CHECK(file.take<std::uint64_t>() == 0);
    key("numbers", 9);
    CHECK(file.take<std::uint32_t>() == 5);
    CHECK(file.take<std::uint64_t>() == 2);
    CHECK(file.take<std::int32_t>() == -1);
    CHECK(file.take<std::int32_t>() == 7);

    CHECK(file.take_string() == "vector");
    CHECK(file.take<std::uint32_t>() == 1);
    CHECK(file.take<std::uint64_t>() == 5);
    CHECK(file.take<std::uint32_t>() == 0);
    CHECK(file.take<std::uint64_t>() == 0);
    CHECK(file.take_string() == "matrix");
    CHECK(file.take<std::uint32_t>() == 2);
    CHECK(file.take<std::uint64_t>() == 3);
    CHECK(file.take<std::uint64_t>() == 2);
    CHECK(file.take<std::uint32_t>() == 0);
    CHECK(file.take<std::uint64_t>() == 32);  // 20 bytes of the vector, then padding

    auto const data = (file.at + 31) / 32 * 32;
    REQUIRE(file.bytes.size() == data + 32 + 32);
    CHECK(file.bytes.find_first_not_of('\0', file.at) >= data);
    CHECK(std::memcmp(file.bytes.data() + data, a.data(), 20) == 0);
    CHECK(file.bytes.substr(data + 20, 12) == std::string(12, '\0'));
    CHECK(std::memcmp(file.bytes.data() + data + 32, b.data(), 24) == 0);
}

TEST_CASE("GGUF: a block of q8_0 is what a plain loop makes of it") {
    auto values = noise(96);
    std::fill(values.begin() + 32, values.begin() + 64, 0.0F);  // a block without a scale
    values[70] = -1e-7F;
    std::vector<std::byte> bytes(3 * 34);
    encode_ggml(GgmlType::q8_0, values, bytes);
    for (std::size_t block = 0; block < 3; ++block) {
        float largest = 0;
        for (std::size_t i = 0; i < 32; ++i) {
            largest =
                std::fabs(values[block * 32 + i]) > largest ? std::fabs(values[block * 32 + i]) : largest;
        }
        std::uint16_t half = 0;
        std::memcpy(&half, bytes.data() + block * 34, 2);
        auto const scale = static_cast<double>(half_to_float(half));
        CHECK(scale == doctest::Approx(largest / 127).epsilon(0x1p-11));
        for (std::size_t i = 0; i < 32; ++i) {
            auto const stored = static_cast<std::int8_t>(bytes[block * 34 + 2 + i]);
            // Half a step, and what the rounding of the scale adds to up to 127 of them.
            auto const tolerance = scale * (0.5 + 127 * 0x1p-11) + 1e-12;
            CHECK(std::abs(stored * scale - static_cast<double>(values[block * 32 + i])) <= tolerance);
            auto const exact = largest > 0 ? values[block * 32 + i] * (1 / (largest / 127)) : 0.0F;
            CHECK(stored == static_cast<int>(exact < 0 ? exact - 0.5F : exact + 0.5F));
        }
    }
}

TEST_CASE("GGUF: bf16 elements are those of the library") {
    auto const values = noise(1000);
    std::vector<std::byte> bytes(2000);
    encode_ggml(GgmlType::bf16, values, bytes);
    std::vector<std::byte> expected(2000);
    encode<float>(values, DType::bf16, expected);
    CHECK(bytes == expected);
}

TEST_CASE("float_to_half: every binary16 number comes back, and halfway between two the even one is taken") {
    for (unsigned bits = 0; bits < 0x7C00U; ++bits) {
        auto const half = static_cast<std::uint16_t>(bits);
        auto const value = half_to_float(half);
        REQUIRE(float_to_half(value) == half);
        REQUIRE(float_to_half(-value) == (half | 0x8000U));
        // The next one lies as far away as this one's last place; at the end of the range it would be 2^16.
        auto const next = bits + 1 < 0x7C00U ? half_to_float(static_cast<std::uint16_t>(bits + 1)) : 65536.0F;
        auto const middle = value + (next - value) / 2;
        REQUIRE(float_to_half(middle) == bits + bits % 2);
        REQUIRE(float_to_half(std::nextafter(middle, 0.0F)) == bits);
        REQUIRE(float_to_half(std::nextafter(middle, 1e9F)) == bits + 1);
    }
    CHECK(float_to_half(std::numeric_limits<float>::infinity()) == 0x7C00U);
    CHECK(std::isnan(half_to_float(float_to_half(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("GGUF: what no file can hold is refused, and no file is left") {
    ScratchDirectory const directory;
    auto const path = directory / "x.gguf";
    auto const values = noise(64);
    GgufMetadata metadata;
    metadata.add_u32("key", 1);
    CHECK_THROWS_WITH_AS(metadata.add_u32("key", 2), doctest::Contains("key is written twice"), Error);
    CHECK_THROWS_WITH_AS(metadata.add_u32("negative", -1), doctest::Contains("negative is -1"), Error);
    auto const refused = [&](std::vector<GgufTensor> const& tensors, char const* why) {
        CHECK_THROWS_WITH_AS(write_gguf(path, metadata, tensors), doctest::Contains(why), Error);
        CHECK(std::filesystem::is_empty(directory.path()));
    };
    refused({tensor("a", {64}, values), tensor("a", {64}, values)}, "two tensors are named 'a'");
    refused({tensor("a", {63}, values)}, "256 bytes were produced, its extents take 252");
    refused({tensor("a", {65}, values)}, "256 bytes were produced, its extents take 260");
    auto blocks = tensor("a", {48}, values);
    blocks.type = GgmlType::q8_0;
    refused({blocks}, "rows of 48 values are not made of blocks of q8_0");
    FileSizeLimit const limit(100);
    refused({tensor("a", {64}, values)}, "x.gguf");
}
