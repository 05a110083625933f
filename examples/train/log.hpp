// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_TRAIN_LOG_HPP
#define DEEPSEEK_EXAMPLES_TRAIN_LOG_HPP

#include <deepseek/core/index.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace deepseek_examples {

namespace ds = deepseek;

/// What a progress line says of the steps since the last one.
struct StepLine {
    ds::index_t step = 0;   ///< steps done
    ds::index_t total = 0;  ///< of the whole run
    double loss = 0;        ///< means over the steps: what was minimised, and its parts
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
    ds::index_t step = 0;
    ds::index_t total = 0;
    double loss = 0;
    ds::index_t tokens = 0;
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
    void saved(ds::index_t step, ds::index_t total, std::string const& directory) const;
    /// The run ends early and can be continued by the command. Shown also where quiet.
    void stopped(char const* why, ds::index_t step, std::string const& command) const;

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

}  // namespace deepseek_examples

#endif
