// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_TRAINING_STATE_WRITER_HPP
#define DEEPSEEK_FORMAT_TRAINING_STATE_WRITER_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/format/json_writer.hpp>
#include <deepseek/version.hpp>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::format {

/// Where a training run stands, beside weights and moments: the file trainer.json. Random numbers need no state,
/// they are functions of the seed and of these counters.
struct TrainingState {
    index_t step = 0;           ///< optimizer steps done, skipped ones included
    index_t updates = 0;        ///< steps that changed the weights: Adam's t
    index_t tokens = 0;         ///< tokens of main-model input seen
    index_t skips = 0;          ///< consecutive skipped steps
    index_t data_position = 0;  ///< windows of text handed out so far
    std::uint64_t seed = 0;
    std::map<std::string, std::string> options{};  ///< the run's flags, as given
    std::map<std::string, double> measurements{};  ///< anything worth keeping: the best validation loss, …

    friend bool operator==(TrainingState const&, TrainingState const&) = default;
};

namespace detail {

// Raised when a reader of the old format would misunderstand the new one.
inline constexpr index_t kTrainingStateFormat = 1;

void visit_training_state(auto&& f, auto&... state) {
    f(JsonField{"step", {}, true}, state.step...);
    f(JsonField{"updates", {}, true}, state.updates...);
    f(JsonField{"tokens", {}, true}, state.tokens...);
    f(JsonField{"skips", {}, true}, state.skips...);
    f(JsonField{"data_position", {}, true}, state.data_position...);
    f(JsonField{"seed", {}, true}, state.seed...);
}

}  // namespace detail

/// The text of a trainer.json.
inline std::string format_training_state(TrainingState const& state) {
    detail::JsonObject json;
    json.add("format", detail::json_text(detail::kTrainingStateFormat));
    json.add("library", detail::json_text(message("deepseek ", DEEPSEEK_VERSION_MAJOR, ".",
                                                  DEEPSEEK_VERSION_MINOR, ".", DEEPSEEK_VERSION_PATCH)));
    detail::visit_training_state([&](detail::JsonField const& field,
                                     auto const& member) { json.add(field.key, detail::json_text(member)); },
                                 state);
    detail::JsonObject options;
    for (auto const& [name, value] : state.options) {
        options.add(name, detail::json_text(value));
    }
    json.add("options", options.text());
    detail::JsonObject measurements;
    for (auto const& [name, value] : state.measurements) {
        if (std::isfinite(value)) {  // JSON has no other numbers
            measurements.add(name, detail::json_text(value));
        }
    }
    json.add("measurements", measurements.text());
    return json.text() + "\n";
}

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
