// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_INFER_SESSION_HPP
#define DEEPSEEK_INFER_SESSION_HPP

#include <deepseek/backend/concept.hpp>
#include <deepseek/core/arena.hpp>
#include <deepseek/core/dtype.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/pass.hpp>
#include <deepseek/core/visit.hpp>
#include <deepseek/model/weights.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI {

namespace detail {
template <class M, class T>
constexpr index_t cache_bytes() {
    index_t width = 0;
    typename M::template Params<Described> params{};
    M::Blocks::each([&]<class Block>(std::type_identity<Block>, index_t,
                                     auto const&) { width += Block::attention_type::cache_width; },
                    params.blocks);
    return width * static_cast<index_t>(sizeof(T));
}
}  // namespace detail

/// Bytes of cache that generation with model M keeps per token, with cache elements of T.
template <class M, class T>
inline constexpr index_t cache_bytes_per_token = detail::cache_bytes<M, T>();

/// How long a sequence may become.
struct SessionOptions {
    index_t max_tokens = 0;  ///< most tokens of prompt and reply together; 0: the model's context
};

/// One sequence being generated: the cache of what was read so far. Any number of sessions may share weights.
///
/// The state is a position and a cache that is only ever appended to: going back is truncating. Weights and backend
/// must outlive the session. No allocation per token after the first.
template <class M, class W, class B>
class Session {
    static_assert(
        Backend<B>,
        "Session: what it runs on must be a Backend; deepseek/backend/concept.hpp lists what one has");

public:
    using element = accumulate_t<W>;  ///< of activations, cache and logits

    /// Errors:    Error if max_tokens is negative; what the backend throws when memory is short
    Session(B& backend, Weights<M, W, B> const& weights, SessionOptions const& options = {})
        : backend_(&backend),
          weights_(&weights),
          max_tokens_(options.max_tokens == 0 ? M::options.context : options.max_tokens),
          arena_(backend) {
        expects(max_tokens_ > 0, "Session: max_tokens is ", max_tokens_);
        cache_ = M::Blocks::template take_cache<element>(arena_, max_tokens_);
        token_ = arena_.template take<Token>(kChunk);
        output_ = arena_.template rows<element, M::width>(kChunk);
        device_logits_ = arena_.template rows<element, M::vocabulary>(1);
        logits_.resize(static_cast<std::size_t>(M::vocabulary));
    }

    /// Tokens read so far.
    index_t position() const { return position_; }
    index_t max_tokens() const { return max_tokens_; }
    /// Whether no further token can be read.
    bool full() const { return position_ == max_tokens_; }

    /// Reads tokens behind what was read before; the logits of the token that follows the last.
    ///
    /// Shapes:    result [vocabulary], valid until the next call
    /// Errors:    Error if there are no tokens, if they do not fit, or if an id is outside the vocabulary; the session
    ///            is then as before
    std::span<element const> prefill(std::span<Token const> tokens) {
        read(tokens, [](index_t, Rows<element, M::width>) {});
        auto const last = (static_cast<index_t>(tokens.size()) - 1) % kChunk;
        return host_logits(output_.slice(last, 1));
    }

    /// Reads one token; the logits of the next. As prefill.
    std::span<element const> decode(Token token) { return prefill(std::span(&token, 1)); }

    /// Reads tokens and calls visit(i, logits of the token after tokens[i]) for each of them, in order. As prefill.
    template <class F>
    void score(std::span<Token const> tokens, F const& visit) {
        read(tokens, [&](index_t begin, Rows<element, M::width> output) {
            for (index_t i = 0; i < output.rows; ++i) {
                visit(begin + i, host_logits(output.slice(i, 1)));
            }
        });
    }

    /// Forgets all but the first `length` tokens.
    ///
    /// Errors:    Error unless 0 <= length <= position()
    void truncate(index_t length) {
        expects(length >= 0 && length <= position_, "Session::truncate: to ", length, " of ", position_,
                " tokens");
        position_ = length;
    }

private:
    static constexpr index_t kChunk = 256;  // tokens read at once: bounds the memory a long prompt takes

    template <class F>
    void read(std::span<Token const> tokens, F const& after_chunk) {
        auto const count = static_cast<index_t>(tokens.size());
        expects(count > 0, "Session: no tokens to read");
        expects(count <= max_tokens_ - position_, "Session: ", count, " tokens do not fit behind ", position_,
                " of ", max_tokens_);
        for (index_t i = 0; i < count; ++i) {
            auto const token = tokens[static_cast<std::size_t>(i)];
            expects(token >= 0 && token < M::vocabulary, "Session: the token at position ", position_ + i,
                    " is ", token, ", outside the vocabulary of ", M::vocabulary);
        }
        for (index_t begin = 0; begin < count; begin += kChunk) {
            auto const length = std::min(kChunk, count - begin);
            backend_->copy_from_host(token_, tokens.data() + begin,
                                     length * static_cast<index_t>(sizeof(Token)));
            Pass const pass{.sequences = 1, .length = length, .position = position_};
            auto const output = output_.slice(0, length);
            M::template extend<element, W>(*backend_, pass, weights_->view(), token_, cache_, output);
            position_ += length;
            after_chunk(begin, output);
        }
    }

    std::span<element const> host_logits(Rows<element, M::width> output) {
        M::logits(*backend_, weights_->view(), device_logits_, output);
        backend_->copy_to_host(logits_.data(), device_logits_.data,
                               M::vocabulary * static_cast<index_t>(sizeof(element)));
        return logits_;
    }

    B* backend_;
    Weights<M, W, B> const* weights_;
    index_t max_tokens_;
    index_t position_ = 0;
    Arena<B> arena_;
    typename M::template Cache<Viewed<element>> cache_{};
    Token* token_ = nullptr;
    Rows<element, M::width> output_{};
    Rows<element, M::vocabulary> device_logits_{};
    std::vector<element> logits_;
};

}  // namespace deepseek::inline DEEPSEEK_ABI

#endif
