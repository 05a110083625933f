// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_PLACED_HPP
#define DEEPSEEK_TESTS_SUPPORT_PLACED_HPP

#include <deepseek/core/buffer.hpp>
#include <deepseek/core/index.hpp>

#include <cstddef>
#include <vector>

// Data of a test in the memory of the backend under test, which the host may not be able to touch: `on(be, x)` copies
// there, `.back()` from there.

namespace deepseek_tests {

namespace ds = deepseek;
using ds::index_t;

/// A vector in a backend's memory.
template <class T, class B>
class PlacedVector {
public:
    PlacedVector(B& be, std::vector<T> const& values)
        : be_(&be), size_(values.size()), memory_(be, static_cast<index_t>(size_ * sizeof(T))) {
        be.copy_from_host(memory_.data(), values.data(), memory_.bytes());
    }
    T* data() { return reinterpret_cast<T*>(memory_.data()); }
    T const* data() const { return reinterpret_cast<T const*>(memory_.data()); }

    std::vector<T> back() const {
        std::vector<T> values(size_);
        be_->copy_to_host(values.data(), memory_.data(), memory_.bytes());
        return values;
    }

private:
    B* be_;
    std::size_t size_;
    ds::Buffer<B> memory_;
};

template <class T, class B>
PlacedVector<T, B> on(B& be, std::vector<T> const& values) {
    return {be, values};
}
}  // namespace deepseek_tests

#endif
