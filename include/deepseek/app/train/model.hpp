// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_MODEL_HPP
#define DEEPSEEK_APP_TRAIN_MODEL_HPP

#include <deepseek/app/gemm_peak.hpp>
#include <deepseek/app/train/training.hpp>
#include <deepseek/backend/cpu.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/checkpoint.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/train/trainer.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

template <class M, class Compute>
class TrainingOf : public Training {
public:
    TrainingOf(TrainOptions const& options, int threads)
        : cpu_({.threads = threads}), weights_(cpu_), trainer_(cpu_, weights_, options) {}

    ModelFacts facts() const override { return facts_of<M, Compute>(); }
    int threads() const override { return cpu_.threads(); }
    double gemm_peak() override { return app::gemm_peak<Compute>(cpu_); }

    void initialize(Seed seed) override { deepseek::initialize<M>(cpu_, weights_, seed); }

    Resumed load(std::filesystem::path const& directory) override {
        auto const state = format::load_checkpoint<M>(cpu_, directory, weights_, trainer_.first_moment(),
                                                      trainer_.second_moment());
        trainer_.progress() = {.step = state.step,
                               .updates = state.updates,
                               .tokens = state.tokens,
                               .skips = static_cast<int>(state.skips)};
        auto const measured = [&](char const* name) {
            auto const at = state.measurements.find(name);
            return at == state.measurements.end() ? std::nullopt : std::optional(at->second);
        };
        return {state.data_position, measured("validation_loss"), measured("best_validation_loss")};
    }

    void save(std::filesystem::path const& directory, RunState const& run) override {
        auto const& progress = trainer_.progress();
        format::TrainingState state{.step = progress.step,
                                    .updates = progress.updates,
                                    .tokens = progress.tokens,
                                    .skips = progress.skips,
                                    .data_position = run.data_position,
                                    .seed = run.seed,
                                    .options = run.flags};
        if (run.validation_loss) {
            state.measurements["validation_loss"] = *run.validation_loss;
        }
        if (run.best_validation_loss) {
            state.measurements["best_validation_loss"] = *run.best_validation_loss;
        }
        format::save_checkpoint<M>(cpu_, directory, weights_, trainer_.first_moment(),
                                   trainer_.second_moment(), state, save_options(run, run.lock));
    }

    void save_model(std::filesystem::path const& directory, RunState const& run) override {
        auto options = save_options(run);
        if constexpr (std::is_same_v<Compute, bf16>) {
            options.dtype = format::DType::bf16;  // what was evaluated; the run's own checkpoint keeps float
        }
        format::save_model<M>(cpu_, directory, weights_, options);
    }

    Step step(std::span<Batch const> micro_batches) override {
        auto const report = trainer_.step(micro_batches);
        return {.number = report.step,
                .loss = report.total_loss,
                .main = report.losses.main,
                .mtp = {report.losses.mtp.begin(), report.losses.mtp.end()},
                .balance = report.losses.balance,
                .norm = report.norm,
                .rate = report.rate,
                .skipped = report.skipped};
    }

    double evaluate(Batch const& batch) override { return trainer_.evaluate(std::span(&batch, 1)).main; }
    std::vector<std::vector<double>> const& expert_load() const override { return trainer_.expert_load(); }

    index_t steps_done() const override { return trainer_.progress().step; }
    index_t tokens_seen() const override { return trainer_.progress().tokens; }
    index_t skips() const override { return trainer_.progress().skips; }
    Schedule const& schedule() const override { return trainer_.options().schedule; }
    void set_schedule(Schedule const& schedule) override { trainer_.set_schedule(schedule); }

private:
    // Texts began behind the token that ends the one before, so that is what a text to continue begins with.
    static format::SaveOptions save_options(RunState const& run,
                                            format::DirectoryLock const* lock = nullptr) {
        return {.tokenizer = run.tokenizer,
                .bos_token = run.end_of_text,
                .eos_token = run.end_of_text,
                .lock = lock};
    }

    Cpu cpu_;
    Weights<M, float, Cpu> weights_;
    Trainer<M, Compute, Cpu> trainer_;
};

template <class M>
std::unique_ptr<Training> make_training(TrainOptions const& options, Computing const& computing) {
    if (computing.bf16) {
        return std::make_unique<TrainingOf<M, bf16>>(options, computing.threads);
    }
    return std::make_unique<TrainingOf<M, float>>(options, computing.threads);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
