// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_TENSOR_LOADER_HPP
#define DEEPSEEK_FORMAT_TENSOR_LOADER_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/model_tensors.hpp>
#include <deepseek/format/safetensors.hpp>
#include <deepseek/format/tensor_source.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {

// Copies elements of a file to the backend, converting where the types differ.
template <class T, class B>
void consume(B& be, FileTensor const& from, ModelTensor const& tensor) {
    if (from.dtype == tensor.dtype) {
        be.copy_from_host(tensor.data, from.bytes.data(), static_cast<index_t>(from.bytes.size()));
        return;
    }
    with_element<T>(tensor.dtype, [&]<class E>(E*) {
        constexpr auto chunk = kStagingBytes / static_cast<index_t>(sizeof(E));
        auto const width = static_cast<std::size_t>(bits(from.dtype) / 8);
        std::vector<E> values(static_cast<std::size_t>(std::min(chunk, tensor.size())));
        for (index_t begin = 0; begin < tensor.size(); begin += chunk) {
            std::span const part(values.data(),
                                 static_cast<std::size_t>(std::min(chunk, tensor.size() - begin)));
            decode<E>(from.dtype,
                      from.bytes.subspan(static_cast<std::size_t>(begin) * width, part.size() * width), part);
            be.copy_from_host(tensor.data + begin * static_cast<index_t>(sizeof(E)), part.data(),
                              static_cast<index_t>(part.size_bytes()));
        }
    });
}

// Elements of a file that are infinite, or not a number, as elements of a model.
struct NotFinite {
    index_t count = 0;
    index_t first = 0;  // its place
};

// By their bits: a program may be compiled for a world without NaN.
template <class E>
bool is_finite_bits(E value) {
    using Bits = std::conditional_t<sizeof(E) == 8, std::uint64_t,
                                    std::conditional_t<sizeof(E) == 4, std::uint32_t, std::uint16_t>>;
    constexpr auto exponent = static_cast<Bits>(sizeof(E) == 8   ? std::uint64_t{0x7FF} << 52U
                                                : sizeof(E) == 4 ? std::uint64_t{0x7F800000}
                                                                 : std::uint64_t{0x7F80});
    return (std::bit_cast<Bits>(value) & exponent) != exponent;
}

template <class E, class Stored>
NotFinite find_not_finite(std::span<std::byte const> bytes, auto const& to_stored_value) {
    auto const size = bytes.size() / sizeof(Stored);
    auto const finite = [&](std::size_t i) {
        Stored stored;
        std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
        return is_finite_bits(convert<E>(to_stored_value(stored)));
    };
    std::size_t count = 0;
    for (std::size_t i = 0; i < size; ++i) {
        count += finite(i) ? 0 : 1;
    }
    NotFinite found{.count = static_cast<index_t>(count)};
    while (count > 0 && finite(static_cast<std::size_t>(found.first))) {
        ++found.first;
    }
    return found;
}

template <class T>
NotFinite not_finite(FileTensor const& from, ModelTensor const& tensor) {
    NotFinite found;
    with_element<T>(tensor.dtype, [&]<class E>(E*) {
        auto const as_it_is = [](auto value) { return value; };
        found = from.dtype == DType::f64   ? find_not_finite<E, double>(from.bytes, as_it_is)
                : from.dtype == DType::f32 ? find_not_finite<E, float>(from.bytes, as_it_is)
                : from.dtype == DType::f16 ? find_not_finite<E, std::uint16_t>(from.bytes, half_to_float)
                                           : find_not_finite<E, bf16>(from.bytes, as_it_is);
    });
    return found;
}

// The number in "model.layers.<number>.…"; -1 for other names.
inline index_t layer_of(std::string_view name) {
    constexpr std::string_view prefix = "model.layers.";
    index_t layer = -1;
    if (name.starts_with(prefix)) {
        name.remove_prefix(prefix.size());
        auto const end = std::from_chars(name.data(), name.data() + name.size(), layer);
        layer = end.ec == std::errc() && end.ptr != name.data() + name.size() && *end.ptr == '.' ? layer : -1;
    }
    return layer;
}

// What of a model decides which tensors files may hold besides its own.
struct ModelLayout {
    index_t layers = std::numeric_limits<index_t>::max();  // MTP modules begin behind these
    index_t mtp_depth = 0;
    bool tied_head = false;

    // Whether a tensor belongs to an MTP module, which files keep behind the last layer.
    bool is_mtp(std::string_view name) const { return layer_of(name) >= layers; }

    // Tensors that published files hold and the model does not need: tables that follow from the configuration, MTP
    // modules it does not have, the copies of embedding and head that come with MTP modules, a head beside a tied
    // embedding.
    bool dispensable(std::string_view name) const {
        bool const copy =
            name.ends_with(".embed_tokens.weight") || name.ends_with(".shared_head.head.weight");
        return name.ends_with(".rotary_emb.inv_freq") || (tied_head && name == "lm_head.weight") ||
               (is_mtp(name) && (copy || layer_of(name) - layers >= mtp_depth));
    }
};

template <class M>
constexpr ModelLayout layout_of() {
    return {.layers = M::layers, .mtp_depth = M::mtp_depth, .tied_head = M::options.tied_head};
}

}  // namespace detail

/// What loading found besides success.
struct LoadReport {
    index_t tensors = 0;                   ///< read from files
    std::vector<std::string> ignored;      ///< of the files, which the model does not need
    std::vector<std::string> missing_mtp;  ///< of MTP modules the files lack altogether
    bool rounded = false;                  ///< some files hold wider elements than the model
    std::vector<std::string> not_finite;   ///< tensors with infinities or NaN, where LoadOptions allow them
};

/// What loading overlooks.
struct LoadOptions {
    bool allow_not_finite = false;  ///< loads infinities and NaN, to look at what went wrong
    Seed seed{};                    ///< of MTP modules the files lack
};

/// Loads sets from files in two steps: `add` compares, `run` copies. Nothing is written before everything was found to
/// fit.
template <class B>
class TensorLoader {
public:
    explicit TensorLoader(B& backend, LoadOptions options = {}) : backend_(&backend), options_(options) {}

    /// Compares a set with a source: every tensor must be there under its name plus `suffix`, in its shape, as F64,
    /// F32, F16 or BF16, all elements finite as those of the model. Reads all of it.
    template <class M, class T>
    void add(TensorSource const& source, Weights<M, T, B>& set, std::string_view suffix = "",
             Which which = Which::all) {
        add(source, detail::model_tensors<M, T>(set.data(), suffix, which), {}, detail::consume<T, B>,
            detail::not_finite<T>);
    }

    /// As `add`, but an MTP module may be absent as a whole: its tensors are then left as they are and reported.
    template <class M, class T>
    void add_but_for_mtp(TensorSource const& source, Weights<M, T, B>& set) {
        add(source, detail::model_tensors<M, T>(set.data(), "", Which::all), detail::layout_of<M>(),
            detail::consume<T, B>, detail::not_finite<T>);
    }

    /// Complains of tensors that no set took; those that M does not need are only reported.
    template <class M>
    void expect_no_others(TensorSource const& source) {
        std::sort(used_.begin(), used_.end());
        for (auto const& entry : source.entries()) {
            if (std::binary_search(used_.begin(), used_.end(), entry.tensor)) {
                continue;
            }
            // transformers writes an absent shared expert as matrices without rows.
            if (entry.tensor->size() == 0 || detail::layout_of<M>().dispensable(entry.tensor->name)) {
                report_.ignored.push_back(entry.tensor->name);
            } else {
                problems_.push_back(message(detail::in_quotes(entry.tensor->name), ": ",
                                            name(entry.tensor->dtype), " ", to_string(entry.tensor->shape),
                                            ": not a tensor of this model"));
            }
        }
    }

    /// Copies everything that was added. The sources must still be open.
    ///
    /// Errors:    FormatError beginning with `where` and listing all problems; nothing is written then
    LoadReport run(std::string_view where) {
        if (!problems_.empty()) {
            throw FormatError(detail::listed(message(where, ": does not fit the model, ", problems_.size(),
                                                     problems_.size() == 1 ? " problem" : " problems"),
                                             problems_));
        }
        for (auto const& job : jobs_) {
            job.copy(*backend_, *job.from, job.to);
        }
        report_.tensors = static_cast<index_t>(jobs_.size());
        return std::move(report_);
    }

private:
    using Copy = void (*)(B&, FileTensor const&, detail::ModelTensor const&);
    using Check = detail::NotFinite (*)(FileTensor const&, detail::ModelTensor const&);
    struct Job {
        FileTensor const* from;
        detail::ModelTensor to;
        Copy copy;
    };

    void add(TensorSource const& source, std::vector<detail::ModelTensor> tensors,
             detail::ModelLayout const& layout, Copy copy, Check check) {
        std::vector<index_t> present;      // MTP modules of which the source has something
        std::vector<std::string> missing;  // tensors of MTP modules
        for (auto& tensor : tensors) {
            bool const mtp = layout.is_mtp(tensor.name);
            auto const* const from = source.find(tensor.name);
            if (from == nullptr && mtp) {
                missing.push_back(std::move(tensor.name));
            } else if (from == nullptr) {
                problems_.push_back(message(detail::in_quotes(tensor.name), ": missing, expected ",
                                            to_string(tensor.shape())));
            } else {
                if (mtp) {
                    present.push_back(detail::layer_of(tensor.name));
                }
                used_.push_back(from);
                if (fits(*from, tensor) && finite(*from, check(*from, tensor))) {
                    report_.rounded = report_.rounded || bits(from->dtype) > bits(tensor.dtype);
                    jobs_.push_back({from, std::move(tensor), copy});
                }
            }
        }
        for (auto& absent : missing) {
            if (std::find(present.begin(), present.end(), detail::layer_of(absent)) != present.end()) {
                problems_.push_back(message(detail::in_quotes(absent),
                                            ": missing, though other tensors of this MTP module are there"));
            } else {
                report_.missing_mtp.push_back(std::move(absent));
            }
        }
    }

    bool fits(FileTensor const& from, detail::ModelTensor const& tensor) {
        bool const column = tensor.cols == 1 && from.shape == std::vector<index_t>{tensor.rows, 1};
        bool const shape = from.shape == tensor.shape() || column;
        if (!shape) {
            problems_.push_back(message(detail::in_quotes(from.name), ": expected shape ",
                                        to_string(tensor.shape()), ", found ", to_string(from.shape)));
        }
        if (!decodable(from.dtype)) {
            problems_.push_back(message(detail::in_quotes(from.name),
                                        ": expected F64, F32, F16 or BF16, found ", name(from.dtype)));
        }
        return shape && decodable(from.dtype);
    }

    bool finite(FileTensor const& tensor, detail::NotFinite const& found) {
        if (found.count == 0) {
            return true;
        }
        if (options_.allow_not_finite) {
            report_.not_finite.push_back(tensor.name);
            return true;
        }
        auto const width = static_cast<std::size_t>(bits(tensor.dtype) / 8);
        double value = 0;
        decode<double>(tensor.dtype,
                       tensor.bytes.subspan(static_cast<std::size_t>(found.first) * width, width),
                       std::span(&value, 1));
        problems_.push_back(
            message(detail::in_quotes(tensor.name), ": element ", found.first, " is ", value,
                    ", expected a finite number",
                    found.count > 1 ? message("; ", found.count, " of ", tensor.size(), " elements are not")
                                    : std::string()));
        return false;
    }

    B* backend_;
    LoadOptions options_;
    std::vector<Job> jobs_;
    std::vector<FileTensor const*> used_;
    std::vector<std::string> problems_;
    LoadReport report_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
