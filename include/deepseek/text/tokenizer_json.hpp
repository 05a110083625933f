// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_TOKENIZER_JSON_HPP
#define DEEPSEEK_TEXT_TOKENIZER_JSON_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/needs_json.hpp>
#include <deepseek/text/tokenizer.hpp>
#include <deepseek/text/tokenizer_data.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

// tokenizer.json of Hugging Face tokenizers, read and written.
//
// Read: models of type BPE without unknown token, affixes and dropout; pre-tokenizers ByteLevel, Split (regular
// expression or text; Isolated or Removed) and Digits, and sequences of them that end in ByteLevel; no normalizer. That
// covers GPT-2, DeepSeek (V2, V3, R1), Llama 3 and their relatives. Anything that would change the ids and is not
// covered is refused by name. The post-processor, which adds tokens around a text, is kept and not used; truncation and
// padding are not kept.

namespace deepseek::inline DEEPSEEK_ABI::text {

namespace detail {

using nlohmann::json;

// Reads one tokenizer.json.
class TokenizerJsonReader {
public:
    explicit TokenizerJsonReader(std::string_view where) : where_(where) {}

    TokenizerData read(json const& root) {
        expects_object(root, "the file");
        read_model(member(root, "model", "the file"));
        read_added(root);
        refuse_normalizer(optional(root, "normalizer"));
        read_pre_tokenizer(optional(root, "pre_tokenizer"));
        auto const& decoder = optional(root, "decoder");
        if (!decoder.is_null() && type_of(decoder, "decoder") != "ByteLevel") {
            refuse("decoder ", format::detail::shortened(type_of(decoder, "decoder")),
                   " is not supported, expected ByteLevel");
        }
        data_.post_processor = optional(root, "post_processor").dump();
        return std::move(data_);
    }

private:
    template <class... Parts>
    [[noreturn]] void refuse(Parts const&... parts) const {
        throw FormatError(message(where_, ": ", parts...));
    }

    void expects_object(json const& value, std::string_view name) const {
        if (!value.is_object()) {
            refuse(name, " must be an object, found ", value.type_name());
        }
    }
    json const& member(json const& object, char const* key, std::string_view of) const {
        auto const at = object.find(key);
        if (at == object.end()) {
            refuse(of, " has no \"", key, "\"");
        }
        return *at;
    }
    static json const& optional(json const& object, char const* key) {
        static json const null;
        auto const at = object.find(key);
        return at == object.end() ? null : *at;
    }
    bool flag(json const& object, char const* key, bool otherwise, std::string_view of) const {
        auto const& value = optional(object, key);
        if (!value.is_null() && !value.is_boolean()) {
            refuse(of, ": \"", key, "\" must be true or false, found ", value.type_name());
        }
        return value.is_null() ? otherwise : value.get<bool>();
    }
    std::string const& text(json const& value, std::string_view name) const {
        if (!value.is_string()) {
            refuse(name, " must be a string, found ", value.type_name());
        }
        return value.get_ref<std::string const&>();
    }
    std::string const& type_of(json const& component, std::string_view name) const {
        expects_object(component, name);
        return text(member(component, "type", name), message(name, ": \"type\""));
    }
    json const& list(json const& object, char const* key, std::string_view of) const {
        auto const& value = member(object, key, of);
        if (!value.is_array()) {
            refuse(of, ": \"", key, "\" must be a list, found ", value.type_name());
        }
        return value;
    }
    Token id(json const& value, std::string_view name) const {
        if (!value.is_number_unsigned() ||
            value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<Token>::max() - 1)) {
            refuse("the id of ", name, " must be an integer from 0 to 2^31 - 2, found ",
                   format::detail::shortened(value.dump()));
        }
        return value.get<Token>();
    }

    void read_model(json const& model) {
        expects_object(model, "model");
        auto const& type = optional(model, "type");  // old files leave it out
        if (!type.is_null() && text(type, "model: \"type\"") != "BPE") {
            refuse("model ", format::detail::shortened(text(type, "model: \"type\"")),
                   " is not supported, expected BPE");
        }
        auto const& dropout = optional(model, "dropout");
        if (!dropout.is_null() && dropout != 0.0) {
            refuse("model: dropout ", format::detail::shortened(dropout.dump()), " is not supported");
        }
        for (auto const* const affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
            auto const& value = optional(model, affix);
            if (!value.is_null() && value != "") {
                refuse("model: ", affix, " ", format::detail::shortened(value.dump()), " is not supported");
            }
        }
        read_vocabulary(member(model, "vocab", "model"));
        // Both say what becomes of characters that the vocabulary lacks. It does not matter where it lacks none.
        if (!optional(model, "unk_token").is_null() || flag(model, "byte_fallback", false, "model")) {
            for (auto const character : kByteCharacters) {
                std::string name;
                append_utf8(name, character);
                if (!ids_.contains(name)) {
                    refuse(
                        "model: unk_token and byte_fallback are not supported where the vocabulary lacks "
                        "bytes, "
                        "and it lacks '",
                        name, "'");
                }
            }
        }
        data_.ignore_merges = flag(model, "ignore_merges", false, "model");
        read_merges(list(model, "merges", "model"));
    }

    void read_vocabulary(json const& vocabulary) {
        expects_object(vocabulary, "model: \"vocab\"");
        std::size_t const limit =
            vocabulary.size() + (1U << 20U);  // an id far behind the others is a mistake
        for (auto const& [content, value] : vocabulary.items()) {
            auto const token = static_cast<std::size_t>(id(value, format::detail::in_quotes(content)));
            if (content.empty() || token >= limit) {
                refuse("model: \"vocab\": ", content.empty() ? "an entry is empty"
                                                             : message(format::detail::in_quotes(content),
                                                                       " has the far id ", token));
            }
            if (data_.vocabulary.size() <= token) {
                data_.vocabulary.resize(token + 1);
            }
            if (!data_.vocabulary[token].empty()) {
                refuse("model: \"vocab\": ", format::detail::in_quotes(data_.vocabulary[token]), " and ",
                       format::detail::in_quotes(content), " have the same id ", token);
            }
            data_.vocabulary[token] = content;
        }
        ids_.reserve(data_.vocabulary.size());
        for (std::size_t i = 0; i < data_.vocabulary.size(); ++i) {
            ids_.emplace(data_.vocabulary[i], static_cast<Token>(i));
        }
    }

    // Both forms: "left right", and [left, right], which allows blanks inside.
    void read_merges(json const& merges) {
        data_.merges.reserve(merges.size());
        for (auto const& merge : merges) {
            auto const number = data_.merges.size();
            std::string_view left;
            std::string_view right;
            if (merge.is_string()) {
                std::string_view const both = merge.get_ref<std::string const&>();
                auto const blank = both.find(' ');
                if (blank == both.npos || both.find(' ', blank + 1) != both.npos) {
                    refuse("model: merge ", number, " is ", format::detail::in_quotes(both),
                           ", expected two parts with one blank between");
                }
                left = both.substr(0, blank);
                right = both.substr(blank + 1);
            } else if (merge.is_array() && merge.size() == 2) {
                left = text(merge[0], message("model: merge ", number));
                right = text(merge[1], message("model: merge ", number));
            } else {
                refuse("model: merge ", number, " must be a string or a list of two");
            }
            data_.merges.emplace_back(part(left, number), part(right, number));
        }
    }
    Token part(std::string_view name, std::size_t number) const {
        auto const at = name.empty() ? ids_.end() : ids_.find(name);
        if (at == ids_.end()) {
            refuse("model: merge ", number, ": ", format::detail::in_quotes(name),
                   " is not in the vocabulary");
        }
        return at->second;
    }

    void read_added(json const& root) {
        if (optional(root, "added_tokens").is_null()) {
            return;
        }
        for (auto const& entry : list(root, "added_tokens", "the file")) {
            expects_object(entry, "an entry of added_tokens");
            AddedToken token;
            token.content =
                text(member(entry, "content", "an entry of added_tokens"), "the content of an added token");
            auto const name = message("added token ", format::detail::in_quotes(token.content));
            token.id = id(member(entry, "id", name), name);
            token.special = flag(entry, "special", false, name);
            token.normalized = flag(entry, "normalized", !token.special, name);
            for (auto const* const option : {"single_word", "lstrip", "rstrip"}) {
                if (flag(entry, option, false, name)) {
                    refuse(name, ": ", option, " is not supported");
                }
            }
            data_.added.push_back(std::move(token));
        }
    }

    void refuse_normalizer(json const& normalizer) const {
        if (normalizer.is_null()) {
            return;
        }
        auto const& type = type_of(normalizer, "normalizer");
        if (type != "Sequence") {
            refuse("normalizer ", format::detail::shortened(type), " is not supported");
        }
        for (auto const& inner : list(normalizer, "normalizers", "normalizer Sequence")) {
            refuse_normalizer(inner);  // the parser bounds the depth
        }
    }

    void read_pre_tokenizer(json const& component) {
        if (!component.is_null()) {
            add_rules(component);
        }
        if (!is_byte_level_) {
            refuse("there is no pre_tokenizer ByteLevel; only byte-level BPE is supported");
        }
    }

    void add_rules(json const& component) {
        auto const& type = type_of(component, "pre_tokenizer");
        auto const name = message("pre_tokenizer ", format::detail::shortened(type));
        if (type == "Sequence") {
            for (auto const& inner : list(component, "pretokenizers", name)) {
                add_rules(inner);
            }
            return;
        }
        if (is_byte_level_) {
            refuse(name, " behind ByteLevel is not supported");
        }
        if (type == "ByteLevel") {
            is_byte_level_ = true;
            data_.add_prefix_space = flag(component, "add_prefix_space", true, name);
            if (data_.add_prefix_space && !data_.rules.empty()) {
                refuse(name, ": add_prefix_space behind other rules is not supported");
            }
            if (flag(component, "use_regex", true, name)) {
                data_.rules.push_back(regex_rule(kGpt2Pattern));
            }
        } else if (type == "Digits") {
            data_.rules.push_back(
                regex_rule(flag(component, "individual_digits", false, name) ? "\\p{N}" : "\\p{N}+"));
        } else if (type == "Split") {
            add_split(component, name);
        } else {
            refuse(name, " is not supported");
        }
    }
    static SplitRule regex_rule(std::string_view pattern) {
        SplitRule rule;
        rule.pattern = pattern;
        return rule;
    }
    void add_split(json const& component, std::string const& name) {
        SplitRule rule;
        auto const& pattern = member(component, "pattern", name);
        expects_object(pattern, "pre_tokenizer Split: \"pattern\"");
        bool const is_regex = pattern.contains("Regex");
        rule.kind = is_regex ? SplitRule::Kind::regex : SplitRule::Kind::literal;
        rule.pattern = text(member(pattern, is_regex ? "Regex" : "String", name), name + ": the pattern");
        auto const& behavior = text(member(component, "behavior", name), name + ": \"behavior\"");
        if (behavior != "Isolated" && behavior != "Removed") {
            refuse(name, ": behavior ", format::detail::shortened(behavior),
                   " is not supported, expected Isolated or Removed");
        }
        rule.behavior = behavior == "Isolated" ? SplitRule::Behavior::isolated : SplitRule::Behavior::removed;
        rule.invert = flag(component, "invert", false, name);
        data_.rules.push_back(std::move(rule));
    }

    std::string_view where_;
    TokenizerData data_;
    std::unordered_map<std::string_view, Token> ids_;  // views of data_.vocabulary
    bool is_byte_level_ = false;
};

// The end-of-text token of files that do not name it: one of the names in use, or the only control token.
inline Token guess_end_of_text(TokenizerData const& data) {
    for (std::string_view const name : {kEndOfText, std::string_view("<｜end▁of▁sentence｜>"),
                                        std::string_view("<|end_of_text|>"), std::string_view("</s>")}) {
        auto const at = std::find_if(data.added.begin(), data.added.end(),
                                     [&](auto const& token) { return token.content == name; });
        if (at != data.added.end()) {
            return at->id;
        }
    }
    auto const is_special = [](AddedToken const& token) { return token.special; };
    return std::count_if(data.added.begin(), data.added.end(), is_special) == 1
               ? std::find_if(data.added.begin(), data.added.end(), is_special)->id
               : -1;
}

inline std::string quoted_json(std::string const& text) { return json(text).dump(); }

inline std::string pre_tokenizer_json(TokenizerData const& data) {
    SplitRule gpt2;
    gpt2.pattern = kGpt2Pattern;
    bool const is_gpt2 = data.rules.size() == 1 && data.rules.front() == gpt2;
    json const byte_level = {{"type", "ByteLevel"},
                             {"add_prefix_space", data.add_prefix_space},
                             {"trim_offsets", true},
                             {"use_regex", is_gpt2}};
    if (is_gpt2 || data.rules.empty()) {
        return byte_level.dump();
    }
    // Only GPT-2's own rule can stand inside ByteLevel, behind the blank it adds.
    expects(!data.add_prefix_space, "tokenizer.json cannot hold add_prefix_space together with other rules");
    json steps = json::array();
    for (auto const& rule : data.rules) {
        expects(rule.kind == SplitRule::Kind::literal || rule.flavor == RegexFlavor::oniguruma,
                "tokenizer.json cannot hold the pattern '", rule.pattern,
                "', which is written for another engine");
        steps.push_back(
            {{"type", "Split"},
             {"pattern", {{rule.kind == SplitRule::Kind::regex ? "Regex" : "String", rule.pattern}}},
             {"behavior", rule.behavior == SplitRule::Behavior::isolated ? "Isolated" : "Removed"},
             {"invert", rule.invert}});
    }
    steps.push_back(byte_level);
    return json{{"type", "Sequence"}, {"pretokenizers", steps}}.dump();
}

}  // namespace detail

/// Reads the text of a tokenizer.json. `where` stands for its name in messages. Which token ends a document is not in
/// the file: it is found by the names in use, else it is the only control token, else there is none.
///
/// Errors:    FormatError naming the component, token or merge that is wrong or not supported
inline TokenizerData parse_tokenizer_json(std::string_view text, std::string_view where = "tokenizer.json") {
    auto data = detail::TokenizerJsonReader(where).read(format::parse_json(text, where));
    data.end_of_text = detail::guess_end_of_text(data);
    return data;
}

/// The text of a tokenizer.json that Hugging Face tokenizers read to the same effect.
///
/// Errors:    Error if the tokenizer has a rule that the format cannot express
inline std::string to_tokenizer_json(TokenizerData const& data) {
    using detail::quoted_json;
    std::string text =
        "{\n\"version\": \"1.0\",\n\"truncation\": null,\n\"padding\": null,\n\"added_tokens\": [";
    for (auto const& token : data.added) {
        auto const yes_or_no = [](bool value) { return value ? "true" : "false"; };
        text += message(&token == data.added.data() ? "\n" : ",\n", "{\"id\": ", token.id,
                        ", \"content\": ", quoted_json(token.content),
                        ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": ",
                        yes_or_no(token.normalized), ", \"special\": ", yes_or_no(token.special), "}");
    }
    text +=
        "\n],\n\"normalizer\": null,\n\"pre_tokenizer\": " + detail::pre_tokenizer_json(data) +
        ",\n\"post_processor\": " + data.post_processor +
        ",\n\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
        "\"use_regex\": true},\n\"model\": {\n\"type\": \"BPE\",\n\"dropout\": null,\n\"unk_token\": null,\n"
        "\"continuing_subword_prefix\": null,\n\"end_of_word_suffix\": null,\n\"fuse_unk\": false,\n"
        "\"byte_fallback\": false,\n\"ignore_merges\": ";
    text += data.ignore_merges ? "true" : "false";
    text += ",\n\"vocab\": {";
    bool first = true;
    for (std::size_t id = 0; id < data.vocabulary.size(); ++id) {
        if (!data.vocabulary[id].empty()) {
            text += message(std::exchange(first, false) ? "\n" : ",\n", quoted_json(data.vocabulary[id]),
                            ": ", id);
        }
    }
    text += "\n},\n\"merges\": [";
    // "left right" is what every version reads; the list of two is for parts with blanks inside.
    auto const part = [&](Token token) -> std::string const& {
        return data.vocabulary[static_cast<std::size_t>(token)];
    };
    auto const has_blank = [&](Token token) { return part(token).find(' ') != std::string::npos; };
    bool const lists = std::any_of(data.merges.begin(), data.merges.end(), [&](auto const& merge) {
        return has_blank(merge.first) || has_blank(merge.second);
    });
    first = true;
    for (auto const& [left, right] : data.merges) {
        text += std::exchange(first, false) ? "\n" : ",\n";
        text += lists ? message("[", quoted_json(part(left)), ", ", quoted_json(part(right)), "]")
                      : quoted_json(message(part(left), " ", part(right)));
    }
    return text + "\n]\n}\n}\n";
}

/// Makes Hugging Face tokenizers put a control token before every text, as models see it in training: the token between
/// documents also begins them. (They do that by the post_processor alone; transformers 5 pays no heed to the flag
/// add_bos_token.) Here nothing changes: Tokenizer::encode gives the tokens of the text.
///
/// Errors:    Error if it is no added token
inline void begin_texts_with(TokenizerData& data, Token token) {
    auto const at = std::find_if(data.added.begin(), data.added.end(),
                                 [&](auto const& added) { return added.id == token; });
    expects(at != data.added.end(), "token ", token, " is no added token, so no text can begin with it");
    auto const begin = [&](int sequence) {
        return detail::json{{"SpecialToken", {{"id", at->content}, {"type_id", sequence}}}};
    };
    auto const sequence = [](char const* name, int type) {
        return detail::json{{"Sequence", {{"id", name}, {"type_id", type}}}};
    };
    detail::json const special = {{"id", at->content}, {"ids", {token}}, {"tokens", {at->content}}};
    detail::json const processor = {{"type", "TemplateProcessing"},
                                    {"single", {begin(0), sequence("A", 0)}},
                                    {"pair", {begin(0), sequence("A", 0), begin(1), sequence("B", 1)}},
                                    {"special_tokens", {{at->content, special}}}};
    data.post_processor = processor.dump();
}

/// The text of a tokenizer_config.json to stand beside it: it names the end-of-text token, which begins texts as well,
/// and tells Hugging Face transformers that the tokenizer.json is all they need.
inline std::string to_tokenizer_config(Tokenizer const& tokenizer) {
    detail::json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                           {"clean_up_tokenization_spaces", false}};
    if (tokenizer.has_end_of_text()) {
        config["bos_token"] = tokenizer.bytes(tokenizer.end_of_text());
        config["eos_token"] = tokenizer.bytes(tokenizer.end_of_text());
    }
    return config.dump(2) + "\n";
}

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
