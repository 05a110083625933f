// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_EXAMPLES_PREPARE_DOCUMENTS_HPP
#define DEEPSEEK_EXAMPLES_PREPARE_DOCUMENTS_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

// Where documents begin and end, and which of them are kept for validation.

namespace deepseek_examples {

/// What was not kept, so that every byte of the input is accounted for.
struct Dropped {
    deepseek::index_t separators = 0;
    deepseek::index_t separator_bytes = 0;  ///< with the line breaks that belong to them
    deepseek::index_t empty_documents = 0;
    deepseek::index_t empty_bytes = 0;  ///< the blanks that were all those documents had
};

/// Appends the documents of a text. They are what stands between separators; a line break directly before and one
/// directly behind a separator belong to it. Documents of nothing but blanks are dropped. With an empty separator the
/// whole text is one document.
inline void append_documents(std::string_view text, std::string_view separator,
                             std::vector<std::string_view>& documents, Dropped& dropped) {
    auto const add = [&](std::string_view document, bool between_separators) {
        if (document.find_first_not_of(" \t\r\n") != document.npos) {
            documents.push_back(document);
        } else if (!document.empty() || between_separators) {
            dropped.empty_documents += 1;
            dropped.empty_bytes += static_cast<deepseek::index_t>(document.size());
        }
    };
    std::size_t begin = 0;
    bool is_first = true;
    for (;;) {
        auto const at = separator.empty() ? text.npos : text.find(separator, begin);
        if (at == text.npos) {
            // Nothing in front of the first separator or behind the last one is not a document that somebody lost.
            add(text.substr(begin), false);
            return;
        }
        auto end = at;  // of the document
        if (end > begin && text[end - 1] == '\n') {
            --end;
            end -= end > begin && text[end - 1] == '\r' ? 1 : 0;
        }
        auto next = at + separator.size();
        if (text.substr(next).starts_with("\r\n")) {
            next += 2;
        } else if (text.substr(next).starts_with('\n')) {
            next += 1;
        }
        add(text.substr(begin, end - begin), !is_first);
        is_first = false;
        dropped.separators += 1;
        dropped.separator_bytes += static_cast<deepseek::index_t>(next - end);
        begin = next;
    }
}

/// Documents for training and for validation, both in the order of the input.
struct DocumentSplit {
    std::vector<std::string_view> train;
    std::vector<std::string_view> validation;
    bool within_documents =
        false;  ///< the end of every document is for validation, not some documents as a whole
};

/// Keeps about `fraction` of the documents for validation: those whose text has a low hash under the seed, so equal
/// documents never stand on both sides, and adding documents moves none of the others. Where there are fewer than
/// 1 / fraction documents, the last `fraction` of each is kept instead.
///
/// Errors:    Error if the fraction is not above 0 and below 1, or if there is too little text for two parts
inline DocumentSplit split_documents(std::vector<std::string_view> const& documents, double fraction,
                                     deepseek::Seed seed) {
    deepseek::expects(fraction > 0 && fraction < 1, "the validation fraction is ", fraction,
                      ", expected more than 0 and less than 1");
    DocumentSplit split;
    auto const count = static_cast<double>(documents.size());
    if (count * fraction >= 1) {
        // Bytes go through the mixer eight at a time; the last word carries the length.
        auto const place = [&](std::string_view document) {
            std::uint64_t hash = deepseek::RandomKey(seed).value;
            std::uint64_t word = 0;
            for (std::size_t i = 0; i < document.size(); ++i) {
                word = word << 8U | static_cast<unsigned char>(document[i]);
                if (i % 8 == 7) {
                    hash = deepseek::mix_bits(hash ^ word);
                    word = 0;
                }
            }
            hash = deepseek::mix_bits(deepseek::mix_bits(hash ^ word) ^ document.size());
            return static_cast<double>(hash >> 11U) * 0x1p-53;
        };
        std::vector<double> places;
        places.reserve(documents.size());
        for (auto const document : documents) {
            places.push_back(place(document));
        }
        auto const lowest = *std::min_element(places.begin(), places.end());
        auto const limit = std::max(fraction, std::nextafter(lowest, 2.0));  // at least one
        for (std::size_t i = 0; i < documents.size(); ++i) {
            (places[i] < limit ? split.validation : split.train).push_back(documents[i]);
        }
        if (!split.train.empty()) {
            return split;
        }
        split.validation.clear();  // all documents are equal
    }
    split.within_documents = true;
    for (auto const document : documents) {
        auto cut = static_cast<std::size_t>(static_cast<double>(document.size()) * (1 - fraction));
        while (cut > 0 && cut < document.size() &&
               (static_cast<unsigned char>(document[cut]) & 0xC0U) == 0x80U) {
            --cut;  // not inside a character
        }
        if (cut > 0) {
            split.train.push_back(document.substr(0, cut));
        }
        if (cut < document.size()) {
            split.validation.push_back(document.substr(cut));
        }
    }
    deepseek::expects(!split.train.empty() && !split.validation.empty(),
                      "there is too little text to keep some for validation");
    return split;
}

}  // namespace deepseek_examples

#endif
