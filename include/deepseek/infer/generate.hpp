// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_INFER_GENERATE_HPP
#define DEEPSEEK_INFER_GENERATE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/infer/sampler.hpp>
#include <deepseek/infer/session.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI {

/// Why a text ended.
enum class Ending : std::uint8_t {
    length,    ///< max_new tokens were written
    end,       ///< the model wrote one of the end tokens; it is the text's last
    context,   ///< the session is full
    callback,  ///< the callback returned false
};

struct GenerateOptions {
    index_t max_new = 256;            ///< most tokens to write; negative: no limit
    std::span<Token const> end = {};  ///< tokens that end the text: end-of-text, usually
};

namespace detail {
template <class T>
Ending generate(auto& session, auto&& sampler, std::vector<Token>& text, GenerateOptions const& options,
                auto&& on_token) {
    expects(static_cast<index_t>(text.size()) > session.position(), "generate: a text of ", text.size(),
            " tokens, of which the session has read ", session.position(),
            "; there must be something to read");
    for (index_t written = 0; options.max_new < 0 || written < options.max_new; ++written) {
        auto const unread =
            std::span<Token const>(text).subspan(static_cast<std::size_t>(session.position()));
        if (written > 0 && session.full()) {
            return Ending::context;
        }
        std::span<T const> const logits = session.prefill(unread);
        Token const token = std::invoke(sampler, logits, std::span<Token const>(text));
        expects(token >= 0 && static_cast<std::size_t>(token) < logits.size(),
                "generate: the sampler returned token ", token, ", outside the vocabulary of ",
                logits.size());
        text.push_back(token);
        if (std::find(options.end.begin(), options.end.end(), token) != options.end.end()) {
            return Ending::end;
        }
        if constexpr (std::is_same_v<std::invoke_result_t<decltype(on_token), Token>, bool>) {
            if (!on_token(token)) {
                return Ending::callback;
            }
        } else {
            on_token(token);
        }
    }
    return Ending::length;
}
}  // namespace detail

/// Continues `text`: the session reads what it has not read of it, the sampler picks, and every new token is appended
/// and passed to on_token as soon as it is known. Called again with the same session and a longer text it goes on, so a
/// conversation is read once. The last token written has not been read yet.
///
/// `sampler` is a Sampler, or whatever is called as sampler(std::span<T const> logits, std::span<Token const> history)
/// and returns the next Token: logits [vocabulary] are of float (double for weights of double) and valid during the call,
/// history is the text so far.
///
/// on_token(Token) may return nothing, or a bool: false ends the text. It is not called for an end token.
///
/// Errors:    Error if the text is not longer than what the session has read, or a token of the text or from the sampler
///            is outside the vocabulary; what
///            session, sampler and callback throw. Tokens written before that stay in the text
template <class M, class W, class B, class S, std::invocable<Token> F>
Ending generate(Session<M, W, B>& session, S&& sampler, std::vector<Token>& text,
                GenerateOptions const& options, F&& on_token) {
    using T = typename Session<M, W, B>::element;
    static_assert(
        TokenSampler<S, T>,
        "generate: a sampler is called with (std::span<T const> logits, std::span<Token const> history), T "
        "being float, or double for weights of double, and returns the next Token");
    if constexpr (TokenSampler<S, T>) {  // otherwise the sentence above is the only error
        return detail::generate<T>(session, sampler, text, options, on_token);
    } else {
        return Ending::callback;
    }
}

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
