// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_INSPECT_HPP
#define DEEPSEEK_APP_INSPECT_HPP

#include <deepseek/app/cli.hpp>
#include <deepseek/app/quantities.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/config.hpp>
#include <deepseek/format/directory.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/huggingface.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/model_parts.hpp>
#include <deepseek/format/tensor_loader.hpp>
#include <deepseek/format/tensor_source.hpp>
#include <deepseek/model/presets.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// A model whose type a program knows.
struct Inspectable {
    std::string name;
    format::HuggingFaceConfig config;
};

template <class M>
Inspectable inspectable(std::string name) {
    return {std::move(name), format::config_of<M>()};
}

namespace detail {

// 37552282624 as 37,552,282,624.
inline std::string grouped(index_t value) {
    auto digits = std::to_string(value);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3) {
        digits.insert(static_cast<std::size_t>(at), ",");
    }
    return digits;
}

inline void print_architecture(format::HuggingFaceConfig const& c) {
    auto const line = [](char const* title, std::string const& text) {
        std::printf("%-11s%s\n", title, text.c_str());
    };
    line("model", message(c.model_type, ", ", c.num_hidden_layers, " blocks of width ", c.hidden_size,
                          ", vocabulary ", c.vocab_size, ", context ", c.max_position_embeddings,
                          c.tie_word_embeddings ? ", tied head" : ""));
    line("attention", message(c.num_attention_heads, " heads, queries and keys ", c.qk_nope_head_dim, " + ",
                              c.qk_rope_head_dim, " rotated, values ", c.v_head_dim,
                              "; latents of keys and values ", c.kv_lora_rank, ", of queries ",
                              c.q_lora_rank > 0 ? std::to_string(c.q_lora_rank) : std::string("none"),
                              c.attention_bias ? "; biases" : ""));
    line("positions",
         message("theta ", c.rope_theta, c.rope_interleave ? "" : ", half-split",
                 c.yarn ? message(", YaRN ", c.yarn->factor, " × ", c.yarn->original_max_position_embeddings)
                        : std::string()));
    auto const first = c.first_sparse();
    if (first > 0) {
        line("dense", message(first == 1 ? "block 0" : message("blocks 0 to ", first - 1), ", width ",
                              c.intermediate_size));
    }
    if (first < c.num_hidden_layers) {
        line(
            "experts",
            message(
                c.n_routed_experts, " of width ", c.moe_intermediate_size, ", ", c.num_experts_per_tok,
                " a token",
                c.n_group > 1 ? message(" from ", c.topk_group, " of ", c.n_group, " groups") : std::string(),
                ", one for all of width ", c.shared_width(), "; ", c.scoring_func, ", ", c.topk_method,
                c.norm_topk_prob ? ", normalised" : "", ", scale ", c.routed_scaling_factor,
                c.moe_layer_freq > 1 ? message("; every ", c.moe_layer_freq, "th block") : std::string()));
    }
    if (c.num_nextn_predict_layers > 0) {
        line("MTP",
             message(c.num_nextn_predict_layers, c.num_nextn_predict_layers == 1 ? " module" : " modules"));
    }
    if (c.quantization) {
        std::string blocks;
        for (auto const extent : c.quantization->weight_block_size) {
            blocks += message(blocks.empty() ? ", blocks " : " × ", extent);
        }
        line("weights", message(c.quantization->quant_method, " ", c.quantization->fmt, blocks));
    }
}

// What the files hold, by part and by type of elements.
struct FileContents {
    struct Count {
        index_t tensors = 0;
        index_t elements = 0;
        index_t bytes = 0;

        void add(format::FileTensor const& tensor) {
            ++tensors;
            elements += tensor.size();
            bytes += static_cast<index_t>(tensor.bytes.size());
        }
    };
    std::array<Count, format::kModelParts> parts{};
    std::map<format::DType, Count> types;
    Count all;

    FileContents() = default;
    FileContents(format::TensorSource const& source, format::HuggingFaceConfig const& config) {
        for (auto const& entry : source.entries()) {
            auto const& tensor = *entry.tensor;
            auto part = format::part_of(tensor.name, config.num_hidden_layers);
            if (part == format::ModelPart::head && config.tie_word_embeddings) {
                part = format::ModelPart::other;  // a copy
            }
            parts[static_cast<std::size_t>(part)].add(tensor);
            types[tensor.dtype].add(tensor);
            all.add(tensor);
        }
    }
};

inline void print_parts(format::PartCounts const& counts, FileContents const& files) {
    std::printf("\n%-20s %20s %20s %12s\n", "part", "parameters", "a token uses", "in files");
    format::PartCount sum;
    for (std::size_t i = 0; i < format::kModelParts; ++i) {
        auto const& count = counts[i];
        sum.total += count.total;
        sum.active += count.active;
        if (count.total > 0 || files.parts[i].tensors > 0) {
            std::printf("%-20s %20s %20s %12s\n",
                        std::string(format::name(static_cast<format::ModelPart>(i))).c_str(),
                        grouped(count.total).c_str(), grouped(count.active).c_str(),
                        short_bytes(static_cast<double>(files.parts[i].bytes)).c_str());
        }
    }
    std::printf("%-20s %20s %20s %12s\n", "all", grouped(sum.total).c_str(), grouped(sum.active).c_str(),
                short_bytes(static_cast<double>(files.all.bytes)).c_str());
}

inline void print_types(FileContents const& files) {
    std::printf("\n%-20s %20s %20s %12s\n", "type of elements", "tensors", "elements", "bytes");
    for (auto const& [type, count] : files.types) {
        std::printf("%-20s %20s %20s %12s\n", std::string(format::name(type)).c_str(),
                    grouped(count.tensors).c_str(), grouped(count.elements).c_str(),
                    short_bytes(static_cast<double>(count.bytes)).c_str());
    }
}

// What of the files is not what the configuration describes. They may lack MTP modules.
inline std::vector<std::string> mismatches(format::PartCounts const& counts, FileContents const& files) {
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < format::kModelParts; ++i) {
        auto const part = static_cast<format::ModelPart>(i);
        auto const found = files.parts[i].elements;
        bool const absent_mtp = part == format::ModelPart::mtp && found == 0;
        if (part != format::ModelPart::other && !absent_mtp && found != counts[i].total) {
            lines.push_back(message(format::name(part), ": config.json describes ", grouped(counts[i].total),
                                    " parameters, the files hold ", grouped(found)));
        }
    }
    return lines;
}

// How many elements are infinite or no number; none of types that this library does not read.
inline index_t count_not_finite(format::TensorSource const& source, format::FileTensor const& tensor) {
    constexpr std::size_t chunk = std::size_t{1} << 22U;
    auto const width = static_cast<std::size_t>(format::bits(tensor.dtype) / 8);
    bool const float8 = tensor.dtype == format::DType::f8_e4m3;
    if (!float8 && !format::decodable(tensor.dtype)) {
        return 0;
    }
    std::vector<float> values;
    index_t count = 0;
    for (std::size_t begin = 0; begin < tensor.bytes.size(); begin += chunk) {
        auto const bytes = tensor.bytes.subspan(begin, std::min(chunk, tensor.bytes.size() - begin));
        auto const size = static_cast<index_t>(bytes.size() / width);
        source.prefetch(bytes);
        if (tensor.dtype == format::DType::bf16) {
            count += format::detail::count_not_finite<bf16>(bytes.data(), size);
        } else if (tensor.dtype == format::DType::f32) {
            count += format::detail::count_not_finite<float>(bytes.data(), size);
        } else if (tensor.dtype == format::DType::f64) {
            count += format::detail::count_not_finite<double>(bytes.data(), size);
        } else if (float8) {
            count += std::count_if(bytes.begin(), bytes.end(), [](std::byte code) {
                return (code & std::byte{0x7F}) == std::byte{0x7F};
            });
        } else {
            values.resize(static_cast<std::size_t>(size));
            format::decode<float>(tensor.dtype, bytes, values);
            count += format::detail::count_not_finite<float>(
                reinterpret_cast<std::byte const*>(values.data()), size);
        }
        source.release(bytes);
    }
    return count;
}

inline std::vector<std::string> tensors_not_finite(format::TensorSource const& source) {
    std::vector<std::string> lines;
    for (auto const& entry : source.entries()) {
        if (auto const count = count_not_finite(source, *entry.tensor); count > 0) {
            lines.push_back(message(format::detail::in_quotes(entry.tensor->name), ": ", count, " of ",
                                    entry.tensor->size(), " elements are not finite"));
        }
    }
    return lines;
}

// How a program gets the model's type.
inline void print_type(format::HuggingFaceConfig const& config, std::filesystem::path const& file,
                       std::span<Inspectable const> models) {
    static auto const presets =
        std::array{inspectable<V3>("deepseek::V3"), inspectable<V2Lite>("deepseek::V2Lite"),
                   inspectable<Moonlight16B>("deepseek::Moonlight16B"),
                   inspectable<FromScratch100M>("deepseek::FromScratch100M")};
    auto const match = [&](auto const& known) {
        return std::find_if(known.begin(), known.end(), [&](Inspectable const& model) {
            return format::differences(config, model.config).empty();
        });
    };
    if (auto const preset = match(presets); preset != presets.end()) {
        std::printf("type       %s, of <deepseek/model/presets.hpp>\n", preset->name.c_str());
    } else {
        std::printf("type       deepseek_add_model(my_model CONFIG %s)\n", file.c_str());
    }
    if (auto const model = match(models); model != models.end()) {
        std::printf("programs   generate knows it, as %s\n", model->name.c_str());
    } else {
        std::printf("programs   generate and train know it when built with -DDEEPSEEK_MODELS=%s\n",
                    file.c_str());
    }
}

inline int inspect(std::string const& path, bool scan, std::span<Inspectable const> models) {
    auto const directory = format::existing_directory(path);
    expects<FileError>(format::detail::is_directory(directory), path, ": no such model directory");
    auto const config = format::read_config(directory);
    auto const counts = format::parameter_counts(config);
    auto const weights = [&] {
        for (auto const* name : {"model.safetensors", "model.safetensors.index.json"}) {
            if (format::detail::exists(directory / name)) {
                return true;
            }
        }
        return false;
    }();
    std::optional<format::TensorSource> source;
    FileContents files;
    if (weights) {
        source = format::TensorSource::open(directory);
        files = FileContents(*source, config);
    }
    print_architecture(config);
    print_parts(counts, files);
    if (weights) {
        print_types(files);
    }
    auto const cache = format::detail::checked_product(
        {config.num_hidden_layers, config.kv_lora_rank + config.qk_rope_head_dim});
    std::printf("\ncache      %s bytes per token in float, %s in bf16\n", grouped(4 * cache).c_str(),
                grouped(2 * cache).c_str());
    print_type(config, directory / "config.json", models);
    if (!weights) {
        std::printf("weights    none here\n");
        return kSuccess;
    }
    std::fflush(stdout);  // scanning takes as long as reading
    auto problems = mismatches(counts, files);
    auto const fits = problems.empty();
    if (scan) {
        auto const more = tensors_not_finite(*source);
        problems.insert(problems.end(), more.begin(), more.end());
    }
    if (!problems.empty()) {
        throw FormatError(format::detail::listed(
            message(directory.native(), fits ? ": values that are not finite" : ": the files do not fit"),
            problems));
    }
    std::printf("weights    as config.json describes them%s\n",
                scan ? ", all values finite" : "; values not looked at");
    return kSuccess;
}

}  // namespace detail

/// The program `inspect`: what a Hugging Face model directory of any sizes holds, and which type it is. Reads config.json and
/// the headers of the weights, then all values once, piece by piece.
///
/// Exit status: 0; 1 if the directory cannot be read, its files do not hold what config.json describes, or values are not
/// finite; 2 if the command line is wrong.
inline int inspect(int argc, char const* const* argv, std::span<Inspectable const> models = {}) {
    Program program("inspect", "Says what a model directory holds.");
    std::string directory;
    bool scan = true;
    program.add_option("model", directory, "directory: config.json and, if there, model.safetensors")
        ->required();
    program.add_flag("!--no-scan", scan, "do not look for infinities and NaN among the values");
    return run(program, argc, argv, [&] { return detail::inspect(directory, scan, models); });
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
