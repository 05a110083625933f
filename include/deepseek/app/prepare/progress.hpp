// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_PROGRESS_HPP
#define DEEPSEEK_APP_PREPARE_PROGRESS_HPP

#include <deepseek/app/quantities.hpp>
#include <deepseek/app/terminal.hpp>
#include <deepseek/core/index.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// A line on stderr that says how far the work is: rewritten in place at a terminal, a new one now and then elsewhere.
class PrepareProgress {
    using Clock = std::chrono::steady_clock;

public:
    PrepareProgress(bool quiet, index_t total_bytes)
        : quiet_(quiet), at_terminal_(::isatty(STDERR_FILENO) == 1), total_(total_bytes) {}
    ~PrepareProgress() { clear(); }
    PrepareProgress(PrepareProgress const&) = delete;
    PrepareProgress& operator=(PrepareProgress const&) = delete;

    /// Where a resumed run begins.
    void begin_at(index_t consumed, index_t text_bytes) {
        first_consumed_ = consumed;
        first_bytes_ = text_bytes;
    }

    void show(index_t consumed, index_t text_bytes, index_t documents, index_t tokens) {
        auto const now = Clock::now();
        if (quiet_ ||
            now - shown_at_ < (at_terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(30))) {
            return;
        }
        shown_at_ = now;
        auto const seconds = elapsed();
        auto const done = static_cast<double>(consumed - first_consumed_);
        auto const left =
            done > 0 ? seconds * static_cast<double>(std::max<index_t>(0, total_ - consumed)) / done : 0;
        auto const count = [](index_t number) { return short_number(static_cast<double>(number)); };
        auto const line = joined_to_fit(
            {{formatted("%3.0f%%", total_ > 0
                                       ? 100.0 * static_cast<double>(consumed) / static_cast<double>(total_)
                                       : 0.0)},
             {formatted("%.1f MB/s", megabytes_per_second(text_bytes))},
             {count(documents) + " documents", 2},
             {count(tokens) + " tokens", 1},
             {"eta " + short_duration(left)}},
            terminal_width(STDERR_FILENO) - 1);
        std::fprintf(stderr, at_terminal_ ? "\r\x1B[K%s" : "%s\n", line.c_str());
        std::fflush(stderr);
        on_line_ = at_terminal_;
    }

    /// Seconds since it began.
    double elapsed() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

    /// Of text, since it began.
    double megabytes_per_second(index_t text_bytes) const {
        return static_cast<double>(text_bytes - first_bytes_) / elapsed() / 1e6;
    }

    /// Leaves a clean line.
    void clear() {
        if (on_line_) {
            std::fputs("\r\x1B[K", stderr);
            on_line_ = false;
        }
    }

private:
    bool quiet_;
    bool at_terminal_;
    bool on_line_ = false;
    index_t total_;
    index_t first_consumed_ = 0;
    index_t first_bytes_ = 0;
    Clock::time_point begin_ = Clock::now();
    Clock::time_point shown_at_ = begin_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
