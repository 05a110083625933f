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
#include <deepseek/format/stored_tensor.hpp>
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

// Elements of a file that are infinite, or not a number, as elements of a model.
struct NotFinite {
    index_t count = 0;
    index_t first = 0;  // its place
    double value = 0;   // and what it is
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

template <class E>
index_t count_not_finite(std::byte const* elements, index_t size) {
    index_t count = 0;
    for (index_t i = 0; i < size; ++i) {
        E value;
        std::memcpy(&value, elements + i * static_cast<index_t>(sizeof(E)), sizeof(E));
        count += is_finite_bits(value) ? 0 : 1;
    }
    return count;
}

// Copies a tensor to the backend piece by piece, so that a piece is read from the disk, looked at and copied while the
// processor's caches have it, and no more of the file is in memory.
template <class T, class B>
NotFinite transfer(B& be, TensorSource const& source, StoredTensor const& from, ModelTensor const& to) {
    NotFinite found;
    with_element<T>(to.dtype, [&]<class E>(E*) {
        constexpr auto width = static_cast<index_t>(sizeof(E));
        constexpr auto chunk = kStagingBytes / width;
        bool const as_it_is = from.tensor->dtype == to.dtype;
        auto const scales = stored_scales(from);
        std::vector<E> values(as_it_is ? 0 : static_cast<std::size_t>(std::min(chunk, to.size())));
        for (index_t begin = 0; begin < to.size(); begin += chunk) {
            auto const count = std::min(chunk, to.size() - begin);
            auto const bytes = stored_bytes(from, begin, count);
            source.prefetch(bytes);
            auto const* elements = bytes.data();
            if (!as_it_is) {
                read_stored<E>(from, scales, begin, std::span(values).first(static_cast<std::size_t>(count)));
                elements = reinterpret_cast<std::byte const*>(values.data());
            }
            if (auto const bad = count_not_finite<E>(elements, count); bad > 0) {
                for (index_t i = 0; found.count == 0; ++i) {
                    if (count_not_finite<E>(elements + i * width, 1) > 0) {
                        found = {.count = 0, .first = begin + i};
                        decode<double>(to.dtype, {elements + i * width, sizeof(E)}, {&found.value, 1});
                        break;
                    }
                }
                found.count += bad;
            }
            be.copy_from_host(to.data + begin * width, elements, count * width);
            source.release(bytes);
        }
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
    bool rounded = false;  ///< some files hold wider elements than the model, or FP8 with scales
    std::vector<std::string> not_finite;  ///< tensors with infinities or NaN, where LoadOptions allow them
};

/// What loading overlooks.
struct LoadOptions {
    bool allow_not_finite = false;  ///< loads infinities and NaN, to look at what went wrong
    Seed seed{};                    ///< of MTP modules the files lack
};

/// Loads sets from files in two steps: `add` compares names, shapes and types, `run` copies. Nothing is written before all of
/// them were found to fit. Files are read once, so a value that is not finite is found when what precedes it is written.
template <class B>
class TensorLoader {
public:
    explicit TensorLoader(B& backend, LoadOptions options = {}, Float8Blocks blocks = {})
        : backend_(&backend), options_(options), blocks_(blocks) {}

    /// Compares a set with a source, which must live until `run`: every tensor must be there under its name plus `suffix`, or
    /// in a stack of experts, in its shape, as F64, F32, F16 or BF16, or as F8_E4M3 with scales.
    template <class M, class T>
    void add(TensorSource const& source, Weights<M, T, B>& set, std::string_view suffix = "",
             Which which = Which::all) {
        add(source, detail::model_tensors<M, T>(set.data(), suffix, which), {}, detail::transfer<T, B>);
    }

    /// As `add`, but an MTP module may be absent as a whole: its tensors are then left as they are and reported.
    template <class M, class T>
    void add_but_for_mtp(TensorSource const& source, Weights<M, T, B>& set) {
        add(source, detail::model_tensors<M, T>(set.data(), "", Which::all), detail::layout_of<M>(),
            detail::transfer<T, B>);
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
    /// Errors:    FormatError beginning with `where` and listing all tensors that do not fit; nothing is written then. If all
    ///            do, FormatError listing all tensors with elements that are not finite; the sets are then the files'
    LoadReport run(std::string_view where) {
        expect_no_problems(where);
        for (auto const& job : jobs_) {
            note(job.to, job.copy(*backend_, *job.source, job.from, job.to));
        }
        expect_no_problems(where);
        report_.tensors = static_cast<index_t>(jobs_.size());
        return std::move(report_);
    }

private:
    using Copy = detail::NotFinite (*)(B&, TensorSource const&, detail::StoredTensor const&,
                                       detail::ModelTensor const&);
    struct Job {
        TensorSource const* source;
        detail::StoredTensor from;
        detail::ModelTensor to;
        Copy copy;
    };

    void expect_no_problems(std::string_view where) const {
        if (!problems_.empty()) {
            throw FormatError(detail::listed(message(where, ": does not fit the model, ", problems_.size(),
                                                     problems_.size() == 1 ? " problem" : " problems"),
                                             problems_));
        }
    }

    void add(TensorSource const& source, std::vector<detail::ModelTensor> tensors,
             detail::ModelLayout const& layout, Copy copy) {
        std::vector<index_t> present;      // MTP modules of which the source has something
        std::vector<std::string> missing;  // tensors of MTP modules
        for (auto& tensor : tensors) {
            bool const mtp = layout.is_mtp(tensor.name);
            auto const from = detail::find_stored(source, tensor, blocks_);
            if (from.tensor == nullptr && mtp) {
                missing.push_back(std::move(tensor.name));
            } else if (from.tensor == nullptr) {
                problems_.push_back(message(detail::in_quotes(tensor.name), ": missing, expected ",
                                            to_string(tensor.shape())));
            } else {
                if (mtp) {
                    present.push_back(detail::layer_of(tensor.name));
                }
                used_.push_back(from.tensor);
                used_.push_back(from.scales);
                auto const misfits = detail::misfits(from, tensor);
                problems_.insert(problems_.end(), misfits.begin(), misfits.end());
                report_.rounded = report_.rounded || from.scales != nullptr ||
                                  bits(from.tensor->dtype) > bits(tensor.dtype);
                jobs_.push_back({&source, from, std::move(tensor), copy});
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

    void note(detail::ModelTensor const& to, detail::NotFinite const& found) {
        if (found.count == 0) {
            return;
        }
        if (options_.allow_not_finite) {
            report_.not_finite.push_back(to.name);
            return;
        }
        problems_.push_back(message(
            detail::in_quotes(to.name), ": element ", found.first, " is ", found.value,
            ", expected a finite number",
            found.count > 1 ? message("; ", found.count, " of ", to.size(), " elements are not") : ""));
    }

    B* backend_;
    LoadOptions options_;
    Float8Blocks blocks_;
    std::vector<Job> jobs_;
    std::vector<FileTensor const*> used_;
    std::vector<std::string> problems_;
    LoadReport report_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
