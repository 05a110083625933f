// SPDX-License-Identifier: MIT
#include <deepseek/backend/emulated.hpp>
#include <deepseek/core/buffer.hpp>
#include <deepseek/core/dtype.hpp>

#include "reference/matmul.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

using namespace deepseek;
using reference::Guarded;
using reference::Numbers;

constexpr index_t kPad = 3;

// A matrix of random numbers, and the same in the device's memory, guards and all.
template <class T>
struct Operand {
    Guarded<T> host;
    Buffer<Emulated> memory;
    Strided<T> device;

    Operand(Emulated& be, index_t rows, index_t cols, std::uint64_t seed)
        : host(rows, cols, kPad, convert<T>(-77.0F)), memory(be, bytes()), device(host.view) {
        Numbers numbers(seed);
        host.fill(numbers);
        device.data = reinterpret_cast<T*>(memory.data()) + kPad;
        upload(be);
    }
    index_t bytes() const { return static_cast<index_t>(host.elements.size() * sizeof(T)); }
    Strided<T const> read() const { return device; }
    void upload(Emulated& be) { be.copy_from_host(memory.data(), host.elements.data(), bytes()); }
    void download(Emulated& be) { be.copy_to_host(host.elements.data(), memory.data(), bytes()); }
    // What an overwritten result may have held.
    void poison(Emulated& be) {
        host.fill(std::numeric_limits<T>::quiet_NaN());
        upload(be);
    }
};

template <class T>
Strided<T const> rows_of(Strided<T> all, index_t begin, index_t count) {
    return {all.row(begin), count, all.cols, all.stride};
}

template <class First, class Second>
struct Types {
    using T = First;
    using W = Second;
};

}  // namespace

TYPE_TO_STRING_AS("double", Types<double, double>);
TYPE_TO_STRING_AS("float", Types<float, float>);
TYPE_TO_STRING_AS("float with bf16", Types<float, bf16>);

TEST_CASE_TEMPLATE("Emulated: products agree with their definition, in every orientation", P,
                   Types<double, double>, Types<float, float>, Types<float, bf16>) {
    using T = typename P::T;
    using W = typename P::W;
    Emulated be{{.order = gpu::Order::scattered}};
    constexpr index_t kRows = 5, kCols = 7, kDepth = 19;
    for (int choice = 0; choice < 8; ++choice) {
        bool const transpose_a = (choice & 1) != 0, transpose_b = (choice & 2) != 0, add = (choice & 4) != 0;
        CAPTURE(choice);
        Operand<T> const a(be, transpose_a ? kDepth : kRows, transpose_a ? kRows : kDepth, 1);
        Operand<W> const b(be, transpose_b ? kCols : kDepth, transpose_b ? kDepth : kCols, 2);
        Operand<T> const before(be, kRows, kCols, 3);
        Operand<T> out(be, kRows, kCols, 3);
        if (!add) {
            out.poison(be);
        }
        matmul_impl(be, out.device, a.read(), transpose_a, b.read(), transpose_b, add);
        out.download(be);
        CHECK(reference::worst_error<T>(out.host.view, a.host.read(), transpose_a, b.host.read(), transpose_b,
                                        add, before.host.read()) <= 1);
        CHECK(out.host.guards_untouched());
    }
}

TEST_CASE_TEMPLATE("Emulated: products of groups agree with products of each group, none of rows included", P,
                   Types<double, double>, Types<float, float>, Types<float, bf16>) {
    using T = typename P::T;
    using W = typename P::W;
    Emulated be{{.order = gpu::Order::backwards}};
    constexpr index_t kOut = 6, kIn = 11, kRows = 9, kGroups = 5;
    std::int32_t const offsets[kGroups + 1] = {0, 0, 4, 5, 5, 9};  // the first and the fourth have none
    Buffer<Emulated> const memory(be, sizeof offsets);
    be.copy_from_host(memory.data(), offsets, sizeof offsets);
    auto const* const device_offsets = reinterpret_cast<std::int32_t const*>(memory.data());

    for (bool const add : {false, true}) {
        CAPTURE(add);
        Operand<T> const in(be, kRows, kIn, 1), out(be, kRows, kOut, 2);
        Operand<W> const weight(be, kGroups * kOut, kIn, 3);
        Operand<T> y(be, kRows, kOut, 2), x(be, kRows, kIn, 1), w(be, kGroups * kOut, kIn, 4);
        Operand<T> const w_before(be, kGroups * kOut, kIn, 4);
        if (!add) {
            y.poison(be);
            x.poison(be);
            w.poison(be);
        }
        grouped_matmul_nt_impl(be, y.device, in.read(), weight.read(), device_offsets, kGroups, add);
        grouped_matmul_nn_impl(be, x.device, out.read(), weight.read(), device_offsets, kGroups, add);
        grouped_matmul_tn_impl(be, w.device, out.read(), in.read(), device_offsets, kGroups, add);
        y.download(be);
        x.download(be);
        w.download(be);
        for (index_t g = 0; g < kGroups; ++g) {
            CAPTURE(g);
            auto const begin = index_t{offsets[g]};
            auto const count = offsets[g + 1] - begin;
            auto const of_group = rows_of(weight.host.view, g * kOut, kOut);
            CHECK(reference::worst_error<T>(rows_of(y.host.view, begin, count),
                                            rows_of(in.host.view, begin, count), false, of_group, true, add,
                                            rows_of(out.host.view, begin, count)) <= 1);
            CHECK(reference::worst_error<T>(rows_of(x.host.view, begin, count),
                                            rows_of(out.host.view, begin, count), false, of_group, false, add,
                                            rows_of(in.host.view, begin, count)) <= 1);
            CHECK(reference::worst_error<T>(rows_of(w.host.view, g * kOut, kOut),
                                            rows_of(out.host.view, begin, count), true,
                                            rows_of(in.host.view, begin, count), false, add,
                                            rows_of(w_before.host.view, g * kOut, kOut)) <= 1);
        }
        CHECK(y.host.guards_untouched());
        CHECK(x.host.guards_untouched());
        CHECK(w.host.guards_untouched());
    }
}
