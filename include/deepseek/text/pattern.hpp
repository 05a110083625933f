// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TEXT_PATTERN_HPP
#define DEEPSEEK_TEXT_PATTERN_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/text/needs_pcre2.hpp>

// The width of PCRE2's characters is chosen by a macro that the program may have chosen already; all calls below name
// the 8-bit library outright.
#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::text {

/// Whose regular expressions a pattern was written for. They differ in what '^' and '$' mean and in what a '+' behind
/// '{n}' means.
enum class RegexFlavor : std::uint8_t {
    oniguruma,  ///< Ruby's, as Hugging Face tokenizers read them: '^' and '$' match at every line
    rust  ///< Rust's with look-around, as tiktoken reads them: '^' and '$' match at the ends of the text
};

namespace detail {

// Rewrites a pattern so that PCRE2 (UTF, UCP) gives it the meaning it has where it came from. Only constructs whose
// meaning is known to agree pass; anything else is refused by name, because a pattern that matches slightly differently
// would give slightly wrong tokens without anybody noticing.
class PatternTranslation {
public:
    PatternTranslation(std::string_view pattern, RegexFlavor flavor) : pattern_(pattern), flavor_(flavor) {}

    std::string translate() {
        while (at_ < pattern_.size()) {
            char const letter = pattern_[at_];
            switch (letter) {
                case '\\':
                    escape(false);
                    break;
                case '[':
                    character_class();
                    break;
                case '(':
                    group();
                    break;
                case '{':
                    repetition();
                    break;
                default:
                    result_ += letter;
                    ++at_;
            }
        }
        return std::move(result_);
    }

private:
    // White_Space of Unicode. PCRE2's own \s adds U+180E, which stopped being a space in Unicode 6.3.
    static constexpr std::string_view kSpaces = "\\t-\\r\\x{85}\\p{Z}";

    template <class... Parts>
    [[noreturn]] void refuse(Parts const&... parts) const {
        throw FormatError(message("pattern ", format::detail::in_quotes(pattern_, 1000), ": ", parts...,
                                  " at offset ", at_, " is not supported"));
    }

    char peek(std::size_t ahead = 0) const {
        return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
    }

    void copy(std::size_t count) {
        result_ += pattern_.substr(at_, count);
        at_ += count;
    }

    void escape(bool in_class) {
        char const letter = peek(1);
        switch (letter) {
            case 's':
                result_ += in_class ? std::string(kSpaces) : message("[", kSpaces, "]");
                at_ += 2;
                return;
            case 'S':
                if (in_class) {
                    refuse("\\S inside a class");
                }
                result_ += message("[^", kSpaces, "]");
                at_ += 2;
                return;
            case 'p':
            case 'P':
                property();
                return;
            case 'd':
            case 'D':
            case 'r':
            case 'n':
            case 't':
            case 'f':
                copy(2);
                return;
            case 'x':
                braced_code_point();
                return;
            default:
                bool const alphanumeric = (letter >= '0' && letter <= '9') ||
                                          (letter >= 'A' && letter <= 'Z') ||
                                          (letter >= 'a' && letter <= 'z');
                if (letter == '\0' || alphanumeric) {
                    refuse("\\", std::string_view(&letter, letter == '\0' ? 0 : 1));
                }
                copy(2);
        }
    }

    // \p{L}, \p{Lu}, \pL: a general category. \p{Han}: a script, where PCRE2 would by default also take characters
    // that merely occur in it.
    void property() {
        if (peek(2) != '{') {
            copy(3);
            return;
        }
        auto const end = pattern_.find('}', at_);
        auto const name = pattern_.substr(at_ + 3, end == pattern_.npos ? 0 : end - at_ - 3);
        bool const plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char letter) {
            return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') || letter == '_';
        });
        if (!plain) {
            refuse("a property that is not one name");
        }
        result_ += message(pattern_.substr(at_, 3), name.size() > 2 ? "sc:" : "", name, "}");
        at_ = end + 1;
    }

    void braced_code_point() {
        auto const end = pattern_.find('}', at_);
        if (peek(2) != '{' || end == pattern_.npos) {
            refuse("\\x without braces");  // a byte in one flavor, a character in the other
        }
        copy(end + 1 - at_);
    }

    void character_class() {
        copy(peek(1) == '^' ? 2 : 1);
        if (peek() == ']') {
            refuse("']' at the beginning of a class");
        }
        while (peek() != ']') {
            char const letter = peek();
            if (at_ >= pattern_.size()) {
                refuse("an unfinished class");
            }
            if (letter == '\\') {
                escape(true);
                continue;
            }
            if (letter == '[') {
                refuse("a class inside a class");
            }
            if ((letter == '&' || letter == '-' || letter == '~') && peek(1) == letter) {
                refuse("an operation on classes");
            }
            copy(1);
        }
        copy(1);
    }

    void group() {
        if (peek(1) == '*') {
            refuse("(*");
        }
        if (peek(1) != '?') {
            copy(1);
            return;
        }
        for (std::string_view const known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"}) {
            if (pattern_.substr(at_).starts_with(known)) {
                copy(known.size());
                return;
            }
        }
        refuse(pattern_.substr(at_, 3));
    }

    void repetition() {
        auto const end = pattern_.find('}', at_);
        auto const inside = pattern_.substr(at_ + 1, end == pattern_.npos ? 0 : end - at_ - 1);
        bool const digits = !inside.empty() && inside.find_first_not_of("0123456789,") == inside.npos;
        if (!digits || inside.front() == ',') {
            refuse("'{' that begins no repetition");
        }
        copy(end + 1 - at_);
        bool const exact = inside.find(',') == inside.npos;
        if (flavor_ == RegexFlavor::oniguruma && (peek() == '+' || (exact && peek() == '?'))) {
            refuse("'", std::string_view(&pattern_[at_], 1), "' behind a repetition");
        }
    }

    std::string_view pattern_;
    RegexFlavor flavor_;
    std::string result_;
    std::size_t at_ = 0;
};

struct PcreFree {
    void operator()(pcre2_compile_context_8* context) const { pcre2_compile_context_free_8(context); }
    void operator()(pcre2_match_context_8* context) const { pcre2_match_context_free_8(context); }
    void operator()(pcre2_match_data_8* data) const { pcre2_match_data_free_8(data); }
    void operator()(pcre2_jit_stack_8* stack) const { pcre2_jit_stack_free_8(stack); }
};

template <class T>
std::unique_ptr<T, PcreFree> owned(T* pointer) {
    if (pointer == nullptr) {
        throw std::bad_alloc();
    }
    return std::unique_ptr<T, PcreFree>(pointer);
}

inline std::string pcre_message(int code) {
    PCRE2_UCHAR8 text[256];
    pcre2_get_error_message_8(code, text, sizeof text);
    return reinterpret_cast<char const*>(text);
}

}  // namespace detail

/// A compiled regular expression over UTF-8 with Unicode properties. What is a letter, a digit or a space is PCRE2's
/// knowledge (10.42: Unicode 14): engines of other versions may differ on characters that were added since.
///
/// Immutable: any number of threads may match with it, each through a Matcher of its own. Copies share the compiled
/// form.
///
/// Errors:    FormatError if the pattern is wrong, may match the empty text, or uses a construct whose meaning differs
///            between engines (the message names it)
class Pattern {
public:
    /// A regular expression.
    static Pattern regex(std::string_view pattern, RegexFlavor flavor = RegexFlavor::oniguruma) {
        auto const lines = flavor == RegexFlavor::oniguruma ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY;
        return {pattern, detail::PatternTranslation(pattern, flavor).translate(),
                PCRE2_UTF | PCRE2_UCP | lines};
    }
    /// A text that matches itself.
    static Pattern literal(std::string_view text) {
        return {text, std::string(text), PCRE2_UTF | PCRE2_LITERAL};
    }

    /// A place where the pattern matches: bytes [begin, end) of the subject.
    struct Match {
        std::size_t begin = 0;
        std::size_t end = 0;
    };

    /// What one thread needs to match.
    class Matcher {
    public:
        explicit Matcher(Pattern const& pattern)
            : code_(pattern.code_),
              context_(detail::owned(pcre2_match_context_create_8(nullptr))),
              // Only the whole match is of interest, so a pair for it is enough whatever groups there are.
              data_(detail::owned(pcre2_match_data_create_8(1, nullptr))) {
            std::size_t compiled = 0;
            has_jit_ = pcre2_pattern_info_8(code_.get(), PCRE2_INFO_JITSIZE, &compiled) == 0 && compiled > 0;
            // A hostile pattern ends with an error instead of running for years.
            pcre2_set_match_limit_8(context_.get(), 100'000'000);
        }

        /// The first match that begins at or behind `from`. The subject must be valid UTF-8.
        ///
        /// Errors:    Error if the engine gives up (its limits of time and memory)
        std::optional<Match> find(std::string_view subject, std::size_t from) {
            auto const* const bytes = reinterpret_cast<PCRE2_SPTR8>(subject.data());
            int code = PCRE2_ERROR_JIT_STACKLIMIT;
            if (has_jit_) {
                code = pcre2_jit_match_8(code_.get(), bytes, subject.size(), from, 0, data_.get(),
                                         context_.get());
                if (code == PCRE2_ERROR_JIT_STACKLIMIT && !stack_) {
                    // The 32 KiB of machine stack that compiled patterns use by default were not enough.
                    stack_ = detail::owned(pcre2_jit_stack_create_8(32'768, 32U << 20U, nullptr));
                    pcre2_jit_stack_assign_8(context_.get(), nullptr, stack_.get());
                    return find(subject, from);
                }
            }
            if (code == PCRE2_ERROR_JIT_STACKLIMIT) {
                // The interpreter keeps its state on the heap.
                code = pcre2_match_8(code_.get(), bytes, subject.size(), from,
                                     PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data_.get(), context_.get());
            }
            if (code == PCRE2_ERROR_NOMATCH) {
                return std::nullopt;
            }
            if (code < 0) {
                throw Error(message("matching a pattern failed: ", detail::pcre_message(code)));
            }
            auto const* const place = pcre2_get_ovector_pointer_8(data_.get());
            return Match{place[0], place[1]};
        }

    private:
        std::shared_ptr<pcre2_code_8 const> code_;
        std::unique_ptr<pcre2_match_context_8, detail::PcreFree> context_;
        std::unique_ptr<pcre2_match_data_8, detail::PcreFree> data_;
        std::unique_ptr<pcre2_jit_stack_8, detail::PcreFree> stack_;
        bool has_jit_ = false;
    };

private:
    Pattern(std::string_view source, std::string const& translated, std::uint32_t options) {
        auto const context = detail::owned(pcre2_compile_context_create_8(nullptr));
        pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
        int code = 0;
        std::size_t offset = 0;
        auto* const compiled = pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()),
                                               translated.size(), options, &code, &offset, context.get());
        if (compiled == nullptr) {
            throw FormatError(message("pattern ", format::detail::in_quotes(source, 1000), ": ",
                                      detail::pcre_message(code), " (read as ",
                                      format::detail::in_quotes(translated, 1000), ", offset ", offset, ")"));
        }
        code_ = {compiled, [](pcre2_code_8* pointer) { pcre2_code_free_8(pointer); }};
        std::uint32_t may_be_empty = 0;
        pcre2_pattern_info_8(compiled, PCRE2_INFO_MATCHEMPTY, &may_be_empty);
        expects<FormatError>(may_be_empty == 0 && !translated.empty(), "pattern ",
                             format::detail::in_quotes(source, 1000),
                             ": may match the empty text, which is not supported");
        pcre2_jit_compile_8(compiled, PCRE2_JIT_COMPLETE);  // where this fails the interpreter does the work
    }

    std::shared_ptr<pcre2_code_8 const> code_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::text

#endif
