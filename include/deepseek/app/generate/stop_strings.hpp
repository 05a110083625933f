// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_GENERATE_STOP_STRINGS_HPP
#define DEEPSEEK_APP_GENERATE_STOP_STRINGS_HPP

#include <deepseek/config.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Cuts a stream of text at the first of some strings, however the stream is split: text that may be the beginning of
/// one is held back until the next piece decides.
class StopStrings {
public:
    explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
        std::erase(stops_, std::string());
    }

    /// Whether one was found; push() gives no more text then.
    bool found() const { return found_; }

    /// What may be shown of the text so far and was not yet. The stop string itself never is.
    std::string push(std::string_view text) {
        if (found_) {
            return {};
        }
        held_ += text;
        auto end = held_.size();
        for (auto const& stop : stops_) {
            auto const at = held_.find(stop);
            if (at != held_.npos && (at < end || !found_)) {
                end = std::min(end, at);
                found_ = true;
            }
        }
        return take(found_ ? end : held_.size() - undecided());
    }

    /// What was held back: the stream has ended.
    std::string finish() { return found_ ? std::string() : take(held_.size()); }

private:
    // Length of the longest end of the held text that begins a stop string.
    std::size_t undecided() const {
        std::size_t longest = 0;
        for (auto const& stop : stops_) {
            for (auto length = std::min(stop.size() - 1, held_.size()); length > longest; --length) {
                if (held_.ends_with(std::string_view(stop).substr(0, length))) {
                    longest = length;
                }
            }
        }
        return longest;
    }

    std::string take(std::size_t count) {
        auto shown = held_.substr(0, count);
        held_.erase(0, count);
        return shown;
    }

    std::vector<std::string> stops_;
    std::string held_;
    bool found_ = false;
};

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
