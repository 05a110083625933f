// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_SUPPORT_GGUF_METADATA_HPP
#define DEEPSEEK_TESTS_SUPPORT_GGUF_METADATA_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/format/gguf_writer.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek_tests {

/// Values of a file's metadata, by kind and key.
struct GgufValues {
    std::map<std::string, double> numbers;  ///< truth values too
    std::map<std::string, std::string> strings;
    std::map<std::string, std::vector<std::string>> string_lists;
    std::map<std::string, std::vector<std::int32_t>> number_lists;

    explicit GgufValues(deepseek::format::GgufMetadata const& metadata) {
        std::string_view rest = metadata.bytes();
        auto const number = [&]<class T>(T value) {
            deepseek::expects(rest.size() >= sizeof value, "GGUF: metadata end early");
            std::memcpy(&value, rest.data(), sizeof value);
            rest.remove_prefix(sizeof value);
            return value;
        };
        auto const string = [&] {
            auto const size = number(std::uint64_t{});
            deepseek::expects(rest.size() >= size, "GGUF: metadata end early");
            std::string text(rest.substr(0, size));
            rest.remove_prefix(size);
            return text;
        };
        for (std::uint64_t i = 0; i < metadata.size(); ++i) {
            auto const key = string();
            auto const type = number(std::uint32_t{});
            if (type == 4) {
                numbers[key] = number(std::uint32_t{});
            } else if (type == 6) {
                numbers[key] = static_cast<double>(number(float{}));
            } else if (type == 7) {
                numbers[key] = number(std::uint8_t{});
            } else if (type == 8) {
                strings[key] = string();
            } else {
                deepseek::expects(type == 9, "GGUF: ", key, " is of type ", type);
                auto const element = number(std::uint32_t{});
                for (auto left = number(std::uint64_t{}); left > 0; --left) {
                    element == 8 ? string_lists[key].push_back(string())
                                 : number_lists[key].push_back(number(std::int32_t{}));
                }
            }
        }
        deepseek::expects(rest.empty(), "GGUF: ", rest.size(), " bytes behind the metadata");
    }
};

}  // namespace deepseek_tests

#endif
