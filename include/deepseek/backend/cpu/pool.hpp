// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_BACKEND_CPU_POOL_HPP
#define DEEPSEEK_BACKEND_CPU_POOL_HPP

#include <deepseek/backend/cpu/workspace.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

// A function that is neither inlined nor specialised for a caller.
#if defined(__clang__)
#define DEEPSEEK_ONE_COPY [[gnu::noinline]]
#else
#define DEEPSEEK_ONE_COPY [[gnu::noipa]]
#endif

namespace deepseek::inline DEEPSEEK_ABI::cpu {

/// A fixed set of threads that share out the tasks of one run() at a time. The caller of run() is one of them.
///
/// A run hands tasks out in ascending order to whoever is free, so which thread computes a task varies; a result
/// repeats bit for bit if each task computes its own part from the task's number alone.
///
/// Waiting threads look for work for about 50 µs, so that consecutive runs follow each other within a microsecond, and
/// then sleep. A run never waits for a thread that sleeps or is busy elsewhere: only for tasks already begun.
class Pool {
public:
    /// Starts threads - 1 threads; one thread or fewer starts none, and every run is a plain loop.
    ///
    /// Errors:    Error if the system refuses a thread
    explicit Pool(int threads) {
        auto const count = static_cast<std::size_t>(std::max(threads, 1));
        while (workspaces_.size() < count) {
            workspaces_.emplace_back(memory_).reserve(kSmallestWorkspace);
        }
        memory_.forget_asked();
        workers_.reserve(count - 1);
        try {
            for (int worker = 1; worker < threads; ++worker) {
                workers_.emplace_back([this, worker] { work(worker); });
            }
        } catch (std::system_error const& error) {
            auto const started = workers_.size() + 1;
            stop();
            throw Error(message("Pool: the system refused thread ", started + 1, " of ", threads, ": ",
                                error.what()));
        }
    }
    ~Pool() { stop(); }
    Pool(Pool const&) = delete;
    Pool& operator=(Pool const&) = delete;

    /// Threads that take part in a run, the caller included; at least 1.
    int threads() const { return static_cast<int>(workspaces_.size()); }

    /// Calls f(task), or f(task, worker) with worker in [0, threads()), once for every task in [0, tasks), and returns
    /// when all are done. Two calls with the same worker never overlap.
    ///
    /// From inside a task of the same pool the tasks run at once in a plain loop, as the worker of the outer task.
    /// Several threads may call run(); they take turns.
    ///
    /// Errors:    what a task throws; where several do, the one of the lowest task. Later tasks may then be left out
    template <class F>
    void run(index_t tasks, F const& f) {
        run(Job{&f, call<F>, tasks});
    }

    /// Scratch memory of a worker: of no other while a task runs as that worker.
    Workspace& workspace(int worker) { return workspaces_[static_cast<std::size_t>(worker)]; }

private:
    struct Job {
        void const* body = nullptr;
        void (*call)(void const*, index_t, int) = nullptr;
        index_t tasks = 0;
    };
    struct Leave {
        Pool& pool;
        ~Leave() { pool.caller_.store(std::thread::id{}, std::memory_order_relaxed); }
    };

    // The machine code of a body exists once. Copies inlined into several callers may contract a·b + c·d into fused
    // multiply-adds in different ways, and results would then depend on the number of threads.
    template <class F>
    DEEPSEEK_ONE_COPY static void call(void const* body, index_t task, int worker) {
        auto const& f = *static_cast<F const*>(body);
        if constexpr (std::is_invocable_v<F const&, index_t, int>) {
            f(task, worker);
        } else {
            f(task);
        }
    }

    void run(Job const& job) {
        if (job.tasks <= 0) {
            return;
        }
        if (auto const worker = current_worker(); worker >= 0) {
            run_alone(job, worker);
            return;
        }
        std::lock_guard const turn{turn_};
        caller_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        Leave const leave{*this};
        if (job.tasks == 1 || workers_.empty()) {
            run_alone(job, 0);
            return;
        }
        if (memory_.asked()) {
            even_out_workspaces();
        }
        job_ = job;
        failed_task_.store(job.tasks, std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        left_.store(job.tasks);  // publishes the job; seq_cst, see wait
        if (sleepers_.load() > 0) {
            std::lock_guard const lock{mutex_};
            wake_workers_.notify_all();
        }
        take_tasks(0);
        wait(wake_caller_, [this] { return done_.load() == job_.tasks; });
        if (failure_) {
            std::rethrow_exception(std::exchange(failure_, nullptr));
        }
    }

    static void run_alone(Job const& job, int worker) {
        for (index_t task = 0; task < job.tasks; ++task) {
            job.call(job.body, task, worker);
        }
    }

    // Between runs: gives every worker as much scratch memory as the one that has most. Otherwise a worker that meets
    // its first large task after a thousand steps would allocate then.
    void even_out_workspaces() {
        index_t most = 0;
        for (auto const& workspace : workspaces_) {
            most = std::max(most, workspace.high_water());
        }
        for (auto& workspace : workspaces_) {
            workspace.reserve(most);
        }
        memory_.forget_asked();
    }

    // Which worker the calling thread is in a run now under way; -1 outside. Thread numbers are compared instead of
    // keeping a thread_local, which would be a global.
    int current_worker() const {
        auto const self = std::this_thread::get_id();
        if (self == caller_.load(std::memory_order_relaxed)) {
            return 0;
        }
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            if (self == workers_[i].get_id()) {
                return static_cast<int>(i) + 1;
            }
        }
        return -1;
    }

    // Takes tasks until none is left. Only the holder of a task reads job_: it is stable until that task is done, and a
    // thread that comes late finds no task and touches nothing. Tasks are taken several at a time, fewer towards the
    // end, so that many small ones cost little and the last ones balance.
    void take_tasks(int worker) {
        auto left = left_.load(std::memory_order_relaxed);
        while (left > 0) {
            auto const count = std::max<index_t>(1, left / (4 * index_t{threads()}));
            if (!left_.compare_exchange_weak(left, left - count, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
                continue;
            }
            auto const job = job_;
            auto const begin = job.tasks - left;
            for (auto task = begin; task < begin + count; ++task) {
                if (task < failed_task_.load(std::memory_order_relaxed)) {
                    try {
                        job.call(job.body, task, worker);
                    } catch (...) {
                        note_failure(task);
                    }
                }
            }
            if (done_.fetch_add(count) + count == job.tasks && sleepers_.load() > 0) {
                std::lock_guard const lock{mutex_};
                wake_caller_.notify_all();
            }
            left = left_.load(std::memory_order_relaxed);
        }
    }

    void note_failure(index_t task) {
        std::lock_guard const lock{mutex_};
        if (task < failed_task_.load(std::memory_order_relaxed)) {
            failed_task_.store(task, std::memory_order_relaxed);
            failure_ = std::current_exception();
        }
    }

    void work(int worker) {
        while (!stopping_.load(std::memory_order_relaxed)) {
            wait(wake_workers_, [this] { return left_.load() > 0 || stopping_.load(); });
            take_tasks(worker);
        }
    }

    // Spins, then sleeps, until ready(). No wake-up is lost: the sleeper counts itself and then asks ready(), the other
    // side makes ready() true and then reads the count; all four are seq_cst, so one of them sees the other.
    template <class Ready>
    void wait(std::condition_variable& wake, Ready const& ready) {
        auto const give_up = std::chrono::steady_clock::now() + std::chrono::microseconds{50};
        do {
            for (int i = 0; i < 32; ++i) {
                if (ready()) {
                    return;
                }
                pause();
            }
        } while (std::chrono::steady_clock::now() < give_up);
        std::unique_lock lock{mutex_};
        sleepers_.fetch_add(1);
        wake.wait(lock, ready);
        sleepers_.fetch_sub(1);
    }

    static void pause() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#else
        std::this_thread::yield();
#endif
    }

    void stop() {
        stopping_.store(true);
        {
            std::lock_guard const lock{mutex_};
            wake_workers_.notify_all();
        }
        for (auto& worker : workers_) {
            worker.join();
        }
    }

    // What changes with every task lies on lines of its own: waiting threads read left_ all the time.
    alignas(64) std::atomic<index_t> left_{0};  // tasks of job_ that nobody has taken
    alignas(64) std::atomic<index_t> done_{0};  // tasks of job_ that are finished
    alignas(64) std::atomic<index_t> failed_task_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<bool> stopping_{false};
    HostMemory memory_;
    std::atomic<std::thread::id> caller_{};
    Job job_;
    std::exception_ptr failure_;
    std::mutex turn_;   // held during a run by the thread that called it
    std::mutex mutex_;  // guards sleeping and failure_
    std::condition_variable wake_workers_;
    std::condition_variable wake_caller_;
    std::deque<Workspace> workspaces_;
    std::vector<std::thread> workers_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::cpu

#undef DEEPSEEK_ONE_COPY

#endif
