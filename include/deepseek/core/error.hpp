// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_ERROR_HPP
#define DEEPSEEK_CORE_ERROR_HPP

#include <deepseek/config.hpp>

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {

// A message that a terminal shows as it is: names and contents of strangers' files may hold escape sequences and
// megabytes. Control characters but tab and line break become '?', of a long text beginning and end remain.
inline std::string printable(std::string text) {
    constexpr std::size_t most = 16384;
    constexpr std::size_t end = 1024;
    if (text.size() > most) {
        text.replace(most - end, text.size() - most, " ... ");
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto const code = static_cast<unsigned char>(text[i]);
        auto const next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
        if ((code < 0x20 && code != '\n' && code != '\t') || code == 0x7F) {
            text[i] = '?';
        } else if (code == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F
            text.replace(i, 2, "?");
        }
    }
    return text;
}

}  // namespace detail

/// Base of every exception the library throws. The message says what, where, expected and found; control characters in
/// it are replaced, and a very long one is cut.
class Error : public std::runtime_error {
public:
    explicit Error(std::string text) : std::runtime_error(detail::printable(std::move(text))) {}
};

/// Extents of tensors do not fit together.
class ShapeError : public Error {
public:
    using Error::Error;
};

/// A file's contents are not what they should be.
class FormatError : public Error {
public:
    using Error::Error;
};

/// The operating system refused: missing file, full disk, no permission.
class FileError : public Error {
public:
    using Error::Error;
};

namespace detail {

// A string or number of a message, its type erased, so that messages are joined in one place and not once per
// combination of types.
class MessagePart {
public:
    MessagePart(std::string_view text) : text_(text) {}
    MessagePart(std::string const& text) : text_(text) {}
    MessagePart(char const* text) : text_(text) {}
    template <std::signed_integral T>
    MessagePart(T value) {
        print(static_cast<std::int64_t>(value));
    }
    template <std::unsigned_integral T>
    MessagePart(T value) {
        print(static_cast<std::uint64_t>(value));
    }
    MessagePart(float value) { print(value); }
    MessagePart(double value) { print(value); }
    MessagePart(MessagePart const&) = delete;  // text_ may point into the object
    MessagePart& operator=(MessagePart const&) = delete;
    ~MessagePart() = default;

    std::string_view text() const { return text_; }

private:
    static constexpr std::size_t kDigits = 32;  // the widest are doubles with 24

    template <class T>
    [[gnu::noinline]] void print(T value) {
        text_ = {digits_,
                 static_cast<std::size_t>(std::to_chars(digits_, digits_ + kDigits, value).ptr - digits_)};
    }

    char digits_[kDigits];
    std::string_view text_;
};

inline std::string join(std::initializer_list<MessagePart> parts) {
    std::string text;
    for (auto const& part : parts) {
        text += part.text();
    }
    return text;
}

template <class E>
[[noreturn, gnu::noinline]] inline void fail(std::initializer_list<MessagePart> parts) {
    throw E(join(parts));
}

}  // namespace detail

/// Joins strings and numbers into one message. (std::format is missing from the oldest library we support.)
template <class... Parts>
std::string message(Parts const&... parts) {
    return detail::join({detail::MessagePart(parts)...});
}

/// Throws E with the joined parts unless the condition holds. For public entries, once per call; the message is built
/// only on failure. Inner loops use DEEPSEEK_ASSERT.
template <class E = Error, class... Parts>
constexpr void expects(bool condition, Parts const&... parts) {
    if (!condition) [[unlikely]] {
        detail::fail<E>({detail::MessagePart(parts)...});
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#if defined(DEEPSEEK_CHECKS)
#define DEEPSEEK_ASSERT(condition) ::deepseek::expects(condition, __FILE__, ": broken: ", #condition)
#else
#define DEEPSEEK_ASSERT(condition) static_cast<void>(0)
#endif

#endif
