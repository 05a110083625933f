// SPDX-License-Identifier: MIT
// expect: Blocks<Count, Attention, FeedForward>: FeedForward::bind<Dim> must be a Layer: it has width, which is Dim, Params, Saved and visit, as deepseek/core/layer.hpp says
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
#ifdef DEEPSEEK_POSITIVE_CONTROL
    static constexpr void visit(auto&& f, auto&... set) { f(ds::Info{.name = "scale"}, set.scale...); }
#endif
    static void forward(auto&, ds::Pass const&, auto const&, auto, auto, auto&) {}
    static void backward(auto&, ds::Pass const&, auto const&, auto, auto&, auto, auto, auto&) {}
};
struct Spec {
    template <ds::index_t Dim>
    using bind = Layer<Dim>;
};

using M = ds::Model<ds::Vocabulary<100>, ds::Blocks<1, ds::MLA<64, 4, 16>, Spec>>;
auto const count = ds::param_count<M>;
