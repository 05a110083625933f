// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FWD_HPP
#define DEEPSEEK_FWD_HPP

#include <deepseek/config.hpp>

#include <cstdint>

// Declares the public names that a header of yours may want to mention without their definitions. Templates whose
// arguments have defaults are declared where the defaults are: include their own headers.

namespace deepseek::inline DEEPSEEK_ABI {

using index_t = std::int64_t;
using Token = std::int32_t;

struct bf16;
struct Batch;
struct Info;
struct MLAOptions;
struct ModelOptions;
struct Pass;
struct Routing;
struct Schedule;
struct TrainOptions;

class Cpu;
class Meter;

template <class T, index_t R, index_t C>
struct Matrix;
template <class T, index_t C>
struct Rows;
template <class T>
struct Strided;
template <class B>
class Buffer;
template <class B>
class Arena;

template <index_t Hidden>
struct SwiGLU;
template <int Depth>
struct MTP;
template <int Count, class Attention, class FeedForward>
struct Blocks;
template <index_t Size>
struct Vocabulary;
template <class VocabularySize, class... Parts>
struct Model;

template <class M, class T, class B>
class Weights;
template <class M, class T, class B>
class Trainer;
template <class M, class W, class B>
class Session;

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
