// SPDX-License-Identifier: MIT
// Every tensor of a whole model is visited: what is composed of layers, where each guards itself.
#include <deepseek/core/visit.hpp>
#include <deepseek/layers/mla.hpp>
#include <deepseek/layers/moe.hpp>
#include <deepseek/layers/mtp.hpp>
#include <deepseek/layers/swiglu.hpp>
#include <deepseek/model/blocks.hpp>
#include <deepseek/model/model.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <set>
#include <string>

namespace ds = deepseek;

namespace {

using Attention = ds::MLA<16, 2, 8, 4, 2, 4, 4, ds::MLAOptions{.bias = true}>;
using Biased = ds::MoE<4, 2, 8, 8>;
using Plain = ds::MoE<4, 2, 8, 0, ds::Routing{.bias = false}>;
template <class... More>
using ModelOf = ds::Model<ds::Vocabulary<20>, ds::Blocks<1, Attention, ds::SwiGLU<16>>,
                          ds::Blocks<2, Attention, Plain>, ds::Blocks<1, Attention, Biased>, More...>;
using Whole = ModelOf<ds::MTP<2>>;
using Tied = ModelOf<ds::Options<ds::ModelOptions{.tied_head = true}>>;

static_assert(ds::every_member_visited<Whole::MtpModule>());
static_assert(ds::every_member_visited<Whole::Blocks::Block>());

// A model as a whole has members without tensors, each a byte: the end of its blocks, and no MTP modules where there are
// none.
template <class M>
constexpr bool all_but(std::size_t empty) {
    std::size_t visited = 0;
    typename M::template Params<ds::OneByte> params{};
    M::visit([&](ds::Info const&, auto const&) { ++visited; }, params);
    return visited + empty == sizeof(params);
}
static_assert(all_but<Whole>(1) && all_but<Tied>(2));

// A layer that forgets one of its tensors.
struct Forgetful {
    template <class Slot>
    struct Params {
        ds::param<Slot, 4> seen, forgotten;
    };
    static constexpr void visit(auto&& f, auto&... set) { f(ds::Info{.name = "seen"}, set.seen...); }
};
static_assert(!ds::every_member_visited<Forgetful>());

}  // namespace

TEST_CASE("Model: every tensor has a name of its own") {
    std::set<std::string> names;
    std::size_t count = 0;
    ds::described_params<Whole> params{};
    Whole::visit(
        [&](ds::Info const& info, auto const&) {
            for (ds::index_t part = 0; part < info.parts; ++part) {
                names.insert(ds::full_name(info, part));
                ++count;
            }
        },
        params);
    CHECK(names.size() == count);
}
