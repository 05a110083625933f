// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_HPP
#define DEEPSEEK_BACKEND_CPU_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/backend/cpu/attention.hpp>
#include <deepseek/backend/cpu/latent_attention.hpp>
#include <deepseek/backend/cpu/matmul.hpp>
#include <deepseek/backend/cpu/pool.hpp>
#include <deepseek/backend/cpu/rows/adamw.hpp>
#include <deepseek/backend/cpu/rows/bias.hpp>
#include <deepseek/backend/cpu/rows/cross_entropy.hpp>
#include <deepseek/backend/cpu/rows/dispatch.hpp>
#include <deepseek/backend/cpu/rows/embedding.hpp>
#include <deepseek/backend/cpu/rows/reduce.hpp>
#include <deepseek/backend/cpu/rows/rms_norm.hpp>
#include <deepseek/backend/cpu/rows/rope.hpp>
#include <deepseek/backend/cpu/rows/route.hpp>
#include <deepseek/backend/cpu/rows/swiglu.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

/// Computes on the host's processor: double, float, and float with bf16 weights.
///
/// Results are the same bits for any number of threads: every sum has an order that depends on the extents alone. One
/// Cpu serves one thread of the program at a time; make one per thread.
class Cpu {
public:
    using own = OperationList<ops::Matmul,             //
                              ops::GroupedMatmulNt,    //
                              ops::GroupedMatmulNn,    //
                              ops::GroupedMatmulTn,    //
                              ops::Attention,          //
                              ops::AttentionBackward,  //
                              ops::AbsorbQuery,        //
                              ops::LatentAttention,    //
                              ops::ExpandValues,       //
                              ops::CrossEntropy,       //
                              ops::CrossEntropyLoss,   //
                              ops::RmsNorm,            //
                              ops::RmsNormBackward,    //
                              ops::SwiGLU,             //
                              ops::SwiGLUBackward,     //
                              ops::AdamW,              //
                              ops::SumOfSquares,       //
                              ops::BiasBackward,       //
                              ops::EmbedBackward,      //
                              ops::CombinePairs,       //
                              ops::GateBackward,       //
                              ops::Route,              //
                              ops::BalanceLoss,        //
                              ops::Rotate>;

    struct Options {
        int threads = 0;  ///< 0: as many as the machine runs at once
    };

    /// Errors:    Error if the number of threads is negative or the system refuses one
    explicit Cpu(Options options = {.threads = 0}) : pool_(thread_count(options.threads)), scratch_(*this) {}

    int threads() const { return pool_.threads(); }
    cpu::Pool& pool() { return pool_; }
    /// Memory for temporaries inside one operation.
    Arena<Cpu>& scratch() { return scratch_; }

    /// Errors:    Error if the system has no memory left
    std::byte* allocate(index_t bytes) { return memory_.allocate(bytes); }
    void deallocate(std::byte* memory, index_t bytes) noexcept { memory_.deallocate(memory, bytes); }

    void copy_from_host(void* to, void const* from, index_t bytes) { copy(to, from, bytes); }
    void copy_to_host(void* to, void const* from, index_t bytes) { copy(to, from, bytes); }
    void copy(void* to, void const* from, index_t bytes) {
        if (bytes > 0) {
            std::memmove(to, from, static_cast<std::size_t>(bytes));
        }
    }
    void fill_zero(void* to, index_t bytes) {
        if (bytes > 0) {
            std::memset(to, 0, static_cast<std::size_t>(bytes));
        }
    }
    void synchronize() {}

    /// f(i) for every i in [0, count), spread over the threads where that pays (see concept Loops); f(i, workspace) where
    /// it takes the scratch memory of the worker that calls it.
    template <class F>
    void for_each(index_t count, index_t cost, F const& f) {
        auto const part = std::max<index_t>(1, kPartElements / std::max<index_t>(1, cost));
        pool_.run(ceil_div(count, part), [&](index_t task, int worker) {
            auto const end = std::min(count, (task + 1) * part);
            for (auto i = task * part; i < end; ++i) {
                if constexpr (std::is_invocable_v<F const&, index_t, cpu::Workspace&>) {
                    f(i, pool_.workspace(worker));
                } else {
                    f(i);
                }
            }
        });
    }

private:
    // Handing out a part costs about half a microsecond; this many elements take several.
    static constexpr index_t kPartElements = 8192;

    static int thread_count(int wanted) {
        expects(wanted >= 0, "Cpu: the number of threads is negative: ", wanted);
        return wanted > 0 ? wanted : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    }

    cpu::HostMemory memory_;
    cpu::Pool pool_;
    Arena<Cpu> scratch_;
};

static_assert(Backend<Cpu>);

}  // namespace deepseek::inline DEEPSEEK_ABI

#if defined(DEEPSEEK_CPU_COMPILED)
#include <deepseek/backend/cpu/compiled.hpp>
#endif

#endif
