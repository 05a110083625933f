// SPDX-License-Identifier: MIT
#include "log.hpp"

#include <deepseek/core/error.hpp>

#include "../support/quantities.hpp"
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cmath>
#include <system_error>
#include <utility>

namespace deepseek_examples {

namespace {

using Json = nlohmann::ordered_json;

std::string text_of(Json const& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string place(ds::index_t step, ds::index_t total) { return ds::message(step, "/", total); }

}  // namespace

TrainingLog::TrainingLog(bool quiet, std::string const& jsonl) : quiet_(quiet), name_(jsonl) {
    if (!jsonl.empty()) {
        file_.reset(std::fopen(jsonl.c_str(), "a"));  // a resumed run goes on in the same file
        ds::expects<ds::FileError>(file_ != nullptr, jsonl,
                                   ": cannot open: ", std::generic_category().message(errno));
    }
}

void TrainingLog::fact(char const* what, std::string const& text) const {
    show(formatted("%-8s", what) + text);
}

void TrainingLog::warn(std::string const& text) const {
    std::fflush(stdout);
    std::fprintf(stderr, "warn    %s\n", text.c_str());
}

void TrainingLog::step(StepLine const& line) const {
    auto parts = formatted("main %.4f", line.main);
    for (auto const loss : line.mtp) {
        parts += formatted(" mtp %.4f", loss);
    }
    if (line.load > 0) {
        parts += formatted(" balance %.1e", line.balance);
    }
    auto const load = line.load > 0 ? formatted(" | moe max/mean %.2f", line.load) : std::string();
    show(formatted(
        "step %s | loss %.4f (%s) | norm %.3f | lr %.2e | %.1f ms | %s tok/s | mfu %.1f%%%s | eta %s",
        place(line.step, line.total).c_str(), line.loss, parts.c_str(), line.norm, line.rate,
        1e3 * line.seconds, short_number(line.tokens_per_second).c_str(), 100 * line.utilisation,
        load.c_str(), short_duration(line.seconds_left).c_str()));
    append(text_of(Json{{"kind", "step"},
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

void TrainingLog::evaluation(EvaluationLine const& line) const {
    show(formatted("eval %s | validation loss %.4f | ppl %.2f | %s tokens in %s",
                   place(line.step, line.total).c_str(), line.loss, std::exp(line.loss),
                   short_number(static_cast<double>(line.tokens)).c_str(),
                   short_duration(line.seconds).c_str()));
    append(text_of(Json{{"kind", "eval"},
                        {"step", line.step},
                        {"total", line.total},
                        {"loss", line.loss},
                        {"ppl", std::exp(line.loss)},
                        {"tokens", line.tokens}}));
}

void TrainingLog::saved(ds::index_t step, ds::index_t total, std::string const& directory) const {
    show("save " + place(step, total) + " | " + directory);
    append(text_of(Json{{"kind", "save"}, {"step", step}, {"total", total}, {"directory", directory}}));
}

void TrainingLog::stopped(char const* why, ds::index_t step, std::string const& command) const {
    std::printf("%s after step %lld; continue with\n  %s\n", why, static_cast<long long>(step),
                command.c_str());
    std::fflush(stdout);
}

void TrainingLog::show(std::string const& line) const {
    if (!quiet_) {
        write(stdout, "stdout", line);
    }
}

void TrainingLog::append(std::string const& line) const {
    if (file_ != nullptr) {
        write(file_.get(), name_, line);
    }
}

// Line by line, so that a pipe or a file shows it at once. A log that cannot be written is no reason to end a run: the
// next line may succeed. The first loss is told.
void TrainingLog::write(std::FILE* file, std::string const& name, std::string const& line) const {
    bool const written = std::fputs((line + "\n").c_str(), file) >= 0;
    if ((std::fflush(file) != 0 || !written) && !std::exchange(lost_, true)) {
        warn(ds::message(name, ": cannot write: ", std::generic_category().message(errno),
                         "; the run goes on"));
    }
}

}  // namespace deepseek_examples
