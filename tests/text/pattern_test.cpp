// SPDX-License-Identifier: MIT
#include <deepseek/core/error.hpp>
#include <deepseek/text/pattern.hpp>
#include <deepseek/text/pre_tokenizer.hpp>

#include "support/scratch_directory.hpp"
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

using deepseek::FormatError;
using deepseek::text::kGpt2Pattern;
using deepseek::text::Pattern;
using deepseek::text::PreTokenizer;
using deepseek::text::RegexFlavor;
using deepseek::text::SplitRule;
using deepseek_tests::error_of;
using deepseek_tests::mentions;
using Words = std::vector<std::string>;

namespace {

Words split(std::vector<SplitRule> const& rules, std::string_view text) {
    PreTokenizer const pre_tokenizer(rules);
    Words words;
    PreTokenizer::Splitter(pre_tokenizer).split(text, [&](std::string_view word) {
        words.emplace_back(word);
    });
    return words;
}

SplitRule regex(std::string_view pattern) {
    SplitRule rule;
    rule.pattern = pattern;
    return rule;
}

Words matches(Pattern const& pattern, std::string_view text) {
    Pattern::Matcher matcher(pattern);
    Words found;
    std::size_t at = 0;
    while (auto const match = matcher.find(text, at)) {
        found.emplace_back(text.substr(match->begin, match->end - match->begin));
        at = match->end;
    }
    return found;
}

}  // namespace

TEST_CASE("pattern: GPT-2's words") {
    CHECK(split({regex(kGpt2Pattern)}, "Hello  world's 12 cats!!\n\n  Yes") ==
          Words{"Hello", " ", " world", "'s", " 12", " cats", "!!", "\n\n ", " Yes"});
    CHECK(split({regex(kGpt2Pattern)}, "trailing  ") == Words{"trailing", "  "});
    CHECK(split({regex(kGpt2Pattern)}, "été 日本 ½") == Words{"été", " 日本", " ½"});
    CHECK(split({regex(kGpt2Pattern)}, "").empty());
}

TEST_CASE("pattern: spaces are those of Unicode's White_Space") {
    // U+0085 is one; U+180E, U+200B and U+FEFF are not.
    for (std::string const space :
         {"\u0085", "\u00A0", "\u1680", "\u2003", "\u2028", "\u202F", "\u3000", "\t", "\v"}) {
        CHECK(matches(Pattern::regex("\\s+"), "a" + space + "b") == Words{space});
        CHECK(matches(Pattern::regex("[^\\sa]"), "a" + space + "b") == Words{"b"});
        CHECK(matches(Pattern::regex("\\S+"), "a" + space + "b") == Words{"a", "b"});
    }
    for (std::string const other : {"\u180E", "\u200B", "\uFEFF", "\u2060"}) {
        CHECK(matches(Pattern::regex("\\s+"), "a" + other + "b").empty());
    }
}

TEST_CASE("pattern: a script means its own characters, not those that occur in it") {
    // U+3001 is used with Han and belongs to no script.
    CHECK(matches(Pattern::regex("\\p{Han}+"), "日、本") == Words{"日", "本"});
}

TEST_CASE("pattern: flavors differ in what a line's end is") {
    CHECK(matches(Pattern::regex("a$"), "a\na\n").size() == 2);
    CHECK(matches(Pattern::regex("a$", RegexFlavor::rust), "a\na\n").empty());
    CHECK(matches(Pattern::regex("a$", RegexFlavor::rust), "a\na").size() == 1);
    CHECK(matches(Pattern::regex("\\p{N}{1,3}+", RegexFlavor::rust), "12345") == Words{"123", "45"});
}

TEST_CASE("pattern: what engines read differently is refused by name") {
    auto const refused = [](std::string_view pattern) {
        return error_of<FormatError>([&] { Pattern::regex(pattern); });
    };
    CHECK(mentions(refused("\\w+"), "\\w+", "\\w", "not supported"));
    CHECK(mentions(refused("a\\b"), "\\b", "offset 1"));
    CHECK(mentions(refused("\\x41"), "\\x without braces"));
    CHECK(mentions(refused("(?<name>a)"), "(?<"));
    CHECK(mentions(refused("(?i)a"), "(?i"));
    CHECK(mentions(refused("(*LIMIT_MATCH=1)a"), "(*"));
    CHECK(mentions(refused("a(?R)?b"), "(?R"));
    CHECK(mentions(refused("[a[b]]"), "class inside a class"));
    CHECK(mentions(refused("[a-z&&[aeiou]]"), "operation on classes"));
    CHECK(mentions(refused("[\\S]"), "\\S inside a class"));
    CHECK(mentions(refused("[]a]"), "']' at the beginning"));
    CHECK(mentions(refused("[a"), "unfinished class"));
    CHECK(mentions(refused("\\p{N}{1,3}+"), "behind a repetition"));
    CHECK(mentions(refused("a{,3}"), "begins no repetition"));
    CHECK(mentions(refused("a\\"), "not supported"));
    CHECK(mentions(refused("\\p{Lx}"), "\\p{Lx}"));
    CHECK(mentions(refused("\\p{L"), "property"));
    CHECK(mentions(refused("(a"), "parenthes"));
    CHECK(mentions(refused("a*"), "may match the empty text"));
    CHECK(mentions(refused(""), "may match the empty text"));
    CHECK(mentions(refused("\xFF"), "UTF-8"));
}

TEST_CASE("pattern: a literal means itself") {
    CHECK(matches(Pattern::literal("a.b[c"), "a.b[c axb[c") == Words{"a.b[c"});
    CHECK_THROWS_AS(Pattern::literal(""), FormatError);
}

TEST_CASE("pattern: groups that repeat a million times need no deep stack") {
    auto const pattern = Pattern::regex("(?:ab|[cd]e)+");
    std::string text;
    for (int i = 0; i < 500'000; ++i) {
        text += "ab";
    }
    CHECK(matches(pattern, text) == Words{text});
}

TEST_CASE("pattern: a pattern that would run for years gives an error") {
    auto const pattern = Pattern::regex("(?:a|a)+b");
    Pattern::Matcher matcher(pattern);
    auto const text =
        std::string(60, 'a') + "cb";  // without a b the engine would see at once that nothing matches
    CHECK(mentions(error_of<deepseek::Error>([&] { matcher.find(text, 0); }), "limit"));
}

TEST_CASE("pre-tokenizer: each rule cuts what the rule before left") {
    // DeepSeek-LLM's way with digits: one by one, behind other rules.
    CHECK(split({regex("[\r\n]"), regex("\\s?\\p{L}+"), regex("\\p{N}")}, "ab 12\nc") ==
          Words{"ab", " ", "1", "2", "\n", "c"});
    // Look-around ends at the piece: behind the cut at the digit the blanks stand at the end of their piece.
    CHECK(split({regex("\\p{N}"), regex("\\s+(?!\\S)|\\s+")}, "a  1") == Words{"a", "  ", "1"});
    CHECK(split({}, "as it is") == Words{"as it is"});
}

TEST_CASE("pre-tokenizer: matches, or what lies between them, can be removed") {
    auto rule = regex("-+");
    rule.behavior = SplitRule::Behavior::removed;
    CHECK(split({rule}, "--a-b--") == Words{"a", "b"});
    rule.invert = true;
    CHECK(split({rule}, "--a-b--") == Words{"--", "-", "--"});
    rule.behavior = SplitRule::Behavior::isolated;
    CHECK(split({rule}, "--a-b--") == Words{"--", "a", "-", "b", "--"});
    rule = regex("a.");
    rule.kind = SplitRule::Kind::literal;
    CHECK(split({rule}, "aba.b") == Words{"ab", "a.", "b"});
}

TEST_CASE("pre-tokenizer: more rules than any tokenizer has are refused") {
    CHECK_THROWS_AS(PreTokenizer(std::vector<SplitRule>(33, regex("a"))), FormatError);
}
