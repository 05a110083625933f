// SPDX-License-Identifier: MIT
// Says what a model directory holds, whether its type is one of models.hpp or any other; `inspect --help` says how.
#include <deepseek/app/inspect.hpp>

#include "models.hpp"

#include <vector>

int main(int argc, char** argv) {
    using namespace deepseek_examples;
    std::vector<ds::app::Inspectable> models;
    for_each_model(
        [&]<class M>(Known<M> const& model) { models.push_back(ds::app::inspectable<M>(model.known.name)); });
    return ds::app::inspect(argc, argv, models);
}
