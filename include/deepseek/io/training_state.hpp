// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_IO_TRAINING_STATE_HPP
#define DEEPSEEK_IO_TRAINING_STATE_HPP

#include <deepseek/core/index.hpp>
#include <deepseek/io/json.hpp>
#include <deepseek/version.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace deepseek::inline DEEPSEEK_ABI::io {

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
    nlohmann::json json;
    json["format"] = detail::kTrainingStateFormat;
    json["library"] = message("deepseek ", DEEPSEEK_VERSION_MAJOR, ".", DEEPSEEK_VERSION_MINOR, ".",
                              DEEPSEEK_VERSION_PATCH);
    detail::visit_training_state(
        [&](detail::JsonField const& field, auto const& member) { json[std::string(field.key)] = member; },
        state);
    json["options"] = state.options;
    json["measurements"] = nlohmann::json::object();
    for (auto const& [name, value] : state.measurements) {
        if (std::isfinite(value)) {  // JSON has no other numbers
            json["measurements"][name] = value;
        }
    }
    return json.dump(2) + "\n";
}

/// Reads the text of a trainer.json.
///
/// Errors:    FormatError listing every key that is missing or of the wrong type, or naming a newer format
inline TrainingState parse_training_state(std::string_view text, std::string_view where = "trainer.json") {
    auto const json = parse_json(text, where);
    expects<FormatError>(json.is_object(), where, ": expected a JSON object, found ", json.type_name());
    detail::JsonReader reader;
    TrainingState state;
    index_t format = detail::kTrainingStateFormat;
    reader.read(json, {"format", {}, true}, format);
    expects<FormatError>(format == detail::kTrainingStateFormat, where, ": has format ", format,
                         ", this library reads ", detail::kTrainingStateFormat);
    detail::visit_training_state(
        [&](detail::JsonField const& field, auto& member) { reader.read(json, field, member); }, state);
    auto const read_map = [&](std::string const& name, auto& map) {
        auto const at = json.find(name);
        if (at == json.end() || !at->is_object()) {
            reader.require(false, name, "expected an object");
            return;
        }
        for (auto const& [key, value] : at->items()) {
            reader.read(*at, {key}, map[key], name + ".");
        }
    };
    read_map("options", state.options);
    read_map("measurements", state.measurements);
    reader.expect_no_problems(message(where, ": not the state of a training run"));
    return state;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::io

#endif
