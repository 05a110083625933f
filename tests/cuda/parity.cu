// SPDX-License-Identifier: MIT
// Kernels, and loops that define operations as kernels: a small model trains, is evaluated and generates on a CUDA GPU and on
// the emulated device, and both do the same. Ends with 77 where there is no GPU.
#include <deepseek/backend/cuda.cuh>
#include <deepseek/backend/emulated.hpp>
#include <deepseek/model.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

namespace ds = deepseek;

namespace {

// Every kind of part that a model of this library has.
using Attention = ds::MLA<16, 2, 6, 8, 4, 4, 4, ds::MLAOptions{.bias = true}>;
using Grouped = ds::MoE<8, 2, 12, 8, ds::Routing{.groups = 4, .groups_kept = 2}>;
using Softmax = ds::MoE<4, 2, 12, 8, ds::Routing{.scoring = ds::Scoring::softmax, .bias = false}>;
using M = ds::Model<ds::Vocabulary<50>, ds::Blocks<1, Attention, ds::SwiGLU<24>>,
                    ds::Blocks<1, Attention, Grouped>, ds::Blocks<1, Attention, Softmax>, ds::MTP<1>,
                    ds::Options<ds::ModelOptions{.init_deviation = 0.2, .context = 64}>>;

// What a run computed: losses, norms and logits.
template <class Compute, class B>
std::vector<double> run(B& be) {
    ds::Weights<M, ds::accumulate_t<Compute>, B> weights{be};
    ds::initialize(be, weights, ds::Seed{1});
    ds::Trainer<M, Compute, B> trainer{be,
                                       weights,
                                       {.schedule = {.peak = 1e-2, .total = 10},
                                        .embedding_dropout = 0.1,
                                        .attention_dropout = 0.1,
                                        .residual_dropout = 0.1}};
    std::vector<ds::Token> text(33);
    std::vector<std::int32_t> documents(32);
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = static_cast<ds::Token>(ds::RandomKey{ds::Seed{2}}.bits(i) % 50);
    }
    for (std::size_t i = 0; i < documents.size(); ++i) {
        documents[i] = static_cast<std::int32_t>(i / 5);
    }
    std::span const all(text);
    ds::Batch const batches[] = {{all.first(32), all.last(32), 2, 16},
                                 {all.first(32), all.last(32), 2, 16, documents}};
    std::vector<double> results;
    for (int step = 0; step < 3; ++step) {
        auto const report = trainer.step(batches);
        results.insert(results.end(), {report.total_loss, report.norm});
    }
    results.push_back(trainer.evaluate(batches).main);

    ds::Weights<M, Compute, B> generating{be};
    ds::copy_weights(be, generating, weights);
    ds::Session session{be, generating};
    ds::Sampler sampler{{.temperature = 0}};
    std::vector<ds::Token> story{1, 2, 3};
    ds::generate(session, sampler, story, {.max_new = 5}, [](ds::Token) {});
    for (auto const logit : session.decode(4)) {
        results.push_back(static_cast<double>(logit));
    }
    return results;
}

template <class Compute>
bool agrees(char const* name, double bound) {
    ds::Cuda gpu;
    ds::Emulated emulated;
    auto const given = run<Compute>(gpu);
    if (run<Compute>(gpu) != given) {
        std::printf("%s: two runs differ\n", name);
        return false;
    }
    auto const expected = run<Compute>(emulated);
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        auto const error = std::abs(given[i] - expected[i]) / (1 + std::abs(expected[i]));
        worst = error <= worst || std::isnan(worst) ? worst : error;  // NaN stays
    }
    std::printf("%s: %zu results, largest difference %g, allowed %g\n", name, expected.size(), worst, bound);
    return worst <= bound;
}

}  // namespace

int main() {
    if (ds::CudaDevice::count() == 0) {
        std::puts("skipped: no CUDA GPU");
        return 77;
    }
    try {
        // Roundings of each type, which training amplifies.
        bool const all[] = {agrees<double>("double", 1e-8), agrees<float>("float", 1e-2),
                            agrees<ds::bf16>("bf16", 0.1)};
        return all[0] && all[1] && all[2] ? 0 : 1;
    } catch (ds::Error const& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
