// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_KNOWN_MODEL_HPP
#define DEEPSEEK_APP_KNOWN_MODEL_HPP

#include <deepseek/config.hpp>

#include <algorithm>
#include <map>
#include <span>
#include <string>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Flags of a run by name, with their values as text: what is saved with it and restored.
using SavedFlags = std::map<std::string, std::string>;

/// What a program calls a model, and how it is trained by default.
struct KnownModel {
    std::string name = "model";
    std::string purpose{};  ///< for --help
    SavedFlags recipe{};    ///< flags of `train` that this model wants, such as {"lr", "4e-3"}
};

/// The names of models, joined by commas.
template <class Model>
std::string model_names(std::span<Model const> models) {
    std::string names;
    for (auto const& model : models) {
        names += (names.empty() ? "" : ", ") + model.known.name;
    }
    return names;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
