// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_TRAINING_STATE_HPP
#define DEEPSEEK_FORMAT_TRAINING_STATE_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/json.hpp>
#include <deepseek/format/training_state_writer.hpp>

#include <string>
#include <string_view>
#include <type_traits>

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {
// What a run can have counted: going on from it, nothing overflows.
inline constexpr index_t kMostCounted = index_t{1} << 53;
}  // namespace detail

/// Reads the text of a trainer.json.
///
/// Errors:    FormatError listing every key that is missing, of the wrong type or beyond what can be counted, or naming a newer format
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
        [&](detail::JsonField const& field, auto& member) {
            reader.read(json, field, member);
            if constexpr (std::is_same_v<decltype(member), index_t&>) {
                reader.require(member <= detail::kMostCounted, field.key, "expected at most ",
                               detail::kMostCounted, ", found ", member);
            }
        },
        state);
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

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
