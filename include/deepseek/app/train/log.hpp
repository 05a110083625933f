// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_LOG_HPP
#define DEEPSEEK_APP_TRAIN_LOG_HPP

#include <deepseek/app/quantities.hpp>
#include <deepseek/app/terminal.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// What a progress line says of the steps since the last one.
struct StepLine {
    index_t step = 0;   ///< steps done
    index_t total = 0;  ///< of the whole run
    double loss = 0;    ///< means over the steps: what was minimised, and its parts
    double main = 0;
    std::vector<double> mtp{};
    double balance = 0;
    double norm = 0;  ///< of the last step
    double rate = 0;
    double seconds = 0;            ///< per step
    double tokens_per_second = 0;  ///< of main-model input
    double utilisation = 0;        ///< model FLOPs against the measured peak
    double load = 0;               ///< busiest expert against the mean, of the worst layer; 0: no experts
    double seconds_left = 0;
};

/// The mean validation loss.
struct EvaluationLine {
    index_t step = 0;
    index_t total = 0;
    double loss = 0;
    index_t tokens = 0;
    double seconds = 0;
};

/// Writes progress: lines for people to stdout, one object per line for programs to a file.
class TrainingLog {
public:
    /// Errors:    FileError if the file cannot be opened
    TrainingLog(bool quiet, std::string const& jsonl);

    /// A fact about the run.
    void fact(char const* what, std::string const& text) const;
    /// Something went wrong and the run goes on. Goes to stderr, also where quiet.
    void warn(std::string const& text) const;
    void step(StepLine const& line) const;
    void evaluation(EvaluationLine const& line) const;
    void saved(index_t step, index_t total, std::string const& directory) const;
    /// The run ends early and can be continued by the command. Shown also where quiet.
    void stopped(char const* why, index_t step, std::string const& command) const;

private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    void show(std::string const& line) const;
    void append(std::string const& line) const;
    void write(std::FILE* file, std::string const& name, std::string const& line) const;

    bool quiet_;
    std::string name_;
    std::unique_ptr<std::FILE, Close> file_;
    mutable bool lost_ = false;
};

namespace detail {

using Json = nlohmann::ordered_json;

inline std::string text_of(Json const& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

inline std::string place(index_t step, index_t total) { return message(step, "/", total); }

}  // namespace detail

inline TrainingLog::TrainingLog(bool quiet, std::string const& jsonl) : quiet_(quiet), name_(jsonl) {
    if (!jsonl.empty()) {
        file_.reset(std::fopen(jsonl.c_str(), "a"));  // a resumed run goes on in the same file
        expects<FileError>(file_ != nullptr, jsonl,
                           ": cannot open: ", std::generic_category().message(errno));
    }
}

inline void TrainingLog::fact(char const* what, std::string const& text) const {
    show(formatted("%-8s", what) + text);
}

inline void TrainingLog::warn(std::string const& text) const {
    std::fflush(stdout);
    std::fprintf(stderr, "warn    %s\n", text.c_str());
}

inline void TrainingLog::step(StepLine const& line) const {
    auto parts = formatted("main %.4f", line.main);
    for (auto const loss : line.mtp) {
        parts += formatted(" mtp %.4f", loss);
    }
    if (line.load > 0) {
        parts += formatted(" balance %.1e", line.balance);
    }
    show(joined_to_fit({{"step " + detail::place(line.step, line.total), 0},
                        {formatted("loss %.4f", line.loss), 0, " (" + parts + ")", 4},
                        {formatted("norm %.3f", line.norm), 3},
                        {formatted("lr %.2e", line.rate), 5},
                        {formatted("%.1f ms", 1e3 * line.seconds), 7},
                        {short_number(line.tokens_per_second) + " tok/s", 2},
                        {formatted("mfu %.1f%%", 100 * line.utilisation), 6},
                        {line.load > 0 ? formatted("moe max/mean %.2f", line.load) : "", 5},
                        {"eta " + short_duration(line.seconds_left), 1}},
                       terminal_width(STDOUT_FILENO)));
    append(detail::text_of(detail::Json{{"kind", "step"},
                                        {"step", line.step},
                                        {"total", line.total},
                                        {"loss", line.loss},
                                        {"main", line.main},
                                        {"mtp", line.mtp},
                                        {"balance", line.balance},
                                        {"norm", line.norm},
                                        {"lr", line.rate},
                                        {"ms", 1e3 * line.seconds},
                                        {"tokens_per_second", line.tokens_per_second},
                                        {"mfu", line.utilisation},
                                        {"moe_max_over_mean", line.load}}));
}

inline void TrainingLog::evaluation(EvaluationLine const& line) const {
    show(formatted("eval %s | validation loss %.4f | ppl %.2f | %s tokens in %s",
                   detail::place(line.step, line.total).c_str(), line.loss, std::exp(line.loss),
                   short_number(static_cast<double>(line.tokens)).c_str(),
                   short_duration(line.seconds).c_str()));
    append(detail::text_of(detail::Json{{"kind", "eval"},
                                        {"step", line.step},
                                        {"total", line.total},
                                        {"loss", line.loss},
                                        {"ppl", std::exp(line.loss)},
                                        {"tokens", line.tokens}}));
}

inline void TrainingLog::saved(index_t step, index_t total, std::string const& directory) const {
    show("save " + detail::place(step, total) + " | " + directory);
    append(detail::text_of(
        detail::Json{{"kind", "save"}, {"step", step}, {"total", total}, {"directory", directory}}));
}

inline void TrainingLog::stopped(char const* why, index_t step, std::string const& command) const {
    std::printf("%s after step %lld; continue with\n  %s\n", why, static_cast<long long>(step),
                command.c_str());
    std::fflush(stdout);
}

inline void TrainingLog::show(std::string const& line) const {
    if (!quiet_) {
        write(stdout, "stdout", line);
    }
}

inline void TrainingLog::append(std::string const& line) const {
    if (file_ != nullptr) {
        write(file_.get(), name_, line);
    }
}

// Line by line, so that a pipe or a file shows it at once. A log that cannot be written is no reason to end a run: the
// next line may succeed. The first loss is told.
inline void TrainingLog::write(std::FILE* file, std::string const& name, std::string const& line) const {
    bool const written = std::fputs((line + "\n").c_str(), file) >= 0;
    if ((std::fflush(file) != 0 || !written) && !std::exchange(lost_, true)) {
        warn(message(name, ": cannot write: ", std::generic_category().message(errno), "; the run goes on"));
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
