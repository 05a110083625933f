// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_DEVICE_HPP
#define DEEPSEEK_APP_DEVICE_HPP

#include <deepseek/app/instruction_set.hpp>
#include <deepseek/config.hpp>
#include <deepseek/core/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// What a program computes with. Every program has the processor; the others it has if it was compiled so:
///   emulated  with DEEPSEEK_APP_EMULATED defined where app/train/model.hpp and app/generate/model.hpp are included
///   cuda      with DEEPSEEK_APP_CUDA defined there, and app/train/cuda.cuh and app/generate/cuda.cuh instantiated by nvcc
/// The programs of this project define them with the CMake options DEEPSEEK_EMULATED and DEEPSEEK_CUDA.
enum class Device : std::uint8_t { cpu, emulated, cuda };

/// By its name in the enumeration.
inline Device device_called(std::string_view name) {
    return name == "cuda" ? Device::cuda : name == "emulated" ? Device::emulated : Device::cpu;
}

struct Placement {
    Device device = Device::cpu;
    int threads = 0;  ///< of the processor; 0: as many as the machine has
};

/// Errors:    Error, always: a program lacks that device
[[noreturn]] inline void lacks(Device device) {
    bool const is_cuda = device == Device::cuda;
    throw Error(message("--device ", is_cuda ? "cuda" : "emulated",
                        ": this program was compiled without it; CMake's option is ",
                        is_cuda ? "DEEPSEEK_CUDA=ON, and needs nvcc" : "DEEPSEEK_EMULATED=ON"));
}

/// The machine that a backend computes on, in a few words.
template <class B>
std::string machine_of(B& be) {
    if constexpr (requires { be.threads(); }) {
        return message(be.threads(), " threads, compiled for ", compiled_instructions());
    } else {
        return std::string(be.device().name());
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
