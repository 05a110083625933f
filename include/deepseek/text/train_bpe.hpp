// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_TRAIN_BPE_HPP
#define DEEPSEEK_TEXT_TRAIN_BPE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/text/byte_level.hpp>
#include <deepseek/text/pre_tokenizer.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_data.hpp>
#include <deepseek/text/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text {

/// What vocabulary is to be learned.
struct TrainBpeOptions {
    /// Tokens wanted: 256 bytes, merges, and end-of-text, whose id is the last.
    index_t vocabulary = 0;
    /// Pairs that occur less often in the whole text do not become tokens.
    index_t min_count = 2;
    /// How text is cut into words; nothing merges across words. By default as in GPT-2.
    std::vector<SplitRule> rules = {{SplitRule::Kind::regex, std::string(kGpt2Pattern)}};
};

/// Learns a tokenizer from text: counts words, then again and again makes the most frequent pair of neighbouring tokens
/// a new token. Of equally frequent pairs the one with the lower left, then the lower right id comes first, so the
/// result depends on the text alone, not on the order in which it was added.
///
/// Pieces of more than kMaxWord bytes (base64, rows of one sign) are counted in parts of that size: what they would
/// merge into is of no use elsewhere, and learning would take long.
///
/// Source:    Sennrich et al. 2016 (arXiv 1508.07909), algorithm 1; equal merges to the BpeTrainer of Hugging Face
///            tokenizers with the byte-level alphabet
class BpeTrainer {
public:
    static constexpr std::size_t kMaxWord = 1024;

    /// Errors:    Error if the vocabulary has no room for a merge or is too large; FormatError if a rule is no pattern
    explicit BpeTrainer(TrainBpeOptions options)
        : options_(std::move(options)), rules_(options_.rules), splitter_(rules_) {
        expects(options_.vocabulary > kBytes, "train_bpe: a vocabulary of ", options_.vocabulary,
                " has no room for the ", kBytes, " bytes and end-of-text");
        expects(options_.vocabulary <= std::numeric_limits<Token>::max(), "train_bpe: a vocabulary of ",
                options_.vocabulary, " is too large");
    }
    BpeTrainer(BpeTrainer const&) = delete;  // the splitter refers to the rules
    BpeTrainer& operator=(BpeTrainer const&) = delete;

    /// Counts the words of a text.
    ///
    /// Errors:    FormatError giving the offset if the text is not UTF-8
    void add(std::string_view text) {
        expects_utf8(text, "train_bpe: the text");
        splitter_.split(text, [&](std::string_view word) {
            for (; word.size() > kMaxWord; word.remove_prefix(kMaxWord)) {
                count(word.substr(0, kMaxWord));
            }
            count(word);
        });
    }

    /// The tokenizer for the text added so far. Its vocabulary is smaller than was asked for if the text has too few
    /// pairs.
    Tokenizer train() {
        auto data = bytes_only();
        find_pairs();
        while (static_cast<index_t>(data.vocabulary.size()) + 1 < options_.vocabulary && !heap_.empty()) {
            auto const best = heap_.top();
            heap_.pop();
            auto const pair = pairs_.find(best.key);
            if (pair->second.count != best.count) {  // merging others took some away since it was pushed
                push(best.key, pair->second.count);
                continue;
            }
            auto const left = static_cast<Token>(best.key >> 32U);
            auto const right = static_cast<Token>(best.key & 0xFFFF'FFFFU);
            auto const& vocabulary = data.vocabulary;
            auto joined =
                vocabulary[static_cast<std::size_t>(left)] + vocabulary[static_cast<std::size_t>(right)];
            // Two pairs may spell the same token, as a·aa and aa·a do.
            auto const [token, is_new] =
                ids_.emplace(std::move(joined), static_cast<Token>(vocabulary.size()));
            if (is_new) {
                data.vocabulary.push_back(token->first);
            }
            data.merges.emplace_back(left, right);
            merge(left, right, token->second, std::exchange(pair->second.words, {}));
        }
        data.end_of_text = static_cast<Token>(data.vocabulary.size());
        data.added.push_back({std::string(kEndOfText), data.end_of_text, true, false});
        data.rules = options_.rules;
        return Tokenizer(std::move(data));
    }

private:
    static constexpr index_t kBytes = 256;

    struct Word {
        std::vector<Token> tokens;
        index_t count = 0;
    };
    struct Pair {
        index_t count = 0;
        std::vector<std::uint32_t> words;  // where it occurs or occurred
    };
    struct Candidate {
        index_t count;
        std::uint64_t key;
        bool operator<(Candidate const& other) const {  // the largest count, then the lowest ids, on top
            return count != other.count ? count < other.count : key > other.key;
        }
    };
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };

    static std::uint64_t key(Token left, Token right) {
        return std::uint64_t{static_cast<std::uint32_t>(left)} << 32U | static_cast<std::uint32_t>(right);
    }

    void count(std::string_view word) {
        auto const at = counts_.find(word);
        (at == counts_.end() ? counts_.emplace(word, 0).first : at)->second += 1;
    }

    // The vocabulary before any merge: bytes in the order of their characters, as in GPT-2.
    TokenizerData bytes_only() {
        std::array<unsigned, kBytes> order{};
        std::iota(order.begin(), order.end(), 0U);
        std::sort(order.begin(), order.end(), [](unsigned a, unsigned b) {
            return detail::kByteCharacters[a] < detail::kByteCharacters[b];
        });
        TokenizerData data;
        ids_.clear();
        for (auto const byte : order) {
            auto const id = static_cast<Token>(data.vocabulary.size());
            byte_ids_[byte] = id;
            data.vocabulary.push_back(to_byte_level(std::string(1, static_cast<char>(byte))));
            ids_.emplace(data.vocabulary.back(), id);
        }
        return data;
    }

    void find_pairs() {
        words_.clear();
        pairs_.clear();
        heap_ = {};
        for (auto const& [text, count] : counts_) {
            Word word{{}, count};
            for (char const byte : text) {
                word.tokens.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
            }
            auto const number = static_cast<std::uint32_t>(words_.size());
            for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
                add_pair(key(word.tokens[i], word.tokens[i + 1]), number, count);
            }
            words_.push_back(std::move(word));
        }
        for (auto const& [pair, state] : pairs_) {
            push(pair, state.count);
        }
    }

    void add_pair(std::uint64_t pair, std::uint32_t word, index_t count) {
        auto& state = pairs_[pair];
        state.count += count;
        if (state.words.empty() || state.words.back() != word) {
            state.words.push_back(word);
        }
    }

    void push(std::uint64_t pair, index_t count) {
        if (count >= std::max<index_t>(options_.min_count, 1)) {
            heap_.push({count, pair});
        }
    }

    // Replaces the pair in the words that have it, and keeps the counts of the pairs around it.
    void merge(Token left, Token right, Token result, std::vector<std::uint32_t> const& words) {
        changed_.clear();
        for (auto const number : words) {
            auto& word = words_[number];
            auto& tokens = word.tokens;
            auto const begins_pair = [&](std::size_t i) {
                return i + 1 < tokens.size() && tokens[i] == left && tokens[i + 1] == right;
            };
            std::size_t first = 0;
            while (first < tokens.size() && !begins_pair(first)) {
                ++first;
            }
            if (first == tokens.size()) {
                continue;
            }
            for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
                pairs_[key(tokens[i], tokens[i + 1])].count -= word.count;
            }
            auto kept = first;
            for (auto i = first; i < tokens.size(); ++kept) {
                bool const merges = begins_pair(i);
                tokens[kept] = merges ? result : tokens[i];
                i += merges ? 2 : 1;
            }
            tokens.resize(kept);
            for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
                auto const pair = key(tokens[i], tokens[i + 1]);
                if (tokens[i] == result || tokens[i + 1] == result) {
                    add_pair(pair, number, word.count);
                    changed_.push_back(pair);
                } else {
                    pairs_[pair].count += word.count;
                }
            }
        }
        std::sort(changed_.begin(), changed_.end());
        changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
        for (auto const pair : changed_) {
            push(pair, pairs_[pair].count);
        }
    }

    TrainBpeOptions options_;
    PreTokenizer rules_;
    PreTokenizer::Splitter splitter_;
    std::unordered_map<std::string, index_t, Hash, std::equal_to<>> counts_;
    std::array<Token, kBytes> byte_ids_{};
    std::unordered_map<std::string, Token> ids_;  // by text, of the vocabulary so far
    std::vector<Word> words_;
    std::unordered_map<std::uint64_t, Pair> pairs_;
    std::priority_queue<Candidate> heap_;
    std::vector<std::uint64_t> changed_;
};

/// Learns a tokenizer from texts; see BpeTrainer.
inline Tokenizer train_bpe(std::span<std::string_view const> texts, TrainBpeOptions options) {
    BpeTrainer trainer(std::move(options));
    for (auto const text : texts) {
        trainer.add(text);
    }
    return trainer.train();
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
