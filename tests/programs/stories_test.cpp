// SPDX-License-Identifier: MIT
#include "../../examples/support/stories.hpp"

#include <deepseek/core/error.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/format/file.hpp>

#include "program.hpp"
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

using namespace deepseek_tests;
using deepseek::Seed;
using deepseek_examples::count_names;
using deepseek_examples::Dice;
using deepseek_examples::polish_english;
using deepseek_examples::tell_rhyme;
using deepseek_examples::tell_story;
using deepseek_examples::TextGrammar;

TEST_CASE("stories: a number and a seed make a story, and no two are equal") {
    CHECK(tell_story(Seed{1}, 5) == tell_story(Seed{1}, 5));
    CHECK(tell_story(Seed{1}, 5) != tell_story(Seed{2}, 5));
    std::set<std::string> stories;
    for (std::uint64_t number = 0; number < 400; ++number) {
        stories.insert(tell_story(Seed{1}, number));
    }
    CHECK(stories.size() == 400);
}

TEST_CASE("stories: few words, whole sentences, nothing left of the templates") {
    std::set<std::string> words;
    // A small letter behind a full stop, a blank before a sign, a repeated word, "a" before a vowel.
    std::regex const mistakes(R"(\. [a-z]| [.,!?]|\b(\w+) \1\b|\b[Aa] [aeiou]|[\[\]{}|]|  )");
    for (std::uint64_t number = 0; number < 400; ++number) {
        auto const story = tell_story(Seed{7}, number);
        CAPTURE(story);
        CHECK(story.size() > 250);
        CHECK(story.size() < 1200);
        CHECK_FALSE(std::regex_search(story, mistakes));
        CHECK(std::count(story.begin(), story.end(), '"') % 2 == 0);
        std::istringstream lines(story);
        for (std::string line; std::getline(lines, line);) {
            REQUIRE_FALSE(line.empty());
            bool const begins = line.front() == '"' || (line.front() >= 'A' && line.front() <= 'Z');
            bool const ends = std::string_view(".!?\"").find(line.back()) != std::string_view::npos;
            CHECK((begins && ends));
        }
        std::string word;
        for (char const letter : story + ' ') {
            bool const is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
            if (is_letter) {
                word += letter;
            } else if (!word.empty()) {
                words.insert(std::exchange(word, {}));
            }
        }
    }
    CHECK(words.size() > 600);
    CHECK(words.size() < 1200);
}

TEST_CASE("stories: a hero keeps name and sex from beginning to end") {
    // Heroes whose friend is of the other sex, in stories about searching: "her friend Tom" is right for Anna only.
    std::regex const friend_of(R"(\b(His|Her|his|her) friend (\w+))");
    auto const is_in = [](auto const& names, std::string const& name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    int seen = 0;
    for (std::uint64_t number = 0; number < 400; ++number) {
        auto const story = tell_story(Seed{3}, number);
        CAPTURE(story);
        bool const girl = story.find(" girl") < story.find(" boy");
        std::smatch found;
        if (std::regex_search(story, found, friend_of) && story.find(" boy") != story.find(" girl")) {
            bool const her = found[1].str().back() == 'r';
            CHECK(her == girl);
            CHECK((is_in(deepseek_examples::story::kGirls, found[2]) ||
                   is_in(deepseek_examples::story::kBoys, found[2])));
            ++seen;
        }
    }
    CHECK(seen > 10);
}

TEST_CASE("text grammar: choices and names nest, and mistakes in it are errors") {
    TextGrammar grammar;
    grammar.set("who", "[Ann|Bob]");
    grammar.set("loop", "{loop}");
    std::set<std::string> seen;
    for (std::uint64_t i = 0; i < 100; ++i) {
        Dice dice(deepseek::RandomKey(Seed{i}));
        seen.insert(grammar.expand("{who}[| [ran|sat]].", dice));
    }
    CHECK(seen == std::set<std::string>{"Ann.", "Bob.", "Ann ran.", "Ann sat.", "Bob ran.", "Bob sat."});
    Dice dice(deepseek::RandomKey(Seed{1}));
    CHECK_THROWS_AS(grammar.expand("[a|b", dice), deepseek::Error);
    CHECK_THROWS_AS(grammar.expand("{who", dice), deepseek::Error);
    CHECK_THROWS_AS(grammar.expand("{nobody}", dice), deepseek::Error);
    CHECK_THROWS_AS(grammar.expand("{loop}", dice), deepseek::Error);
}

TEST_CASE("text grammar: English is polished") {
    CHECK(polish_english("he saw a owl.  it was  old. \n \"who? me?\" a apple said.\n") ==
          "He saw an owl. It was old.\n\"Who? Me?\" an apple said.");
    CHECK(polish_english("\"yes.\" she went.") == "\"Yes.\" She went.");
    CHECK(polish_english("\"yes!\" she said. a drama arose") == "\"Yes!\" she said. A drama arose");
}

TEST_CASE("rhymes: two names, again and again") {
    std::set<std::string> rhymes;
    for (std::uint64_t number = 0; number < 200; ++number) {
        auto const rhyme = tell_rhyme(Seed{1}, number);
        CHECK(tell_rhyme(Seed{1}, number) == rhyme);
        rhymes.insert(rhyme);
        CHECK(count_names(rhyme) <= 2);
        CHECK(rhyme.find_first_of("{}[]|") == std::string::npos);
        CHECK(std::isupper(static_cast<unsigned char>(rhyme[rhyme.find_first_not_of('"')])));
    }
    CHECK(rhymes.size() > 190);
}

TEST_CASE("make_stories: a corpus that is the same every time") {
    ScratchDirectory const scratch;
    auto const file = scratch / "s.txt";
    REQUIRE(run_program("make_stories --count 3 --seed 4 --output " + word(file)).status == 0);
    std::string expected;
    for (std::uint64_t number = 0; number < 3; ++number) {
        expected += tell_story(Seed{4}, number) + "\n<|endoftext|>\n" + tell_rhyme(Seed{4}, number) +
                    "\n<|endoftext|>\n";
    }
    CHECK(deepseek::read_file(file) == expected);
    auto const again = run_program("make_stories --count 4 --output " + word(file));
    CHECK(again.status == 1);
    CHECK(mentions(again.err, "s.txt: exists; --force replaces it"));
    CHECK(deepseek::read_file(file) == expected);
    CHECK(run_program("make_stories --count 3 --seed 4 --force --output " + word(file)).status == 0);
    CHECK(run_program("make_stories --count 0 --output " + word(file)).status == 2);
    auto const missing = run_program("make_stories --output " + word(scratch / "no" / "s.txt"));
    CHECK(missing.status == 1);
    CHECK(mentions(missing.err, "no/s.txt", "No such file"));
    CHECK(deepseek::read_file(file) == expected);
}

TEST_CASE("make_stories: --names counts the told stories that keep to their people") {
    ScratchDirectory const directory;
    CHECK(count_names("Tom met Mia. \"Hello, Mia!\" said Tom. The rose was red.") == 2);
    CHECK(count_names("Tom met Mia and Tomas saw Ben.") == 3);
    CHECK(count_names("") == 0);
    for (std::uint64_t number = 0; number < 200; ++number) {
        auto const names = count_names(tell_story(deepseek::Seed{3}, number));
        CHECK(names >= 1);
        CHECK(names <= 2);
    }
    deepseek::write_file_atomically(directory / "told", R"({"prompt": "Once", "text": " Tom met Mia."}
{"prompt": "Once", "text": " Tom met Mia. Ben said no."}
)");
    auto const judged = run_program("make_stories --names " + word(directory / "told"));
    CHECK(judged.status == 0);
    CHECK(mentions(judged.out, "1 of 2 stories"));
    deepseek::write_file_atomically(directory / "told", "Once\n");
    auto const refused = run_program("make_stories --names " + word(directory / "told"));
    CHECK(refused.status == 1);
    CHECK(mentions(refused.err, "told"));
    CHECK(run_program("make_stories").status == 2);
}
