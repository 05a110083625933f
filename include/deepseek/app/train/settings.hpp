// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_SETTINGS_HPP
#define DEEPSEEK_APP_TRAIN_SETTINGS_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/train/options.hpp>

#include <algorithm>
#include <cstdint>
#include <string>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// The flags of `train` and what they are when neither the command line, nor the run that is resumed, nor the model's
/// recipe says anything.
struct TrainSettings {
    // What a run is: saved with it, so that resuming needs none of them again.
    std::string data;
    std::string val_data;
    std::string data_dtype = "auto";
    std::string shuffle = "permute";
    std::string model;
    std::string dtype = "float32";
    index_t steps = 2000;  ///< 0: as many as fit into max_minutes
    index_t batch_size = 8;
    index_t seq_len = 0;  ///< 0: the model's context
    index_t grad_accum = 1;
    bool documents = false;
    double lr = 1e-3;
    double min_lr = -1;  ///< negative: a tenth of lr
    index_t warmup = 100;
    std::string schedule = "cosine";
    index_t decay_steps = 0;
    double weight_decay = 0.1;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double eps = 1e-8;
    double grad_clip = 1;
    double dropout = 0;
    double mtp_weight = 0.3;
    double mtp_weight_final = 0.1;
    double bias_update_rate = 1e-3;
    double seq_balance = 1e-4;
    std::uint64_t seed = 1;
    bool overfit = false;
    bool recompute = false;
    index_t eval_every = 0;  ///< 0: ten times per run
    index_t eval_batches = 10;
    index_t save_every = 0;   ///< 0: not by steps
    double save_minutes = 5;  ///< 0: not by time
    bool keep_best = true;
    index_t log_every = 10;

    // What this call is about.
    std::string out;
    std::string resume;
    double max_minutes = 0;  ///< 0: no limit
    std::string device = "cpu";
    int threads = 0;
    std::string jsonl;
    bool quiet = false;
    bool dry_run = false;

    /// As the library's trainer takes them.
    ///
    /// Errors:    Error naming the first value that makes no sense
    TrainOptions train_options() const {
        TrainOptions options{
            .schedule = {.decay = schedule == "wsd"      ? Decay::stable
                                  : schedule == "linear" ? Decay::linear
                                  : schedule == "const"  ? Decay::constant
                                                         : Decay::cosine,
                         .peak = lr,
                         .floor = min_lr < 0 ? lr / 10 : min_lr,
                         .warmup = steps > 0 ? std::min(warmup, steps) : warmup,
                         .total = steps > 0 ? steps : warmup + 1000,  // until the first steps have been timed
                         .decay_steps = decay_steps},
            .adamw = {.beta1 = beta1, .beta2 = beta2, .epsilon = eps, .weight_decay = weight_decay},
            .clip_norm = grad_clip,
            .mtp_weight = mtp_weight,
            .mtp_weight_final = mtp_weight_final,
            .balance_alpha = seq_balance,
            .bias_speed = bias_update_rate,
            .embedding_dropout = dropout,
            .attention_dropout = dropout,
            .residual_dropout = dropout,
            .recompute = recompute,
            .seed = Seed{seed}};
        options.validate();
        return options;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
