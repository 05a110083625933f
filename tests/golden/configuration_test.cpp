// SPDX-License-Identifier: MIT
// labels: golden
// The types of golden_models.hpp are the models of configurations.py: what the other tests here compare is the same.
#include <deepseek/format/config.hpp>
#include <deepseek/format/huggingface.hpp>

#include "golden/golden.hpp"
#include "golden/golden_models.hpp"
#include <doctest/doctest.h>

#include <type_traits>

using namespace deepseek_tests;
namespace ds = deepseek;

TEST_CASE("golden models: each type is the model of its fixture's config.json, and of no other") {
    char const* const names[] = {"t1", "t2", "t3", "t4", "t5"};
    for (int i = 0; i < 5; ++i) {
        auto const file = ds::format::parse_config(Fixture(names[i]).config().dump());
        int type = 0;
        auto const compare = [&]<class M>(std::type_identity<M>) {
            CAPTURE(names[i]);
            CAPTURE(names[type]);
            if (i == type) {
                CHECK_NOTHROW(ds::format::expect_config_of<M>(file, "config.json"));
            } else {
                CHECK_THROWS_AS(ds::format::expect_config_of<M>(file, "config.json"), ds::FormatError);
            }
            ++type;
        };
        compare(std::type_identity<T1>{});
        compare(std::type_identity<T2>{});
        compare(std::type_identity<T3>{});
        compare(std::type_identity<T4>{});
        compare(std::type_identity<T5>{});
    }
}
