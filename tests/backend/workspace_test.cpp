// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu/workspace.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

namespace {

using namespace deepseek;
using cpu::Workspace;

TEST_CASE("Workspace: memory is aligned and does not overlap, in one scope and in nested ones") {
    Workspace workspace;
    Workspace::Scope outer{workspace};
    auto* const a = outer.take<float>(3);
    auto* const b = outer.take<double>(1000);
    std::fill(a, a + 3, 1.0F);
    std::fill(b, b + 1000, 2.0);
    {
        Workspace::Scope inner{workspace};
        auto* const c = inner.take<float>(100'000);
        std::fill(c, c + 100'000, 3.0F);
        CHECK(reinterpret_cast<std::uintptr_t>(c) % Workspace::kAlignment == 0);
    }
    auto* const d = outer.take<char>(1);
    *d = 4;
    CHECK(reinterpret_cast<std::uintptr_t>(a) % Workspace::kAlignment == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(b) % Workspace::kAlignment == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(d) % Workspace::kAlignment == 0);
    CHECK(std::all_of(a, a + 3, [](float x) { return x == 1.0F; }));
    CHECK(std::all_of(b, b + 1000, [](double x) { return x == 2.0; }));
}

TEST_CASE("Workspace: memory of a scope that ended is used again") {
    Workspace workspace;
    char* first = nullptr;
    {
        Workspace::Scope scope{workspace};
        first = scope.take<char>(1000);
    }
    Workspace::Scope scope{workspace};
    CHECK(scope.take<char>(1000) == first);
}

TEST_CASE("Workspace: grows while something lies in it, and once grown allocates no more") {
    Workspace workspace;
    auto const use = [&] {
        Workspace::Scope scope{workspace};
        auto* const small = scope.take<int>(1);
        *small = 42;
        for (index_t bytes = 1000; bytes < 3'000'000; bytes *= 3) {
            auto* const p = scope.take<char>(bytes);
            std::fill(p, p + bytes, 'x');
        }
        CHECK(*small == 42);
    };
    use();
    use();  // puts the blocks together
    auto const held = workspace.capacity();
    for (int i = 0; i < 10; ++i) {
        use();
        CHECK(workspace.capacity() == held);
    }
}

TEST_CASE("Workspace: what is reserved is in one piece, and taking it allocates nothing") {
    std::atomic<bool> grew{false};
    Workspace workspace{grew};
    workspace.reserve(0);
    CHECK_FALSE(grew);
    workspace.reserve(5'000'000);
    CHECK(grew.exchange(false));
    CHECK(workspace.capacity() >= 5'000'000);
    workspace.reserve(1000);
    {
        Workspace::Scope scope{workspace};
        scope.take<char>(2'000'000);
        scope.take<char>(2'000'000);
        CHECK_FALSE(grew);
        scope.take<char>(2'000'000);
        CHECK(grew.exchange(false));
    }
    auto const in_pieces = workspace.capacity();
    workspace.reserve(1000);  // puts them together
    CHECK(grew.exchange(false));
    Workspace::Scope scope{workspace};
    scope.take<char>(in_pieces);
    CHECK_FALSE(grew);
}

TEST_CASE("Workspace: a size that overflows is refused") {
    Workspace workspace;
    Workspace::Scope scope{workspace};
    CHECK_THROWS_AS(scope.take<double>(std::numeric_limits<index_t>::max() / 2), Error);
    CHECK_THROWS_AS(scope.take<double>(-1), Error);
}

}  // namespace
