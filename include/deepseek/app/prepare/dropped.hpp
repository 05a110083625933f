// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_PREPARE_DROPPED_HPP
#define DEEPSEEK_APP_PREPARE_DROPPED_HPP

#include <deepseek/core/index.hpp>

#include <cstddef>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// What of the input was not kept, so that every byte of text is accounted for.
struct Dropped {
    index_t separators = 0;
    index_t separator_bytes = 0;  ///< with the line breaks that belong to them
    index_t empty_documents = 0;  ///< nothing but blanks
    index_t empty_bytes = 0;
    index_t missing_texts = 0;  ///< null in a JSON line or a Parquet row
    index_t short_documents = 0;
    index_t short_bytes = 0;
    index_t whitespace_bytes = 0;  ///< of documents that were kept
    index_t rest_tokens = 0;       ///< behind the last whole chunk of a document
    index_t rest_bytes = 0;
    index_t chunkless_documents = 0;

    /// visit(name, count) for each.
    template <class Self, class Visit>
    static void each(Self& self, Visit&& visit) {
        visit("separators", self.separators);
        visit("separator_bytes", self.separator_bytes);
        visit("empty_documents", self.empty_documents);
        visit("empty_bytes", self.empty_bytes);
        visit("missing_texts", self.missing_texts);
        visit("short_documents", self.short_documents);
        visit("short_bytes", self.short_bytes);
        visit("whitespace_bytes", self.whitespace_bytes);
        visit("rest_tokens", self.rest_tokens);
        visit("rest_bytes", self.rest_bytes);
        visit("chunkless_documents", self.chunkless_documents);
    }

    Dropped& operator+=(Dropped const& other) {
        std::vector<index_t> counts;
        each(other, [&](char const*, index_t count) { counts.push_back(count); });
        std::size_t i = 0;
        each(*this, [&](char const*, index_t& count) { count += counts[i++]; });
        return *this;
    }
};

/// What is known of one part of a data set.
struct Counts {
    index_t documents = 0;
    index_t tokens = 0;  ///< end-of-text included
    index_t bytes = 0;   ///< of text

    double bytes_per_token() const { return static_cast<double>(bytes) / static_cast<double>(tokens); }
    Counts& operator+=(Counts const& other) {
        documents += other.documents;
        tokens += other.tokens;
        bytes += other.bytes;
        return *this;
    }
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
