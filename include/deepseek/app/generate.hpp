// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_HPP
#define DEEPSEEK_APP_GENERATE_HPP

#include <deepseek/app/generate/model.hpp>
#include <deepseek/app/generate/program.hpp>
#include <deepseek/app/known_model.hpp>

#include <span>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The program `generate` for a model of one's own:
///
///     int main(int argc, char** argv) { return deepseek::app::generate<MyModel>(argc, argv); }
///
/// What main returns: see the overload for several models.
template <class M>
int generate(int argc, char const* const* argv, KnownModel known = {}) {
    auto const model = generatable<M>(std::move(known));
    return generate(argc, argv, std::span(&model, 1));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
