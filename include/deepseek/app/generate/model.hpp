// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_MODEL_HPP
#define DEEPSEEK_APP_GENERATE_MODEL_HPP

#include <deepseek/app/device.hpp>
#include <deepseek/app/generate/language_model.hpp>
#include <deepseek/app/generate/language_model_of.hpp>
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/index.hpp>
#if defined(DEEPSEEK_APP_EMULATED)
#include <deepseek/backend/emulated.hpp>
#endif

#include <filesystem>
#include <memory>

namespace deepseek::inline DEEPSEEK_ABI::app {

template <class M>
std::unique_ptr<LanguageModel> load_language_model(std::filesystem::path const& directory,
                                                   Placement const& place, index_t context) {
    if (place.device == Device::cpu) {
        return std::make_unique<LanguageModelOf<M, Cpu>>(directory, Cpu::Options{.threads = place.threads},
                                                         context);
    }
#if defined(DEEPSEEK_APP_EMULATED)
    if (place.device == Device::emulated) {
        return std::make_unique<LanguageModelOf<M, Emulated>>(directory, Emulated::Options{}, context);
    }
#endif
#if defined(DEEPSEEK_APP_CUDA)
    if (place.device == Device::cuda) {
        return load_language_model_on_cuda<M>(directory, context);
    }
#endif
    lacks(place.device);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
