// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_CUDA_CUH
#define DEEPSEEK_APP_TRAIN_CUDA_CUH

#include <deepseek/app/train/training.hpp>
#include <deepseek/app/train/training_of.hpp>
#include <deepseek/backend/cuda.cuh>

#include <memory>

namespace deepseek::inline DEEPSEEK_ABI::app {

template <class M>
std::unique_ptr<Training> make_training_on_cuda(TrainOptions const& options, Computing const& computing) {
    return make_training_on<M, Cuda>(options, computing, {});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
