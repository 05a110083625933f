// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_COMPILED_HPP
#define DEEPSEEK_BACKEND_CPU_COMPILED_HPP

#include <deepseek/backend/cpu.hpp>

// Which versions of the Cpu's operations the CMake target deepseek::cpu_compiled compiles once for a program: of float, and of
// bf16 with float masters. Others, like those of double, are compiled where they are used, as all are without the target.
//
// With the target this header is part of backend/cpu.hpp and declares them; in cpu_compiled.cpp it defines them.

#if defined(DEEPSEEK_CPU_COMPILED_HERE)
#define DEEPSEEK_COMPILED template
#else
#define DEEPSEEK_COMPILED extern template
#endif

namespace deepseek::inline DEEPSEEK_ABI {

// Operations on activations and weights of T, with sums, gradients and gates of S.
#define DEEPSEEK_COMPILED_FOR(T, S)                                                                          \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::Matmul, Cpu&, Strided<T>, Strided<T const>, bool,               \
                                        Strided<T const>, bool, bool);                                       \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::GroupedMatmulNt, Cpu&, Strided<T>, Strided<T const>,            \
                                        Strided<T const>, std::int32_t const*, index_t, bool);               \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::GroupedMatmulNn, Cpu&, Strided<T>, Strided<T const>,            \
                                        Strided<T const>, std::int32_t const*, index_t, bool);               \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::GroupedMatmulTn, Cpu&, Strided<S>, Strided<T const>,            \
                                        Strided<T const>, std::int32_t const*, index_t, bool);               \
    DEEPSEEK_COMPILED void compute<Cpu, T>(ops::Attention, Cpu&, Strided<T>, Strided<S>, Strided<T const>,   \
                                           Strided<T const>, Strided<T const>, AttentionShape const&);       \
    DEEPSEEK_COMPILED void compute<Cpu, T>(ops::AttentionBackward, Cpu&, Strided<T>, Strided<T>, Strided<T>, \
                                           Strided<T const>, Strided<T const>, Strided<S const>,             \
                                           Strided<T const>, Strided<T const>, Strided<T const>,             \
                                           AttentionShape const&);                                           \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::AbsorbQuery, Cpu&, Strided<T>, Strided<T const>,                \
                                        Strided<T const>, HeadProducts const&);                              \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::ExpandValues, Cpu&, Strided<T>, Strided<T const>,               \
                                        Strided<T const>, HeadProducts const&);                              \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::LatentAttention, Cpu&, Strided<T>, Strided<T const>,            \
                                        Strided<T const>, Strided<T const>, Strided<T const>,                \
                                        LatentShape const&);                                                 \
    DEEPSEEK_COMPILED void compute<Cpu, T>(ops::CrossEntropy, Cpu&, Strided<T>, Token const*, Strided<S>,    \
                                           S);                                                               \
    DEEPSEEK_COMPILED void compute<Cpu, T>(ops::CrossEntropyLoss, Cpu&, Strided<T const>, Token const*,      \
                                           Strided<S>);                                                      \
    DEEPSEEK_COMPILED void compute<Cpu, T>(ops::RmsNorm, Cpu&, Strided<T>, Strided<T const>, T const*,       \
                                           Strided<S>, double);                                              \
    DEEPSEEK_COMPILED void compute<Cpu, T>(ops::RmsNormBackward, Cpu&, Strided<T>, S*, Strided<T const>,     \
                                           Strided<T const>, T const*, Strided<S const>, bool);              \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::SwiGLU, Cpu&, Strided<T>, Strided<T const>, Strided<T const>);  \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::SwiGLUBackward, Cpu&, Strided<T>, Strided<T>, Strided<T>,       \
                                        Strided<T const>, Strided<T const>, Strided<T const>);               \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::BiasBackward, Cpu&, S*, Strided<T const>);                      \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::EmbedBackward, Cpu&, Strided<S>, Strided<T const>,              \
                                        Token const*);                                                       \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::CombinePairs, Cpu&, Strided<T>, Strided<T const>,               \
                                        Strided<S const>, std::int32_t const*, bool);                        \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::GateBackward, Cpu&, Strided<S>, Strided<T>, Strided<T>,         \
                                        Strided<S const>, std::int32_t const*);                              \
    DEEPSEEK_COMPILED void compute<Cpu>(ops::Rotate, Cpu&, Strided<T>, Rotation const&, std::int32_t const*);
DEEPSEEK_COMPILED_FOR(float, float)
DEEPSEEK_COMPILED_FOR(bf16, float)
#undef DEEPSEEK_COMPILED_FOR

// What is computed in float whatever the activations are, and what bf16 has beside its own: gradients and routers.
DEEPSEEK_COMPILED void compute<Cpu>(ops::AdamW, Cpu&, float*, float const*, float*, float*, Segments const&,
                                    ops::AdamWConstants<float> const&);
DEEPSEEK_COMPILED void compute<Cpu>(ops::SumOfSquares, Cpu&, double*, float const*, Segments const&);
DEEPSEEK_COMPILED void compute<Cpu, float>(ops::Route, Cpu&, Strided<float>, float const*,
                                           Strided<std::int32_t>, Strided<float>, Routing const&);
DEEPSEEK_COMPILED void compute<Cpu, float>(ops::BalanceLoss, Cpu&, Strided<float>, Strided<float>,
                                           Strided<float const>, Token const*, double const*, index_t);
DEEPSEEK_COMPILED void compute<Cpu>(ops::Matmul, Cpu&, Strided<float>, Strided<bf16 const>, bool,
                                    Strided<bf16 const>, bool, bool);
DEEPSEEK_COMPILED void compute<Cpu>(ops::Matmul, Cpu&, Strided<float>, Strided<float const>, bool,
                                    Strided<bf16 const>, bool, bool);
DEEPSEEK_COMPILED void compute<Cpu>(ops::CombinePairs, Cpu&, Strided<bf16>, Strided<bf16 const>,
                                    Strided<bf16 const>, std::int32_t const*, bool);

}  // namespace deepseek::inline DEEPSEEK_ABI

#undef DEEPSEEK_COMPILED

#endif
