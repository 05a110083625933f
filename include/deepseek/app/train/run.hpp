// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_TRAIN_RUN_HPP
#define DEEPSEEK_APP_TRAIN_RUN_HPP

#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/known_model.hpp>
#include <deepseek/app/model_facts.hpp>
#include <deepseek/app/quantities.hpp>
#include <deepseek/app/shell_word.hpp>
#include <deepseek/app/train/data.hpp>
#include <deepseek/app/train/log.hpp>
#include <deepseek/app/train/settings.hpp>
#include <deepseek/app/train/training.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/train/options.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
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

    /// Errors:    Error if the loss stays without value; FileError if the end cannot be saved
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
    index_t first_step_ = 0;  // of this call
    index_t tenth_ = 0;       // of the run, at which it was last evaluated
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
        data_.seek(training_->load(*request_.resume_from));
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
              message(training_->threads(), " threads, matrix products at ", short_number(peak_, "FLOP/s")));
    begin_ = Clock::now();
    first_step_ = step();
    tenth_ = 10 * step() / total();
    while (step() < total()) {
        if (Interrupt::requested()) {
            return stop("interrupted");
        }
        if (!fits_time() && settings_.max_minutes > 0 && seconds_left() <= 0) {
            return stop("the time is over");
        }
        train_one_step();
    }
    evaluate();
    save();
    log_.fact("done", message(step(), " steps, ", detail::shown(training_->tokens_seen()),
                              " tokens; this call took ", short_duration(seconds_since(begin_))));
}

// What can be known of the end before hours of work.
inline void Run::check_output() const {
    namespace fs = std::filesystem;
    std::error_code code;
    auto const parent =
        (fs::absolute(settings_.out, code) / "").lexically_normal().parent_path().parent_path();
    fs::create_directories(parent, code);
    expects<FileError>(!code, parent.native(), ": cannot create the directory: ", code.message());
    expects<FileError>(::access(parent.c_str(), W_OK) == 0, parent.native(),
                       ": cannot write there: ", std::generic_category().message(errno));
    auto const space = fs::space(parent, code);
    if (!code) {
        auto const needed = detail::checkpoint_bytes(facts_);
        expects<FileError>(space.available > static_cast<std::uintmax_t>(needed), parent.native(),
                           ": no space left for the model: a checkpoint takes ", detail::shown_bytes(needed),
                           ", there are ", short_bytes(static_cast<double>(space.available)));
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
    if (settings_.save_every > 0 && step() % settings_.save_every == 0) {
        try {
            save();
        } catch (FileError const& error) {  // the disk may have room again at the next
            log_.warn(message("not saved: ", error.what()));
        }
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
        validation_loss_ = line.loss;
        log_.evaluation(line);
    }
}

inline void Run::save() {
    training_->save(settings_.out, {.data_position = data_.position(),
                                    .seed = settings_.seed,
                                    .flags = request_.flags,
                                    .validation_loss = validation_loss_,
                                    .tokenizer = data_.tokenizer(),
                                    .end_of_text = data_.end_of_text()});
    log_.saved(step(), total(), settings_.out);
}

inline void Run::stop(char const* why) {
    save();
    auto command = request_.program + " --out " + shell_word(settings_.out) + " --resume";
    if (fits_time()) {
        command += formatted(" --max-minutes %.2f", std::max(0.01, seconds_left() / 60));
    }
    log_.stopped(why, step(), command);
}

/// Says what a run would take.
inline void describe_run(TrainRequest const& request, ModelFacts const& facts) {
    auto const& settings = request.settings;
    auto const length = settings.seq_len > 0 ? settings.seq_len : facts.context;
    auto const tokens = settings.batch_size * length;  // in memory at once
    auto const per_step = static_cast<double>(settings.grad_accum * tokens);
    auto const flops = facts.train_flops_per_token(length);
    auto const activations =
        tokens * (settings.recompute ? facts.stream_bytes_per_token : facts.activation_bytes_per_token);
    TrainingLog const log(false, "");
    log.fact("model", detail::describe_model(settings.model, facts));
    log.fact("memory", message(detail::shown_bytes(4 * facts.parameter_bytes),
                               " for weights, gradients and two moments, ", detail::shown_bytes(activations),
                               " for the activations of ", tokens, " tokens, and scratch"));
    log.fact("compute",
             message(short_number(flops, "FLOP"), " per token, ", short_number(flops * per_step, "FLOP"),
                     " per step of ", short_number(per_step), " tokens"));
    log.fact("disk", message(detail::shown_bytes(detail::checkpoint_bytes(facts)), " per checkpoint"));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
