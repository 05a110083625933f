// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_TESTS_GOLDEN_GOLDEN_HPP
#define DEEPSEEK_TESTS_GOLDEN_GOLDEN_HPP

#include <deepseek/core/error.hpp>
#include <deepseek/core/index.hpp>
#include <deepseek/format/dtype.hpp>
#include <deepseek/format/safetensors.hpp>

#include "golden/golden_weights.hpp"
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deepseek_tests {

/// A fixture beside this file: fixtures/<name>.safetensors. README.md lists what each holds.
///
/// Errors:    as SafetensorsFile::open; deepseek::Error where a tensor is asked for that is not there, or
/// whose type
///            is another
class Fixture {
public:
    explicit Fixture(std::string_view name)
        : file_(deepseek::format::SafetensorsFile::open(std::filesystem::path(DEEPSEEK_SOURCE_DIR) / "tests" /
                                                        "golden" / "fixtures" /
                                                        (std::string(name) + ".safetensors"))) {}

    bool has(std::string_view name) const { return file_.find(name) != nullptr; }

    /// A tensor of doubles or floats, row-major.
    std::vector<double> doubles(std::string_view name) const {
        auto const& tensor = at(name);
        if (tensor.dtype == deepseek::format::DType::f32) {
            auto const values = elements<float>(tensor);
            return {values.begin(), values.end()};
        }
        deepseek::expects(tensor.dtype == deepseek::format::DType::f64, file_.where(), ": ", name,
                          " holds integers");
        return elements<double>(tensor);
    }

    /// The only element of a tensor.
    double scalar(std::string_view name) const {
        auto const values = doubles(name);
        deepseek::expects(values.size() == 1, file_.where(), ": ", name, " has ", values.size(), " elements");
        return values.front();
    }

    /// A tensor of integers, row-major.
    std::vector<index_t> ints(std::string_view name) const {
        auto const& tensor = at(name);
        deepseek::expects(tensor.dtype == deepseek::format::DType::i64, file_.where(), ": ", name,
                          " holds no integers");
        return elements<index_t>(tensor);
    }

    std::vector<index_t> const& shape(std::string_view name) const { return at(name).shape; }

    /// Names that begin with the prefix, without it: names("grad.").
    std::vector<std::string> names(std::string_view prefix) const {
        std::vector<std::string> found;
        for (auto const& tensor : file_.tensors()) {
            if (tensor.name.starts_with(prefix)) {
                found.push_back(tensor.name.substr(prefix.size()));
            }
        }
        return found;
    }

    /// The config.json of the fixture's model.
    nlohmann::json config() const { return nlohmann::json::parse(file_.metadata().at("config")); }

private:
    deepseek::format::FileTensor const& at(std::string_view name) const {
        auto const* const tensor = file_.find(name);
        deepseek::expects(tensor != nullptr, file_.where(), ": no tensor ", name);
        return *tensor;
    }

    template <class T>
    static std::vector<T> elements(deepseek::format::FileTensor const& tensor) {
        std::vector<T> values(static_cast<std::size_t>(tensor.size()));
        std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
        return values;
    }

    deepseek::format::SafetensorsFile file_;
};

/// Largest difference over max(1, largest magnitude of the reference): the measure of the specification, 9.3.
/// Infinite where the sizes differ or a value is not a number.
template <class T, class U>
double scaled_error(std::span<T const> actual, std::span<U const> expected, double least_scale = 1) {
    double error = actual.size() == expected.size() ? 0 : INFINITY;
    double scale = least_scale;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
        auto const difference = std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i]));
        error = std::isnan(difference) ? INFINITY : std::max(error, difference);
        scale = std::max(scale, std::abs(static_cast<double>(expected[i])));
    }
    return scale > 0 ? error / scale : error;
}

template <class T, class U>
double scaled_error(std::vector<T> const& actual, std::vector<U> const& expected) {
    return scaled_error(std::span<T const>(actual), std::span<U const>(expected));
}

/// Largest difference over the largest magnitude of the reference; the difference itself where that is zero.
template <class T, class U>
double relative_error(std::vector<T> const& actual, std::vector<U> const& expected) {
    return scaled_error(std::span<T const>(actual), std::span<U const>(expected), 0);
}

}  // namespace deepseek_tests

#endif
