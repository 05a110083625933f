// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_REFERENCE_ROUTE_HPP
#define DEEPSEEK_OPS_REFERENCE_ROUTE_HPP

#include <deepseek/backend/operations.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/view.hpp>
#include <deepseek/detail/portable.hpp>
#include <deepseek/ops/arguments/routing.hpp>

#include <cmath>
#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI::ops {

namespace loop {

/// Of x[0 .. count), the largest first, ties by index and NaN last: which one comes after `last`, the first for -1.
template <class T>
DEEPSEEK_HD index_t next_largest(T const* x, index_t count, index_t last) {
    auto const before = [=](index_t i, index_t j) {
        auto const a = convert<accumulate_t<T>>(x[i]);
        auto const b = convert<accumulate_t<T>>(x[j]);
        bool const alike = a == b || (a != a && b != b);
        return alike ? i < j : a > b || b != b;
    };
    index_t next = -1;
    for (index_t i = 0; i < count; ++i) {
        if ((last < 0 || before(last, i)) && (next < 0 || before(i, next))) {
            next = i;
        }
    }
    return next;
}

/// One call is one token.
template <class T>
struct Route {
    using Sum = accumulate_t<T>;

    Strided<T> scores;  ///< logits on entry
    Sum const* bias;
    Strided<std::int32_t> chosen;
    Strided<T> gates;
    Routing routing;
    Strided<Sum> choice;  ///< what is looked at to choose: written here

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const experts = scores.cols;
        auto* const s = scores.row(row);
        score(s);
        auto* const z = choice.row(row);
        auto const group_size = experts / routing.groups;
        for (index_t g = 0; g < routing.groups; ++g) {
            bool const stays = routing.groups == 1 || kept(s, g);
            for (index_t e = g * group_size; e < (g + 1) * group_size; ++e) {
                // A mask of zero lets excluded experts back in where biases are negative.
                z[e] = stays ? biased(s, e) : routing.zero_mask ? Sum{0} : -deepseek::detail::kInfinity<Sum>;
            }
        }
        auto* const id = chosen.row(row);
        index_t expert = -1;
        for (index_t k = 0; k < chosen.cols; ++k) {
            expert = next_largest(z, experts, expert);
            auto place = k;  // among those before it, in ascending order
            for (; place > 0 && id[place - 1] > expert; --place) {
                id[place] = id[place - 1];
            }
            id[place] = static_cast<std::int32_t>(expert);
        }
        Sum sum = 0;
        for (index_t k = 0; k < chosen.cols; ++k) {
            sum += convert<Sum>(s[id[k]]);
        }
        auto const factor = routing.gate_factor(sum);
        for (index_t k = 0; k < chosen.cols; ++k) {
            gates.row(row)[k] = convert<T>(convert<Sum>(s[id[k]]) * factor);
        }
    }

private:
    DEEPSEEK_HD void score(T* s) const {
        if (routing.scoring == Scoring::sigmoid) {
            for (index_t e = 0; e < scores.cols; ++e) {
                s[e] = convert<T>(1 / (1 + std::exp(-convert<Sum>(s[e]))));
            }
            return;
        }
        auto largest = convert<Sum>(s[0]);
        for (index_t e = 1; e < scores.cols; ++e) {
            auto const logit = convert<Sum>(s[e]);
            largest = logit > largest ? logit : largest;
        }
        Sum sum = 0;
        for (index_t e = 0; e < scores.cols; ++e) {
            sum += std::exp(convert<Sum>(s[e]) - largest);
        }
        for (index_t e = 0; e < scores.cols; ++e) {
            s[e] = convert<T>(std::exp(convert<Sum>(s[e]) - largest) / sum);
        }
    }

    DEEPSEEK_HD Sum biased(T const* s, index_t e) const {
        return convert<Sum>(s[e]) + (bias == nullptr ? Sum{0} : bias[e]);
    }

    // Whether a group is among the best.
    DEEPSEEK_HD bool kept(T const* s, index_t group) const {
        auto const score = group_score(s, group);
        int better = 0;
        for (index_t other = 0; other < routing.groups; ++other) {
            auto const theirs = group_score(s, other);
            better += theirs > score || (theirs == score && other < group);
        }
        return better < routing.groups_kept;
    }

    // Its best expert; with sigmoid the sum of its two best.
    DEEPSEEK_HD Sum group_score(T const* s, index_t group) const {
        auto const size = scores.cols / routing.groups;
        auto first = -deepseek::detail::kInfinity<Sum>;
        auto second = first;
        for (index_t e = group * size; e < (group + 1) * size; ++e) {
            auto const z = biased(s, e);
            if (z > first) {
                second = first;
                first = z;
            } else if (z > second) {
                second = z;
            }
        }
        return routing.scoring == Scoring::softmax ? first : first + second;
    }
};

/// One call is one token. The gradient of an affinity is its part of the balance loss, and for the chosen that of the
/// gate; the logits' is that times the slope of the sigmoid, or less the mean and times the probability.
template <class T, class G>
struct RouteBackward {
    using Sum = accumulate_t<T>;

    Strided<T> dlogits;
    Strided<G const> dgates;
    Strided<T const> scores;
    Strided<std::int32_t const> chosen;
    Routing routing;
    Strided<Sum const> load;  ///< null data: no balance loss
    Sum balance_scale;
    index_t sequence_length;
    Token const* targets;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const s = scores.row(row);
        auto const* const id = chosen.row(row);
        auto const* const dgate = dgates.row(row);

        Sum sum = 0;
        Sum along = 0;  // what normalising takes back: the part of dgate along the gates
        for (index_t k = 0; k < chosen.cols; ++k) {
            sum += convert<Sum>(s[id[k]]);
            along += convert<Sum>(dgate[k]) * convert<Sum>(s[id[k]]);
        }
        auto const factor = routing.gate_factor(sum);
        along = routing.normalize ? along / (sum + static_cast<Sum>(Routing::kGateEpsilon)) : 0;

        bool const balances = load.data != nullptr && (targets == nullptr || targets[row] >= 0);
        auto const* const f = balances ? load.row(row / sequence_length) : nullptr;
        Sum total = 0;  // of load · (s / total), whose gradient is load / total - weighted / total²
        Sum weighted = 0;
        for (index_t e = 0; e < scores.cols && balances; ++e) {
            total += convert<Sum>(s[e]);
            weighted += f[e] * convert<Sum>(s[e]);
        }
        auto const scale = balances ? balance_scale / total : 0;
        auto const mean_load = balances ? weighted / total : 0;
        auto const balance = [&](index_t e) { return balances ? scale * (f[e] - mean_load) : Sum{0}; };

        bool const softmax = routing.scoring == Scoring::softmax;
        Sum mean = 0;
        for (index_t e = 0; e < scores.cols && softmax && balances; ++e) {
            mean += convert<Sum>(s[e]) * balance(e);
        }
        for (index_t k = 0; k < chosen.cols && softmax; ++k) {
            mean += convert<Sum>(s[id[k]]) * factor * (convert<Sum>(dgate[k]) - along);
        }
        auto const write = [&](index_t e, Sum gradient) {
            auto const p = convert<Sum>(s[e]);
            dlogits.row(row)[e] = convert<T>(p * (softmax ? gradient - mean : gradient * (1 - p)));
        };
        for (index_t e = 0; e < scores.cols; ++e) {
            write(e, balance(e));
        }
        for (index_t k = 0; k < chosen.cols; ++k) {
            write(id[k], balance(id[k]) + factor * (convert<Sum>(dgate[k]) - along));
        }
    }
};

/// One call does all.
struct SequenceWeights {
    double* weights;
    Token const* targets;
    index_t sequences;
    index_t length;

    DEEPSEEK_HD void operator()(index_t) const {
        double total = 0;
        for (index_t s = 0; s < sequences; ++s) {
            weights[s] = 0;
            for (index_t t = 0; t < length; ++t) {
                weights[s] += targets[s * length + t] >= 0;
            }
            total += weights[s];
        }
        for (index_t s = 0; s < sequences; ++s) {
            weights[s] = total > 0 ? weights[s] / total : 0;
        }
    }
};

/// One call is one sequence.
template <class T>
struct BalanceLoss {
    using Sum = accumulate_t<T>;

    Strided<Sum> load;
    Strided<Sum> loss;
    Strided<T const> scores;
    Token const* targets;
    double const* weights;
    index_t top_k;
    Strided<Sum> mean;  ///< of the normalised affinities, times the tokens: written here

    DEEPSEEK_HD void operator()(index_t sequence) const {
        auto const experts = scores.cols;
        auto const length = scores.rows / load.rows;
        auto* const f = load.row(sequence);
        auto* const m = mean.row(sequence);
        for (index_t e = 0; e < experts; ++e) {
            f[e] = 0;
            m[e] = 0;
        }
        index_t tokens = 0;
        for (index_t t = sequence * length; t < (sequence + 1) * length; ++t) {
            if (targets != nullptr && targets[t] < 0) {
                continue;
            }
            ++tokens;
            auto const* const s = scores.row(t);
            index_t expert = -1;
            for (index_t k = 0; k < top_k; ++k) {
                expert = next_largest(s, experts, expert);
                f[expert] += 1;
            }
            Sum sum = 0;
            for (index_t e = 0; e < experts; ++e) {
                sum += convert<Sum>(s[e]);
            }
            for (index_t e = 0; e < experts; ++e) {
                m[e] += convert<Sum>(s[e]) / sum;
            }
        }
        Sum total = 0;
        if (tokens > 0) {
            auto const weight = weights == nullptr ? 1 / static_cast<double>(load.rows) : weights[sequence];
            for (index_t e = 0; e < experts; ++e) {
                f[e] *= static_cast<Sum>(weight) * static_cast<Sum>(experts) /
                        static_cast<Sum>(top_k * tokens) / static_cast<Sum>(tokens);
                total += f[e] * m[e];
            }
        }
        loss.row(sequence)[0] = total;
    }
};

}  // namespace loop

template <class B, class T>
void reference(Route, B& be, Strided<T> logits, accumulate_t<T> const* bias, Strided<std::int32_t> chosen,
               Strided<T> gates, Routing const& routing) {
    using Sum = accumulate_t<T>;
    auto const scope = be.scratch().scope();
    Strided<Sum> const choice{be.scratch().template take<Sum>(checked_mul(logits.rows, logits.cols)),
                              logits.rows, logits.cols, logits.cols};
    be.for_each(logits.rows, logits.cols * (chosen.cols + 8),
                loop::Route<T>{logits, bias, chosen, gates, routing, choice});
}

template <class B, class T, class G>
void reference(RouteBackward, B& be, Strided<T> dlogits, Strided<G const> dgates, Strided<T const> scores,
               Strided<std::int32_t const> chosen, Routing const& routing,
               Strided<accumulate_t<T> const> load, accumulate_t<T> balance_scale, index_t sequence_length,
               Token const* targets) {
    be.for_each(dlogits.rows, 8 * dlogits.cols,
                loop::RouteBackward<T, G>{dlogits, dgates, scores, chosen, routing, load, balance_scale,
                                          sequence_length, targets});
}

template <class B>
void reference(SequenceWeights, B& be, double* weights, Token const* targets, index_t sequences,
               index_t length) {
    be.for_each(1, sequences * length, loop::SequenceWeights{weights, targets, sequences, length});
}

template <class B, class T>
void reference(BalanceLoss, B& be, Strided<accumulate_t<T>> load, Strided<accumulate_t<T>> loss,
               Strided<T const> scores, Token const* targets, double const* weights, index_t top_k) {
    using Sum = accumulate_t<T>;
    auto const scope = be.scratch().scope();
    Strided<Sum> const mean{be.scratch().template take<Sum>(checked_mul(load.rows, load.cols)), load.rows,
                            load.cols, load.cols};
    be.for_each(load.rows, scores.rows / load.rows * scores.cols * (top_k + 1),
                loop::BalanceLoss<T>{load, loss, scores, targets, weights, top_k, mean});
}

}  // namespace deepseek::inline DEEPSEEK_ABI::ops

#endif
