// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/backend/meter.hpp>
#include <deepseek/model.hpp>
#include <deepseek/ops/matmul.hpp>

#include <doctest/doctest.h>

#include <array>

namespace ds = deepseek;

TEST_CASE("Meter: a product of [m, k] and [n, k] is 2 m n k operations and one launch") {
    ds::Meter meter;
    auto const x = meter.scratch().rows<float, 5>(7);
    auto const y = meter.scratch().rows<float, 3>(7);
    ds::ops::matmul_nt(meter, y, x, ds::Matrix<float const, 3, 5>{});
    CHECK(meter.operations() == 2.0 * 7 * 3 * 5);
    CHECK(meter.launches() == 1);
}

TEST_CASE("Meter: a dry training step takes about the memory that a real one takes") {
    using M =
        ds::Model<ds::Vocabulary<50>, ds::Blocks<2, ds::MLA<16, 2, 8>, ds::MoE<4, 2, 8, 12>>, ds::MTP<1>>;
    std::array<ds::Token, 33> text{};
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = static_cast<ds::Token>(i * 7 % 50);
    }
    ds::Batch const batch{{text.data(), 32}, {text.data() + 1, 32}, 2, 16};
    auto const run = [&]<class B>(B& be) {
        ds::Weights<M, float, B> weights{be};
        ds::Trainer<M, float, B> trainer{be, weights, {.schedule = {.total = 10}}};
        trainer.step({&batch, 1});
        return trainer.activation_bytes();
    };
    ds::Meter meter;
    ds::Cpu cpu{{.threads = 1}};
    auto const dry = run(meter);
    auto const real = run(cpu);
    // Scratch memory differs a little: the Cpu has operations of its own where the Meter composes them.
    CHECK(dry >= real - real / 10);
    CHECK(dry <= real + real / 10);
    CHECK(meter.operations() > 0);
    CHECK(meter.peak_bytes() >= 4 * ds::param_bytes<M, float>);
}
