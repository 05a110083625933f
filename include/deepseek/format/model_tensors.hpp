// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_MODEL_TENSORS_HPP
#define DEEPSEEK_FORMAT_MODEL_TENSORS_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/each_tensor.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/safetensors_writer.hpp>
#include <deepseek/model/weights.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Between the tensors of a model type, as `visit` names them, and those of files. A stacked tensor (the experts'
// matrices, one below the other) is one tensor per part in files. Weights may live in any backend's memory.

namespace deepseek::inline DEEPSEEK_ABI::format {

/// Which tensors of a set: all, or only those the optimizer changes, without the routers' biases.
enum class Which : std::uint8_t { all, learned };

namespace detail {

// Bytes staged on the host at a time: enough for the disk's full speed and for few calls of the system, little beside any
// model.
inline constexpr index_t kStagingBytes = index_t{1} << 22;

// One tensor of a file as the model has it: what `visit` says, with the types erased, so that everything below is
// compiled once and not once per model.
struct ModelTensor {
    std::string name;
    DType dtype;  // of the model's elements
    bool state;   // a router's bias
    index_t rows;
    index_t cols;
    index_t parts;    // of the stack it is cut from: experts
    std::byte* data;  // in the backend's memory

    index_t size() const { return rows * cols; }
    // Shape in files: a vector where there is one column.
    std::vector<index_t> shape() const {
        return cols == 1 ? std::vector<index_t>{rows} : std::vector<index_t>{rows, cols};
    }
};

// The tensors of a set that starts at `base`.
template <class M, class T>
std::vector<ModelTensor> model_tensors(std::byte* base, std::string_view suffix, Which which) {
    std::vector<ModelTensor> tensors;
    each_tensor<M, T>([&](Info const& info, Place const& place) {
        if (info.role == Role::state && which == Which::learned) {
            return;
        }
        auto const rows = place.rows / info.parts;
        auto const type = place.wide ? dtype_of<accumulate_t<T>> : dtype_of<T>;
        auto const part_bytes = rows * place.cols * bits(type) / 8;
        for (index_t part = 0; part < info.parts; ++part) {
            tensors.push_back({full_name(info, part).append(suffix), type, info.role == Role::state, rows,
                               place.cols, info.parts, base + place.offset + part * part_bytes});
        }
    });
    return tensors;
}

// Calls f with a null pointer to the element type that `type` names, one of those in a set of T.
template <class T, class F>
void with_element(DType type, F const& f) {
    if (type == dtype_of<T>) {
        f(static_cast<T*>(nullptr));
    } else {
        f(static_cast<accumulate_t<T>*>(nullptr));
    }
}

// Copies elements from the backend and passes them on as `type`.
template <class T, class B>
void produce(B& be, ModelTensor const& tensor, DType type, ByteSink const& sink) {
    with_element<T>(tensor.dtype, [&]<class E>(E*) {
        constexpr auto chunk = kStagingBytes / static_cast<index_t>(sizeof(E));
        std::vector<E> values(static_cast<std::size_t>(std::min(chunk, tensor.size())));
        std::vector<std::byte> bytes;
        for (index_t begin = 0; begin < tensor.size(); begin += chunk) {
            std::span const part(values.data(),
                                 static_cast<std::size_t>(std::min(chunk, tensor.size() - begin)));
            be.copy_to_host(part.data(), tensor.data + begin * static_cast<index_t>(sizeof(E)),
                            static_cast<index_t>(part.size_bytes()));
            if (type == dtype_of<E>) {
                sink(std::as_bytes(part));
            } else {
                bytes.resize(part.size() * static_cast<std::size_t>(bits(type) / 8));
                encode<E>(part, type, bytes);
                sink(bytes);
            }
        }
    });
}

}  // namespace detail

/// The tensors of a set as files hold them, for write_safetensors. Nothing is copied before it is written; backend and
/// set must live until then.
///
/// Precision: elements as they are, or as `dtype` (F64, F32, BF16) where given; router biases never as BF16
template <class M, class T, class B>
std::vector<OutputTensor> output_tensors(B& be, Weights<M, T, B> const& set, std::optional<DType> dtype = {},
                                         std::string_view suffix = "", Which which = Which::all) {
    expects(!dtype || (decodable(*dtype) && *dtype != DType::f16), "weights cannot be written as ",
            name(dtype.value_or(DType::f32)), ", only as F64, F32 or BF16");
    std::vector<OutputTensor> tensors;
    for (auto& tensor : detail::model_tensors<M, T>(set.data(), suffix, which)) {
        auto const wanted = dtype.value_or(tensor.dtype);
        auto const type = tensor.state && wanted == DType::bf16 ? tensor.dtype : wanted;
        auto shape = tensor.shape();
        auto file_name = tensor.name;
        tensors.push_back(
            {std::move(file_name), type, std::move(shape),
             [&be, type, tensor](ByteSink const& sink) { detail::produce<T>(be, tensor, type, sink); }});
    }
    return tensors;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
