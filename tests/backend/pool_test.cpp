// SPDX-License-Identifier: MIT
#include <deepseek/backend/cpu/pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace deepseek;
using cpu::Pool;

std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

TEST_CASE("Pool: calls every task once, whatever the number of threads and tasks") {
    for (int const threads : {-1, 0, 1, 2, 3, 8}) {
        Pool pool(threads);
        CHECK(pool.threads() == std::max(threads, 1));
        for (index_t const tasks : {0, 1, 2, 3, 7, 64, 1000}) {
            std::vector<int> calls(at(tasks), 0);  // plain integers: a task called twice at once is a race
            pool.run(tasks, [&](index_t task) { ++calls[at(task)]; });
            CHECK(calls == std::vector<int>(at(tasks), 1));
        }
    }
}

TEST_CASE("Pool: a worker's number is its own while a task runs") {
    Pool pool(4);
    std::vector<std::atomic<int>> inside(4);
    std::atomic<int> broken{0};
    for (int round = 0; round < 200; ++round) {
        pool.run(50, [&](index_t, int worker) {
            broken += worker < 0 || worker >= 4 ? 1 : inside[at(worker)].fetch_add(1);
            inside[at(worker)].fetch_sub(1);
        });
    }
    CHECK(broken == 0);
}

TEST_CASE("Pool: what one worker once needed, every worker has from then on") {
    Pool pool(3);
    index_t const need = 3 * cpu::kSmallestWorkspace;
    pool.run(1, [&](index_t, int worker) {  // one task: the caller's
        auto const scope = pool.workspace(worker).scope();
        pool.workspace(worker).take<char>(need / 3);
        pool.workspace(worker).take<char>(need / 3 * 2);
    });
    CHECK(pool.workspace(0).high_water() >= need);
    pool.run(3, [](index_t) {});
    for (int worker = 0; worker < 3; ++worker) {
        CHECK(pool.workspace(worker).capacity() == pool.workspace(0).capacity());
    }
    auto const held = pool.workspace(0).capacity();
    pool.run(30, [&](index_t, int worker) {
        auto const scope = pool.workspace(worker).scope();
        pool.workspace(worker).take<char>(need);  // in one piece now
    });
    for (int worker = 0; worker < 3; ++worker) {
        CHECK(pool.workspace(worker).capacity() == held);
    }
}

TEST_CASE("Pool: what tasks write is there when run() returns, over many tiny runs") {
    Pool pool(3);
    std::vector<long> sums(5, 0);
    for (int round = 0; round < 20'000; ++round) {
        pool.run(5, [&](index_t task) { sums[at(task)] += task; });
    }
    for (index_t task = 0; task < 5; ++task) {
        CHECK(sums[at(task)] == 20'000 * task);
    }
}

TEST_CASE("Pool: every thread takes part in a long run") {
    Pool pool(3);
    std::vector<std::atomic<int>> tasks_of(3);
    std::atomic<int> arrived{0};
    pool.run(3, [&](index_t, int worker) {
        ++tasks_of[at(worker)];
        ++arrived;
        while (arrived < 3) {  // nobody leaves before all have come
            std::this_thread::yield();
        }
    });
    for (auto const& tasks : tasks_of) {
        CHECK(tasks == 1);
    }
}

TEST_CASE("Pool: threads that went to sleep wake up for the next run") {
    Pool pool(2);
    for (int round = 0; round < 20; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds{2});
        std::atomic<int> arrived{0};
        pool.run(2, [&](index_t) {
            ++arrived;
            while (arrived < 2) {
                std::this_thread::yield();
            }
        });
        CHECK(arrived == 2);
    }
}

TEST_CASE("Pool: a caller that waits long for the last task gets it") {
    Pool pool(2);
    std::atomic<bool> second{false};
    std::atomic<int> done{0};
    pool.run(2, [&](index_t, int worker) {
        if (worker == 0) {
            while (!second) {
                std::this_thread::yield();
            }
        } else {
            second = true;
            std::this_thread::sleep_for(
                std::chrono::milliseconds{5});  // the caller has gone to sleep by then
        }
        ++done;
    });
    CHECK(done == 2);
}

TEST_CASE("Pool: threads without work do not burn time") {
    Pool pool(4);
    pool.run(4, [](index_t) {});
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    auto const before = std::clock();  // processor time of all threads
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
    auto const used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    CHECK(used < 0.02);  // one thread that kept spinning would use up to 0.2 s
}

TEST_CASE("Pool: rethrows the exception of the lowest task, and works on") {
    for (int const threads : {1, 2, 4}) {
        Pool pool(threads);
        for (int round = 0; round < 50; ++round) {
            std::string what;
            try {
                pool.run(100, [](index_t task) {
                    if (task % 10 == 7) {
                        throw Error(message("task ", task));
                    }
                });
            } catch (Error const& error) {
                what = error.what();
            }
            CHECK(what == "task 7");
            std::atomic<int> calls{0};
            pool.run(100, [&](index_t) { ++calls; });
            CHECK(calls == 100);
        }
    }
}

TEST_CASE("Pool: a run inside a task happens at once, as the same worker") {
    for (int const threads : {1, 2, 4}) {
        Pool pool(threads);
        std::vector<int> calls(8 * 5, 0);
        std::atomic<int> other_worker{0};
        pool.run(8, [&](index_t outer, int worker) {
            pool.run(5, [&](index_t inner, int inner_worker) {
                ++calls[at(outer * 5 + inner)];
                other_worker += inner_worker == worker ? 0 : 1;
            });
        });
        CHECK(calls == std::vector<int>(8 * 5, 1));
        CHECK(other_worker == 0);
        CHECK_THROWS_WITH_AS(
            pool.run(3, [&](index_t) { pool.run(2, [](index_t) { throw Error("inner"); }); }), "inner",
            Error);
        pool.run(1, [&](index_t, int worker) { CHECK(worker == 0); });
    }
}

TEST_CASE("Pool: several threads may call run; they take turns") {
    Pool pool(2);
    std::vector<long> count(3, 0);
    std::vector<std::thread> callers;
    std::atomic<int> running{0};
    std::atomic<int> overlaps{0};
    for (int caller = 0; caller < 3; ++caller) {
        callers.emplace_back([&, caller] {
            for (int round = 0; round < 500; ++round) {
                std::atomic<int> mine{0};
                pool.run(1 + round % 3, [&](index_t, int worker) {
                    overlaps += worker == 0 && running.fetch_add(1) != 0 ? 1 : 0;
                    running -= worker == 0 ? 1 : 0;
                    ++mine;
                });
                count[at(caller)] += mine;
            }
        });
    }
    for (auto& caller : callers) {
        caller.join();
    }
    CHECK(overlaps == 0);
    CHECK(count == std::vector<long>(3, 999));  // 500 rounds of 1, 2, 3, 1, … tasks
}

TEST_CASE("Pool: can be made and destroyed at any time") {
    for (int round = 0; round < 100; ++round) {
        auto pool = std::make_unique<Pool>(1 + round % 4);
        if (round % 2 == 0) {
            pool->run(round, [](index_t) {});
        }
        if (round % 10 == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds{200});  // destroyed asleep
        }
    }
}

}  // namespace
