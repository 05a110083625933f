// SPDX-License-Identifier: MIT
// Trains one of the models of models.hpp on tokens that prepare wrote; `train --help` says how. A program that trains
// a model of your own is shown in own_train.cpp.
#include <deepseek/app/train/program.hpp>

#include "models.hpp"

#include <vector>

int main(int argc, char** argv) {
    using namespace deepseek_examples;
    std::vector<ds::app::Trainable> models;
    for_each_model(
        [&]<class M>(Known<M> const& model) { models.push_back(ds::app::trainable<M>(model.known)); });
    return ds::app::train(argc, argv, models);
}
