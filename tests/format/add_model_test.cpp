// SPDX-License-Identifier: MIT
// Types that deepseek_add_model makes of the files in tests/models.
#include <deepseek/format/config.hpp>
#include <deepseek/format/huggingface.hpp>
#include <deepseek/format/model_parts.hpp>
#include <deepseek/model/presets.hpp>
#include <deepseek/models/deepseek_v3.hpp>
#include <deepseek/models/dense.hpp>
#include <deepseek/models/extended.hpp>
#include <deepseek/models/kimi_like.hpp>
#include <deepseek/models/moonlight.hpp>
#include <deepseek/models/native_v2.hpp>
#include <deepseek/models/native_v2_lite.hpp>
#include <deepseek/models/native_v3.hpp>
#include <deepseek/models/v2_lite.hpp>

#include "support/data.hpp"
#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <type_traits>

namespace ds = deepseek;
namespace models = deepseek::models;
namespace format = deepseek::format;

// The presets' types, digit by digit.
static_assert(std::is_same_v<models::deepseek_v3, ds::V3>);
static_assert(std::is_same_v<models::v2_lite, ds::V2Lite>);
static_assert(std::is_same_v<models::moonlight, ds::Moonlight16B>);

// DeepSeek's own files leave out MTP.
static_assert(ds::param_count<models::native_v3> == 671'026'404'352);
static_assert(ds::active_param_count<models::native_v3> == 37'552'282'624);
static_assert(ds::param_count<models::native_v2> == 235'741'434'880);
static_assert(ds::active_param_count<models::native_v2> == 21'375'800'320);
static_assert(ds::param_count<models::native_v2_lite> == 15'706'484'224);
static_assert(ds::active_param_count<models::native_v2_lite> == 2'661'150'208);

namespace {

constexpr ds::MLAOptions kKimiLike{.rope = {.theta = 50'000,
                                            .interleaved = false,
                                            .yarn = {.factor = 4,
                                                     .original_length = 16,
                                                     .beta_fast = 16,
                                                     .beta_slow = 2,
                                                     .mscale = 0,
                                                     .mscale_all_dim = 0.5,
                                                     .attention_factor = 1.25,
                                                     .truncate = false}},
                                   .bias = true};
using KimiLike = ds::Model<
    ds::Vocabulary<60>, ds::Blocks<3, ds::MLA<32, 2, 16, 12, 8, 6, 10, kKimiLike>, ds::SwiGLU<40>>,
    ds::Blocks<
        1, ds::MLA<32, 2, 16, 12, 8, 6, 10, kKimiLike>,
        ds::MoE<8, 2, 12, 0,
                ds::Routing{.groups = 4, .groups_kept = 2, .normalize = false, .scale = 2.5, .bias = false}>>,
    ds::MTP<2>,
    ds::Options<ds::ModelOptions{
        .tied_head = true, .norm_epsilon = 1e-5, .init_deviation = 0.006, .context = 64}>>;
static_assert(std::is_same_v<models::kimi_like, KimiLike>);

constexpr ds::Routing kExtended{.scoring = ds::Scoring::softmax, .groups = 2, .zero_mask = true};
using Extended =
    ds::Model<ds::Vocabulary<60>,
              ds::Blocks<2, ds::MLA<32, 2, 16, 0, 8, 6, 10, ds::MLAOptions{.latent_epsilon = 1e-3}>,
                         ds::MoE<8, 2, 12, 18, kExtended>>>;
static_assert(std::is_same_v<models::extended, Extended>);

using Dense = ds::Model<ds::Vocabulary<60>, ds::Blocks<3, ds::MLA<32, 2, 16, 0, 8, 6, 10>, ds::SwiGLU<40>>>;
static_assert(std::is_same_v<models::dense, Dense>);

template <class M>
std::string differences(std::filesystem::path const& file) {
    std::string text;
    for (auto const& line : format::differences(format::read_config(file), format::config_of<M>())) {
        text += line + '\n';
    }
    return text;
}

template <class M>
void check_counts(std::filesystem::path const& file) {
    ds::index_t total = 0;
    ds::index_t active = 0;
    for (auto const& count : format::parameter_counts(format::read_config(file))) {
        total += count.total;
        active += count.active;
    }
    CHECK(total == ds::param_count<M>);
    CHECK(active == ds::active_param_count<M>);
}

}  // namespace

TEST_CASE("deepseek_add_model: the type is the model that reading the file finds") {
    auto const folder = deepseek_tests::source_dir() / "tests" / "models";
    CHECK(differences<models::deepseek_v3>(folder / "deepseek_v3.json").empty());
    CHECK(differences<models::v2_lite>(folder / "v2_lite.json").empty());
    CHECK(differences<models::moonlight>(folder / "moonlight.json").empty());
    CHECK(differences<models::kimi_like>(folder / "kimi_like.json").empty());
    CHECK(differences<models::extended>(folder / "extended.json").empty());
    CHECK(differences<models::dense>(folder / "dense.json").empty());
    CHECK_FALSE(differences<models::dense>(folder / "extended.json").empty());
}

TEST_CASE("deepseek_add_model: the published files are the models in tests/models") {
    auto const folder = deepseek_tests::test_data("model-configs");
    if (!folder) {
        return;
    }
    CHECK(differences<models::deepseek_v3>(*folder / "DeepSeek-V3").empty());
    CHECK(differences<models::deepseek_v3>(*folder / "DeepSeek-R1").empty());
    CHECK(differences<models::moonlight>(*folder / "Moonlight-16B-A3B").empty());
}

TEST_CASE("parameter_counts: config.json says as many parameters as the type has") {
    auto const folder = deepseek_tests::source_dir() / "tests" / "models";
    check_counts<models::deepseek_v3>(folder / "deepseek_v3.json");
    check_counts<models::v2_lite>(folder / "v2_lite.json");
    check_counts<models::moonlight>(folder / "moonlight.json");
    check_counts<models::kimi_like>(folder / "kimi_like.json");
    check_counts<models::extended>(folder / "extended.json");
    check_counts<models::dense>(folder / "dense.json");
}

TEST_CASE("parameter_counts: numbers that cannot be are refused, not multiplied") {
    format::HuggingFaceConfig config;
    config.num_hidden_layers = ds::index_t{1} << 40;
    CHECK_THROWS_AS(format::parameter_counts(config), ds::FormatError);
    config.num_hidden_layers = ds::index_t{1} << 30;
    CHECK_THROWS_AS(format::parameter_counts(config), ds::FormatError);
}

TEST_CASE("part_of: every tensor of a type belongs to the part that its name says") {
    using M = models::kimi_like;
    auto const counts = format::parameter_counts(format::config_of<M>());
    std::array<ds::index_t, format::kModelParts> elements{};
    for (auto const& tensor : format::detail::model_tensors<M, float>(nullptr, "", format::Which::learned)) {
        elements[static_cast<std::size_t>(format::part_of(tensor.name, M::layers))] += tensor.size();
    }
    for (std::size_t i = 0; i < elements.size(); ++i) {
        CAPTURE(format::name(static_cast<format::ModelPart>(i)));
        CHECK(elements[i] == counts[i].total);
    }
    CHECK(format::part_of("model.layers.61.shared_head.head.weight", 61) == format::ModelPart::other);
    CHECK(format::part_of("model.layers.3.mlp.experts.gate_up_proj", 61) == format::ModelPart::experts);
    CHECK(format::part_of("model.layers.3.mlp.experts.gate_up_proj_scale_inv", 61) ==
          format::ModelPart::other);
}
