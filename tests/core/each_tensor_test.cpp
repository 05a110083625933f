// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/each_tensor.hpp>
#include <deepseek/model.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

namespace ds = deepseek;

namespace {

using M = ds::Model<ds::Vocabulary<50>, ds::Blocks<1, ds::MLA<16, 2, 8, 6>, ds::SwiGLU<20>>,
                    ds::Blocks<2, ds::MLA<16, 2, 8, 6>, ds::MoE<4, 2, 8, 12>>, ds::MTP<1>>;

struct Seen {
    std::string name;
    ds::Place place;
};

template <class T>
std::vector<Seen> places() {
    std::vector<Seen> all;
    ds::each_tensor<M, T>([&](ds::Info const& info, ds::Place const& place) {
        all.push_back({ds::full_name(info), place});
    });
    return all;
}

}  // namespace

TEST_CASE_TEMPLATE("each_tensor: names, extents and places are those of the views that bind sets", T, float,
                   double, ds::bf16) {
    ds::Cpu cpu{{.threads = 1}};
    ds::Weights<M, T, ds::Cpu> weights{cpu};
    auto const all = places<T>();
    std::size_t i = 0;
    M::visit(
        [&]<class View>(ds::Info const& info, View& view) {
            REQUIRE(i < all.size());
            auto const& [name, place] = all[i++];
            CHECK(name == ds::full_name(info));
            CHECK(place.rows == View::rows);
            CHECK(place.cols == View::cols);
            CHECK(reinterpret_cast<std::byte*>(view.data) == weights.data() + place.offset);
            ds::with_element<T>(place, [&]<class E>(std::type_identity<E>) {
                CHECK(std::is_same_v<E, typename View::element>);
            });
        },
        weights.params());
    CHECK(i == all.size());
}

TEST_CASE("each_tensor: places fill the buffer without gaps of more than the alignment") {
    ds::index_t end = 0;
    for (auto const& [name, place] : places<float>()) {
        INFO(name);
        CHECK(place.offset >= end);
        CHECK(place.offset < end + 64);
        CHECK(place.offset % 64 == 0);
        end = place.offset + place.size() * 4;
    }
    CHECK(ds::param_bytes<M, float> == ds::round_up(end, 64));
}

TEST_CASE("visit: every tensor has a name of its own; the router's bias alone is wide") {
    std::set<std::string> names;
    int biases = 0;
    for (auto const& [name, place] : places<ds::bf16>()) {
        CHECK(names.insert(name).second);
        bool const bias = name.ends_with("e_score_correction_bias");
        CHECK(place.wide == bias);
        biases += bias;
    }
    CHECK(biases == 3);  // two blocks and the MTP module
    CHECK(names.count("model.layers.1.mlp.experts.0.gate_proj.weight") == 1);
    CHECK(names.count("model.layers.3.eh_proj.weight") == 1);
}
