// SPDX-License-Identifier: MIT
// A model is a type. The compiler knows everything about its size before any memory exists.
#include <deepseek/model.hpp>

#include <cstdio>

namespace ds = deepseek;

// Attention with a latent cache: width, heads, width of the latent of keys and values, width of the queries' latent.
using Attention = ds::MLA<256, 8, 64, 96>;

// What follows the attention in a block takes its width from there, so the width stands in one place.
using Tiny =
    ds::Model<ds::Vocabulary<8192>,                                //
              ds::Blocks<1, Attention, ds::SwiGLU<704>>,           // one block with a dense network,
              ds::Blocks<5, Attention, ds::MoE<16, 4, 176, 176>>,  // five that choose 4 of 16 experts
              ds::MTP<1>>;                                         // also learns the token after the next

// Facts of the type are constants. A model that outgrows its budget does not compile.
static_assert(ds::param_count<Tiny> < 30'000'000);
static_assert(ds::active_param_count<Tiny> < ds::param_count<Tiny> / 2);
// A configuration that makes no sense does not compile either, and the compiler's one error says why:
//   ds::MoE<16, 40, 176>  →  "MoE<Experts, TopK>: TopK must not exceed Experts"

int main() {
    auto const print = [](char const* what, ds::index_t value) {
        std::printf("%-44s %12lld\n", what, static_cast<long long>(value));
    };
    print("parameters", ds::param_count<Tiny>);
    print("parameters a token passes through", ds::active_param_count<Tiny>);
    print("bytes of weights, float", ds::param_bytes<Tiny, float>);
    print("bytes of weights, bf16", ds::param_bytes<Tiny, ds::bf16>);
    print("bytes kept per token while training", ds::saved_bytes_per_token<Tiny, float>);
    print("the same, blocks recomputed", ds::saved_bytes_per_token<Tiny, float, true>);
    print("bytes of cache per token while generating", ds::cache_bytes_per_token<Tiny, float>);

    // visit() walks over the tensors: one line of code serves counting, saving and training. Here it prints the table
    // of one sparse block, with the names that Hugging Face files have.
    using Sparse = ds::MoE<16, 4, 176, 176>::bind<Attention::width>;
    std::printf("\nA mixture of experts has %lld parameters in\n",
                static_cast<long long>(ds::param_count<Sparse>));
    ds::described_params<Sparse> table{};
    Sparse::visit(
        [](ds::Info const& info, auto const& tensor) {
            std::printf("  %-32s [%lld, %lld]\n", ds::full_name(info).c_str(),
                        static_cast<long long>(tensor.rows / info.parts),
                        static_cast<long long>(tensor.cols));
        },
        table);
}
