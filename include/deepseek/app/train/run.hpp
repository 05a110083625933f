// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_RUN_HPP
#define DEEPSEEK_APP_TRAIN_RUN_HPP

#include <deepseek/app/instruction_set.hpp>
#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/known_model.hpp>
#include <deepseek/app/model_facts.hpp>
#include <deepseek/app/quantities.hpp>
#include <deepseek/app/shell_word.hpp>
#include <deepseek/app/train/data.hpp>
#include <deepseek/app/train/log.hpp>
#include <deepseek/app/train/settings.hpp>
#include <deepseek/app/train/training.hpp>
#include <deepseek/core/batch.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/format/directory_lock.hpp>
#include <deepseek/format/file.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/save.hpp>
#include <deepseek/train/options.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// One call of `train`.
struct TrainRequest {
    TrainSettings settings;
    TrainOptions options;
    SavedFlags flags;                                  ///< what is saved with the run
    std::optional<std::filesystem::path> resume_from;  ///< checkpoint to go on from
    std::string program;                               ///< as it was called, for the command that resumes
    format::DirectoryLock const* lock = nullptr;       ///< of --out, for the whole run
};

/// The steps since the last progress line.
class StepMeans {
public:
    void add(Step const& step, std::vector<std::vector<double>> const& load, double seconds);
    /// The means; what they do not say is left for the caller.
    StepLine line() const;

private:
    double worst_load() const;

    index_t steps_ = 0;
    index_t counted_ = 0;  // not skipped
    double seconds_ = 0;
    Step sums_;
    std::vector<std::vector<double>> load_;  // how often every expert of every layer was chosen
};

/// A training run from where it stands to its end, or until it is interrupted.
class Run {
public:
    /// Errors:    FileError, FormatError: of the data and the checkpoint; FileError if --out cannot be written
    Run(TrainRequest const& request, std::unique_ptr<Training> training);

    /// Errors:    Error if something ends the run early, such as a loss that stays without value or data that cannot
    ///            be read: it says what of the run was saved; FileError if the end cannot be saved
    void run();

private:
    using Clock = std::chrono::steady_clock;

    static double seconds_since(Clock::time_point start) {
        return std::chrono::duration<double>(Clock::now() - start).count();
    }

    index_t length() const { return settings_.seq_len > 0 ? settings_.seq_len : facts_.context; }
    index_t step() const { return training_->steps_done(); }
    index_t total() const { return training_->schedule().total; }
    index_t tokens_per_step() const { return settings_.grad_accum * settings_.batch_size * length(); }
    // The length of the run was not said in steps: it follows from the time.
    bool fits_time() const { return settings_.steps == 0; }
    double seconds_left() const { return 60 * settings_.max_minutes - seconds_since(begin_); }

    void check_output() const;
    void describe() const;
    void train_one_step();
    void fit_schedule();
    void set_total(index_t total);
    void print(Step const& step);
    bool evaluation_due();
    void evaluate();
    void keep_best();
    std::string unsound();
    RunState state() const;
    bool save_due() const;
    void save();
    void try_to_save();
    std::string rescue();
    std::string resume_command() const;
    void stop(char const* why);

    TrainRequest const& request_;
    TrainSettings const& settings_;
    std::unique_ptr<Training> training_;
    ModelFacts facts_;
    TrainingLog log_;
    TrainingData data_;
    StepMeans means_;
    std::optional<double> validation_loss_;
    std::optional<double> best_validation_loss_;
    double peak_ = 0;  // FLOP/s of matrix products
    Clock::time_point begin_{};
    index_t first_step_ = 0;  // of this call
    index_t tenth_ = 0;       // of the run, at which it was last evaluated
    Clock::time_point saved_at_{};
    index_t saved_step_ = -1;  // of the checkpoint in --out; -1: there is none
};

namespace detail {

inline std::string shown(index_t count) { return short_number(static_cast<double>(count)); }
inline std::string shown_bytes(index_t bytes) { return short_bytes(static_cast<double>(bytes)); }

inline std::string describe_model(std::string const& name, ModelFacts const& facts) {
    return message(name, ": ", shown(facts.parameters), " parameters, ", shown(facts.active_parameters),
                   " used per token; ", facts.layers, " blocks of width ", facts.width, ", MTP depth ",
                   facts.mtp_depth, ", vocabulary ", facts.vocabulary, ", context ", facts.context);
}

// Weights and two moments.
inline index_t checkpoint_bytes(ModelFacts const& facts) { return 3 * facts.parameter_bytes; }

// Where the model of the lowest validation loss is kept: beside the run; in it where its directory cannot be replaced, so
// that the place beside it is no place of ours.
inline std::filesystem::path best_directory(format::DirectoryLock const& lock) {
    return lock.inside() ? lock.target() / "best" : std::filesystem::path(lock.target().native() + "-best");
}

// To go on with another tokenizer's ids, whose meaning the model does not know, would be the mistake of a wrong --data.
inline void expect_same_tokenizer(std::filesystem::path const& run, std::filesystem::path const& data) {
    if (data.empty() || !format::detail::exists(run)) {
        return;
    }
    auto const parsed = [](std::filesystem::path const& path) {
        auto json = format::parse_json(read_file(path), path.native());
        if (json.is_object()) {
            json.erase("post_processor");  // what other programs put around texts
        }
        return json;
    };
    expects<FormatError>(parsed(run) == parsed(data), data.native(),
                         ": is another tokenizer than the run's, ", run.native(),
                         ": its tokens mean something else to this model");
}

}  // namespace detail

inline void StepMeans::add(Step const& step, std::vector<std::vector<double>> const& load, double seconds) {
    seconds_ += seconds;
    ++steps_;
    if (step.skipped) {
        return;  // its losses mean nothing
    }
    ++counted_;
    sums_.loss += step.loss;
    sums_.main += step.main;
    sums_.balance += step.balance;
    sums_.mtp.resize(step.mtp.size());
    for (std::size_t k = 0; k < step.mtp.size(); ++k) {
        sums_.mtp[k] += step.mtp[k];
    }
    load_.resize(load.size());
    for (std::size_t layer = 0; layer < load.size(); ++layer) {
        load_[layer].resize(load[layer].size());
        std::transform(load[layer].begin(), load[layer].end(), load_[layer].begin(), load_[layer].begin(),
                       std::plus<>());
    }
}

inline StepLine StepMeans::line() const {
    auto const count = static_cast<double>(std::max<index_t>(1, counted_));
    StepLine line{.loss = sums_.loss / count,
                  .main = sums_.main / count,
                  .balance = sums_.balance / count,
                  .seconds = seconds_ / static_cast<double>(steps_),
                  .load = worst_load()};
    for (auto const loss : sums_.mtp) {
        line.mtp.push_back(loss / count);
    }
    return line;
}

// The busiest expert against the mean of its layer, of the layer where that is largest; 0 without experts.
inline double StepMeans::worst_load() const {
    double worst = 0;
    for (auto const& layer : load_) {
        double sum = 0;
        for (auto const count : layer) {
            sum += count;
        }
        if (sum > 0) {
            worst = std::max(worst, *std::max_element(layer.begin(), layer.end()) *
                                        static_cast<double>(layer.size()) / sum);
        }
    }
    return worst;
}

inline Run::Run(TrainRequest const& request, std::unique_ptr<Training> training)
    : request_(request),
      settings_(request.settings),
      training_(std::move(training)),
      facts_(training_->facts()),
      log_(settings_.quiet, settings_.jsonl),
      data_(settings_, facts_.vocabulary, length()) {
    expects(length() > facts_.mtp_depth, "--seq-len ", length(), ": sequences must be longer than the ",
            facts_.mtp_depth, " tokens that model ", settings_.model, " predicts ahead");
    check_output();
    if (request_.resume_from) {
        detail::expect_same_tokenizer(format::existing_directory(*request_.resume_from) / "tokenizer.json",
                                      data_.tokenizer());
        auto const resumed = training_->load(*request_.resume_from);
        data_.seek(resumed.data_position);
        validation_loss_ = resumed.validation_loss;
        best_validation_loss_ = resumed.best_validation_loss;
        saved_step_ = step();
        log_.fact("resume", message(request_.resume_from->native(), " at step ", step()));
    } else {
        training_->initialize(Seed{settings_.seed});
    }
}

inline void Run::run() {
    describe();
    if (fits_time()) {
        set_total(step() + total());  // until the first steps have been timed
    }
    if (step() >= total()) {
        log_.fact("done", message("the run already has its ", total(), " steps; --steps makes it longer"));
        return;
    }
    peak_ = training_->gemm_peak();
    log_.fact("machine",
              message(training_->machine(), "; matrix products at ", short_number(peak_, "FLOP/s")));
    if (auto const why = slow_build(); !why.empty()) {
        log_.warn(why);
    }
    begin_ = saved_at_ = Clock::now();
    first_step_ = step();
    tenth_ = 10 * step() / total();
    char const* early = nullptr;  // why it ends before its last step
    try {
        while (step() < total() && early == nullptr) {
            if (Interrupt::requested()) {
                early = "interrupted";
            } else if (!fits_time() && settings_.max_minutes > 0 && seconds_left() <= 0) {
                early = "the time is over";
            } else {
                train_one_step();
            }
        }
        if (early == nullptr) {
            evaluate();
        }
    } catch (std::bad_alloc const&) {
        throw Error(message("not enough memory at step ", step() + 1, "; ", rescue()));
    } catch (std::exception const& error) {
        throw Error(message(error.what(), "; ", rescue()));
    }
    if (early != nullptr) {
        return stop(early);
    }
    save();
    log_.fact("done", message(step(), " steps, ", detail::shown(training_->tokens_seen()),
                              " tokens; this call took ", short_duration(seconds_since(begin_))));
}

// What can be known of the end before hours of work.
inline void Run::check_output() const {
    format::prove_savable(settings_.out, detail::checkpoint_bytes(facts_), request_.lock);
    if (settings_.keep_best) {
        format::prove_savable(detail::best_directory(*request_.lock), facts_.parameter_bytes);
    }
}

inline void Run::describe() const {
    log_.fact("model", detail::describe_model(settings_.model, facts_));
    log_.fact("data",
              message(settings_.data, ": ", detail::shown(data_.training_tokens()), " tokens to train on, ",
                      detail::shown(data_.validation_tokens()), " to validate with"));
    if (data_.vocabulary() > 0 && data_.vocabulary() < facts_.vocabulary) {
        log_.warn(message("the data has ", data_.vocabulary(), " token ids, model ", settings_.model, " has ",
                          facts_.vocabulary, ": the others stay unused"));
    }
    auto const per_step =
        message(settings_.grad_accum, " x ", settings_.batch_size, " x ", length(), " tokens");
    auto const tokens = static_cast<double>(total()) * static_cast<double>(tokens_per_step());
    log_.fact("run", fits_time()
                         ? message(settings_.max_minutes, " minutes of steps of ", per_step)
                         : message(total(), " steps of ", per_step, ": ", short_number(tokens), " in all, ",
                                   formatted("%.1f", tokens / static_cast<double>(data_.training_tokens())),
                                   " epochs"));
}

inline void Run::train_one_step() {
    auto const before = Clock::now();
    auto const done = training_->step(data_.next());
    means_.add(done, training_->expert_load(), seconds_since(before));
    if (done.skipped) {
        log_.warn(formatted("step %lld skipped: loss %g, gradient norm %g",
                            static_cast<long long>(done.number + 1), done.loss, done.norm));
    }
    if (fits_time()) {
        fit_schedule();
    }
    bool const last = step() >= total();
    if (step() % settings_.log_every == 0 || last) {
        print(done);
    }
    if (last) {
        return;  // run() evaluates and saves
    }
    if (evaluation_due()) {
        evaluate();
    }
    if (save_due()) {
        try_to_save();
    }
}

// As many more steps as the mean step so far lets fit into the time.
inline void Run::fit_schedule() {
    auto const per_step = seconds_since(begin_) / static_cast<double>(step() - first_step_);
    set_total(step() + static_cast<index_t>(std::max(0.0, seconds_left() / per_step)));
}

inline void Run::set_total(index_t total) {
    auto schedule = request_.options.schedule;
    schedule.total = total;
    schedule.warmup = std::min(schedule.warmup, ceil_div(total, 10));  // a slow machine does few steps
    schedule.decay_steps = std::min(schedule.decay_steps, total);
    training_->set_schedule(schedule);
}

inline void Run::print(Step const& done) {
    auto line = means_.line();
    means_ = {};
    line.step = step();
    line.total = total();
    line.norm = done.norm;
    line.rate = done.rate;
    line.tokens_per_second = static_cast<double>(tokens_per_step()) / line.seconds;
    line.utilisation = line.tokens_per_second * facts_.train_flops_per_token(length()) / peak_;
    line.seconds_left = seconds_since(begin_) / static_cast<double>(step() - first_step_) *
                        static_cast<double>(total() - step());
    log_.step(line);
}

inline bool Run::evaluation_due() {
    if (settings_.eval_every > 0) {
        return step() % settings_.eval_every == 0;
    }
    auto const tenth = 10 * step() / total();
    bool const due = tenth > tenth_;
    tenth_ = std::max(tenth, tenth_);  // the total moves where the run is fitted to a time
    return due;
}

inline void Run::evaluate() {
    auto const before = Clock::now();
    EvaluationLine line{.step = step(), .total = total()};
    data_.for_validation_batches(settings_.eval_batches, [&](Batch const& batch) {
        if (batch.length > facts_.mtp_depth) {
            auto const tokens = batch.sequences * batch.length;
            line.loss += training_->evaluate(batch) * static_cast<double>(tokens);
            line.tokens += tokens;
        }
        return !Interrupt::requested();
    });
    if (line.tokens > 0 && !Interrupt::requested()) {
        line.loss /= static_cast<double>(line.tokens);
        line.seconds = seconds_since(before);
        log_.evaluation(line);
        if (std::isfinite(line.loss)) {
            validation_loss_ = line.loss;
            keep_best();
        }
    }
}

// The model of the lowest validation loss has a directory of its own.
inline void Run::keep_best() {
    if (!settings_.keep_best || *validation_loss_ >= best_validation_loss_.value_or(HUGE_VAL)) {
        return;
    }
    try {
        training_->save_model(detail::best_directory(*request_.lock), state());
        best_validation_loss_ = validation_loss_;
    } catch (FileError const& error) {
        log_.warn(message("the best model so far is not saved: ", error.what()));
    }
}

// Why the run as it stands must not replace the checkpoint before; empty: it may.
inline std::string Run::unsound() {
    if (training_->skips() > 0) {
        return message("the last ", training_->skips(), " of its ", step(),
                       " steps changed nothing, because loss or gradients were not finite");
    }
    // Steps that ruined the weights are found by the next loss, which would come after saving.
    double loss = 0;
    data_.for_validation_batches(1, [&](Batch const& batch) {
        loss = batch.length > facts_.mtp_depth ? training_->evaluate(batch) : 0;
        return false;
    });
    return std::isfinite(loss) ? "" : message("its loss after step ", step(), " is ", loss);
}

inline RunState Run::state() const {
    return {.data_position = data_.position(),
            .seed = settings_.seed,
            .flags = request_.flags,
            .validation_loss = validation_loss_,
            .best_validation_loss = best_validation_loss_,
            .tokenizer = data_.tokenizer(),
            .end_of_text = data_.end_of_text(),
            .lock = request_.lock};
}

inline bool Run::save_due() const {
    return (settings_.save_every > 0 && step() % settings_.save_every == 0) ||
           (settings_.save_minutes > 0 && seconds_since(saved_at_) >= 60 * settings_.save_minutes);
}

inline void Run::save() {
    saved_at_ = Clock::now();
    auto const why = unsound();
    expects(why.empty(), "the run is not saved: ", why, "; ",
            saved_step_ < 0 ? "nothing was saved before"
                            : message(settings_.out, " holds it as it was after step ", saved_step_));
    training_->save(settings_.out, state());
    saved_step_ = step();
    log_.saved(step(), total(), settings_.out);
}

// During a run: the disk may have room again, and the loss its value, at the next.
inline void Run::try_to_save() {
    try {
        save();
    } catch (Error const& error) {
        log_.warn(message("not saved: ", error.what()));
    }
}

// After something that ends the run: saves what there is, and says it.
inline std::string Run::rescue() {
    if (step() > std::max(saved_step_, first_step_)) {
        try {
            save();
        } catch (std::exception const& error) {
            return error.what();
        }
    }
    return saved_step_ < 0 ? "there was nothing to save yet"
                           : message("the run is saved as it was after step ", saved_step_,
                                     "; once that is mended, continue with\n  ", resume_command());
}

inline std::string Run::resume_command() const {
    auto command = request_.program + " --out " + shell_word(settings_.out) + " --resume";
    if (fits_time()) {
        command += formatted(" --max-minutes %.2f", std::max(0.01, seconds_left() / 60));
    }
    return command;
}

inline void Run::stop(char const* why) {
    save();
    log_.stopped(why, step(), resume_command());
}

namespace detail {

// Seconds per token of training, from a few steps over one sequence of noise.
inline double probe(Training& training, ModelFacts const& facts, index_t length) {
    training.initialize(Seed{1});
    std::vector<Token> tokens;
    for (index_t i = 0; i <= length; ++i) {
        tokens.push_back(static_cast<Token>(RandomKey{Seed{1}}.bits(static_cast<std::uint64_t>(i)) %
                                            static_cast<std::uint64_t>(facts.vocabulary)));
    }
    auto const count = static_cast<std::size_t>(length);
    Batch const batch{std::span(tokens).first(count), std::span(tokens).subspan(1, count), 1, length};
    training.step({&batch, 1});  // takes memory
    constexpr int steps = 3;
    auto const before = std::chrono::steady_clock::now();
    for (int i = 0; i < steps; ++i) {
        training.step({&batch, 1});
    }
    std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - before;
    return seconds.count() / static_cast<double>(steps * length);
}

}  // namespace detail

/// Says what a run would take; `training` is the model in memory, to try how fast it is.
inline void describe_run(TrainRequest const& request, Training& training) {
    auto const facts = training.facts();
    auto const& settings = request.settings;
    auto const length = settings.seq_len > 0 ? settings.seq_len : facts.context;
    auto const tokens = checked_mul(settings.batch_size, length);  // in memory at once
    auto const per_step = static_cast<double>(settings.grad_accum) * static_cast<double>(tokens);
    auto const flops = facts.train_flops_per_token(length);
    auto const activations =
        tokens * (settings.recompute ? facts.stream_bytes_per_token : facts.activation_bytes_per_token);
    TrainingLog const log(false, "");
    log.fact("model", detail::describe_model(settings.model, facts));
    log.fact("memory", message(detail::shown_bytes(4 * facts.parameter_bytes + facts.rounded_parameter_bytes),
                               " for weights, gradients and two moments, ", detail::shown_bytes(activations),
                               " for the activations of ", tokens, " tokens, and scratch"));
    log.fact("compute",
             message(short_number(flops, "FLOP"), " per token, ", short_number(flops * per_step, "FLOP"),
                     " per step of ", short_number(per_step), " tokens"));
    log.fact("disk", message(detail::shown_bytes(detail::checkpoint_bytes(facts)), " per checkpoint"));
    auto const tried = std::max(facts.mtp_depth + 1, std::min<index_t>(length, 256));
    auto const per_token = detail::probe(training, facts, tried);
    auto const tokens_in_all = static_cast<double>(settings.steps) * per_step;
    log.fact("time",
             message(settings.steps == 0 ? "as long as --max-minutes says"
                                         : short_duration(tokens_in_all * per_token) + " on this machine",
                     ", ", short_number(1 / per_token), " tok/s in a probe of ", tried, " tokens with ",
                     training.machine()));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
