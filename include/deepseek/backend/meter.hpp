// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_METER_HPP
#define DEEPSEEK_BACKEND_METER_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/backend/operations.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/ops/arguments/attention.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace deepseek::inline DEEPSEEK_ABI {

/// Computes nothing and counts: a dry run of a program written for a backend says what it would take. Its memory has
/// addresses but no bytes behind them; what is copied to the host is zeros.
///
/// Units:     bytes; floating-point operations of products and attention, a multiply-add as two
class Meter {
public:
    using own = OperationList<ops::Matmul,           //
                              ops::GroupedMatmulNt,  //
                              ops::GroupedMatmulNn,  //
                              ops::GroupedMatmulTn,  //
                              ops::Attention,        //
                              ops::AttentionBackward>;

    Meter() : scratch_(*this) {}

    index_t bytes() const { return bytes_; }            ///< held now
    index_t peak_bytes() const { return peak_bytes_; }  ///< the most ever held at once
    double operations() const { return operations_; }
    index_t launches() const { return launches_; }  ///< products and loops

    Arena<Meter>& scratch() { return scratch_; }

    std::byte* allocate(index_t bytes) {
        bytes_ += bytes;
        peak_bytes_ = std::max(peak_bytes_, bytes_);
        auto const address = next_address_;
        next_address_ += static_cast<std::uintptr_t>(round_up(bytes, kAlignment));
        return reinterpret_cast<std::byte*>(address);
    }
    void deallocate(std::byte*, index_t bytes) noexcept { bytes_ -= bytes; }

    void copy_from_host(void*, void const*, index_t) {}
    void copy_to_host(void* to, void const*, index_t bytes) {
        std::memset(to, 0, static_cast<std::size_t>(bytes));
    }
    void copy(void*, void const*, index_t) {}
    void fill_zero(void*, index_t) {}
    void synchronize() {}

    template <class F>
    void for_each(index_t, index_t, F const&) {
        ++launches_;
    }

    /// Notes one product of so many floating-point operations.
    void count(double operations) {
        operations_ += operations;
        ++launches_;
    }

private:
    static constexpr index_t kAlignment = 64;

    index_t bytes_ = 0;
    index_t peak_bytes_ = 0;
    double operations_ = 0;
    index_t launches_ = 0;
    std::uintptr_t next_address_ = kAlignment;  // never null
    Arena<Meter> scratch_;
};

// The operations whose arithmetic is counted; everything else is composed of loops, which are only counted.

template <class C, class A, class W>
void compute(ops::Matmul, Meter& meter, Strided<C> out, Strided<A> a, bool transpose_a, Strided<W>, bool,
             bool) {
    auto const depth = transpose_a ? a.rows : a.cols;
    meter.count(2.0 * static_cast<double>(out.rows) * static_cast<double>(out.cols) *
                static_cast<double>(depth));
}

template <class C, class A, class W>
void compute(ops::GroupedMatmulNt, Meter& meter, Strided<C> out, Strided<A> in, Strided<W>,
             std::int32_t const*, index_t, bool) {
    meter.count(2.0 * static_cast<double>(out.rows) * static_cast<double>(out.cols) *
                static_cast<double>(in.cols));
}

template <class C, class A, class W>
void compute(ops::GroupedMatmulNn, Meter& meter, Strided<C> out, Strided<A> in, Strided<W>,
             std::int32_t const*, index_t, bool) {
    meter.count(2.0 * static_cast<double>(out.rows) * static_cast<double>(out.cols) *
                static_cast<double>(in.cols));
}

template <class C, class A, class X>
void compute(ops::GroupedMatmulTn, Meter& meter, Strided<C>, Strided<A> a, Strided<X> b, std::int32_t const*,
             index_t, bool) {
    meter.count(2.0 * static_cast<double>(a.rows) * static_cast<double>(a.cols) *
                static_cast<double>(b.cols));
}

namespace detail {
// Pairs of query and key that attention looks at, over all sequences and heads.
inline double visible_pairs(AttentionShape const& shape) {
    double pairs = 0;
    for (index_t query = 0; query < shape.length_q; ++query) {
        pairs += static_cast<double>(std::min(shape.visible(query), shape.length_k));
    }
    return pairs * static_cast<double>(shape.sequences * shape.heads);
}
}  // namespace detail

template <class T, class L>
void compute(ops::Attention, Meter& meter, Strided<T>, Strided<L>, Strided<T const>, Strided<T const>,
             Strided<T const>, AttentionShape const& shape) {
    meter.count(2.0 * detail::visible_pairs(shape) * static_cast<double>(shape.key_width() + shape.value));
}

template <class T, class L>
void compute(ops::AttentionBackward, Meter& meter, Strided<T>, Strided<T>, Strided<T>, Strided<T const>,
             Strided<T const>, Strided<L const>, Strided<T const>, Strided<T const>, Strided<T const>,
             AttentionShape const& shape) {
    meter.count(2.0 * detail::visible_pairs(shape) *
                static_cast<double>(3 * shape.key_width() + 2 * shape.value));
}

static_assert(Backend<Meter>);

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
