// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_RAW_DOCUMENTS_HPP
#define DEEPSEEK_APP_PREPARE_RAW_DOCUMENTS_HPP

#include <deepseek/app/interrupt.hpp>
#include <deepseek/app/prepare/document_reader.hpp>
#include <deepseek/app/prepare/document_text.hpp>
#include <deepseek/app/prepare/dropped.hpp>
#include <deepseek/app/prepare/inputs.hpp>
#include <deepseek/app/prepare/settings.hpp>
#include <deepseek/core/index.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// How far the inputs were read: so many documents of one of them, and all before it.
struct InputPosition {
    std::size_t input = 0;
    index_t document = 0;
    index_t taken = 0;  ///< documents of all of them so far
};

/// The documents of all inputs as they stand there, as many as are wanted.
class RawDocuments {
public:
    /// Errors:    those of the readers, here and in next()
    RawDocuments(std::vector<Input> const& inputs, PrepareSettings const& settings, InputPosition start = {})
        : inputs_(&inputs), settings_(&settings), position_{start.input, 0, start.taken} {
        Dropped counted;
        std::string skipped;
        for (; position_.document < start.document && open(); ++position_.document) {
            skipped.clear();
            reader_->next(skipped, counted);
        }
    }

    /// Appends the next one; false at the end.
    bool next(std::string& raw, Dropped& dropped) {
        while ((settings_->documents == 0 || position_.taken < settings_->documents) && open()) {
            if (reader_->next(raw, dropped)) {
                ++position_.document;
                ++position_.taken;
                return true;
            }
            reader_.reset();
            read_ += (*inputs_)[position_.input].file.bytes;
            position_ = {position_.input + 1, 0, position_.taken};
        }
        return false;
    }

    /// Where the last one ended. Its number, counted from 1, is `document`.
    InputPosition const& position() const { return position_; }
    Input const& input() const { return (*inputs_)[position_.input]; }
    /// Bytes of the files read so far.
    index_t consumed() const { return read_ + (reader_ ? reader_->consumed() : 0); }

private:
    bool open() {
        if (!reader_ && position_.input < inputs_->size()) {
            reader_ = open_documents((*inputs_)[position_.input], *settings_);
            if (read_ == 0) {
                for (std::size_t i = 0; i < position_.input; ++i) {
                    read_ += (*inputs_)[i].file.bytes;
                }
            }
        }
        return reader_ != nullptr;
    }

    std::vector<Input> const* inputs_;
    PrepareSettings const* settings_;
    InputPosition position_;
    index_t read_ = 0;  // bytes of the inputs before
    std::unique_ptr<DocumentReader> reader_;
};

/// visit(text) for the text of every document, until it returns false or a signal asks to end. Gives whether it came to
/// the end.
template <class Visit>
bool for_each_text(std::vector<Input> const& inputs, PrepareSettings const& settings, Visit&& visit) {
    RawDocuments documents(inputs, settings);
    DocumentText text(settings);
    Dropped counted;
    std::string raw;
    while (documents.next(raw, counted)) {
        if (auto const kept = text(documents.input(), documents.position().document, raw, counted);
            (kept && !visit(*kept)) || Interrupt::requested()) {
            return false;
        }
        raw.clear();
    }
    return true;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
