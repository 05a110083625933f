// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_QUANTITIES_HPP
#define DEEPSEEK_APP_QUANTITIES_HPP

#include <deepseek/core/index.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>

// Numbers as people read them.

namespace deepseek::inline DEEPSEEK_ABI::app {

/// printf into a string.
template <class... Values>
std::string formatted(char const* format, Values... values) {
    auto const length = std::snprintf(nullptr, 0, format, values...);
    std::string text(static_cast<std::size_t>(std::max(length, 0)), ' ');
    std::snprintf(text.data(), text.size() + 1, format,
                  values...);  // the terminating zero is the string's own
    return text;
}

/// Three digits and a prefix for thousands: 812, 40.3k, 1.52M; with a unit: 812 FLOP/s, 40.3 GFLOP/s.
inline std::string short_number(double value, char const* unit = "") {
    char const* prefix = "";
    for (char const* next : {"k", "M", "G", "T", "P"}) {
        if (value < 999.5) {
            break;
        }
        value /= 1000;
        prefix = next;
    }
    auto const digits = *prefix == 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return formatted("%.*f%s%s%s", digits, value, *unit == 0 ? "" : " ", prefix, unit);
}

/// The same with binary prefixes: 96 B, 1.5 MiB.
inline std::string short_bytes(double bytes) {
    char const* unit = "B";
    for (char const* next : {"KiB", "MiB", "GiB", "TiB"}) {
        if (bytes < 1023.5) {
            break;
        }
        bytes /= 1024;
        unit = next;
    }
    return formatted(*unit == 'B' || bytes >= 99.95 ? "%.0f %s" : "%.1f %s", bytes, unit);
}

/// The two largest units: 48s, 3m20s, 4h12m, 2d03h.
inline std::string short_duration(double seconds) {
    auto const whole = static_cast<long long>(seconds + 0.5);
    if (whole < 60) {
        return formatted("%llds", whole);
    }
    if (whole < 3600) {
        return formatted("%lldm%02llds", whole / 60, whole % 60);
    }
    if (whole < 86400) {
        return formatted("%lldh%02lldm", whole / 3600, whole % 3600 / 60);
    }
    return formatted("%lldd%02lldh", whole / 86400, whole % 86400 / 3600);
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
