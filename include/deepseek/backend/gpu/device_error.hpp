// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_GPU_DEVICE_ERROR_HPP
#define DEEPSEEK_BACKEND_GPU_DEVICE_ERROR_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI {

/// A device, or the library that drives it, refused.
class DeviceError : public Error {
public:
    using Error::Error;
};

/// A device has not as much memory as was asked for.
///
/// Units:     bytes
class OutOfMemory : public DeviceError {
public:
    OutOfMemory(std::string_view device, index_t asked, index_t held, index_t free, index_t memory)
        : DeviceError(message(device, ": no room for ", asked, " bytes: ", held, " are held, and of its ",
                              memory, " bytes ", free, " are free")),
          asked_(asked),
          held_(held),
          free_(free) {}

    index_t asked() const { return asked_; }
    index_t held() const { return held_; }  ///< by the backend that asked
    index_t free() const { return free_; }  ///< of the device, though perhaps not in one piece

private:
    index_t asked_;
    index_t held_;
    index_t free_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
