// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_SPLIT_HPP
#define DEEPSEEK_APP_PREPARE_SPLIT_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Which text is kept for validation: about `fraction` of the documents, those whose text has a low hash under the seed,
/// so that equal documents never stand on both sides, and adding documents moves none of the others. Where there are
/// fewer than 1 / fraction documents, or all are equal, it is the last `fraction` of each.
///
/// It must see documents until it is settled, or all of them.
class DocumentSplit {
public:
    /// Errors:    Error if the fraction is not above 0 and below 1
    DocumentSplit(double fraction, Seed seed) : fraction_(fraction), key_(seed) {
        expects(fraction > 0 && fraction < 1, "the validation fraction is ", fraction,
                ", expected more than 0 and less than 1");
    }

    void look_at(std::string_view document) {
        auto const where = place(document);
        lowest_ = std::min(lowest_, where);
        highest_ = std::max(highest_, where);
        ++documents_;
    }
    /// True once more documents would change nothing.
    bool settled() const { return enough() && lowest_ < fraction_ && highest_ >= fraction_; }

    /// Whether the end of every document is for validation, not some documents as a whole.
    bool within_documents() const { return !enough() || highest_ < limit(); }
    /// Whether a document is, where documents are not cut.
    bool validates(std::string_view document) const { return place(document) < limit(); }
    /// A document's beginning, to train with, and its end; either may be empty.
    std::pair<std::string_view, std::string_view> cut(std::string_view document) const {
        auto at = static_cast<std::size_t>(static_cast<double>(document.size()) * (1 - fraction_));
        while (at > 0 && at < document.size() &&
               (static_cast<unsigned char>(document[at]) & 0xC0U) == 0x80U) {
            --at;  // not inside a character
        }
        return {document.substr(0, at), document.substr(at)};
    }

private:
    bool enough() const { return static_cast<double>(documents_) * fraction_ >= 1; }
    double limit() const { return std::max(fraction_, std::nextafter(lowest_, 2.0)); }  // at least one

    // Bytes go through the mixer eight at a time; the last word carries the length.
    double place(std::string_view document) const {
        auto hash = key_.value;
        std::uint64_t word = 0;
        for (std::size_t i = 0; i < document.size(); ++i) {
            word = word << 8U | static_cast<unsigned char>(document[i]);
            if (i % 8 == 7) {
                hash = mix_bits(hash ^ word);
                word = 0;
            }
        }
        hash = mix_bits(mix_bits(hash ^ word) ^ document.size());
        return static_cast<double>(hash >> 11U) * 0x1p-53;
    }

    double fraction_;
    RandomKey key_;
    index_t documents_ = 0;
    double lowest_ = 1;
    double highest_ = 0;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
