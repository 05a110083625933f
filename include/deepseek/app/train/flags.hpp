// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_FLAGS_HPP
#define DEEPSEEK_APP_TRAIN_FLAGS_HPP

#include <deepseek/app/cli.hpp>
#include <deepseek/app/device.hpp>
#include <deepseek/app/known_model.hpp>
#include <deepseek/app/train/settings.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The program's flags, bound to the settings. Those that belong to the run are saved with it.
class TrainFlags {
public:
    TrainFlags(Program& program, TrainSettings& s) : program_(&program) {
        auto const positive = in_range<index_t>(1, kMostCount);
        auto const count = in_range<index_t>(0, kMostCount);

        saved("Data", "--data", s.data,
              "directory that prepare wrote, or with shards *train*.bin and *val*.bin; or files, as a quoted "
              "pattern");
        saved("Data", "--val-data", s.val_data,
              "files to validate with, as a quoted pattern; empty: those in the directory of --data");
        saved("Data", "--data-dtype", s.data_dtype,
              "tokens of files without header: auto (meta.json, otherwise uint16), uint16 or uint32")
            ->check(CLI::IsMember({"auto", "uint16", "uint32"}).description(""));
        saved("Data", "--shuffle", s.shuffle,
              "permute: every epoch takes each window once, in a new order; window: at random places, as "
              "nanoGPT")
            ->check(CLI::IsMember({"permute", "window"}).description(""));

        saved("Model", "--model", s.model, "which model to train; they are listed below");

        saved("Batch", "--steps", s.steps,
              "optimizer steps of the whole run; 0: as many as fit into --max-minutes")
            ->check(count);
        saved("Batch", "--batch-size", s.batch_size,
              "sequences per micro-batch; half of them with twice --grad-accum take half the memory")
            ->check(positive);
        saved("Batch", "--seq-len", s.seq_len, "tokens per sequence; 0: the model's context")->check(count);
        saved("Batch", "--grad-accum", s.grad_accum, "micro-batches per optimizer step")->check(positive);
        saved_switch("Batch", "--documents", s.documents,
                     "attention and MTP do not look from one text into the one before or behind it");

        saved("Optimizer", "--lr", s.lr, "peak learning rate");
        saved("Optimizer", "--min-lr", s.min_lr, "learning rate at the end; negative: a tenth of the peak");
        saved("Optimizer", "--warmup", s.warmup, "steps of linear rise")->check(count);
        saved("Optimizer", "--schedule", s.schedule, "learning rate: cosine, wsd, linear or const")
            ->check(CLI::IsMember({"cosine", "wsd", "linear", "const"}).description(""));
        saved("Optimizer", "--decay-steps", s.decay_steps,
              "wsd: steps of the final decay; 0: a tenth of the run")
            ->check(count);
        saved("Optimizer", "--weight-decay", s.weight_decay, "AdamW's decay of matrices");
        saved("Optimizer", "--beta1", s.beta1, "AdamW's memory of gradients");
        saved("Optimizer", "--beta2", s.beta2, "AdamW's memory of their squares");
        saved("Optimizer", "--eps", s.eps, "AdamW's epsilon");
        saved("Optimizer", "--grad-clip", s.grad_clip, "largest norm of the gradient; 0: any");
        saved("Optimizer", "--dropout", s.dropout, "rate at embedding, attention and residuals");

        saved("MoE and MTP", "--mtp-weight", s.mtp_weight, "weight of the MTP losses");
        saved("MoE and MTP", "--mtp-weight-final", s.mtp_weight_final,
              "the same in the last third of the run");
        saved("MoE and MTP", "--bias-update-rate", s.bias_update_rate,
              "speed of the routers' balancing biases");
        saved("MoE and MTP", "--seq-balance", s.seq_balance, "weight of the sequence-wise balance loss");

        own("Run", "--out", s.out, "directory for the model; a run there is only continued by --resume");
        own("Run", "--resume", s.resume,
            "continue the run in --out; auto: if there is one; PATH: that of another directory")
            ->expected(0, 1)
            ->type_name("[auto|PATH]");
        own("Run", "--max-minutes", s.max_minutes,
            "stop and save after so long; where no --steps are given, the run is fitted to it")
            ->check(in_range(0.0, 1e6));
        saved("Run", "--seed", s.seed, "of initial weights, data order and dropout")
            ->check(in_range<std::uint64_t>(0, std::numeric_limits<std::uint64_t>::max()));
        saved("Run", "--eval-every", s.eval_every, "steps between evaluations; 0: ten per run")->check(count);
        saved("Run", "--eval-batches", s.eval_batches, "batches of an evaluation; 0: all validation data")
            ->check(count);
        saved("Run", "--save-every", s.save_every, "steps between checkpoints; 0: see --save-minutes")
            ->check(count);
        saved("Run", "--save-minutes", s.save_minutes, "minutes between checkpoints; 0: only at the end")
            ->check(in_range(0.0, 1e6));
        saved_switch("Run", "--best,!--no-best", s.keep_best,
                     "keep the model with the best validation loss in <out>-best");
        saved_switch("Run", "--overfit", s.overfit, "train on the first batch again and again");
        program.add_flag("--dry-run", s.dry_run, "say what the run would take, and end")->group("Run");

        own("Machine", "--device", s.device,
            "what computes: cpu, cuda, or emulated, a GPU that the processor plays")
            ->check(CLI::IsMember({"cpu", "emulated", "cuda"}).description(""));
        own("Machine", "--threads", s.threads, "0: as many as the machine has")->check(in_range(0, 1024));
        saved("Machine", "--dtype", s.dtype,
              "type of activations and of the weights they meet: float32 or bf16; what is learned is float32")
            ->check(CLI::IsMember({"float32", "bf16"}).description(""));
        saved_switch("Machine", "--recompute", s.recompute, "less memory for a third more arithmetic");

        saved("Output", "--log-every", s.log_every, "steps between progress lines")->check(positive);
        own("Output", "--jsonl", s.jsonl, "file to which progress is appended, one JSON object per line");
        program.add_flag("--quiet", s.quiet, "no progress on stdout")->group("Output");
    }

    bool given(std::string const& flag) const { return program_->get_option(flag)->count() > 0; }

    /// Sets flags that were not given, to be called with the more important source first.
    ///
    /// Errors:    FormatError beginning with `where` if a flag does not take its value; unknown flags are ignored
    void complete(SavedFlags const& flags, std::string_view where) {
        for (auto const& [name, value] : flags) {
            auto* const option = program_->get_option_no_throw("--" + name);
            if (option == nullptr || option->count() > 0) {
                continue;
            }
            try {
                option->add_result(value);
                option->run_callback();
            } catch (CLI::Error const& error) {
                throw FormatError(
                    message(where, ": the setting ", name, " is '", value, "': ", error.what()));
            }
        }
    }

    /// The flags that belong to the run, as they are now.
    SavedFlags saved_flags() const {
        SavedFlags flags;
        for (auto const* option : saved_) {
            flags[option->get_lnames().front()] =
                option->count() > 0 ? option->results().back() : option->get_default_str();
        }
        return flags;
    }

private:
    static constexpr index_t kMostCount = index_t{1} << 40;

    template <class T>
    CLI::Option* own(char const* group, char const* name, T& variable, char const* help) {
        return program_->add_option(name, variable, help)->group(group);
    }
    template <class T>
    CLI::Option* saved(char const* group, char const* name, T& variable, char const* help) {
        return saved_.emplace_back(own(group, name, variable, help));
    }
    void saved_switch(char const* group, char const* name, bool& variable, char const* help) {
        auto* const option = saved_.emplace_back(program_->add_flag(name, variable, help)->group(group));
        option->default_str("false");
    }

    Program* program_;
    std::vector<CLI::Option*> saved_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
