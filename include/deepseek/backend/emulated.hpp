// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_EMULATED_HPP
#define DEEPSEEK_BACKEND_EMULATED_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/backend/gpu/backend.hpp>
#include <deepseek/backend/gpu/compute.hpp>
#include <deepseek/backend/gpu/emulated_device.hpp>

namespace deepseek::inline DEEPSEEK_ABI {

/// The GPU backend on a GPU that the host plays: for tests of layers, operations and programs that are to run on a device.
/// Slow, on one thread.
///
///     ds::Emulated be{{.order = ds::gpu::Order::scattered}};
///     ds::testing::check_layer<MyLayer>(be);
///
/// See EmulatedDevice for what it finds, and Gpu for what is counted.
using Emulated = Gpu<EmulatedDevice>;

static_assert(Backend<Emulated>);

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
