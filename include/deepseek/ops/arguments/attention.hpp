// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_OPS_ARGUMENTS_ATTENTION_HPP
#define DEEPSEEK_OPS_ARGUMENTS_ATTENTION_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <cstdint>

namespace deepseek::inline DEEPSEEK_ABI {

/// How attention is to be computed, as a layer says it.
struct AttentionOptions {
    index_t sequences = 1;  ///< the rows are this many sequences of equal length, one after the other
    double scale = 1;       ///< factor on every score
    bool causal = true;  ///< a sequence's last query sees all its keys, the one before it all but the last, …
    Dropout dropout{};  ///< on the probabilities; element number: AttentionShape::probability
    /// In the backend's memory, of every query: the first key of its sequence that it may see, never less than that of
    /// the query before. Needs causal and as many queries as keys. Null: 0.
    std::int32_t const* first_key = nullptr;
};

/// All extents of one call, as a backend sees it.
struct AttentionShape : AttentionOptions {
    index_t length_q = 0;  ///< queries of a sequence
    index_t length_k = 0;  ///< keys of a sequence
    index_t heads = 0;
    index_t nope = 0;   ///< width of a head's key without position
    index_t rope = 0;   ///< width of the rotary key, which all heads share
    index_t value = 0;  ///< width of a head's value

    // Of a call that computes one part of another: how that one numbers probabilities.
    index_t whole_length = 0;      ///< queries and keys of its sequences; 0: this is no part
    std::uint64_t part_begin = 0;  ///< number of the first probability

    /// Width of a whole key, and of a head's query.
    constexpr DEEPSEEK_HD index_t key_width() const { return nope + rope; }

    /// How many keys, from the first, query `query` of a sequence sees.
    constexpr DEEPSEEK_HD index_t visible(index_t query) const {
        auto const last = causal ? query + 1 + length_k - length_q : length_k;
        return last > 0 ? last : 0;
    }
    /// The first query of a sequence that sees key `key`.
    constexpr DEEPSEEK_HD index_t first_query(index_t key) const {
        auto const first = causal ? key + length_q - length_k : 0;
        return first > 0 ? first : 0;
    }
    /// The number by which dropout knows the probability of one key in one row.
    constexpr DEEPSEEK_HD std::uint64_t probability(index_t sequence, index_t head, index_t query,
                                                    index_t key) const {
        auto const queries = whole_length > 0 ? whole_length : length_q;
        auto const row = (sequence * heads + head) * queries + query;
        return part_begin + static_cast<std::uint64_t>(row * keys_numbered() + key);
    }
    /// How far that number is from one query to the next.
    constexpr DEEPSEEK_HD index_t keys_numbered() const { return whole_length > 0 ? whole_length : length_k; }

    /// The shape of a call for one document: `length` rows from `begin` on in one sequence, and nothing else.
    constexpr AttentionShape document(index_t sequence, index_t begin, index_t length) const {
        auto part = *this;
        part.part_begin = probability(sequence, 0, begin, begin);
        part.whole_length = length_k;
        part.sequences = 1;
        part.length_q = part.length_k = length;
        part.first_key = nullptr;
        return part;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
