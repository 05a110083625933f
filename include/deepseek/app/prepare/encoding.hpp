// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_ENCODING_HPP
#define DEEPSEEK_APP_PREPARE_ENCODING_HPP

#include <deepseek/app/prepare/document_text.hpp>
#include <deepseek/app/prepare/dropped.hpp>
#include <deepseek/app/prepare/inputs.hpp>
#include <deepseek/app/prepare/raw_documents.hpp>
#include <deepseek/app/prepare/settings.hpp>
#include <deepseek/app/prepare/split.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/data/token_meta.hpp>
#include <deepseek/text/tokenizer.hpp>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Some documents that one thread encodes, and what they became: for training, and for validation.
struct DocumentBatch {
    struct Document {
        std::size_t end;  ///< in `raw`
        std::size_t input;
        index_t number;
    };
    std::string raw;
    std::vector<Document> documents;
    InputPosition after;
    index_t consumed = 0;  ///< bytes of the files up to there

    Dropped dropped;
    std::array<Counts, 2> counts;
    std::array<std::string, 2> tokens;  ///< as the files hold them
    std::exception_ptr error;
    bool done = false;
};

/// Encodes the documents of a batch; one per thread.
class BatchEncoder {
public:
    BatchEncoder(text::Tokenizer const& tokenizer, std::vector<Input> const& inputs,
                 PrepareSettings const& settings, DocumentSplit const& split)
        : tokenizer_(&tokenizer),
          inputs_(&inputs),
          settings_(&settings),
          split_(&split),
          text_(settings),
          encoder_(tokenizer) {}

    void encode(DocumentBatch& batch) {
        std::size_t begin = 0;
        for (auto const& document : batch.documents) {
            auto const raw = std::string_view(batch.raw).substr(begin, document.end - begin);
            begin = document.end;
            auto const text = text_((*inputs_)[document.input], document.number, raw, batch.dropped);
            if (!text) {
                continue;
            }
            if (!split_->within_documents()) {
                encode_part(*text, split_->validates(*text) ? 1 : 0, batch);
                continue;
            }
            auto const [train, validation] = split_->cut(*text);
            encode_part(train, 0, batch);
            encode_part(validation, 1, batch);
        }
        batch.raw = {};
    }

private:
    void encode_part(std::string_view text, std::size_t part, DocumentBatch& batch) {
        if (text.empty()) {
            return;
        }
        tokens_.clear();
        encoder_.encode(text, tokens_);
        if (settings_->end_of_text) {
            tokens_.push_back(tokenizer_->end_of_text());
        }
        auto bytes = static_cast<index_t>(text.size());
        if (settings_->chunk > 0) {
            auto const size = static_cast<index_t>(tokens_.size());
            auto const whole = size / settings_->chunk * settings_->chunk;
            index_t rest = 0;
            for (auto i = whole; i < size; ++i) {
                auto const token = tokens_[static_cast<std::size_t>(i)];
                bool const is_end = settings_->end_of_text && i + 1 == size;
                rest += is_end ? 0 : static_cast<index_t>(tokenizer_->bytes(token).size());
            }
            batch.dropped.rest_tokens += size - whole;
            batch.dropped.rest_bytes += rest;
            bytes -= rest;
            tokens_.resize(static_cast<std::size_t>(whole));
            if (whole == 0) {
                batch.dropped.chunkless_documents += 1;
                return;
            }
        }
        batch.counts[part] += {1, static_cast<index_t>(tokens_.size()), bytes};
        if (data::width_for(tokenizer_->vocabulary_size()) == data::TokenWidth::two) {
            append<std::uint16_t>(batch.tokens[part]);
        } else {
            append<std::uint32_t>(batch.tokens[part]);
        }
    }

    template <class Stored>
    void append(std::string& bytes) const {
        auto at = bytes.size();
        bytes.resize(at + tokens_.size() * sizeof(Stored));
        for (auto const token : tokens_) {
            auto const stored = static_cast<Stored>(token);
            std::memcpy(bytes.data() + at, &stored, sizeof stored);
            at += sizeof stored;
        }
    }

    text::Tokenizer const* tokenizer_;
    std::vector<Input> const* inputs_;
    PrepareSettings const* settings_;
    DocumentSplit const* split_;
    DocumentText text_;
    text::Tokenizer::Encoder encoder_;
    std::vector<Token> tokens_;
};

/// Threads that encode batches.
class EncodingThreads {
public:
    /// `make` gives the encoder of one thread.
    EncodingThreads(unsigned count, std::function<BatchEncoder()> make) : make_(std::move(make)) {
        for (unsigned i = 0; i < count; ++i) {
            threads_.emplace_back([this](std::stop_token const& stop) { work(stop); });
        }
    }

    /// Begins with a batch, which must stay until it is done.
    void begin(DocumentBatch& batch) {
        {
            std::lock_guard const lock(mutex_);
            waiting_.push_back(&batch);
        }
        changed_.notify_all();
    }
    /// Waits until a batch is done.
    ///
    /// Errors:    what encoding it threw
    void finish(DocumentBatch& batch) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return batch.done; });
        if (batch.error) {
            std::rethrow_exception(batch.error);
        }
    }

private:
    void work(std::stop_token const& stop) noexcept {
        auto encoder = make_();
        for (;;) {
            DocumentBatch* batch = nullptr;
            {
                std::unique_lock lock(mutex_);
                changed_.wait(lock, stop, [&] { return !waiting_.empty(); });
                if (stop.stop_requested()) {
                    return;
                }
                batch = waiting_.front();
                waiting_.pop_front();
            }
            try {
                encoder.encode(*batch);
            } catch (...) {
                batch->error = std::current_exception();
            }
            {
                std::lock_guard const lock(mutex_);
                batch->done = true;
            }
            changed_.notify_all();
        }
    }

    std::function<BatchEncoder()> make_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<DocumentBatch*> waiting_;
    std::vector<std::jthread> threads_;  // the last member: they end before the rest does
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
