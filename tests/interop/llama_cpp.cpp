// SPDX-License-Identifier: MIT
// llama.cpp's side of llama_cpp.py, which compiles this against a build of it:
//
//   score MODEL ID…            logits behind every token, a line each
//   continue MODEL COUNT ID…   COUNT tokens, or less to the text's end, each the most likely; then their text
//   encode MODEL               tokens of the text on stdin
#include <llama.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Free {
    void operator()(llama_model* model) const { llama_model_free(model); }
    void operator()(llama_context* context) const { llama_free(context); }
};

template <class T>
std::unique_ptr<T, Free> owned(T* pointer, char const* what) {
    if (pointer == nullptr) {
        throw std::runtime_error(std::string("llama.cpp refuses ") + what);
    }
    return std::unique_ptr<T, Free>(pointer);
}

// A cache of float32 and attention as plain products: by default both round.
std::unique_ptr<llama_context, Free> context_of(llama_model* model, std::size_t tokens) {
    auto params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(tokens);
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    return owned(llama_init_from_model(model, params), "the context");
}

float const* read(llama_context* context, std::vector<llama_token> tokens) {
    if (llama_decode(context, llama_batch_get_one(tokens.data(), static_cast<std::int32_t>(tokens.size()))) !=
        0) {
        throw std::runtime_error("llama_decode failed");
    }
    return llama_get_logits_ith(context, -1);
}

int run(std::vector<std::string> const& arguments) {
    auto const& command = arguments.at(0);
    auto const model =
        owned(llama_model_load_from_file(arguments.at(1).c_str(), llama_model_default_params()),
              arguments.at(1).c_str());
    auto const* const vocabulary = llama_model_get_vocab(model.get());
    auto const size = llama_vocab_n_tokens(vocabulary);
    std::vector<llama_token> tokens;
    for (std::size_t i = command == "continue" ? 3 : 2; i < arguments.size(); ++i) {
        tokens.push_back(std::stoi(arguments[i]));
    }
    if (command == "encode") {
        std::string const text(std::istreambuf_iterator<char>(std::cin), {});
        tokens.resize(text.size() + 1);
        tokens.resize(static_cast<std::size_t>(llama_tokenize(
            vocabulary, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
            static_cast<std::int32_t>(tokens.size()), /*add_special=*/false, /*parse_special=*/false)));
        for (auto const token : tokens) {
            std::printf("%d ", token);
        }
    } else if (command == "score") {
        auto const context = context_of(model.get(), tokens.size());
        for (auto const token : tokens) {
            auto const* const logits = read(context.get(), {token});
            for (int i = 0; i < size; ++i) {
                std::printf("%.9g ", static_cast<double>(logits[i]));
            }
            std::printf("\n");
        }
    } else {
        auto const count = std::stoul(arguments.at(2));
        auto const context = context_of(model.get(), tokens.size() + count);
        auto const* logits = read(context.get(), tokens);
        std::string text;
        for (std::size_t i = 0; i < count; ++i) {
            auto const best = static_cast<llama_token>(std::max_element(logits, logits + size) - logits);
            if (best == llama_vocab_eos(vocabulary)) {
                break;
            }
            std::printf("%d ", best);
            char piece[256];
            text.append(piece,
                        static_cast<std::size_t>(std::max(
                            0, llama_token_to_piece(vocabulary, best, piece, sizeof piece, 0, false))));
            logits = i + 1 < count ? read(context.get(), {best}) : logits;
        }
        std::printf("\n%s", text.c_str());
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    llama_log_set(
        [](ggml_log_level level, char const* text, void*) {
            if (level == GGML_LOG_LEVEL_ERROR) {
                std::fputs(text, stderr);
            }
        },
        nullptr);
    return run({argv + 1, argv + argc});
} catch (std::exception const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
