// SPDX-License-Identifier: MIT
// Kernels on a CUDA GPU are the loops that define their operations, and give the same bits every time. Ends with 77 where
// there is no GPU.
#include <deepseek/backend/cuda.cuh>
#include <deepseek/core/error.hpp>

#include "kernels/operation_cases.hpp"

#include <cstdio>
#include <vector>

using namespace deepseek_tests;

namespace {

struct Tally {
    int cases = 0;
    int wrong = 0;     // values
    int changing = 0;  // bits, from one call to the next
    double worst = 0;
};

template <class Run>
void report(char const* name, Run const& run, Tally& all) {
    Tally own;
    run([&](auto const& c) {
        auto const expected = expected_of(c);
        ds::Cuda be;
        auto const given = c.run(be);
        auto const error = difference(given, expected);
        ++own.cases;
        own.wrong += error < kBound ? 0 : 1;
        own.changing += c.run(be) == given ? 0 : 1;
        own.worst = error <= own.worst ? own.worst : error;
    });
    std::printf("%-16s %6d %6d %9d %12g\n", name, own.cases, own.wrong, own.changing, own.worst);
    all.wrong += own.wrong;
    all.changing += own.changing;
}

}  // namespace

int main() {
    if (ds::CudaDevice::count() == 0) {
        std::puts("skipped: no CUDA GPU");
        return 77;
    }
    try {
        Tally all;
        std::printf("%-16s %6s %6s %9s %12s\n", "kernels", "cases", "wrong", "changing", "worst");
        report(
            "RMSNorm", [](auto const& check) { rms_norm_cases(check); }, all);
        report(
            "cross-entropy", [](auto const& check) { cross_entropy_cases(check); }, all);
        report(
            "products", [](auto const& check) { matmul_cases(check); }, all);
        report(
            "grouped, nt", [](auto const& check) { grouped_cases<ds::ops::GroupedMatmulNt>(check); }, all);
        report(
            "grouped, nn", [](auto const& check) { grouped_cases<ds::ops::GroupedMatmulNn>(check); }, all);
        report(
            "grouped, tn", [](auto const& check) { grouped_cases<ds::ops::GroupedMatmulTn>(check); }, all);
        report(
            "attention", [](auto const& check) { attention_cases(check); }, all);
        report(
            "SwiGLU, sets", [](auto const& check) { set_cases(check); }, all);
        return all.wrong + all.changing == 0 ? 0 : 1;
    } catch (ds::Error const& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
