// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_TRAINING_HPP
#define DEEPSEEK_APP_TRAIN_TRAINING_HPP

#include <deepseek/app/device.hpp>
#include <deepseek/app/model_facts.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/format/directory_lock.hpp>
#include <deepseek/train/options.hpp>
#include <deepseek/train/schedule.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// What a trainer computes with. Weights, gradients and moments are float in any case.
struct Computing {
    bool bf16 = false;  ///< activations, and the weights that they meet
    Placement place{};
};

/// What one optimizer step did.
struct Step {
    index_t number = 0;  ///< from 0
    double loss = 0;     ///< what was minimised
    double main = 0;
    std::vector<double> mtp{};
    double balance = 0;
    double norm = 0;
    double rate = 0;
    bool skipped = false;
};

/// What a checkpoint says beside weights and moments.
struct RunState {
    index_t data_position = 0;
    std::uint64_t seed = 0;
    std::map<std::string, std::string> flags{};
    std::optional<double> validation_loss{};
    std::optional<double> best_validation_loss{};
    std::filesystem::path tokenizer{};
    std::optional<index_t> end_of_text{};
    format::DirectoryLock const* lock = nullptr;
};

/// What a checkpoint said beside weights, moments and counters.
struct Resumed {
    index_t data_position = 0;
    std::optional<double> validation_loss{};
    std::optional<double> best_validation_loss{};
};

/// A model of any type with its trainer, in memory: what the program sees of Trainer.
class Training {
public:
    virtual ~Training() = default;

    virtual ModelFacts facts() const = 0;
    /// What computes, in a few words.
    virtual std::string machine() = 0;
    /// Measures the speed of matrix products, in FLOP/s.
    virtual double gemm_peak() = 0;

    virtual void initialize(Seed seed) = 0;
    /// Weights, moments and counters of a checkpoint.
    virtual Resumed load(std::filesystem::path const& directory) = 0;
    virtual void save(std::filesystem::path const& directory, RunState const& state) = 0;
    /// The model alone, to generate with.
    virtual void save_model(std::filesystem::path const& directory, RunState const& state) = 0;

    virtual Step step(std::span<Batch const> micro_batches) = 0;
    /// The mean loss of the main model.
    virtual double evaluate(Batch const& batch) = 0;
    virtual std::vector<std::vector<double>> const& expert_load() const = 0;

    virtual index_t steps_done() const = 0;
    virtual index_t tokens_seen() const = 0;
    /// How many of the last steps, one after the other, changed nothing because loss or gradients were not finite.
    virtual index_t skips() const = 0;
    virtual Schedule const& schedule() const = 0;
    virtual void set_schedule(Schedule const& schedule) = 0;
};

/// A model of type M to train. Defined in model.hpp; every model has a translation unit of its own, so that they
/// compile side by side.
///
/// Errors:    Error if the program lacks the device or the machine has none
template <class M>
std::unique_ptr<Training> make_training(TrainOptions const& options, Computing const& computing);

/// The same on a CUDA GPU. Defined in cuda.cuh.
template <class M>
std::unique_ptr<Training> make_training_on_cuda(TrainOptions const& options, Computing const& computing);

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
