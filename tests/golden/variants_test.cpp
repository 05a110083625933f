// SPDX-License-Identifier: MIT
// labels: golden
// Files that read differently than transformers runs them: the type that fits the file computes what transformers does.
#include <deepseek/format/config.hpp>
#include <deepseek/format/huggingface.hpp>

#include "golden/golden.hpp"
#include "golden/golden_model.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <string>

using namespace deepseek_tests;
namespace ds = deepseek;

namespace {

constexpr ds::Routing scaled(ds::Routing routing, float scale) {
    routing.scale = scale;
    return routing;
}
constexpr ds::MLAOptions kFactorOne{
    .rope = {
        .yarn = {
            .factor = 1, .original_length = 64, .mscale = 1, .mscale_all_dim = 1, .attention_factor = 1.25}}};

// The type M is what the file says, and computes what transformers computes from it.
template <class M>
void check_variant(std::string const& name) {
    Fixture const fixture("variants");
    auto const file = ds::format::parse_config(fixture.config().at(name).dump());
    CHECK_NOTHROW(ds::format::expect_config_of<M>(file, "config.json"));
    CHECK(ds::format::extensions(ds::format::config_of<M>()).empty());
    CHECK_NOTHROW(ds::format::expect_config_of<M>(
        ds::format::parse_config(ds::format::format_config(ds::format::config_of<M>())), "written"));
    GoldenModel<M, double> model;
    auto const logits = model.logits(fixture.ints("tokens"), 1);
    CHECK(scaled_error(rows_of(logits, fixture.ints("rows"), M::vocabulary),
                       fixture.doubles(name + ".logits")) <= 1e-12);
}

}  // namespace

TEST_CASE("variants: deepseek_v2 never normalises, whatever norm_topk_prob says") {
    check_variant<TinyModel<AttentionT4, ds::MoE<16, 4, 32, 32, scaled(kRoutingT4, 1.5F)>, TinyOptions>>(
        "v2_normalised");
}

TEST_CASE("variants: deepseek_v2's greedy choice knows no groups") {
    check_variant<T4>("v2_greedy_in_groups");
}

TEST_CASE("variants: a shared expert of width zero is none") {
    check_variant<TinyModel<AttentionT4, ds::MoE<16, 4, 32, 0, kRoutingT4>, TinyOptions>>("v2_no_shared");
    check_variant<TinyModel<AttentionT1, ds::MoE<16, 4, 32, 0, kRoutingT1>, TinyOptions>>("v3_no_shared");
}

TEST_CASE("variants: YaRN of factor 1 scales cosine and sine by its attention_factor") {
    check_variant<TinyModel<TinyAttention<24, kFactorOne>, ExpertsT1, TinyOptions>>("yarn_of_factor_1");
}
