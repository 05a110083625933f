// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_DATA_BATCHES_HPP
#define DEEPSEEK_DATA_BATCHES_HPP

#include <deepseek/core/batch.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>
#include <deepseek/data/permutation.hpp>
#include <deepseek/data/token_files.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::data {

/// In which order windows of text are trained on.
enum class Order : std::uint8_t {
    /// Every epoch cuts the text into windows that do not overlap and takes each of them once, in a new random order.
    /// The cut is shifted by a random amount every epoch, so windows begin at different places and the ends of the
    /// text, less than two windows that fit no cut, differ too.
    shuffled,
    /// Every window begins at a random place, independently of all others, as in nanoGPT.
    independent
};

/// What batches are, and in which order they come.
struct BatchOptions {
    index_t sequences = 1;  ///< windows per batch
    index_t length = 0;     ///< tokens per window
    Seed seed{};
    Order order = Order::shuffled;
    /// The token between documents, usually end-of-text: with it batches say which document a token belongs to (see
    /// Batch::documents). A document begins with the separator before it, which is what generation puts before a text.
    std::optional<Token> separator{};
};

namespace detail {
// Numbers the documents of one window, from 0.
inline void number_documents(std::span<Token const> tokens, Token separator, std::int32_t* documents) {
    std::int32_t number = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        number += i > 0 && tokens[i] == separator ? 1 : 0;
        documents[i] = number;
    }
}
}  // namespace detail

/// An endless sequence of batches from a file of tokens. What window comes when is a function of the options and of one
/// counter, so a training that stops and goes on at the same counter sees what it would have seen.
///
/// Errors:    FormatError if the file has too few tokens for one window
class Batches {
public:
    Batches(TokenFiles const& file, BatchOptions const& options)
        : file_(&file), options_(options), key_(options.seed) {
        expects(options.sequences > 0 && options.length > 0, "batches of ", options.sequences, " windows of ",
                options.length, " tokens");
        expects<FormatError>(file.size() > options.length, file.name(), ": has ", file.size(),
                             " tokens, expected at least ", options.length + 1,
                             ": a window and the token that follows it");
        // Where there are two windows or more, one is left out per epoch: it is the room to shift the cut in.
        windows_ = std::max<index_t>(1, (file.size() - 1) / options.length - 1);
        auto const size = static_cast<std::size_t>(checked_mul(options.sequences, options.length));
        tokens_.resize(size);
        targets_.resize(size);
        window_.resize(static_cast<std::size_t>(options.length) + 1);
        documents_.resize(options.separator ? size : 0);
    }

    /// The next batch. Valid until the next call; no allocation.
    ///
    /// Errors:    FormatError if the file has a token outside its vocabulary
    Batch next() {
        auto const length = static_cast<std::size_t>(options_.length);
        for (index_t sequence = 0; sequence < options_.sequences; ++sequence) {
            file_->read(window_begin(position_ + sequence), window_);
            auto const at = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(sequence) * length);
            std::copy(window_.begin(), window_.end() - 1, tokens_.begin() + at);
            std::copy(window_.begin() + 1, window_.end(), targets_.begin() + at);
            if (options_.separator) {
                detail::number_documents(std::span(window_).first(length), *options_.separator,
                                         documents_.data() + at);
            }
        }
        position_ += options_.sequences;
        return {tokens_, targets_, options_.sequences, options_.length, documents_};
    }

    /// Windows given so far: all there is to save.
    index_t position() const { return position_; }
    /// Goes on as if so many windows had been given.
    ///
    /// Errors:    Error if the position is negative, or so large that no run has come there
    void seek(index_t position) {
        expects(position >= 0 && position <= kLastPosition, "batches: a position of ", position,
                ", expected at most ", kLastPosition);
        position_ = position;
        epoch_ = -1;
    }

    /// Windows per epoch.
    index_t windows() const { return windows_; }
    /// Epochs given so far.
    double epochs() const { return static_cast<double>(position_) / static_cast<double>(windows_); }

private:
    static constexpr index_t kLastPosition = index_t{1} << 62;  // leaves room to count on

    // Where the window of that number begins.
    index_t window_begin(index_t number) {
        auto const counter = static_cast<std::uint64_t>(number);
        auto const last_begin = file_->size() - 1 - options_.length;
        if (options_.order == Order::independent) {
            return random_up_to(last_begin, key_.bits(counter));
        }
        if (auto const epoch = number / windows_; epoch != epoch_) {
            epoch_ = epoch;
            auto const key = key_.fork(static_cast<std::uint64_t>(epoch));
            order_ = Permutation(windows_, key.fork(0));
            offset_ = random_up_to(file_->size() - 1 - windows_ * options_.length, key.fork(1).bits(0));
        }
        return offset_ + order_(number % windows_) * options_.length;
    }

    // Uniform in [0, most]. The remainder of 64 random bits: for files below 2^40 tokens a bias below 2^-24.
    static index_t random_up_to(index_t most, std::uint64_t bits) {
        return static_cast<index_t>(bits % (static_cast<std::uint64_t>(most) + 1));
    }

    TokenFiles const* file_;
    BatchOptions options_;
    RandomKey key_;
    index_t windows_ = 0;
    index_t position_ = 0;
    // Of the epoch that the last window belonged to.
    index_t epoch_ = -1;
    index_t offset_ = 0;
    Permutation order_{1, key_};
    std::vector<Token> tokens_;
    std::vector<Token> targets_;
    std::vector<std::int32_t> documents_;  // empty without a separator
    std::vector<Token> window_;
};

/// The whole of a file once, in order, for evaluation: every token but the first is a target exactly once.
///
/// All batches are sequences × length but the last ones: what does not fill a batch comes as a batch of fewer
/// sequences, and what does not fill a window as one of a single, shorter sequence. With a separator batches say which
/// document a token belongs to: see BatchOptions.
///
/// Errors:    FormatError if the file has fewer than two tokens
class SequentialBatches {
public:
    SequentialBatches(TokenFiles const& file, index_t sequences, index_t length,
                      std::optional<Token> separator = std::nullopt)
        : file_(&file), sequences_(sequences), length_(length), separator_(separator) {
        expects(sequences > 0 && length > 0, "batches of ", sequences, " windows of ", length, " tokens");
        expects<FormatError>(file.size() > 1, file.name(), ": has one token, expected at least two");
        auto const size = static_cast<std::size_t>(checked_mul(sequences, length));
        buffer_.resize(size + 1);
        documents_.resize(separator ? size : 0);
    }

    /// The next batch, or nothing at the end. Valid until the next call; no allocation.
    ///
    /// Errors:    FormatError if the file has a token outside its vocabulary
    std::optional<Batch> next() {
        auto const left = file_->size() - 1 - position_;
        if (left == 0) {
            return std::nullopt;
        }
        auto const length = std::min(length_, left);
        auto const sequences = std::min(sequences_, left / length);
        auto const count = static_cast<std::size_t>(sequences * length);
        // Windows follow one another, so the targets are the tokens from the second on.
        file_->read(position_, std::span(buffer_).first(count + 1));
        position_ += sequences * length;
        Batch batch{std::span(buffer_).first(count), std::span(buffer_).subspan(1, count), sequences, length};
        if (separator_) {
            auto const window = static_cast<std::size_t>(length);
            for (std::size_t at = 0; at < count; at += window) {
                detail::number_documents(batch.tokens.subspan(at, window), *separator_,
                                         documents_.data() + at);
            }
            batch.documents = std::span(documents_).first(count);
        }
        return batch;
    }

    /// Begins again at the first token.
    void rewind() { position_ = 0; }

private:
    TokenFiles const* file_;
    index_t sequences_;
    index_t length_;
    std::optional<Token> separator_;
    index_t position_ = 0;
    std::vector<Token> buffer_;
    std::vector<std::int32_t> documents_;  // empty without a separator
};

}  // namespace deepseek::inline DEEPSEEK_ABI::data

#endif
