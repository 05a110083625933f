// SPDX-License-Identifier: MIT
#include <deepseek/core/random.hpp>
#include <deepseek/format/safetensors.hpp>

#include "support/data.hpp"
#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace format = deepseek::format;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using namespace std::string_literals;

namespace {

std::span<std::byte const> as_bytes(std::string const& text) {
    return {reinterpret_cast<std::byte const*>(text.data()), text.size()};
}

// A file made of a header as given and `data_size` zero bytes.
std::string file_of(std::string const& header, std::size_t data_size = 0) {
    std::uint64_t const size = header.size();
    std::string file(8, '\0');
    std::memcpy(file.data(), &size, 8);
    return file + header + std::string(data_size, '\0');
}

std::string refusal(std::string const& header, std::size_t data_size = 0) {
    auto const file = file_of(header, data_size);
    auto const error = error_of<deepseek::FormatError>(
        [&] { format::SafetensorsFile::parse(as_bytes(file), "x.safetensors"); });
    CHECK(mentions(error, "x.safetensors: "));
    return error;
}

format::OutputTensor tensor(std::string name, format::DType type, std::vector<deepseek::index_t> shape,
                            std::string const& bytes) {
    return format::output_tensor(std::move(name), type, std::move(shape), as_bytes(bytes));
}

// What format::write_safetensors_to writes to.
struct Memory {
    std::filesystem::path name = "memory.safetensors";
    std::string contents;
    std::filesystem::path const& path() const { return name; }
    void write(std::string_view bytes) { contents += bytes; }
    void write(std::span<std::byte const> bytes) {
        contents.append(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    }
};

std::string hex(std::string_view bytes) {
    std::string text;
    for (char const byte : bytes) {
        auto const code = static_cast<unsigned char>(byte);
        text += "0123456789abcdef"[code >> 4U];
        text += "0123456789abcdef"[code & 15U];
    }
    return text;
}

std::string unhex(std::string_view digits) {
    std::string bytes;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
    }
    return bytes;
}

}  // namespace

TEST_CASE("safetensors: every published and malformed example is classified as the format says") {
    auto const folder = deepseek_tests::test_data("safetensors-cases");
    if (!folder) {
        return;
    }
    auto const cases = nlohmann::json::parse(std::ifstream(*folder / "cases.json"));
    int seen = 0;
    for (auto const& example : cases) {
        auto const file = example["file"].get<std::string>();
        auto const expected = example["spec"].get<std::string>();
        CAPTURE(file);
        std::string found = "accept";
        try {
            auto const opened = format::SafetensorsFile::open(*folder / file);
            for (auto const& one : opened.tensors()) {
                CHECK(opened.find(one.name) == &one);
            }
        } catch (deepseek::FormatError const& error) {
            found = "reject";
            CHECK(mentions(error.what(), file));
        }
        if (expected == "accept" || expected == "reject") {
            CHECK(found == expected);
        }
        ++seen;
    }
    CHECK(seen >= 66);
}

TEST_CASE("safetensors: tensors are found by name with type, shape and bytes") {
    auto file =
        file_of(R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[1,25]},)"
                R"("a":{"data_offsets":[0,1],"shape":[],"dtype":"U8"},"empty":{"dtype":"I64","shape":[0,9],)"
                R"("data_offsets":[25,25]}}   )",
                25);
    file[file.size() - 25] = 'x';
    auto const opened = format::SafetensorsFile::parse(as_bytes(file));
    REQUIRE(opened.tensors().size() == 3);
    CHECK(opened.tensors()[0].name == "a");  // in the order of the bytes
    CHECK(opened.metadata().at("format") == "pt");
    auto const* const a = opened.find("a");
    REQUIRE(a != nullptr);
    CHECK(a->shape.empty());
    CHECK(a->size() == 1);
    CHECK(a->bytes[0] == std::byte{'x'});
    auto const* const b = opened.find("b");
    REQUIRE(b != nullptr);
    CHECK(b->dtype == format::DType::f32);
    CHECK(format::to_string(b->shape) == "[2, 3]");
    CHECK(b->size() == 6);
    CHECK(b->bytes.size() == 24);
    CHECK(opened.find("empty")->size() == 0);
    CHECK(opened.find("c") == nullptr);
    CHECK(opened.find("") == nullptr);
}

TEST_CASE("safetensors: a moved file keeps its tensors") {
    deepseek_tests::ScratchDirectory const scratch;
    format::write_safetensors(scratch / "t.safetensors", {tensor("x", format::DType::u8, {3}, "abc")});
    auto first = format::SafetensorsFile::open(scratch / "t.safetensors");
    auto const second = std::move(first);
    REQUIRE(second.find("x") != nullptr);
    CHECK(std::memcmp(second.find("x")->bytes.data(), "abc", 3) == 0);
}

TEST_CASE("safetensors: a refusal names the file, the tensor and the cause") {
    CHECK(mentions(refusal(""), "does not begin with '{'"));
    CHECK(mentions(refusal("[]"), "does not begin with '{'"));
    CHECK(mentions(refusal("{}\0 "s), "NUL"));
    CHECK(mentions(refusal("{}x"), "not valid JSON"));
    CHECK(mentions(refusal("{\"\xff\":1}"), "not valid JSON"));
    CHECK(mentions(refusal(R"({"t":[]})"), "tensor 't'", "object", "an array"));
    CHECK(mentions(refusal(R"({"t":null})"), "tensor 't'", "null"));
    CHECK(mentions(refusal(R"({"t":{}})"), "tensor 't'", "dtype is missing"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"U8"}})"), "shape is missing"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"U8","shape":[]}})"), "data_offsets is missing"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"U8","dtype":"U8"}})"), "tensor 't'", "dtype is given twice"));
    CHECK(mentions(refusal(R"({"t":{"shape":[],"shape":[]}})"), "shape is given twice"));
    CHECK(mentions(refusal(R"({"t":{"data_offsets":[0,1],"data_offsets":[0,1]}})"),
                   "data_offsets is given twice"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"Q4"}})"), "tensor 't'", "unknown dtype 'Q4'"));
    CHECK(mentions(refusal(R"({"t":{"dtype":3}})"), "dtype must be a string", "the number 3"));
    CHECK(mentions(refusal(R"({"t":{"shape":3}})"), "shape must be an array", "the number 3"));
    CHECK(mentions(refusal(R"({"t":{"shape":[true]}})"), "shape must hold integers", "true"));
    CHECK(mentions(refusal(R"({"t":{"shape":[9223372036854775808]}})"), "9223372036854775808"));
    CHECK(mentions(refusal(R"({"t":{"shape":[[1]]}})"), "shape", "an array"));
    CHECK(mentions(refusal(R"({"t":{"strides":[1]}})"), "found 'strides'"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}})"), "two numbers", "3"));
    CHECK(mentions(refusal(R"({"__metadata__":{"a":"b","a":"c"}})"), "__metadata__", "'a' is given twice"));
    CHECK(mentions(refusal(R"({"__metadata__":{},"__metadata__":{}})"), "__metadata__", "given twice"));
    CHECK(mentions(refusal(R"({"__metadata__":{"a":{}}})"), "__metadata__", "'a' must be a string"));
    CHECK(mentions(
        refusal(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],)"
                R"("data_offsets":[1,2]}})",
                2),
        "tensor 't' is given twice"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2), "tensor 't'",
                   "gap"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2), "1 bytes follow"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", 2), "pass the end"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
                   "F32 [3] takes 12 bytes", "give 8"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})"),
                   "2^64"));
    CHECK(mentions(refusal(R"({"t":{"dtype":"F4","shape":[1],"data_offsets":[0,0]}})"), "F4 [1]"));
    auto const long_name = refusal("{\"" + std::string(100'000, 'n') + "\":1}");
    CHECK(long_name.size() < 500);                                  // the message does not carry the file
    CHECK_FALSE(mentions(refusal(R"({"\u001b[31m":1})"), "\x1b"));  // nor control characters
}

TEST_CASE("safetensors: trailing bytes are accepted only where asked for") {
    auto const file = file_of(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 5);
    CHECK_THROWS_AS(format::SafetensorsFile::parse(as_bytes(file)), deepseek::FormatError);
    auto const opened = format::SafetensorsFile::parse(as_bytes(file), "x", {.allow_trailing_bytes = true});
    CHECK(opened.find("t")->bytes.size() == 1);
    auto const gap = file_of(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 5);
    CHECK_THROWS_AS(format::SafetensorsFile::parse(as_bytes(gap), "x", {.allow_trailing_bytes = true}),
                    deepseek::FormatError);
}

TEST_CASE("safetensors: a missing file and a directory are file errors") {
    deepseek_tests::ScratchDirectory const scratch;
    CHECK(mentions(
        error_of<deepseek::FileError>([&] { format::SafetensorsFile::open(scratch / "none.safetensors"); }),
        "none.safetensors", "No such file"));
    CHECK(mentions(error_of<deepseek::FileError>([&] { format::SafetensorsFile::open(scratch.path()); }),
                   "directory"));
}

// The bytes were made by safetensors 0.8.0 for Python from the same tensors in another order.
TEST_CASE("safetensors: writes the very bytes the Python library writes") {
    Memory file;
    format::write_safetensors_to(file,
                                 {tensor("b.weight", format::DType::f32, {2, 3},
                                         unhex("0000803f0000004000004040000080400000a0400000c040")),
                                  tensor("flag", format::DType::boolean, {1}, "\1"),
                                  tensor("a.weight", format::DType::f32, {1}, unhex("000000bf")),
                                  tensor("norm", format::DType::bf16, {2}, unhex("803f00c0")),
                                  tensor("step", format::DType::i64, {}, unhex("0700000000000000")),
                                  tensor("double", format::DType::f64, {1}, unhex("9a9999999999b93f")),
                                  tensor("half", format::DType::f16, {1}, unhex("003c")),
                                  tensor("codes", format::DType::f8_e4m3, {3}, unhex("387e01")),
                                  tensor("\u00e9\"\\\n\x01\u2028/", format::DType::u8, {0, 4}, "")},
                                 {{"format", "pt"}});
    auto const header =
        R"({"__metadata__":{"format":"pt"},"step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
        R"("double":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},)"
        R"("a.weight":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},)"
        R"("b.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[20,44]},)"
        R"("norm":{"dtype":"BF16","shape":[2],"data_offsets":[44,48]},)"
        R"("half":{"dtype":"F16","shape":[1],"data_offsets":[48,50]},)"
        R"("codes":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[50,53]},)"s +
        "\"\u00e9\\\"\\\\\\n\\u0001\u2028/\"" +
        R"(:{"dtype":"U8","shape":[0,4],"data_offsets":[53,53]},)"
        R"("flag":{"dtype":"BOOL","shape":[1],"data_offsets":[53,54]}})";
    REQUIRE(file.contents.size() == 646);
    CHECK(hex(file.contents.substr(0, 8)) == "4802000000000000");
    CHECK(file.contents.substr(8, 584) == header + std::string(584 - header.size(), ' '));
    CHECK(hex(file.contents.substr(592)) ==
          "07000000000000009a9999999999b93f000000bf0000803f0000004000004040000080400000a0400000c040803f00c000"
          "3c387e0101");
}

TEST_CASE("safetensors: types are sorted as the libraries sort them") {
    std::vector<format::OutputTensor> tensors;
    for (int i = 0; i <= static_cast<int>(format::DType::u64); ++i) {
        auto const type = static_cast<format::DType>((i * 5) % 22);
        tensors.push_back(tensor(std::string(format::name(type)), type, {0}, ""));
    }
    Memory file;
    format::write_safetensors_to(file, tensors);
    std::string order;
    auto const header = nlohmann::ordered_json::parse(file.contents.substr(8));
    for (auto const& [name, entry] : header.items()) {
        order += name + ' ';
    }
    CHECK(
        order ==
        "U64 I64 F64 C64 F32 U32 I32 BF16 F16 U16 I16 F8_E5M2FNUZ F8_E4M3FNUZ F8_E8M0 F8_E4M3 F8_E5M2 I8 U8 "
        "F6_E3M2 F6_E2M3 F4 BOOL ");
}

TEST_CASE("safetensors: what is written is read back, bit for bit") {
    deepseek_tests::ScratchDirectory const scratch;
    auto const path = scratch / "round.safetensors";
    std::string const nans = unhex("0000c07f0100807f000080ff00000080");  // quiet and signalling NaN, -inf, -0
    std::string const big(3'000'000, 'z');                               // more than the file's buffer
    format::write_safetensors(
        path,
        {tensor("nan", format::DType::f32, {2, 2}, nans), tensor("big", format::DType::i8, {3'000'000}, big),
         tensor("none", format::DType::f64, {0}, "")},
        {{"a", "1"}, {"b", "\u00fc\n"}});
    auto const file = format::SafetensorsFile::open(path);
    CHECK(file.metadata() == std::map<std::string, std::string>{{"a", "1"}, {"b", "\u00fc\n"}});
    CHECK(std::memcmp(file.find("nan")->bytes.data(), nans.data(), 16) == 0);
    CHECK(std::memcmp(file.find("big")->bytes.data(), big.data(), big.size()) == 0);
    CHECK(file.find("none")->shape == std::vector<deepseek::index_t>{0});

    Memory empty;
    format::write_safetensors_to(empty, {});
    CHECK(format::SafetensorsFile::parse(as_bytes(empty.contents)).tensors().empty());
}

TEST_CASE("safetensors: tensors are asked for their bytes one after the other, in the order of the file") {
    std::string asked;
    auto const producer = [&](std::string const& name) {
        return format::OutputTensor{
            name, format::DType::u8, {4}, [&asked, name](format::ByteSink const& sink) {
                asked += name;
                sink(as_bytes("ab"s));
                sink({});
                sink(as_bytes("cd"s));
            }};
    };
    Memory file;
    format::write_safetensors_to(file, {producer("z"), producer("x"), producer("y")});
    CHECK(asked == "xyz");
    CHECK(file.contents.ends_with("abcdabcdabcd"));
}

TEST_CASE("safetensors: the writer refuses what could not be read back") {
    auto const refusal_of = [](std::vector<format::OutputTensor> const& tensors,
                               std::map<std::string, std::string> metadata = {}) {
        Memory file;
        return error_of<deepseek::Error>([&] { format::write_safetensors_to(file, tensors, metadata); });
    };
    CHECK(mentions(
        refusal_of({tensor("t", format::DType::u8, {1}, "a"), tensor("t", format::DType::i8, {1}, "a")}),
        "memory.safetensors", "'t'"));
    CHECK(mentions(refusal_of({tensor("__metadata__", format::DType::u8, {1}, "a")}), "__metadata__"));
    CHECK(mentions(refusal_of({tensor("t", format::DType::u8, {-1}, "")}), "'t'", "[-1]"));
    CHECK(mentions(refusal_of({tensor("t", format::DType::f4, {3}, "ab")}), "'t'", "[3]"));
    CHECK(mentions(refusal_of({tensor("t", format::DType::u8, {1LL << 62, 4}, "")}), "'t'"));
    CHECK(mentions(refusal_of({tensor("t", format::DType::u8, {2}, "a")}), "'t'", "1 bytes", "takes 2"));
    CHECK(mentions(refusal_of({tensor("t", format::DType::u8, {2}, "abc")}), "'t'", "3 bytes", "takes 2"));
    CHECK(mentions(refusal_of({tensor("\xff", format::DType::u8, {1}, "a")}), "UTF-8"));
    CHECK(mentions(refusal_of({}, {{"a", "\xff"}}), "UTF-8"));
    CHECK(mentions(
        refusal_of({tensor("t", format::DType::u8, {0}, "")}, {{"a", std::string(100'000'000, 'a')}}),
        "100000000"));
}

TEST_CASE("safetensors: a full disk or a failing producer leaves the file that was there") {
    deepseek_tests::ScratchDirectory const scratch;
    auto const path = scratch / "model.safetensors";
    format::write_safetensors(path, {tensor("old", format::DType::u8, {3}, "old")});
    std::string const big(1U << 20U, 'x');
    std::string error;
    {
        deepseek_tests::FileSizeLimit const limit(1U << 18U);
        error = error_of<deepseek::FileError>(
            [&] { format::write_safetensors(path, {tensor("new", format::DType::u8, {1 << 20}, big)}); });
    }
    CHECK(mentions(error, path.native(), "cannot write"));
    CHECK_THROWS_AS(
        format::write_safetensors(path, {{"new", format::DType::u8, {1}, [](format::ByteSink const&) {}}}),
        deepseek::Error);
    CHECK(format::SafetensorsFile::open(path).find("old") != nullptr);
    CHECK(std::distance(std::filesystem::directory_iterator(scratch.path()), {}) ==
          1);  // no temporary is left
}

TEST_CASE("safetensors: a file cut at any byte is refused") {
    Memory file;
    format::write_safetensors_to(
        file, {tensor("a", format::DType::f32, {1}, "1234"), tensor("b", format::DType::u8, {2, 1}, "12")},
        {{"format", "pt"}});
    for (std::size_t size = 0; size < file.contents.size(); ++size) {
        // A heap block of the exact size, so that the address sanitizer sees a read past the end.
        std::vector<char> const cut(file.contents.begin(),
                                    file.contents.begin() + static_cast<std::ptrdiff_t>(size));
        REQUIRE_THROWS_AS(
            format::SafetensorsFile::parse({reinterpret_cast<std::byte const*>(cut.data()), cut.size()}),
            deepseek::FormatError);
    }
}

TEST_CASE("safetensors: random damage is refused or harmless, never a crash") {
    Memory file;
    format::write_safetensors_to(
        file,
        {tensor("a", format::DType::f32, {1}, "1234"), tensor("\u00e9", format::DType::u8, {2, 1}, "12")},
        {{"format", "pt"}});
    deepseek::RandomKey const key(deepseek::Seed{1});
    int accepted = 0;
    for (std::uint64_t round = 0; round < 20'000; ++round) {
        auto const draw = key.fork(round);
        auto damaged = file.contents;
        for (std::uint64_t i = 0; i <= draw.bits(0) % 3; ++i) {
            auto const at = draw.bits(2 * i + 1) % damaged.size();
            damaged[at] = static_cast<char>(draw.bits(2 * i + 2));
        }
        std::vector<char> const bytes(damaged.begin(), damaged.end());
        try {
            auto const opened = format::SafetensorsFile::parse(
                {reinterpret_cast<std::byte const*>(bytes.data()), bytes.size()});
            std::size_t covered = 0;
            for (auto const& one : opened.tensors()) {
                covered += one.bytes.size();
            }
            REQUIRE(covered <= bytes.size());
            ++accepted;
        } catch (deepseek::FormatError const& error) {
            REQUIRE(std::string_view(error.what()).size() < 600);
        }
    }
    CHECK(accepted > 100);  // damage to data, names and padding is not the format's business
}
