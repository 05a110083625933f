// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_OPERATIONS_HPP
#define DEEPSEEK_BACKEND_OPERATIONS_HPP

#include <deepseek/config.hpp>

#include <type_traits>

// The boundary between layers and backends: the name of every operation, and how a backend says which of them it
// computes with code of its own. What an operation means stands at its door, ops/<op>.hpp; the loop that defines it in
// ops/reference/. Behind the door no code depends on the width of a row: tensors are Strided, vectors are pointers.

namespace deepseek::inline DEEPSEEK_ABI {

namespace ops {

// ops/matmul.hpp
struct Matmul {};
// ops/grouped_matmul.hpp
struct GroupedMatmulNt {};
struct GroupedMatmulNn {};
struct GroupedMatmulTn {};
// ops/attention.hpp
struct Attention {};
struct AttentionBackward {};
// ops/latent_attention.hpp
struct AbsorbQuery {};
struct LatentAttention {};
struct ExpandValues {};
// ops/cross_entropy.hpp
struct CrossEntropy {};
struct CrossEntropyLoss {};
// ops/head_loss.hpp
struct HeadLoss {};
struct HeadLossBackward {};
// ops/adamw.hpp
struct AdamW {};
// ops/reduce.hpp
struct AddValue {};
struct AddSum {};
struct SumOfSquares {};
// ops/convert.hpp
struct ConvertSet {};
// ops/expert_load.hpp
struct CollectLoads {};
struct UpdateBiases {};
// ops/rms_norm.hpp
struct RmsNorm {};
struct RmsNormBackward {};
// ops/add_rms_norm.hpp
struct AddRmsNorm {};
// ops/swiglu.hpp
struct SwiGLU {};
struct SwiGLUBackward {};
// ops/gated_matmul.hpp
struct GatedMatmul {};
struct GroupedGatedMatmul {};
// ops/elementwise.hpp
struct Transform {};
struct Add {};
struct Accumulate {};
struct Copy {};
struct Fill {};
struct Scale {};
// ops/bias.hpp
struct AddBias {};
struct BiasBackward {};
// ops/dispatch.hpp
struct DispatchPairs {};
struct CountLoad {};
struct GatherPairs {};
struct CombinePairs {};
struct GateBackward {};
// ops/dropout.hpp
struct ApplyDropout {};
// ops/embedding.hpp
struct Embed {};
struct EmbedBackward {};
// ops/rope.hpp
struct Rotate {};
// ops/route.hpp
struct Route {};
struct RouteBackward {};
struct SequenceWeights {};
struct BalanceLoss {};
// ops/route_pairs.hpp
struct RoutePairs {};
// ops/shift.hpp
struct ShiftTokens {};
struct FindDocumentStarts {};
struct ShiftDocuments {};
struct DropLast {};
struct DropLastBackward {};

}  // namespace ops

/// The operations that a backend has of its own: `using own = OperationList<ops::Matmul, …>;` in its class. For each it
/// has a function compute(ops::Matmul, backend&, …) beside the class, whose arguments are those of the reference loop.
/// A listed operation whose function does not fit is an error of the compiler; one that is not listed runs the loop.
template <class... Op>
struct OperationList {
    template <class Wanted>
    static constexpr bool has = (std::is_same_v<Wanted, Op> || ...);
};

namespace detail {
template <class B, class Op>
constexpr bool lists() {
    if constexpr (requires { typename B::own; }) {
        return B::own::template has<Op>;
    } else {
        return false;
    }
}
}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
