// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_GENERIC_ROUTE_HPP
#define DEEPSEEK_OPS_GENERIC_ROUTE_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/routing.hpp>
#include <deepseek/core/view.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

namespace deepseek::inline DEEPSEEK_ABI::ops::generic {

// The normaliser's epsilon, as in the published code.
inline constexpr double kGateEpsilon = 1e-20;

/// Calls pick(index) for the TopK largest of score(0) … score(Count - 1), ties to the lower index, and never
/// for the same index twice. A NaN is chosen only when nothing else is left.
template <index_t Count, index_t TopK>
DEEPSEEK_HD void for_top_k(auto const& score, auto const& pick) {
    bool taken[Count] = {};
    for (index_t k = 0; k < TopK; ++k) {
        index_t best = -1;
        for (index_t i = 0; i < Count; ++i) {
            if (!taken[i] && (best < 0 || score(i) > score(best) ||
                              (score(best) != score(best) && score(i) == score(i)))) {
                best = i;
            }
        }
        taken[best] = true;
        pick(best);
    }
}

template <class T, index_t Experts, index_t TopK>
struct RouteRow {
    Rows<T, Experts> scores;  // logits on entry
    T const* bias;
    Rows<std::int32_t, TopK> chosen;
    Rows<T, TopK> gates;
    Routing routing;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto* const s = scores.row(row);
        score(s);
        T z[Experts];  // what the choice looks at
        for (index_t e = 0; e < Experts; ++e) {
            z[e] = bias == nullptr ? s[e] : s[e] + bias[e];
        }
        if (routing.groups > 1) {
            drop_groups(z);
        }

        bool is_chosen[Experts] = {};
        for_top_k<Experts, TopK>([&](index_t e) { return z[e]; }, [&](index_t e) { is_chosen[e] = true; });

        auto* const id = chosen.row(row);
        auto* const gate = gates.row(row);
        index_t k = 0;
        T sum = 0;
        for (index_t e = 0; e < Experts; ++e) {
            if (is_chosen[e]) {
                id[k] = static_cast<std::int32_t>(e);
                gate[k++] = s[e];
                sum += s[e];
            }
        }
        auto const factor = gate_factor(routing, sum);
        for (k = 0; k < TopK; ++k) {
            gate[k] *= factor;
        }
    }

    // What the chosen affinities are multiplied with.
    static DEEPSEEK_HD T gate_factor(Routing const& routing, T sum) {
        auto const scale = static_cast<T>(routing.scale);
        if (!routing.normalize) {
            return scale;
        }
        auto const inverse = 1 / (sum + static_cast<T>(kGateEpsilon));
        return routing.scoring == Scoring::softmax ? inverse : scale * inverse;
    }

private:
    DEEPSEEK_HD void score(T* s) const {
        if (routing.scoring == Scoring::sigmoid) {
            for (index_t e = 0; e < Experts; ++e) {
                s[e] = 1 / (1 + std::exp(-s[e]));
            }
            return;
        }
        T largest = s[0];
        for (index_t e = 1; e < Experts; ++e) {
            largest = s[e] > largest ? s[e] : largest;
        }
        T sum = 0;
        for (index_t e = 0; e < Experts; ++e) {
            s[e] = std::exp(s[e] - largest);
            sum += s[e];
        }
        for (index_t e = 0; e < Experts; ++e) {
            s[e] /= sum;
        }
    }

    // Leaves only the experts of the best groups. The mask is minus infinity unless asked otherwise: with negative
    // biases a mask of zero lets excluded experts back in.
    DEEPSEEK_HD void drop_groups(T* z) const {
        auto const size = Experts / routing.groups;
        T group_score[Experts];
        for (index_t g = 0; g < routing.groups; ++g) {
            T first = -std::numeric_limits<T>::infinity();
            T second = first;
            for (index_t e = g * size; e < (g + 1) * size; ++e) {
                if (z[e] > first) {
                    second = first;
                    first = z[e];
                } else if (z[e] > second) {
                    second = z[e];
                }
            }
            group_score[g] = routing.scoring == Scoring::softmax ? first : first + second;
        }
        for (index_t g = 0; g < routing.groups; ++g) {
            int better = 0;
            for (index_t other = 0; other < routing.groups; ++other) {
                better += group_score[other] > group_score[g] ||
                          (group_score[other] == group_score[g] && other < g);
            }
            if (better >= routing.groups_kept) {
                for (index_t e = g * size; e < (g + 1) * size; ++e) {
                    z[e] = routing.zero_mask ? T{0} : -std::numeric_limits<T>::infinity();
                }
            }
        }
    }
};

template <class T, index_t Experts, index_t TopK>
struct RouteBackwardRow {
    Rows<T, Experts> dlogits;
    Rows<T const, TopK> dgates;
    Rows<T const, Experts> scores;
    Rows<std::int32_t const, TopK> chosen;
    Routing routing;
    Rows<T const, Experts> load;
    T balance_scale;
    index_t sequence_length;
    Token const* targets;

    DEEPSEEK_HD void operator()(index_t row) const {
        auto const* const s = scores.row(row);
        auto const* const id = chosen.row(row);
        auto const* const dgate = dgates.row(row);
        auto* const d = dlogits.row(row);  // gradient of s first, of the logits at the end

        T sum = 0;
        for (index_t k = 0; k < TopK; ++k) {
            sum += s[id[k]];
        }
        auto const factor = RouteRow<T, Experts, TopK>::gate_factor(routing, sum);
        T along = 0;  // what normalising takes back: the part of dgate along the gates
        if (routing.normalize) {
            for (index_t k = 0; k < TopK; ++k) {
                along += dgate[k] * s[id[k]];
            }
            along /= sum + static_cast<T>(kGateEpsilon);
        }
        for (index_t e = 0; e < Experts; ++e) {
            d[e] = 0;
        }
        for (index_t k = 0; k < TopK; ++k) {
            d[id[k]] = factor * (dgate[k] - along);
        }
        if (load.data != nullptr && (targets == nullptr || targets[row] >= 0)) {
            add_balance(d, s, load.row(row / sequence_length));
        }
        if (routing.scoring == Scoring::sigmoid) {
            for (index_t e = 0; e < Experts; ++e) {
                d[e] *= s[e] * (1 - s[e]);
            }
            return;
        }
        T mean = 0;
        for (index_t e = 0; e < Experts; ++e) {
            mean += s[e] * d[e];
        }
        for (index_t e = 0; e < Experts; ++e) {
            d[e] = s[e] * (d[e] - mean);
        }
    }

private:
    // Gradient of load · (s / sum(s)); the load is a constant.
    DEEPSEEK_HD void add_balance(T* d, T const* s, T const* f) const {
        T sum = 0;
        T weighted = 0;
        for (index_t e = 0; e < Experts; ++e) {
            sum += s[e];
            weighted += f[e] * s[e];
        }
        for (index_t e = 0; e < Experts; ++e) {
            d[e] += balance_scale / sum * (f[e] - weighted / sum);
        }
    }
};

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

template <class T, index_t Experts, index_t TopK>
struct BalanceSequence {
    Rows<T, Experts> load;
    Rows<T, 1> loss;
    Rows<T const, Experts> scores;
    Token const* targets;
    double const* weights;
    index_t length;

    DEEPSEEK_HD void operator()(index_t sequence) const {
        auto* const f = load.row(sequence);
        T mean[Experts] = {};  // of the normalised affinities
        for (index_t e = 0; e < Experts; ++e) {
            f[e] = 0;
        }
        index_t tokens = 0;
        for (index_t t = sequence * length; t < (sequence + 1) * length; ++t) {
            if (targets != nullptr && targets[t] < 0) {
                continue;
            }
            ++tokens;
            auto const* const s = scores.row(t);
            for_top_k<Experts, TopK>([&](index_t e) { return s[e]; }, [&](index_t e) { f[e] += 1; });
            T sum = 0;
            for (index_t e = 0; e < Experts; ++e) {
                sum += s[e];
            }
            for (index_t e = 0; e < Experts; ++e) {
                mean[e] += s[e] / sum;
            }
        }
        loss.row(sequence)[0] = 0;
        if (tokens == 0) {
            return;
        }
        auto const weight =
            static_cast<T>(weights == nullptr ? 1 / static_cast<double>(load.rows) : weights[sequence]);
        T total = 0;
        for (index_t e = 0; e < Experts; ++e) {
            f[e] *= weight * static_cast<T>(Experts) / static_cast<T>(TopK * tokens) / static_cast<T>(tokens);
            total += f[e] * mean[e];
        }
        loss.row(sequence)[0] = total;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::ops::generic

#endif
