// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_HPP
#define DEEPSEEK_APP_TRAIN_HPP

#include <deepseek/app/known_model.hpp>
#include <deepseek/app/train/model.hpp>
#include <deepseek/app/train/program.hpp>

#include <span>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The program `train` for a model of one's own:
///
///     int main(int argc, char** argv) { return deepseek::app::train<MyModel>(argc, argv); }
///
/// It takes the flags of `train` but --model, which names the only one there is; `known` may say its name and the flags
/// that suit it. What main returns: see the overload for several models.
template <class M>
int train(int argc, char const* const* argv, KnownModel known = {}) {
    auto const model = trainable<M>(std::move(known));
    return train(argc, argv, std::span(&model, 1));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
