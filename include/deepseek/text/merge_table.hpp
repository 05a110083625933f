// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_MERGE_TABLE_HPP
#define DEEPSEEK_TEXT_MERGE_TABLE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
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

    /// Adds a pair. Of a pair added twice the later one counts, as it does in Hugging Face tokenizers.
    void add(Token left, Token right, Merge merge) {
        auto& slot = slots_[find_slot(key(left, right))];
        if (slot.merge.rank == kNoRank) {
            expects(2 * ++size_ <= slots_.size(), "merges: more pairs than room was made for");
        }
        slot = {key(left, right), merge};
    }

    Merge find(Token left, Token right) const { return slots_[find_slot(key(left, right))].merge; }
    std::size_t size() const { return size_; }

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
/// Cost:      n log n for n tokens, on the heap: a word of a megabyte needs no deep stack and no patience
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
            merge_by_heap(table, tokens);
        }
    }

private:
    // Up to this length scanning all pairs for the lowest rank beats keeping a heap.
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

    // The word as a doubly linked list over positions, and a heap of the pairs that may merge. An entry of the heap is
    // stale once one of its tokens has been merged away; it is recognised by its tokens when it comes up.
    void merge_by_heap(MergeTable const& table, std::vector<Token>& tokens) {
        expects(tokens.size() < kEnd, "a word of ", tokens.size(), " bytes is too long to be merged");
        auto const count = static_cast<std::uint32_t>(tokens.size());
        links_.resize(count);
        heap_.clear();
        for (std::uint32_t i = 0; i < count; ++i) {
            links_[i] = {i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1};
            if (i + 1 < count) {
                add_pair(table, tokens, i, i + 1);
            }
        }
        std::make_heap(heap_.begin(), heap_.end(), later);
        while (!heap_.empty()) {
            auto const pair = heap_.front();
            std::pop_heap(heap_.begin(), heap_.end(), later);
            heap_.pop_back();
            auto const right = links_[pair.position].next;
            if (tokens[pair.position] != pair.left || right == kEnd || tokens[right] != pair.right) {
                continue;
            }
            tokens[pair.position] = table.find(pair.left, pair.right).result;
            tokens[right] = kMergedAway;
            auto const after = links_[right].next;
            links_[pair.position].next = after;
            if (after != kEnd) {
                links_[after].previous = pair.position;
                push_pair(table, tokens, pair.position, after);
            }
            if (auto const before = links_[pair.position].previous; before != kEnd) {
                push_pair(table, tokens, before, pair.position);
            }
        }
        std::erase(tokens, kMergedAway);
    }

    static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
    static constexpr Token kMergedAway = -1;

    struct Link {
        std::uint32_t previous;
        std::uint32_t next;
    };
    struct Pair {
        std::uint32_t rank;
        std::uint32_t position;  // of the left token
        Token left;
        Token right;
    };

    static bool later(Pair const& a, Pair const& b) {
        return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
    }
    bool add_pair(MergeTable const& table, std::vector<Token> const& tokens, std::uint32_t left,
                  std::uint32_t right) {
        auto const rank = table.find(tokens[left], tokens[right]).rank;
        if (rank == MergeTable::kNoRank) {
            return false;
        }
        heap_.push_back({rank, left, tokens[left], tokens[right]});
        return true;
    }
    void push_pair(MergeTable const& table, std::vector<Token> const& tokens, std::uint32_t left,
                   std::uint32_t right) {
        if (add_pair(table, tokens, left, right)) {
            std::push_heap(heap_.begin(), heap_.end(), later);
        }
    }

    std::vector<Link> links_;
    std::vector<Pair> heap_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
