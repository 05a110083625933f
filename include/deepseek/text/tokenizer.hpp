// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_TOKENIZER_HPP
#define DEEPSEEK_TEXT_TOKENIZER_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/text/added_tokens.hpp>
#include <deepseek/text/byte_level.hpp>
#include <deepseek/text/byte_strings.hpp>
#include <deepseek/text/merge_table.hpp>
#include <deepseek/text/pre_tokenizer.hpp>
#include <deepseek/text/tokenizer_data.hpp>
#include <deepseek/text/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::text {

/// What becomes of text that spells a special token, such as "<|endoftext|>".
enum class SpecialText : std::uint8_t {
    ordinary,   ///< it is text like any other: right for text that comes from users and documents
    recognized  ///< it becomes the special token: right for prompts that a program puts together
};

/// Byte-level byte-pair encoding: every text has tokens, and the tokens' bytes joined are the text.
///
/// Immutable: any number of threads may use one tokenizer. A thread that encodes much keeps an Encoder.
///
/// Errors:    making one: FormatError if the data contradict themselves
/// Source:    Sennrich et al. 2016 (arXiv 1508.07909); GPT-2's encoder.py; the ids agree with Hugging Face tokenizers
///            on add_special_tokens=false, and with tiktoken's encode_ordinary
class Tokenizer {
public:
    class Encoder;

    explicit Tokenizer(TokenizerData data) : data_(std::move(data)), rules_(data_.rules) {
        index_tokens();
        fill_merges();
        fill_words();
    }

    /// One more than the largest id. Ids below it that no token has are never given out.
    index_t vocabulary_size() const { return static_cast<index_t>(bytes_.size()); }

    /// The tokens of a text.
    ///
    /// Errors:    FormatError giving the offset if the text is not UTF-8; Error if it has a byte that the vocabulary
    ///            lacks (vocabularies made from little text by other tools may)
    std::vector<Token> encode(std::string_view text, SpecialText special = SpecialText::ordinary) const;

    /// The text of tokens. It need not be UTF-8, as a token may be part of a character; see Utf8Stream.
    ///
    /// Errors:    Error naming the position and the id if no token has that id
    std::string decode(std::span<Token const> tokens) const {
        std::size_t size = 0;
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            if (!is_token(tokens[i])) [[unlikely]] {
                throw Error(message("decode: token ", tokens[i], " at position ", i,
                                    " is not in the vocabulary of ", vocabulary_size()));
            }
            size += bytes_[tokens[i]].size();
        }
        std::string text(size + detail::TokenBytes::kSlack, '\0');
        auto* end = text.data();
        for (auto const token : tokens) {
            end = bytes_.copy(token, end);
        }
        text.resize(size);
        return text;
    }

    /// What one token adds to a text.
    ///
    /// Errors:    Error if no token has that id
    std::string_view bytes(Token token) const {
        if (!is_token(token)) [[unlikely]] {
            throw Error(message("token ", token, " is not in the vocabulary of ", vocabulary_size()));
        }
        return bytes_[token];
    }

    /// True if a token has that id.
    bool is_token(Token token) const {
        return token >= 0 && token < vocabulary_size() &&
               kinds_[static_cast<std::size_t>(token)] != Kind::none;
    }
    /// True if the token is a control token.
    bool is_special(Token token) const {
        return is_token(token) && kinds_[static_cast<std::size_t>(token)] == Kind::special;
    }

    /// The id of an added token by its content.
    std::optional<Token> find_added(std::string_view content) const {
        auto const at = std::find_if(data_.added.begin(), data_.added.end(),
                                     [&](auto const& token) { return token.content == content; });
        return at == data_.added.end() ? std::nullopt : std::optional(at->id);
    }

    /// True if the vocabulary has a token that ends documents.
    bool has_end_of_text() const { return data_.end_of_text >= 0; }
    /// The token that ends documents.
    ///
    /// Errors:    Error if there is none
    Token end_of_text() const {
        expects(has_end_of_text(), "the tokenizer has no end-of-text token");
        return data_.end_of_text;
    }

    /// What the tokenizer was made from.
    TokenizerData const& data() const { return data_; }

private:
    enum class Kind : std::uint8_t { none, ordinary, special };

    // Gives every id its bytes, and every byte its id.
    void index_tokens() {
        auto size = data_.vocabulary.size();
        for (auto const& token : data_.added) {
            expects<FormatError>(token.id >= 0, "added token ", format::detail::in_quotes(token.content),
                                 ": id ", token.id, " is negative");
            expects<FormatError>(!token.content.empty(), "added token ", token.id, ": its content is empty");
            size = std::max(size, static_cast<std::size_t>(token.id) + 1);
        }
        expects<FormatError>(size > 0, "the vocabulary is empty");
        // Added tokens lie behind the vocabulary, with few gaps. An id far away is a mistake, and would cost memory.
        expects<FormatError>(size <= data_.vocabulary.size() + data_.added.size() + kMaxGap,
                             "added tokens reach id ", size - 1, " behind a vocabulary of ",
                             data_.vocabulary.size());

        std::vector<AddedToken const*> added_at(size);
        for (auto const& token : data_.added) {
            auto*& place = added_at[static_cast<std::size_t>(token.id)];
            expects<FormatError>(place == nullptr || place->content == token.content, "added tokens ",
                                 format::detail::in_quotes(place == nullptr ? "" : place->content), " and ",
                                 format::detail::in_quotes(token.content), " have the same id ", token.id);
            place = &token;
        }
        kinds_.resize(size);
        byte_tokens_.fill(-1);
        for (std::size_t id = 0; id < size; ++id) {
            auto const text = id < data_.vocabulary.size() ? std::string_view(data_.vocabulary[id]) : "";
            auto const bytes = from_byte_level(text);
            auto const* const added = added_at[id];
            // An entry that is not in byte characters stands for itself, as in Hugging Face's decoder.
            bytes_.push_back(added != nullptr ? added->content : bytes ? *bytes : std::string(text));
            kinds_[id] = added != nullptr && added->special  ? Kind::special
                         : added != nullptr || !text.empty() ? Kind::ordinary
                                                             : Kind::none;
            if (added != nullptr) {
                expects<FormatError>(text.empty() || text == added->content || bytes == added->content,
                                     "added token ", format::detail::in_quotes(added->content), " has id ",
                                     added->id, ", which in the vocabulary is ",
                                     format::detail::in_quotes(text));
                (added->special      ? added->normalized ? late_special_ : early_special_
                 : added->normalized ? late_
                                     : early_)
                    .add(added->content, added->id);
            }
            if (bytes && bytes->size() == 1) {
                byte_tokens_[static_cast<unsigned char>(bytes->front())] = static_cast<Token>(id);
            }
        }
        for (auto const& token : data_.added) {
            if (!token.special) {  // where special tokens are looked for, the others are too
                (token.normalized ? late_special_ : early_special_).add(token.content, token.id);
            }
        }
        expects<FormatError>(data_.end_of_text < 0 || is_token(data_.end_of_text), "the end-of-text token ",
                             data_.end_of_text, " is not in the vocabulary of ", size);
    }

    void fill_merges() {
        std::unordered_map<std::string_view, Token> ids;
        ids.reserve(data_.vocabulary.size());
        for (std::size_t id = 0; id < data_.vocabulary.size(); ++id) {
            auto const& text = data_.vocabulary[id];
            if (!text.empty()) {
                auto const [at, is_new] = ids.emplace(text, static_cast<Token>(id));
                if (!is_new) {
                    throw FormatError(message("the vocabulary has ", format::detail::in_quotes(text),
                                              " twice: ids ", at->second, " and ", id));
                }
            }
        }
        merges_ = MergeTable(data_.merges.size());
        std::string joined;
        for (std::size_t rank = 0; rank < data_.merges.size(); ++rank) {
            auto const [left, right] = data_.merges[rank];
            for (auto const part : {left, right}) {
                expects<FormatError>(part >= 0 && static_cast<std::size_t>(part) < data_.vocabulary.size() &&
                                         !data_.vocabulary[static_cast<std::size_t>(part)].empty(),
                                     "merge ", rank, ": its part ", part, " is not in the vocabulary");
            }
            joined = data_.vocabulary[static_cast<std::size_t>(left)];
            joined += data_.vocabulary[static_cast<std::size_t>(right)];
            auto const result = ids.find(joined);
            if (result == ids.end()) {
                throw FormatError(message("merge ", rank, ": its result ", format::detail::in_quotes(joined),
                                          " is not in the vocabulary"));
            }
            merges_.add(left, right, {static_cast<std::uint32_t>(rank), result->second});
        }
    }

    // Most words of a text are tokens, so it pays to know beforehand which words merge into one token.
    void fill_words() {
        words_ = detail::TokenIndex(data_.vocabulary.size());
        Merger merger;
        std::vector<Token> tokens;
        for (std::size_t i = 0; i < data_.vocabulary.size(); ++i) {
            auto const id = static_cast<Token>(i);
            auto const bytes = from_byte_level(data_.vocabulary[i]);
            if (!bytes || bytes->size() < 2 || bytes_[id] != *bytes) {
                continue;
            }
            bool known = true;
            tokens.clear();
            for (char const byte : *bytes) {
                tokens.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
                known = known && tokens.back() >= 0;
            }
            if (known && !data_.ignore_merges) {
                merger.merge(merges_, tokens);
            }
            if (data_.ignore_merges || (known && tokens.size() == 1 && tokens[0] == id)) {
                words_.add(bytes_, id);
            }
        }
    }

    static constexpr std::size_t kMaxGap = 1U << 20U;

    TokenizerData data_;
    PreTokenizer rules_;
    detail::TokenBytes bytes_;
    std::vector<Kind> kinds_;
    std::array<Token, 256> byte_tokens_{};
    MergeTable merges_;
    detail::TokenIndex words_;
    // Added tokens to look for: first the early ones in the whole text, then the late ones in what lies between.
    detail::StringFinder early_;
    detail::StringFinder late_;
    detail::StringFinder early_special_;
    detail::StringFinder late_special_;
};

/// Encodes with one tokenizer, keeping memory from text to text. One per thread; the tokenizer must outlive it.
class Tokenizer::Encoder {
public:
    explicit Encoder(Tokenizer const& tokenizer) : tokenizer_(&tokenizer), splitter_(tokenizer.rules_) {}

    /// Appends the tokens of a text; see Tokenizer::encode.
    void encode(std::string_view text, std::vector<Token>& tokens,
                SpecialText special = SpecialText::ordinary) {
        expects_utf8(text, "encode: the text");
        bool const recognized = special == SpecialText::recognized;
        auto const& early = recognized ? tokenizer_->early_special_ : tokenizer_->early_;
        auto const& late = recognized ? tokenizer_->late_special_ : tokenizer_->late_;
        between(early, text, tokens, [&](std::string_view outer) {
            between(late, outer, tokens, [&](std::string_view inner) { encode_words(inner, tokens); });
        });
    }

private:
    // Appends the added tokens of a text and hands on what lies between them.
    template <class Rest>
    static void between(detail::StringFinder const& finder, std::string_view text, std::vector<Token>& tokens,
                        Rest&& rest) {
        std::size_t at = 0;
        while (!finder.empty() && at < text.size()) {
            auto const found = finder.find(text, at);
            if (found.token < 0) {
                break;
            }
            if (found.begin > at) {
                rest(text.substr(at, found.begin - at));
            }
            tokens.push_back(found.token);
            at = found.end;
        }
        if (at < text.size()) {
            rest(text.substr(at));
        }
    }

    void encode_words(std::string_view text, std::vector<Token>& tokens) {
        if (tokenizer_->data_.add_prefix_space && !text.starts_with(' ')) {
            prefixed_ = ' ';
            prefixed_ += text;
            text = prefixed_;
        }
        splitter_.split(text, [&](std::string_view word) { encode_word(word, tokens); });
    }

    void encode_word(std::string_view word, std::vector<Token>& tokens) {
        if (word.size() > 1) {
            if (auto const token = tokenizer_->words_.find(tokenizer_->bytes_, word); token >= 0) {
                tokens.push_back(token);
                return;
            }
        }
        word_.clear();
        for (std::size_t i = 0; i < word.size(); ++i) {
            auto const byte = static_cast<unsigned char>(word[i]);
            word_.push_back(tokenizer_->byte_tokens_[byte]);
            expects(word_.back() >= 0, "encode: byte ", unsigned{byte}, " has no token in the vocabulary");
        }
        merger_.merge(tokenizer_->merges_, word_);
        tokens.insert(tokens.end(), word_.begin(), word_.end());
    }

    Tokenizer const* tokenizer_;
    PreTokenizer::Splitter splitter_;
    Merger merger_;
    std::vector<Token> word_;
    std::string prefixed_;
};

inline std::vector<Token> Tokenizer::encode(std::string_view text, SpecialText special) const {
    std::vector<Token> tokens;
    Encoder(*this).encode(text, tokens, special);
    return tokens;
}

/// Decodes tokens as they are generated into text that is valid UTF-8 at every moment; see Utf8Stream. The tokenizer
/// must outlive it.
class StreamDecoder {
public:
    explicit StreamDecoder(Tokenizer const& tokenizer) : tokenizer_(&tokenizer) {}

    /// The text that this token completes.
    std::string push(Token token) { return stream_.push(tokenizer_->bytes(token)); }
    /// What is left at the end.
    std::string finish() { return stream_.finish(); }

private:
    Tokenizer const* tokenizer_;
    Utf8Stream stream_;
};

/// A tokenizer without merges: 256 bytes, whose ids are their values, and end-of-text, 256.
inline Tokenizer byte_tokenizer() {
    TokenizerData data;
    for (unsigned byte = 0; byte < 256; ++byte) {
        data.vocabulary.push_back(to_byte_level(std::string(1, static_cast<char>(byte))));
    }
    data.end_of_text = 256;
    data.added.push_back({std::string(kEndOfText), data.end_of_text, true, false});
    return Tokenizer(std::move(data));
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
