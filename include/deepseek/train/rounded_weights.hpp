// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TRAIN_ROUNDED_WEIGHTS_HPP
#define DEEPSEEK_TRAIN_ROUNDED_WEIGHTS_HPP

#include <deepseek/core/dtype.hpp>
#include <deepseek/core/segments.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/model/weights.hpp>
#include <deepseek/ops/convert.hpp>
#include <deepseek/train/accumulate.hpp>

#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI {

/// The weights that are computed with: a rounded copy of those that are learned, or these themselves where Compute holds
/// all of their digits.
template <class M, class Compute, class B>
class RoundedWeights {
public:
    using Master = accumulate_t<Compute>;

    /// Errors:    what the backend throws when memory is short
    explicit RoundedWeights(B& backend)
        : backend_(&backend),
          learned_(backend, [](Info const& info) { return info.role != Role::state; }),
          states_(backend, [](Info const& info) { return info.role == Role::state; }),
          weights_(backend) {}

    /// Rounds all weights, in two launches; sums has the places of the learned ones.
    Weights<M, Compute, B> const& of(Weights<M, Master, B> const& masters,
                                     StepSums<M, Master, B> const& sums) {
        auto const* const from = reinterpret_cast<Master const*>(masters.data());
        ops::convert_set(*backend_, reinterpret_cast<Compute*>(weights_.data()), learned_.view(), from,
                         sums.learned());
        ops::convert_set(*backend_, reinterpret_cast<Master*>(weights_.data()), states_.view(), from,
                         sums.routers());
        return weights_;
    }
    /// As they were when last rounded.
    Weights<M, Compute, B> const& last(Weights<M, Master, B> const&) const { return weights_; }

private:
    B* backend_;
    SegmentTable<M, Compute, B> learned_;
    SegmentTable<M, Compute, B> states_;
    Weights<M, Compute, B> weights_;
};

template <class M, class T, class B>
requires std::is_same_v<T, accumulate_t<T>>
class RoundedWeights<M, T, B> {
public:
    explicit RoundedWeights(B&) {}
    Weights<M, T, B> const& of(Weights<M, T, B> const& masters, StepSums<M, T, B> const&) { return masters; }
    Weights<M, T, B> const& last(Weights<M, T, B> const& masters) const { return masters; }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
