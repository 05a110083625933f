// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_MODELS_HPP
#define DEEPSEEK_EXAMPLES_MODELS_HPP

#include <deepseek/app/known_model.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/model.hpp>
#include <deepseek/model/presets.hpp>

#include "added_models.hpp"

// The models that the programs train and run, by name. A model is a type: to add one, write it here, add a line to
// for_each_model, and add train/<name>.cpp and generate/<name>.cpp, which compile the programs' code for it. The type of a
// config.json is added without all that: cmake -DDEEPSEEK_MODELS=…/config.json.

namespace deepseek_examples {

namespace ds = deepseek;

// Two minutes of training on two cores are enough for it to tell little stories. Weights begin near 1 / sqrt(width): from
// the usual 0.02 a model this narrow has not yet learned to repeat a name when the time is over.
using QuickstartAttention = ds::MLA<128, 4, 48>;  // Dim, Heads, KVRank; queries are not compressed
using Quickstart =
    ds::Model<ds::Vocabulary<1536>, ds::Blocks<1, QuickstartAttention, ds::SwiGLU<384>>,
              ds::Blocks<3, QuickstartAttention, ds::MoE<8, 2, 128, 128>>, ds::MTP<1>,
              ds::Options<ds::ModelOptions{.tied_head = true, .init_deviation = 0.08, .context = 256}>>;

// Bytes of tiny Shakespeare in the setting of nanoGPT's recipe for a CPU: 4 layers of width 128, context 64, no more
// parameters per token than its 0.80 million.
using Shakespeare = ds::Model<ds::Vocabulary<257>, ds::Blocks<4, ds::MLA<128, 4, 64>, ds::MoE<8, 2, 96, 96>>,
                              ds::Options<ds::ModelOptions{.tied_head = true, .context = 64}>>;
static_assert(ds::active_param_count<Shakespeare> <= 800'000);

// GPT-2's vocabulary at width 256: most of it is embedding, so it trains on a CPU in hours. No MTP, because a second
// pass through a head that large would cost more than all blocks.
using TinyStoriesAttention = ds::MLA<256, 8, 64, 96>;
using TinyStories = ds::Model<ds::Vocabulary<50257>, ds::Blocks<1, TinyStoriesAttention, ds::SwiGLU<768>>,
                              ds::Blocks<5, TinyStoriesAttention, ds::MoE<8, 2, 256, 256>>,
                              ds::Options<ds::ModelOptions{.tied_head = true, .context = 512}>>;

/// A model, what the programs call it, and how it is trained by default.
template <class M>
struct Known {
    ds::app::KnownModel known;
};

/// Calls visit(known) for every model.
template <class F>
void for_each_model(F&& visit) {
    visit(Known<Quickstart>{{"quickstart",
                             "little stories after two minutes on two cores; vocabulary 1536",
                             {{"batch-size", "2"},
                              {"seq-len", "256"},
                              {"steps", "2400"},
                              {"lr", "2e-3"},
                              {"warmup", "60"},
                              {"bias-update-rate", "0.01"}}}});
    visit(Known<Shakespeare>{{"shakespeare",
                              "tiny Shakespeare byte by byte, 0.8 million parameters; vocabulary 257",
                              {{"batch-size", "12"},
                               {"steps", "2000"},
                               {"lr", "3e-3"},
                               {"warmup", "100"},
                               {"beta2", "0.99"},
                               {"bias-update-rate", "0.01"}}}});
    visit(Known<TinyStories>{
        {"tiny-stories",
         "TinyStories in GPT-2 tokens; vocabulary 50257",
         {{"batch-size", "8"}, {"seq-len", "256"}, {"steps", "10000"}, {"lr", "1e-3"}, {"warmup", "200"}}}});
    // The table of the project that this model follows, whose 20,000 steps and 2,000 of warm-up are micro-batches.
    visit(Known<ds::FromScratch100M>{{"from-scratch-100m",
                                      "100 million parameters, GPT-2 tokens; vocabulary 50257",
                                      {{"batch-size", "32"},
                                       {"grad-accum", "8"},
                                       {"steps", "2500"},
                                       {"lr", "3e-4"},
                                       {"min-lr", "1e-5"},
                                       {"warmup", "250"},
                                       {"dropout", "0.1"}}}});
    for_each_added_model<Known>(visit);
}

}  // namespace deepseek_examples

#endif
