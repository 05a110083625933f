// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/text/pre_tokenizer.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/train_bpe.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using deepseek::index_t;
using deepseek::Token;
using deepseek::text::BpeTrainer;
using deepseek::text::PreTokenizer;
using deepseek::text::SplitRule;
using deepseek::text::to_byte_level;
using deepseek::text::Tokenizer;
using deepseek::text::train_bpe;
using deepseek::text::TrainBpeOptions;
using deepseek_tests::error_of;
using deepseek_tests::mentions;

namespace {

Tokenizer trained(std::vector<std::string_view> const& texts, index_t vocabulary, index_t min_count = 2) {
    TrainBpeOptions options;
    options.vocabulary = vocabulary;
    options.min_count = min_count;
    return train_bpe(texts, options);
}

// The merges as text.
std::vector<std::string> merges(Tokenizer const& tokenizer) {
    std::vector<std::string> all;
    auto const& vocabulary = tokenizer.data().vocabulary;
    for (auto const& [left, right] : tokenizer.data().merges) {
        all.push_back(vocabulary[static_cast<std::size_t>(left)] + " " +
                      vocabulary[static_cast<std::size_t>(right)]);
    }
    return all;
}

// Learning by its definition: count all pairs anew, merge the most frequent one everywhere, begin again.
std::vector<std::string> merges_by_definition(std::string_view text, std::size_t vocabulary,
                                              index_t min_count) {
    PreTokenizer const rules(TrainBpeOptions{}.rules);
    std::vector<std::vector<std::string>> words;
    PreTokenizer::Splitter(rules).split(text, [&](std::string_view word) {
        words.emplace_back();
        for (char const byte : word) {
            words.back().push_back(to_byte_level(std::string_view(&byte, 1)));
        }
    });
    std::vector<std::string> found;
    std::set<std::string> tokens;
    std::map<std::string, std::size_t>
        order;  // ids decide between equal counts: bytes by their characters, then age
    for (unsigned byte = 0; byte < 256; ++byte) {
        tokens.insert(to_byte_level(std::string(1, static_cast<char>(byte))));
    }
    std::vector<std::string> sorted(tokens.begin(), tokens.end());
    std::sort(sorted.begin(), sorted.end(), [](auto const& a, auto const& b) {
        return deepseek::text::utf8_code_point(a) < deepseek::text::utf8_code_point(b);
    });
    for (auto const& token : sorted) {
        order.emplace(token, order.size());
    }
    while (tokens.size() + 1 < vocabulary) {
        std::map<std::pair<std::string, std::string>, index_t> counts;
        for (auto const& word : words) {
            for (std::size_t i = 0; i + 1 < word.size(); ++i) {
                counts[{word[i], word[i + 1]}] += 1;
            }
        }
        auto const best = std::min_element(counts.begin(), counts.end(), [&](auto const& a, auto const& b) {
            auto const place = [&](auto const& pair) {
                return std::pair(order[pair.first], order[pair.second]);
            };
            return a.second != b.second ? a.second > b.second : place(a.first) < place(b.first);
        });
        if (best == counts.end() || best->second < min_count) {
            break;
        }
        auto const [left, right] = best->first;
        found.push_back(left + " " + right);
        if (tokens.insert(left + right).second) {
            order.emplace(left + right, order.size());
        }
        for (auto& word : words) {
            std::vector<std::string> joined;
            for (std::size_t i = 0; i < word.size(); ++i) {
                bool const merge = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
                joined.push_back(merge ? left + right : word[i]);
                i += merge ? 1 : 0;
            }
            word = joined;
        }
    }
    return found;
}

}  // namespace

TEST_CASE("training: a text whose merges can be seen by eye") {
    // "low" 5 times, "lower" twice, "newest" 6 times, "widest" 3 times: the example of Sennrich et al. 2016, without
    // their mark at the end of words. "es" and "st" both occur 9 times; 'e' has the lower id.
    std::string text;
    for (auto const& [word, count] : {std::pair("low", 5), {"lower", 2}, {"newest", 6}, {"widest", 3}}) {
        for (int i = 0; i < count; ++i) {
            text += word + std::string("\n");
        }
    }
    auto const tokenizer = trained({text}, 262);
    CHECK(merges(tokenizer) == std::vector<std::string>{"e s", "es t", "l o", "lo w", "e w"});
    CHECK(tokenizer.vocabulary_size() == 262);
    CHECK(tokenizer.end_of_text() == 261);
    CHECK(tokenizer.is_special(261));
    CHECK(tokenizer.encode("lowest") == std::vector<Token>{259, 257});
}

TEST_CASE("training: incremental counts agree with counting anew") {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
        CAPTURE(seed);
        deepseek::RandomKey const key(deepseek::Seed{seed});
        std::string text;
        // Few letters, so that pairs overlap with themselves and two pairs make the same token.
        for (std::uint64_t i = 0; i < BpeTrainer::kMaxWord; ++i) {
            text += "aab  bc\n"[key.bits(i) % (seed % 3 == 0 ? 3 : 8)];
        }
        auto const min_count = static_cast<index_t>(1 + seed % 4);
        CHECK(merges(trained({text}, 330, min_count)) == merges_by_definition(text, 330, min_count));
    }
}

TEST_CASE("training: the result does not depend on the order of the texts") {
    std::vector<std::string_view> texts = {"the cat sat on the mat", "the dog sat on the log",
                                           "a cat and a dog"};
    auto const first = trained(texts, 300);
    std::reverse(texts.begin(), texts.end());
    CHECK(trained(texts, 300).data() == first.data());
}

TEST_CASE("training: little text gives a smaller vocabulary") {
    auto const tokenizer = trained({"ab ab"}, 1000);
    CHECK(merges(tokenizer) == std::vector<std::string>{"a b"});
    CHECK(tokenizer.vocabulary_size() == 258);
    CHECK(trained({}, 1000).vocabulary_size() == 257);
    CHECK(merges(trained({"ab ab"}, 1000, 1)) == std::vector<std::string>{"a b", "Ġ ab"});
}

TEST_CASE("training: what was learned encodes and decodes any text") {
    auto const tokenizer = trained({"Ünïcödé text, more text, 日本語 日本語"}, 280);
    for (std::string const text : {"text", "日本語 and 😀\n", "", " \t\r\n\x01"}) {
        CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
    }
    CHECK(tokenizer.encode("日本語").size() < 9);
}

TEST_CASE("training: a piece without end is counted in parts") {
    auto const tokenizer = trained({std::string(1 << 20, 'a')}, 257 + 40, 1);
    // Doubling up to the length of a part, and no further.
    CHECK(tokenizer.data().merges.size() == 10);
    CHECK(tokenizer.bytes(265).size() == BpeTrainer::kMaxWord);
}

TEST_CASE("training: impossible vocabularies and text that is not UTF-8 are refused") {
    CHECK(mentions(error_of<deepseek::Error>([] { trained({"a"}, 256); }), "256"));
    CHECK(mentions(error_of<deepseek::Error>([] { trained({"a"}, index_t{1} << 40U); }), "too large"));
    CHECK(mentions(error_of<deepseek::FormatError>([] { trained({"abc\xFE"}, 300); }), "byte 3", "0xfe"));
}
