// SPDX-License-Identifier: MIT
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/ops/arguments/rope.hpp>
#include <deepseek/ops/arguments/rotation.hpp>
#include <deepseek/ops/elementwise.hpp>
#include <deepseek/ops/rope.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace ds = deepseek;

namespace elsewhere {

// A backend that brings operations of its own and lacks everything the reference loops would need.
struct Special {
    using own = ds::OperationList<ds::ops::Add, ds::ops::Rotate>;
    std::string called{};
};

template <class T>
void compute(ds::ops::Add, Special& be, ds::Strided<T>, ds::Strided<T const>, ds::Strided<T const>) {
    be.called += "add ";
}
template <class T>
void compute(ds::ops::Rotate, Special& be, ds::Strided<T> x, ds::Rotation const& rotation,
             std::int32_t const*) {
    be.called += "rotate " + std::to_string(rotation.heads) + ' ' + std::to_string(rotation.head_stride) +
                 ' ' + std::to_string(x.cols);
}

}  // namespace elsewhere

TEST_CASE("operations: what a backend lists is its own function, not the reference loop") {
    elsewhere::Special be;
    float memory[8] = {};
    ds::Rows<float, 8> const x{memory, 1};
    ds::ops::add(be, x, x, x);
    ds::ops::rotate<2, 4, 1>(be, x, ds::ops::RotaryTable<2>{ds::Rope{}}, 1, 0);
    CHECK(be.called == "add rotate 2 4 7");
}
