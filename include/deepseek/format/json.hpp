// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_FORMAT_JSON_HPP
#define DEEPSEEK_FORMAT_JSON_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/json_writer.hpp>
#include <deepseek/format/messages.hpp>
#include <deepseek/format/needs_json.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// JSON from files of strangers, read into nlohmann::json.

namespace deepseek::inline DEEPSEEK_ABI::format {

namespace detail {

// What nlohmann says of an error, without its own prefix. It may quote the file, which need not be text.
inline std::string json_complaint(std::exception const& error) {
    std::string text = error.what();
    if (auto const end = text.find("] "); end != text.npos && text.starts_with("[json.")) {
        text.erase(0, end + 2);
    }
    std::replace_if(
        text.begin(), text.end(), [](char letter) { return static_cast<unsigned char>(letter) >= 0x80; },
        '?');
    return shortened(text, 240);
}

}  // namespace detail

/// Deepest nesting of objects and arrays that parse_json accepts.
inline constexpr std::size_t kJsonDepthLimit = 64;

namespace detail {

// Receives JSON as a stream of events. All readers of the library go through this one type, so that a program
// compiles nlohmann's parser once.
using JsonEvents = nlohmann::json_sax<nlohmann::json>;

// Passes a JSON text to `events`, strictly: UTF-8, no comments, nothing after the value.
inline void read_json(std::string_view text, std::string_view where, JsonEvents& events) {
    // nlohmann takes a NUL for the end of its input and skips a byte order mark.
    expects<FormatError>(text.find('\0') == text.npos, where, ": holds a NUL byte, so it is not JSON");
    expects<FormatError>(!text.starts_with("\xEF\xBB\xBF"), where, ": begins with a byte order mark");
    // json::sax_parse would do, but it also compiles the readers of four binary formats, for longer than all of this.
    auto const input = [text] {
        return nlohmann::detail::input_adapter(text.data(), text.data() + text.size());
    };
    nlohmann::detail::parser<nlohmann::json, decltype(input())>(input()).sax_parse(&events);
}

// Builds the value of a JSON text.
class JsonBuilder final : public JsonEvents {
public:
    explicit JsonBuilder(std::string_view where) : where_(where) {}

    nlohmann::json root;

    bool null() override { return put(nullptr); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(number_integer_t value) override { return put(value); }
    bool number_unsigned(number_unsigned_t value) override { return put(value); }
    bool number_float(number_float_t value, string_t const&) override { return put(value); }
    bool string(string_t& value) override { return put(std::move(value)); }
    bool binary(binary_t&) override { return false; }  // not in JSON text
    bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
    bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
    bool key(string_t& name) override {
        auto const [at, is_new] = stack_.back()->get_ref<nlohmann::json::object_t&>().emplace(name, nullptr);
        if (!is_new) {
            throw FormatError(message(where_, ": the key ", in_quotes(name), " is given twice"));
        }
        member_ = &at->second;
        return true;
    }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t, std::string const&, nlohmann::json::exception const& error) override {
        throw FormatError(message(where_, ": not valid JSON: ", json_complaint(error)));
    }

private:
    // Stores a value where it belongs and says where that is.
    nlohmann::json* place(nlohmann::json value) {
        if (stack_.empty()) {
            root = std::move(value);
            return &root;
        }
        if (stack_.back()->is_array()) {
            stack_.back()->push_back(std::move(value));
            return &stack_.back()->back();
        }
        *member_ = std::move(value);
        return member_;
    }
    bool put(nlohmann::json value) {
        place(std::move(value));
        return true;
    }
    bool open(nlohmann::json container) {
        expects<FormatError>(stack_.size() < kJsonDepthLimit, where_, ": nested deeper than ",
                             kJsonDepthLimit, " levels");
        stack_.push_back(place(std::move(container)));
        return true;
    }
    bool close() {
        stack_.pop_back();
        return true;
    }

    std::string_view where_;
    std::vector<nlohmann::json*> stack_;  // the containers that are open; an open one never moves
    nlohmann::json* member_ = nullptr;    // of the innermost object, for the key read last
};

}  // namespace detail

/// Parses a JSON text strictly: UTF-8, no comments, nothing after the value, no key twice in one object.
///
/// Errors:    FormatError that begins with `where` and gives line and column or the repeated key
inline nlohmann::json parse_json(std::string_view text, std::string_view where) {
    detail::JsonBuilder builder(where);
    detail::read_json(text, where, builder);
    return std::move(builder.root);
}

namespace detail {

// Reads typed members of objects and remembers every problem instead of stopping at the first.
class JsonReader {
public:
    std::vector<std::string> problems;

    // Leaves `member` as it is where the object lacks the key or its value is wrong.
    template <class T>
    void read(nlohmann::json const& object, JsonField const& field, T& member,
              std::string const& inside = {}) {
        auto const at = object.find(field.key);
        auto const key = inside + std::string(field.key);
        if (at == object.end()) {
            if (field.essential) {
                problems.push_back(key + ": missing");
            }
            return;
        }
        if (holds<T>(*at)) {
            member = at->template get<T>();
            return;
        }
        if constexpr (std::is_arithmetic_v<T>) {
            if (at->is_null() && field.null) {
                member = static_cast<T>(*field.null);
                return;
            }
        }
        complain(key, described<T>(), *at);
    }

    void complain(std::string_view key, std::string_view expected, nlohmann::json const& found) {
        problems.push_back(
            message(shortened(key), ": expected ", expected, ", found ", shortened(found.dump())));
    }
    void require(bool condition, std::string_view key, auto const&... parts) {
        if (!condition) {
            problems.push_back(message(key, ": ", parts...));
        }
    }
    void expect_no_problems(std::string_view title) const {
        if (!problems.empty()) {
            throw FormatError(listed(title, problems));
        }
    }

private:
    template <class T>
    static bool holds(nlohmann::json const& value) {
        if constexpr (std::is_same_v<T, bool>) {
            return value.is_boolean();
        } else if constexpr (std::is_integral_v<T>) {
            return value.is_number_unsigned() &&
                   value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<T>::max());
        } else if constexpr (std::is_same_v<T, double>) {
            return value.is_number();
        } else {
            return value.is_string();
        }
    }
    template <class T>
    static constexpr std::string_view described() {
        return std::is_same_v<T, bool>     ? "true or false"
               : std::is_integral_v<T>     ? "a non-negative integer"
               : std::is_same_v<T, double> ? "a number"
                                           : "a string";
    }
};

}  // namespace detail

}  // namespace deepseek::inline DEEPSEEK_ABI::format

#endif
