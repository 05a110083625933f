// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_MODEL_HPP
#define DEEPSEEK_APP_TRAIN_MODEL_HPP

#include <deepseek/app/device.hpp>
#include <deepseek/app/train/training.hpp>
#include <deepseek/app/train/training_of.hpp>
#include <deepseek/backend/cpu.hpp>
#if defined(DEEPSEEK_APP_EMULATED)
#include <deepseek/backend/emulated.hpp>
#endif

#include <memory>

namespace deepseek::inline DEEPSEEK_ABI::app {

template <class M>
std::unique_ptr<Training> make_training(TrainOptions const& options, Computing const& computing) {
    if (computing.place.device == Device::cpu) {
        return make_training_on<M, Cpu>(options, computing, {.threads = computing.place.threads});
    }
#if defined(DEEPSEEK_APP_EMULATED)
    if (computing.place.device == Device::emulated) {
        return make_training_on<M, Emulated>(options, computing, {});
    }
#endif
#if defined(DEEPSEEK_APP_CUDA)
    if (computing.place.device == Device::cuda) {
        return make_training_on_cuda<M>(options, computing);
    }
#endif
    lacks(computing.place.device);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
