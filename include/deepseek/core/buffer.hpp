// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_BUFFER_HPP
#define DEEPSEEK_CORE_BUFFER_HPP

#include <deepseek/core/index.hpp>

#include <cstddef>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI {

/// Memory of backend B: owning, move-only, aligned to 64 bytes or more. The backend must outlive it.
///
/// Errors:    what the backend's `allocate` throws; Error on a negative size
template <class B>
class Buffer {
public:
    Buffer() = default;
    Buffer(B& backend, index_t bytes) : backend_(&backend), bytes_(bytes) {
        expects(bytes >= 0, "Buffer: negative size");
        data_ = bytes > 0 ? backend.allocate(bytes) : nullptr;
    }
    Buffer(Buffer&& other) noexcept
        : backend_(std::exchange(other.backend_, nullptr)),
          data_(std::exchange(other.data_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)) {}
    Buffer& operator=(Buffer other) noexcept {
        std::swap(backend_, other.backend_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~Buffer() {
        if (data_ != nullptr) {
            backend_->deallocate(data_, bytes_);
        }
    }

    std::byte* data() const { return data_; }
    index_t bytes() const { return bytes_; }

private:
    B* backend_ = nullptr;
    std::byte* data_ = nullptr;
    index_t bytes_ = 0;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
