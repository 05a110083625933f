// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_CORE_ERROR_HPP
#define DEEPSEEK_CORE_ERROR_HPP

#include <deepseek/config.hpp>

#include <charconv>
#include <concepts>
#include <stdexcept>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI {

/// Base of every exception the library throws. The message says what, where, expected and found.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
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
inline void append(std::string& text, std::string_view part) { text += part; }
template <class T>
requires std::integral<T> || std::floating_point<T>
void append(std::string& text, T value) {
    char digits[64];
    auto const end = std::to_chars(digits, digits + sizeof digits, value);
    text.append(digits, end.ptr);
}
}  // namespace detail

/// Joins strings and numbers into one message. (std::format is missing from the oldest library we support.)
template <class... Parts>
std::string message(Parts const&... parts) {
    std::string text;
    (detail::append(text, parts), ...);
    return text;
}

/// Throws E with the joined parts unless the condition holds. For public entries, once per call; the message is built
/// only on failure. Inner loops use DEEPSEEK_ASSERT.
template <class E = Error, class... Parts>
constexpr void expects(bool condition, Parts const&... parts) {
    if (!condition) [[unlikely]] {
        throw E(message(parts...));
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#if defined(DEEPSEEK_CHECKS)
#define DEEPSEEK_ASSERT(condition) ::deepseek::expects(condition, __FILE__, ": broken: ", #condition)
#else
#define DEEPSEEK_ASSERT(condition) static_cast<void>(0)
#endif

#endif
