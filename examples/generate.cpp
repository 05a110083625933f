// SPDX-License-Identifier: MIT
// Continues texts with one of the models of models.hpp, whichever the directory's config.json describes; `generate
// --help` says how. A program that generates with a model of your own is shown in own_generate.cpp.
#include <deepseek/app/generate/program.hpp>

#include "models.hpp"

#include <vector>

int main(int argc, char** argv) {
    using namespace deepseek_examples;
    std::vector<ds::app::Generatable> models;
    for_each_model(
        [&]<class M>(Known<M> const& model) { models.push_back(ds::app::generatable<M>(model.known)); });
    return ds::app::generate(argc, argv, models);
}
