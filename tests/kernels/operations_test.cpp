// SPDX-License-Identifier: MIT
// The operations that a GPU has kernels for: kernels equal the loops that define the operations, and a fault planted in a
// kernel is found by comparing them.
#include <deepseek/core/error.hpp>

#include "kernels/mutant_device.hpp"
#include "kernels/operation_cases.hpp"
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace deepseek_tests;

namespace {

using Mutants = ds::Gpu<MutantDevice>;

/// Whether the fault shows, in one of a few schedules.
template <class Case>
bool found(Case const& c, std::vector<double> const& expected, Fault& fault) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        Mutants be{{.fault = &fault, .seed = ds::Seed{seed}}};
        try {
            if (!(difference(c.run(be), expected) < kBound)) {
                return true;
            }
        } catch (ds::Error const&) {
            return true;
        }
    }
    return false;
}

template <class Case>
void check(Case const& c) {
    auto const expected = expected_of(c);
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        Fault none;
        Mutants be{{.fault = &none, .seed = ds::Seed{seed}}};
        CHECK(difference(c.run(be), expected) < kBound);
        CHECK(be.counts().kernels == Case::kernels);
        CHECK(be.counts().launches == Case::kernels);
    }
}

/// From the given one on, every barrier and every shuffle of the kernels is taken away in turn, and their blocks exchanged.
template <class Case>
void check_faults(Case const& c, int first_kernel = 0) {
    auto const expected = expected_of(c);
    Fault probe;
    {
        Mutants be{{.fault = &probe}};
        c.run(be);
    }
    REQUIRE(probe.done.size() == Case::kernels);
    int hidden_barriers = 0;
    for (int kernel = first_kernel; kernel < Case::kernels; ++kernel) {
        CAPTURE(kernel);
        auto const done = probe.done[static_cast<std::size_t>(kernel)];
        for (int i = 0; i < done.barriers; ++i) {
            Fault fault{.kernel = kernel, .barrier = i};
            hidden_barriers += found(c, expected, fault) ? 0 : 1;
        }
        for (int i = 0; i < done.shuffles; ++i) {
            Fault fault{.kernel = kernel, .shuffle = i};
            CAPTURE(i);
            CHECK(found(c, expected, fault));
        }
        if (done.blocks > 1) {
            // Blocks that know where they are from their number alone do the same work in another order.
            Fault fault{.kernel = kernel, .blocks = 1};
            CHECK_FALSE(found(c, expected, fault));
        }
    }
    CHECK(hidden_barriers == Case::spare);
}

}  // namespace

TEST_CASE("kernels: RMSNorm is its reference loop, on and off the edges of warps and blocks") {
    rms_norm_cases([](auto const& c) { check(c); });
}

TEST_CASE("kernels: cross-entropy is its reference loop, for vocabularies smaller and larger than a block") {
    cross_entropy_cases([](auto const& c) { check(c); });
}

TEST_CASE("kernels: products are their reference loops, on and off the edges of tiles") {
    matmul_cases([](auto const& c) { check(c); });
}

TEST_CASE_TEMPLATE("kernels: grouped products are their reference loops, however rows are distributed", Op,
                   ds::ops::GroupedMatmulNt, ds::ops::GroupedMatmulNn, ds::ops::GroupedMatmulTn) {
    grouped_cases<Op>([](auto const& c) { check(c); });
}

TEST_CASE("kernels: attention is its reference loop, on and off the edges of tiles") {
    attention_cases([](auto const& c) { check(c); });
}

TEST_CASE("kernels: SwiGLU, AdamW, sums and conversions over a set are their reference loops") {
    set_cases([](auto const& c) { check(c); });
}

TEST_CASE(
    "kernels: a barrier or shuffle that is missing is found, be it any of norms, losses, products and sums") {
    check_faults(Set{});
    check_faults(RmsNorm{});
    check_faults(RmsNormBackward{});
    // Of logits so far apart the largest matters: without it exponentials overflow.
    check_faults(CrossEntropy{.deviation = 1e5});
    check_faults(CrossEntropyLoss{.deviation = 1e5});
    check_faults(Matmul{});
    check_faults(Grouped<ds::ops::GroupedMatmulNt>{});
    check_faults(Grouped<ds::ops::GroupedMatmulTn>{});
}

TEST_CASE("kernels: a barrier or shuffle that is missing is found, be it any of attention") {
    Attention far_apart;
    far_apart.shape.scale = 1000;  // of scores, too, the largest matters
    check_faults(far_apart);
    check_faults(AttentionBackward{}, 1);
}

TEST_CASE("kernels: a mask that is off by one and a row that goes to the wrong expert are found") {
    Fault none;
    auto const expected = expected_of(Attention(40, 40, 2));
    Attention later(40, 40, 2);
    for (index_t row = 0; row < 80; ++row) {
        later.first_key.push_back(row == 61 ? 1 : 0);  // one query misses its first key
    }
    CHECK(found(later, expected, none));
    using Nt = Grouped<ds::ops::GroupedMatmulNt>;
    CHECK(found(Nt{{0, 32, 33, 34, 70}}, expected_of(Nt{}), none));
}
