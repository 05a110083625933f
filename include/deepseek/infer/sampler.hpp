// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_INFER_SAMPLER_HPP
#define DEEPSEEK_INFER_SAMPLER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

// From the logits of the next token to the next token. The steps are free functions over a list of candidates, so
// that a program can compose a sampler of its own from them and from steps it adds.

namespace deepseek::inline DEEPSEEK_ABI {

/// A token that may come next. Scores are logarithms of unnormalised probabilities; after keep_top_k or keep_top_p
/// the list is ordered, before it need not be.
struct Candidate {
    Token token = 0;
    double score = 0;
};

namespace sampling {

/// The order of candidates: greater scores first, of equal ones the lower token, so that no result depends on how
/// the standard library sorts.
constexpr bool more_likely(Candidate const& a, Candidate const& b) {
    return a.score > b.score || (a.score == b.score && a.token < b.token);
}

/// Every token of the vocabulary as a candidate, in order of their ids.
///
/// Errors:    Error if there are no logits, if one is NaN or +infinity, or if all are -infinity
template <std::floating_point T>
void list_candidates(std::vector<Candidate>& candidates, std::span<T const> logits) {
    expects(!logits.empty(), "sampling: no logits");
    candidates.resize(logits.size());
    bool possible = false;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        auto const score = static_cast<double>(logits[i]);
        expects(score < std::numeric_limits<double>::infinity(), "sampling: the logit of token ", i, " is ",
                score);
        possible |= score > -std::numeric_limits<double>::infinity();
        candidates[i] = {static_cast<Token>(i), score};
    }
    expects(possible, "sampling: all ", logits.size(), " logits are -infinity");
}

/// Makes tokens that occur in `tokens` less likely: divides their score by the penalty where it is positive and
/// multiplies it where it is negative. Candidates must still be all tokens in order of their ids, and no token may
/// be given twice.
///
/// Errors:    Error if a token is none of the candidates
/// Source:    Keskar et al. 2019 (CTRL), 4.1, with the sign rule that all programs have adopted since
inline void penalize(std::span<Candidate> candidates, std::span<Token const> tokens, double penalty) {
    for (auto const token : tokens) {
        expects(token >= 0 && static_cast<std::size_t>(token) < candidates.size(),
                "sampling: the history holds token ", token, ", the vocabulary ends at ", candidates.size());
        auto& score = candidates[static_cast<std::size_t>(token)].score;
        score = score > 0 ? score / penalty : score * penalty;
    }
}

/// The most likely candidate.
inline Token most_likely(std::span<Candidate const> candidates) {
    return std::min_element(candidates.begin(), candidates.end(), more_likely)->token;
}

/// Keeps the `count` most likely candidates, in order; 0: all, as they are.
inline void keep_top_k(std::vector<Candidate>& candidates, index_t count) {
    if (count <= 0 || count >= static_cast<index_t>(candidates.size())) {
        return;
    }
    std::partial_sort(candidates.begin(), candidates.begin() + count, candidates.end(), more_likely);
    candidates.resize(static_cast<std::size_t>(count));
}

/// Keeps the fewest most likely candidates whose probabilities reach `mass` together, in order, at least one; 1: all,
/// as they are.
///
/// Source:    Holtzman et al. 2020 (nucleus sampling)
inline void keep_top_p(std::vector<Candidate>& candidates, double mass) {
    if (mass >= 1) {
        return;
    }
    auto const greatest = std::min_element(candidates.begin(), candidates.end(), more_likely)->score;
    double total = 0;
    for (auto const& candidate : candidates) {
        total += std::exp(candidate.score - greatest);
    }
    // The nucleus is nearly always small beside the vocabulary: order only as far as it reaches.
    std::size_t ordered = 0;
    std::size_t kept = 0;
    for (double sum = 0; kept == 0 || (kept < candidates.size() && sum < mass * total); ++kept) {
        if (kept == ordered) {
            ordered = std::min(candidates.size(), std::max<std::size_t>(64, 2 * ordered));
            std::partial_sort(candidates.begin() + static_cast<std::ptrdiff_t>(kept),
                              candidates.begin() + static_cast<std::ptrdiff_t>(ordered), candidates.end(),
                              more_likely);
        }
        sum += std::exp(candidates[kept].score - greatest);
    }
    candidates.resize(kept);
}

/// Keeps candidates at least `ratio` times as probable as the most likely one; 0: all.
///
/// Source:    Nguyen et al. 2024 (min-p)
inline void keep_min_p(std::vector<Candidate>& candidates, double ratio) {
    if (ratio <= 0) {
        return;
    }
    auto const greatest = std::min_element(candidates.begin(), candidates.end(), more_likely)->score;
    std::erase_if(candidates,
                  [&](Candidate const& candidate) { return std::exp(candidate.score - greatest) < ratio; });
}

/// Divides the scores by the temperature, which must be positive. The greatest becomes 0, so that no temperature, be
/// it ever so small, makes one overflow.
inline void apply_temperature(std::span<Candidate> candidates, double temperature) {
    auto const greatest = std::min_element(candidates.begin(), candidates.end(), more_likely)->score;
    for (auto& candidate : candidates) {
        candidate.score = (candidate.score - greatest) / temperature;
    }
}

/// The candidate that `uniform` in [0, 1) falls on when they share that interval by their probabilities, in order.
inline Token draw(std::span<Candidate const> candidates, double uniform) {
    auto const greatest = std::min_element(candidates.begin(), candidates.end(), more_likely)->score;
    double total = 0;
    for (auto const& candidate : candidates) {
        total += std::exp(candidate.score - greatest);
    }
    double sum = 0;
    Token last = 0;  // the last that is possible at all: uniform * total may round up to total
    for (auto const& candidate : candidates) {
        auto const share = std::exp(candidate.score - greatest);
        sum += share;
        if (sum > uniform * total) {
            return candidate.token;
        }
        last = share > 0 ? candidate.token : last;
    }
    return last;
}

}  // namespace sampling

/// How the next token is chosen. Each filter has a value that turns it off.
struct Sampling {
    double temperature = 0.8;   ///< 0: always the most likely token
    index_t top_k = 40;         ///< 0: off
    double top_p = 0.95;        ///< 1: off
    double min_p = 0.05;        ///< 0: off
    double repeat_penalty = 1;  ///< 1: off
    index_t repeat_last = 64;   ///< how many of the latest tokens are penalised; 0: none, -1: all
    Seed seed{};

    /// Errors:    Error naming the first value that makes no sense
    void validate() const {
        expects(std::isfinite(temperature) && temperature >= 0, "Sampling: temperature is ", temperature,
                ", expected 0 or more");
        expects(top_k >= 0, "Sampling: top_k is ", top_k, ", expected 0 (off) or more");
        expects(top_p > 0 && top_p <= 1, "Sampling: top_p is ", top_p,
                ", expected more than 0 and at most 1 (off)");
        expects(min_p >= 0 && min_p <= 1, "Sampling: min_p is ", min_p, ", outside [0, 1]");
        expects(repeat_penalty >= 0.01 && repeat_penalty <= 100, "Sampling: repeat_penalty is ",
                repeat_penalty, ", outside [0.01, 100]; 1 is off");
        expects(repeat_last >= -1, "Sampling: repeat_last is ", repeat_last,
                ", expected -1 (all), 0 (off) or more");
    }
};

/// Chooses tokens: repetition penalty, then top-k, top-p, min-p, temperature, and the draw, in this order. The
/// filters therefore see the model's own distribution, whatever the temperature.
///
/// A choice is a pure function of the logits, the history and the seed: the random number is the seed's at the
/// history's length. It does not depend on what the sampler chose before. No allocation once a vocabulary of that
/// size has been seen.
class Sampler {
public:
    /// Errors:    Error naming the first option that makes no sense
    explicit Sampler(Sampling const& options) : options_(options), random_(options.seed) {
        options_.validate();
    }

    Sampling const& options() const { return options_; }

    /// Shapes:    logits [vocabulary]; history: all tokens of the sequence so far, the prompt's included
    /// Errors:    Error if the logits hold NaN or +infinity or nothing else than -infinity, or if a token of the
    ///            history that is to be penalised is outside the vocabulary
    template <std::floating_point T>
    Token operator()(std::span<T const> logits, std::span<Token const> history) {
        sampling::list_candidates(candidates_, logits);
        if (options_.repeat_penalty != 1) {
            penalize_recent(history);
        }
        if (options_.temperature == 0) {
            return sampling::most_likely(candidates_);  // which every filter would keep
        }
        sampling::keep_top_k(candidates_, options_.top_k);
        sampling::keep_top_p(candidates_, options_.top_p);
        sampling::keep_min_p(candidates_, options_.min_p);
        sampling::apply_temperature(candidates_, options_.temperature);
        return sampling::draw(candidates_, random_.uniform(history.size()));
    }

private:
    // Penalises each token among the latest, however often it occurs, once.
    void penalize_recent(std::span<Token const> history) {
        auto const wanted = static_cast<std::size_t>(options_.repeat_last);  // -1: more than there can be
        penalized_.assign(candidates_.size(), false);
        for (auto const& token : history.last(std::min(history.size(), wanted))) {
            auto const i = static_cast<std::size_t>(token);  // of a negative one: beyond all
            if (i >= penalized_.size() || !penalized_[i]) {
                sampling::penalize(candidates_, {&token, 1}, options_.repeat_penalty);  // refuses one beyond
                penalized_[i] = true;
            }
        }
    }

    Sampling options_;
    RandomKey random_;
    std::vector<Candidate> candidates_;
    std::vector<bool> penalized_;  // by token
};

/// What chooses the next token from logits [vocabulary] of T and the text so far: a Sampler, or any function of them.
template <class S, class T>
concept TokenSampler = requires(S& sampler, std::span<T const> logits, std::span<Token const> history) {
    { std::invoke(sampler, logits, history) } -> std::convertible_to<Token>;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
