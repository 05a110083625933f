// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_MERGE_TABLE_HPP
#define DEEPSEEK_TEXT_MERGE_TABLE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text {

/// Which pairs of neighbouring tokens merge into which token, and which pair goes first. Immutable once filled.
class MergeTable {
public:
    static constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

    struct Merge {
        std::uint32_t rank = kNoRank;  ///< lower goes first; kNoRank: the pair does not merge
        Token result = -1;
    };

    MergeTable() : MergeTable(0) {}
    /// Room for so many pairs.
    explicit MergeTable(std::size_t pairs) : slots_(std::bit_ceil(std::max<std::size_t>(2 * pairs, 2))) {
        expects(pairs < kNoRank, "merges: ", pairs, " are more than the ", kNoRank, " that are supported");
    }

    /// Adds a pair, with a rank below twice the number that room was made for. Of a pair added twice the later one
    /// counts, as it does in Hugging Face tokenizers.
    void add(Token left, Token right, Merge merge) {
        expects(merge.rank < slots_.size(), "merges: rank ", merge.rank,
                " is far beyond the number of pairs");
        auto& slot = slots_[find_slot(key(left, right))];
        if (slot.merge.rank == kNoRank) {
            expects(2 * ++size_ <= slots_.size(), "merges: more pairs than room was made for");
        }
        slot = {key(left, right), merge};
    }

    Merge find(Token left, Token right) const { return slots_[find_slot(key(left, right))].merge; }
    std::size_t size() const { return size_; }
    /// More than any rank.
    std::size_t ranks() const { return slots_.size(); }

private:
    struct Slot {
        std::uint64_t key = 0;
        Merge merge;
    };

    static std::uint64_t key(Token left, Token right) {
        return std::uint64_t{static_cast<std::uint32_t>(left)} << 32U | static_cast<std::uint32_t>(right);
    }

    // Linear probing at a load of at most one half: a search ends after two or three neighbouring slots.
    std::size_t find_slot(std::uint64_t wanted) const {
        auto const mask = slots_.size() - 1;
        // The product's high bits depend on all of the key's bits; the low ones do not.
        auto at = static_cast<std::size_t>((wanted * 0x9E37'79B9'7F4A'7C15U) >> 32U) & mask;
        while (slots_[at].merge.rank != kNoRank && slots_[at].key != wanted) {
            at = (at + 1) & mask;
        }
        return at;
    }

    std::vector<Slot> slots_;
    std::size_t size_ = 0;
};

/// Merges the tokens of one word: again and again the pair of lowest rank, of equal ones the leftmost, until no pair
/// merges. Holds the memory this needs, so one per thread.
///
/// Cost:      n log n for n tokens, nearly n for long ones; a word of a megabyte needs no deep stack and no patience
class Merger {
public:
    /// Replaces `tokens` by what they merge into.
    void merge(MergeTable const& table, std::vector<Token>& tokens) {
        if (tokens.size() < 2 || table.size() == 0) {
            return;
        }
        if (tokens.size() <= kShortWord) {
            merge_by_scanning(table, tokens);
        } else {
            merge_by_rank(table, tokens);
        }
    }

private:
    // Up to this length scanning all pairs for the lowest rank beats keeping them in order.
    static constexpr std::size_t kShortWord = 48;

    void merge_by_scanning(MergeTable const& table, std::vector<Token>& tokens) {
        MergeTable::Merge pairs[kShortWord];  // pairs[i]: of tokens i and i + 1
        auto count = tokens.size();
        for (std::size_t i = 0; i + 1 < count; ++i) {
            pairs[i] = table.find(tokens[i], tokens[i + 1]);
        }
        while (count > 1) {
            std::size_t best = 0;
            for (std::size_t i = 1; i + 1 < count; ++i) {
                best = pairs[i].rank < pairs[best].rank ? i : best;
            }
            if (pairs[best].rank == MergeTable::kNoRank) {
                break;
            }
            tokens[best] = pairs[best].result;
            std::copy(tokens.begin() + static_cast<std::ptrdiff_t>(best) + 2,
                      tokens.begin() + static_cast<std::ptrdiff_t>(count),
                      tokens.begin() + static_cast<std::ptrdiff_t>(best) + 1);
            std::copy(pairs + best + 1, pairs + count - 1, pairs + best);
            --count;
            if (best > 0) {
                pairs[best - 1] = table.find(tokens[best - 1], tokens[best]);
            }
            if (best + 1 < count) {
                pairs[best] = table.find(tokens[best], tokens[best + 1]);
            }
        }
        tokens.resize(count);
    }

    // The word as a doubly linked list over positions, and for each rank the positions of its pairs, from left to right.
    // A pair is stale once one of its tokens has been merged away: then other tokens stand there when it comes up.
    // Long runs of one pair are one rank, and all work on them goes through memory in order.
    void merge_by_rank(MergeTable const& table, std::vector<Token>& tokens) {
        expects(tokens.size() < kEnd, "a word of ", tokens.size(), " bytes is too long to be merged");
        auto const count = static_cast<std::uint32_t>(tokens.size());
        links_.resize(count);
        places_.resize(std::max(places_.size(), table.ranks()));
        for (std::uint32_t i = 0; i < count; ++i) {
            links_[i] = {i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1};
            if (i + 1 < count) {
                add_pair(table.find(tokens[i], tokens[i + 1]).rank, i);
            }
        }
        while (!ranks_.empty()) {
            std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
            auto const rank = ranks_.back();
            ranks_.pop_back();
            current_.clear();
            std::swap(current_, places_[rank]);
            if (!std::is_sorted(current_.begin(), current_.end())) {
                std::sort(current_.begin(), current_.end());
            }
            std::size_t at = 0;
            // Merging may bring up a pair that goes before the rest of these.
            while (at < current_.size() && (ranks_.empty() || ranks_.front() > rank)) {
                merge_at(table, tokens, current_[at++], rank);
            }
            for (; at < current_.size(); ++at) {
                add_pair(rank, current_[at]);
            }
        }
        std::erase(tokens, kMergedAway);
    }

    void merge_at(MergeTable const& table, std::vector<Token>& tokens, std::uint32_t position,
                  std::uint32_t rank) {
        auto const right = links_[position].next;
        if (tokens[position] == kMergedAway || right == kEnd) {
            return;
        }
        auto const merge = table.find(tokens[position], tokens[right]);
        if (merge.rank != rank) {
            return;
        }
        tokens[position] = merge.result;
        tokens[right] = kMergedAway;
        auto const before = links_[position].previous;
        auto const after = links_[right].next;
        links_[position].next = after;
        if (before != kEnd) {
            add_pair(table.find(tokens[before], tokens[position]).rank, before);
        }
        if (after != kEnd) {
            links_[after].previous = position;
            add_pair(table.find(tokens[position], tokens[after]).rank, position);
        }
    }

    void add_pair(std::uint32_t rank, std::uint32_t position) {
        if (rank == MergeTable::kNoRank) {
            return;
        }
        if (places_[rank].empty()) {
            ranks_.push_back(rank);
            std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
        }
        places_[rank].push_back(position);
    }

    static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
    static constexpr Token kMergedAway = -1;

    struct Link {
        std::uint32_t previous;
        std::uint32_t next;
    };

    std::vector<Link> links_;
    std::vector<std::vector<std::uint32_t>>
        places_;                        // by rank: positions of left tokens, empty between words
    std::vector<std::uint32_t> ranks_;  // a heap of those that have places, the lowest on top
    std::vector<std::uint32_t> current_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
