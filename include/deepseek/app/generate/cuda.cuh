// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_CUDA_CUH
#define DEEPSEEK_APP_GENERATE_CUDA_CUH

#include <deepseek/app/generate/language_model.hpp>
#include <deepseek/app/generate/language_model_of.hpp>
#include <deepseek/backend/cuda.cuh>
#include <deepseek/core/index.hpp>

#include <filesystem>
#include <memory>

namespace deepseek::inline DEEPSEEK_ABI::app {

template <class M>
std::unique_ptr<LanguageModel> load_language_model_on_cuda(std::filesystem::path const& directory,
                                                           index_t context) {
    return std::make_unique<LanguageModelOf<M, Cuda>>(directory, Cuda::Options{}, context);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
