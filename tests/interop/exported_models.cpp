// SPDX-License-Identifier: MIT
// Writes models of several types and their logits, for exported_models.py to compare: exported_models DIRECTORY.
#include <deepseek/backend/cpu.hpp>
#include <deepseek/format/save.hpp>
#include <deepseek/model.hpp>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace ds = deepseek;

namespace {

constexpr ds::ModelOptions kOptions{.init_deviation = 0.2, .context = 64};
constexpr ds::ModelOptions kTied{
    .tied_head = true, .norm_epsilon = 1e-5, .init_deviation = 0.2, .context = 64};

template <ds::MLAOptions Options = ds::MLAOptions{}, ds::index_t QueryRank = 12>
using Attention = ds::MLA<32, 2, 16, QueryRank, 8, 6, 10, Options>;
template <class Experts, class Attention = ::Attention<>, ds::ModelOptions Options = kOptions>
using Model = ds::Model<ds::Vocabulary<60>, ds::Blocks<1, Attention, ds::SwiGLU<40>>,
                        ds::Blocks<2, Attention, Experts>, ds::Options<Options>>;

constexpr ds::Routing kV2{.scoring = ds::Scoring::softmax, .normalize = false, .scale = 1.5, .bias = false};
constexpr ds::Routing kV2Groups{
    .scoring = ds::Scoring::softmax, .groups = 4, .groups_kept = 2, .normalize = false, .bias = false};
constexpr ds::Routing kNoBias{.groups = 4, .groups_kept = 2, .scale = 2.446, .bias = false};
constexpr ds::Routing kGroups{.groups = 4, .groups_kept = 2, .scale = 2.5};
constexpr ds::Routing kPlain{.normalize = false};
constexpr ds::Routing kSoftmaxNormalised{.scoring = ds::Scoring::softmax, .bias = false};
constexpr ds::Routing kSoftmaxBiased{.scoring = ds::Scoring::softmax, .normalize = false};
constexpr ds::Routing kZeroMask{.groups = 4, .groups_kept = 2, .zero_mask = true};
constexpr ds::MLAOptions kHalfSplit{.rope = {.interleaved = false}};
constexpr ds::MLAOptions kLatent{.latent_epsilon = 1e-3};
constexpr ds::MLAOptions kYarn{
    .rope = {.theta = 50'000,
             .yarn = {.factor = 4, .original_length = 16, .mscale = 1, .mscale_all_dim = 0.7}}};
constexpr ds::MLAOptions kYarnOfV3{
    .rope = {.yarn = {.factor = 4, .original_length = 16, .mscale = 1, .mscale_all_dim = 1}}};
constexpr ds::MLAOptions kYarnAlone{.rope = {.yarn = {.factor = 4, .original_length = 16}}};
constexpr ds::MLAOptions kScaled{.rope = {.yarn = {.attention_factor = 1.25}}};

template <class M>
void write(std::filesystem::path const& folder, std::string const& name) {
    ds::Cpu cpu{{.threads = 1}};
    ds::Weights<M, double, ds::Cpu> weights{cpu};
    ds::initialize(cpu, weights, ds::Seed{7});
    ds::format::save_model(cpu, folder / name, weights);

    std::vector<ds::Token> tokens;
    for (ds::Token i = 0; i < 40; ++i) {
        tokens.push_back((7 * i * i + 3 * i + 1) % 60);
    }
    std::string text;
    ds::Session session{cpu, weights};
    session.score(tokens, [&](ds::index_t, auto logits) {
        for (auto const logit : logits) {
            char number[40];
            std::snprintf(number, sizeof number, "%.17g ", logit);
            text += number;
        }
        text += '\n';
    });
    ds::write_file_atomically(folder / (name + ".logits"), text);
}

}  // namespace

int main(int, char** arguments) try {
    std::filesystem::path const folder = arguments[1];
    using Experts = ds::MoE<8, 2, 12, 24>;
    write<Model<Experts>>(folder, "v3");
    write<Model<ds::MoE<8, 2, 12, 12, kNoBias>>>(folder, "v3_without_bias");
    write<Model<ds::MoE<8, 2, 12, 12, kPlain>>>(folder, "v3_not_normalised");
    write<Model<ds::MoE<8, 2, 12, 0>>>(folder, "v3_without_shared_expert");
    write<Model<Experts, Attention<kHalfSplit>>>(folder, "v3_half_split");
    write<Model<Experts, Attention<kYarn, 0>, kTied>>(folder, "v3_yarn_tied");
    write<Model<Experts, Attention<kScaled>>>(folder, "v3_attention_factor");
    write<Model<ds::MoE<8, 2, 12, 12, kGroups>, Attention<kYarnOfV3>>>(folder, "v3_yarn_groups");
    write<Model<Experts, Attention<kYarn>>>(folder, "v3_yarn_two_factors");
    write<Model<Experts, Attention<kYarnAlone, 0>>>(folder, "v3_yarn_alone");
    write<Model<ds::SwiGLU<40>>>(folder, "v3_dense");
    write<Model<ds::MoE<8, 2, 12, 12, kV2>>>(folder, "v2");
    write<Model<ds::MoE<8, 2, 12, 0, kV2Groups>, Attention<kYarn, 0>>>(folder, "v2_groups");

    write<Model<ds::MoE<8, 2, 12, 18>>>(folder, "extended_shared_width");
    write<Model<ds::MoE<8, 2, 12, 12, kSoftmaxNormalised>>>(folder, "extended_softmax_normalised");
    write<Model<ds::MoE<8, 2, 12, 12, kSoftmaxBiased>>>(folder, "extended_softmax_biased");
    write<Model<ds::MoE<8, 2, 12, 12, kZeroMask>>>(folder, "extended_zero_mask");
    write<Model<ds::MoE<8, 2, 12, 12, kV2>, Attention<kHalfSplit>>>(folder, "extended_half_split");
    write<Model<Experts, Attention<kLatent>>>(folder, "extended_latent_epsilon");
    return 0;
} catch (std::exception const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
