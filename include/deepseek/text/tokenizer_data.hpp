// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_TOKENIZER_DATA_HPP
#define DEEPSEEK_TEXT_TOKENIZER_DATA_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/text/pre_tokenizer.hpp>

#include <string>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text {

/// A token that is looked for in the text before the text is cut into words.
struct AddedToken {
    std::string content;
    Token id = -1;
    bool special = true;      ///< a control token: found only where special tokens are asked for
    bool normalized = false;  ///< looked for after those that are not; files keep the flag

    friend bool operator==(AddedToken const&, AddedToken const&) = default;
};

/// Everything that defines a byte-level BPE tokenizer, as files hold it. A Tokenizer is made from it.
struct TokenizerData {
    /// By id; in the characters of byte_level.hpp. An empty string is an id that no token of the model has.
    std::vector<std::string> vocabulary;
    /// Pairs of ids that merge, the first to go first. The result is the token that is both parts joined.
    std::vector<std::pair<Token, Token>> merges;
    /// How text is cut into words.
    std::vector<SplitRule> rules;
    std::vector<AddedToken> added;
    /// The token that ends a document; -1: there is none.
    Token end_of_text = -1;
    /// A text that does not begin with a blank gets one.
    bool add_prefix_space = false;
    /// A word that is a token becomes that token even if merging would not lead to it.
    bool ignore_merges = false;
    /// What Hugging Face tokenizers do with the ids afterwards, as JSON. Kept for saving; not used here.
    std::string post_processor = "null";

    friend bool operator==(TokenizerData const&, TokenizerData const&) = default;
};

/// What the end of a document is called in vocabularies made here, as in GPT-2's.
inline constexpr std::string_view kEndOfText = "<|endoftext|>";

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
