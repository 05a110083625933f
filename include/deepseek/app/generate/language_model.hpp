// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_LANGUAGE_MODEL_HPP
#define DEEPSEEK_APP_GENERATE_LANGUAGE_MODEL_HPP

#include <deepseek/app/device.hpp>
#include <deepseek/app/model_facts.hpp>
#include <deepseek/core/index.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <span>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// A model of any type with one session, in memory: what the program sees of Session.
class LanguageModel {
public:
    virtual ~LanguageModel() = default;

    virtual ModelFacts facts() const = 0;
    virtual index_t max_tokens() const = 0;
    virtual index_t position() const = 0;
    virtual void truncate(index_t length) = 0;

    /// Reads tokens behind what was read before; the logits of the token that follows, valid until the next call.
    virtual std::span<float const> read(std::span<Token const> tokens) = 0;
    /// Reads tokens and calls visit(i, logits of the token after tokens[i]) for every one of them.
    virtual void score(std::span<Token const> tokens,
                       std::function<void(index_t, std::span<float const>)> const& visit) = 0;
};

/// Loads a model of type M; `context` is the most tokens of a text, 0: the model's. Defined in model.hpp; every model
/// has a translation unit of its own, so that they compile side by side.
///
/// Errors:    FileError, FormatError: of the directory's files; Error if the program lacks the device or the machine has none
template <class M>
std::unique_ptr<LanguageModel> load_language_model(std::filesystem::path const& directory,
                                                   Placement const& place, index_t context);

/// The same on a CUDA GPU. Defined in cuda.cuh.
template <class M>
std::unique_ptr<LanguageModel> load_language_model_on_cuda(std::filesystem::path const& directory,
                                                           index_t context);

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
