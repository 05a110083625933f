// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_STORED_TENSOR_HPP
#define DEEPSEEK_FORMAT_STORED_TENSOR_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/model_tensors.hpp>
#include <deepseek/format/safetensors.hpp>
#include <deepseek/format/tensor_source.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// A tensor of a model, wherever files have it: under its name; in a tensor that stacks the experts of a layer; as it is
// or in 8 bits with a scale per block.

namespace deepseek::inline DEEPSEEK_ABI::format {

/// How far one scale of an FP8 weight reaches: weight_block_size of config.json.
struct Float8Blocks {
    index_t rows = 128;
    index_t cols = 128;
};

namespace detail {

/// Where files have the elements of a model's tensor. Files of transformers 5 may stack the experts of a layer:
/// mlp.experts.gate_up_proj [experts, 2 * hidden, width], each expert's gate above its up projection, and
/// mlp.experts.down_proj [experts, width, hidden].
///
/// Source:    Hugging Face transformers 5, modeling_deepseek_v3.py and integrations/finegrained_fp8.py
struct StoredTensor {
    FileTensor const* tensor = nullptr;  // null: nowhere
    FileTensor const* scales = nullptr;  // of F8_E4M3 elements
    bool stacked = false;
    index_t part = 0;       // of the stack
    index_t part_rows = 0;  // rows of a part of the stack; without a stack, of the tensor
    index_t first_row = 0;  // of the model's tensor, in its part
    index_t cols = 0;
    Float8Blocks blocks;

    // The first element of the model's tensor in the file's.
    index_t begin() const { return (part * part_rows + first_row) * cols; }
    index_t scale_rows() const { return (part_rows + blocks.rows - 1) / blocks.rows; }
    index_t scale_cols() const { return (cols + blocks.cols - 1) / blocks.cols; }
};

// "….experts.7.up_proj.weight" taken apart.
struct ExpertName {
    std::string_view experts;  // "….experts."
    index_t expert = 0;
    std::string_view matrix{};  // "up_proj"
};

inline std::optional<ExpertName> expert_name(std::string_view name) {
    constexpr std::string_view before = ".experts.";
    constexpr std::string_view after = ".weight";
    auto const at = name.find(before);
    if (at == name.npos || !name.ends_with(after)) {
        return std::nullopt;
    }
    ExpertName parts{.experts = name.substr(0, at + before.size())};
    auto const rest = name.substr(at + before.size());
    auto const end = std::from_chars(rest.data(), rest.data() + rest.size(), parts.expert).ptr;
    auto const digits = static_cast<std::size_t>(end - rest.data());
    if (digits == 0 || digits == rest.size() || rest[digits] != '.') {
        return std::nullopt;
    }
    parts.matrix = rest.substr(digits + 1, rest.size() - digits - 1 - after.size());
    return parts;
}

inline StoredTensor find_stored(TensorSource const& source, ModelTensor const& wanted, Float8Blocks blocks) {
    StoredTensor stored{
        .tensor = source.find(wanted.name), .part_rows = wanted.rows, .cols = wanted.cols, .blocks = blocks};
    if (auto const name = expert_name(wanted.name); stored.tensor == nullptr && name) {
        bool const down = name->matrix == "down_proj";
        stored.tensor = source.find(std::string(name->experts) + (down ? "down_proj" : "gate_up_proj"));
        stored.stacked = true;
        stored.part = name->expert;
        stored.part_rows = down ? wanted.rows : 2 * wanted.rows;
        stored.first_row = name->matrix == "up_proj" ? wanted.rows : 0;
    }
    if (stored.tensor != nullptr && stored.tensor->dtype == DType::f8_e4m3) {
        stored.scales = source.find(stored.tensor->name + "_scale_inv");
    }
    return stored;
}

// What keeps a stored tensor from being read as `wanted`; a stack says so once.
inline std::vector<std::string> misfits(StoredTensor const& stored, ModelTensor const& wanted) {
    std::vector<std::string> problems;
    auto const expect_shape = [&](FileTensor const& tensor, index_t rows, index_t cols) {
        std::vector<index_t> expected{rows, cols};
        if (stored.stacked) {
            expected.insert(expected.begin(), wanted.parts);
        } else if (&tensor == stored.tensor && tensor.shape != expected) {
            expected = wanted.shape();  // vectors have one extent, or two
        }
        if (tensor.shape != expected) {
            problems.push_back(message(in_quotes(tensor.name), ": expected shape ", to_string(expected),
                                       ", found ", to_string(tensor.shape)));
        }
    };
    auto const& tensor = *stored.tensor;
    expect_shape(tensor, stored.part_rows, stored.cols);
    if (tensor.dtype == DType::f8_e4m3) {
        if (stored.scales == nullptr) {
            problems.push_back(message(in_quotes(tensor.name), ": is F8_E4M3, but there is no ",
                                       in_quotes(tensor.name + "_scale_inv")));
        } else {
            expect_shape(*stored.scales, stored.scale_rows(), stored.scale_cols());
            if (!decodable(stored.scales->dtype)) {
                problems.push_back(message(in_quotes(stored.scales->name),
                                           ": expected F64, F32, F16 or BF16, found ",
                                           name(stored.scales->dtype)));
            }
        }
    } else if (!decodable(tensor.dtype)) {
        problems.push_back(message(in_quotes(tensor.name),
                                   ": expected F64, F32, F16, BF16 or F8_E4M3, found ", name(tensor.dtype)));
    }
    if (stored.stacked && (stored.part != 0 || stored.first_row != 0)) {
        problems.clear();
    }
    return problems;
}

// The bytes of `count` elements, the first of which is the model's tensor's element `begin`.
inline std::span<std::byte const> stored_bytes(StoredTensor const& stored, index_t begin, index_t count) {
    auto const width = bits(stored.tensor->dtype) / 8;
    return stored.tensor->bytes.subspan(static_cast<std::size_t>((stored.begin() + begin) * width),
                                        static_cast<std::size_t>(count * width));
}

// The scales of a stored tensor's part, row by row.
inline std::vector<float> stored_scales(StoredTensor const& stored) {
    std::vector<float> scales;
    if (stored.scales != nullptr) {
        scales.resize(static_cast<std::size_t>(stored.scale_rows() * stored.scale_cols()));
        auto const bytes = scales.size() * static_cast<std::size_t>(bits(stored.scales->dtype) / 8);
        decode<float>(stored.scales->dtype,
                      stored.scales->bytes.subspan(static_cast<std::size_t>(stored.part) * bytes, bytes),
                      scales);
    }
    return scales;
}

// Elements of a stored tensor, from element `begin` of the model's.
//
// Precision: FP8 as the product of element and scale in float, then rounded once
template <class E>
void read_stored(StoredTensor const& stored, std::span<float const> scales, index_t begin,
                 std::span<E> values) {
    auto const count = static_cast<index_t>(values.size());
    auto const bytes = stored_bytes(stored, begin, count);
    if (stored.scales == nullptr) {
        decode<E>(stored.tensor->dtype, bytes, values);
        return;
    }
    for (index_t i = 0; i < count;) {
        auto const row = stored.first_row + (begin + i) / stored.cols;
        auto const col = (begin + i) % stored.cols;
        auto const block = col / stored.blocks.cols;
        auto const end = std::min(count, i + std::min((block + 1) * stored.blocks.cols, stored.cols) - col);
        auto const scale =
            scales[static_cast<std::size_t>(row / stored.blocks.rows * stored.scale_cols() + block)];
        for (; i < end; ++i) {
            auto const at = static_cast<std::size_t>(i);
            values[at] = convert<E>(float8_to_float(std::to_integer<std::uint8_t>(bytes[at])) * scale);
        }
    }
}

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
