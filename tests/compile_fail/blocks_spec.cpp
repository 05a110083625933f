// SPDX-License-Identifier: MIT
// expect: Blocks<Count, Attention, FeedForward>: FeedForward must be a spec such as SwiGLU<Hidden>: a type with a template bind<Dim>, which is the layer of that width
#include <deepseek/model.hpp>

namespace ds = deepseek;

template <ds::index_t Dim>
struct Layer {
    static constexpr ds::index_t width = Dim;
    template <class Slot>
    struct Params {
        ds::param<Slot, Dim> scale;
    };
    template <class Slot>
    struct Saved {};
    static constexpr void visit(auto&& f, auto&... set) { f(ds::Info{.name = "scale"}, set.scale...); }
    static void forward(auto&, ds::Pass const&, auto const&, auto, auto, auto&) {}
    static void backward(auto&, ds::Pass const&, auto const&, auto, auto&, auto, auto, auto&) {}
};
struct Spec {
    template <ds::index_t Dim>
    using bind = Layer<Dim>;
};

#ifdef DEEPSEEK_POSITIVE_CONTROL
using FeedForward = Spec;
#else
using FeedForward = Layer<64>;
#endif
using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, FeedForward>>;
auto const count = ds::param_count<M>;
