// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_TRAIN_RUN_HPP
#define DEEPSEEK_EXAMPLES_TRAIN_RUN_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/train/options.hpp>

#include "../support/model_facts.hpp"
#include "data.hpp"
#include "log.hpp"
#include "settings.hpp"
#include "training.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace deepseek_examples {

/// One call of `train`.
struct TrainRequest {
    TrainSettings settings;
    ds::TrainOptions options;
    SavedFlags flags;                                  ///< what is saved with the run
    std::optional<std::filesystem::path> resume_from;  ///< checkpoint to go on from
    std::string program;                               ///< as it was called, for the command that resumes
};

/// The steps since the last progress line.
class StepMeans {
public:
    void add(Step const& step, std::vector<std::vector<double>> const& load, double seconds);
    /// The means; what they do not say is left for the caller.
    StepLine line() const;

private:
    double worst_load() const;

    ds::index_t steps_ = 0;
    ds::index_t counted_ = 0;  // not skipped
    double seconds_ = 0;
    Step sums_;
    std::vector<std::vector<double>> load_;  // how often every expert of every layer was chosen
};

/// A training run from where it stands to its end, or until it is interrupted.
class Run {
public:
    /// Errors:    FileError, FormatError: of the data and the checkpoint; FileError if --out cannot be written
    Run(TrainRequest const& request, std::unique_ptr<Training> training);

    /// Errors:    Error if the loss stays without value; FileError if the end cannot be saved
    void run();

private:
    using Clock = std::chrono::steady_clock;

    static double seconds_since(Clock::time_point start) {
        return std::chrono::duration<double>(Clock::now() - start).count();
    }

    ds::index_t length() const { return settings_.seq_len > 0 ? settings_.seq_len : facts_.context; }
    ds::index_t step() const { return training_->steps_done(); }
    ds::index_t total() const { return training_->schedule().total; }
    ds::index_t tokens_per_step() const { return settings_.grad_accum * settings_.batch_size * length(); }
    // The length of the run was not said in steps: it follows from the time.
    bool fits_time() const { return settings_.steps == 0; }
    double seconds_left() const { return 60 * settings_.max_minutes - seconds_since(begin_); }

    void check_output() const;
    void describe() const;
    void train_one_step();
    void fit_schedule();
    void set_total(ds::index_t total);
    void print(Step const& step);
    bool evaluation_due();
    void evaluate();
    void save();
    void stop(char const* why);

    TrainRequest const& request_;
    TrainSettings const& settings_;
    std::unique_ptr<Training> training_;
    ModelFacts facts_;
    TrainingLog log_;
    TrainingData data_;
    StepMeans means_;
    std::optional<double> validation_loss_;
    double peak_ = 0;  // FLOP/s of matrix products
    Clock::time_point begin_{};
    ds::index_t first_step_ = 0;  // of this call
    ds::index_t tenth_ = 0;       // of the run, at which it was last evaluated
};

/// Says what a run would take.
void describe_run(TrainRequest const& request, ModelFacts const& facts);

}  // namespace deepseek_examples

#endif
