// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_TRAINING_OF_HPP
#define DEEPSEEK_APP_TRAIN_TRAINING_OF_HPP

#include <deepseek/app/device.hpp>
#include <deepseek/app/gemm_peak.hpp>
#include <deepseek/app/train/training.hpp>
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
#include <string>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// On backend B, computing in Compute.
template <class M, class Compute, class B>
class TrainingOf : public Training {
public:
    TrainingOf(TrainOptions const& options, typename B::Options const& place)
        : be_(place), weights_(be_), trainer_(be_, weights_, options) {}

    ModelFacts facts() const override { return facts_of<M, Compute>(); }
    std::string machine() override { return machine_of(be_); }
    double gemm_peak() override { return app::gemm_peak<Compute>(be_); }

    void initialize(Seed seed) override { deepseek::initialize<M>(be_, weights_, seed); }

    Resumed load(std::filesystem::path const& directory) override {
        auto const state = format::load_checkpoint<M>(be_, directory, weights_, trainer_.first_moment(),
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
        format::save_checkpoint<M>(be_, directory, weights_, trainer_.first_moment(),
                                   trainer_.second_moment(), state, save_options(run, run.lock));
    }

    void save_model(std::filesystem::path const& directory, RunState const& run) override {
        auto options = save_options(run);
        if constexpr (std::is_same_v<Compute, bf16>) {
            options.dtype = format::DType::bf16;  // what was evaluated; the run's own checkpoint keeps float
        }
        format::save_model<M>(be_, directory, weights_, options);
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

    B be_;
    Weights<M, float, B> weights_;
    Trainer<M, Compute, B> trainer_;
};

template <class M, class B>
std::unique_ptr<Training> make_training_on(TrainOptions const& options, Computing const& computing,
                                           typename B::Options const& place) {
    if (computing.bf16) {
        return std::make_unique<TrainingOf<M, bf16, B>>(options, place);
    }
    return std::make_unique<TrainingOf<M, float, B>>(options, place);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
