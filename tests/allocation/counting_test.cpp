// SPDX-License-Identifier: MIT
// Replaces operator new of this program by one that counts, and shows that it does.
#include "allocation/counting.hpp"

#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/arena.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <vector>

namespace {

std::atomic<std::int64_t> calls{0};

// Not inlined: g++ would see new given to free() and warn.
[[gnu::noinline]] void* take(std::size_t size, std::size_t alignment) noexcept {
    calls.fetch_add(1, std::memory_order_relaxed);
    auto const rounded = (size + alignment - 1) / alignment * alignment;  // as std::aligned_alloc asks for
    return std::aligned_alloc(alignment, rounded > 0 ? rounded : alignment);
}

void* take_or_throw(std::size_t size, std::size_t alignment) {
    auto* const memory = take(size, alignment);
    return memory != nullptr ? memory : throw std::bad_alloc();
}

[[gnu::noinline]] void give_back(void* memory) noexcept { std::free(memory); }

constexpr std::size_t kDefault = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
constexpr std::size_t bytes(std::align_val_t alignment) { return static_cast<std::size_t>(alignment); }

}  // namespace

std::int64_t deepseek_tests::allocations() { return calls.load(); }

// Every form, because a sanitizer's runtime has each of them and would not call another.
void* operator new(std::size_t n) { return take_or_throw(n, kDefault); }
void* operator new[](std::size_t n) { return take_or_throw(n, kDefault); }
void* operator new(std::size_t n, std::nothrow_t const&) noexcept { return take(n, kDefault); }
void* operator new[](std::size_t n, std::nothrow_t const&) noexcept { return take(n, kDefault); }
void* operator new(std::size_t n, std::align_val_t a) { return take_or_throw(n, bytes(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return take_or_throw(n, bytes(a)); }
void* operator new(std::size_t n, std::align_val_t a, std::nothrow_t const&) noexcept {
    return take(n, bytes(a));
}
void* operator new[](std::size_t n, std::align_val_t a, std::nothrow_t const&) noexcept {
    return take(n, bytes(a));
}
void operator delete(void* p) noexcept { give_back(p); }
void operator delete[](void* p) noexcept { give_back(p); }
void operator delete(void* p, std::size_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t) noexcept { give_back(p); }
void operator delete(void* p, std::nothrow_t const&) noexcept { give_back(p); }
void operator delete[](void* p, std::nothrow_t const&) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t, std::nothrow_t const&) noexcept { give_back(p); }
void operator delete[](void* p, std::align_val_t, std::nothrow_t const&) noexcept { give_back(p); }

namespace ds = deepseek;
using deepseek_tests::allocations;

namespace {
template <class F>
std::int64_t allocations_of(F const& f) {
    auto const before = allocations();
    f();
    return allocations() - before;
}
}  // namespace

TEST_CASE("allocations: containers, a backend's memory, arenas and the threads' scratch memory are counted") {
    CHECK(allocations_of([] {}) == 0);
    CHECK(allocations_of([] { std::vector<int>(1000).front() = 1; }) == 1);
    CHECK(allocations_of([] { std::make_unique<int[]>(3)[0] = 1; }) == 1);
    CHECK(allocations_of([] { std::thread([] { std::vector<int>(1000).front() = 1; }).join(); }) >= 2);

    ds::Cpu cpu{{.threads = 2}};
    CHECK(allocations_of([&] { cpu.deallocate(cpu.allocate(64), 64); }) == 1);
    CHECK(allocations_of([&] { cpu.scratch().take<float>(100); }) >= 1);
    CHECK(allocations_of([&] {
              cpu.pool().run(1, [&](ds::index_t, int worker) {
                  auto const scope = cpu.pool().workspace(worker).scope();
                  cpu.pool().workspace(worker).take<float>(1 << 20)[0] = 1;
              });
          }) >= 1);
}
