// SPDX-License-Identifier: MIT
#ifndef DEEPSEEK_APP_CLI_HPP
#define DEEPSEEK_APP_CLI_HPP

#include <deepseek/app/needs_app.hpp>
#include <deepseek/core/error.hpp>
#include <deepseek/version.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

// What the command-line programs share: how flags are read and how failures end.
//
//     int main(int argc, char** argv) {
//         app::Program program("train", "Trains a model on prepared tokens.");
//         int steps = 1000;
//         program.add_option("--steps", steps, "optimizer steps")->group("Run");
//         return app::run(program, argc, argv, [&] { … });
//     }

namespace deepseek::inline DEEPSEEK_ABI::app {

/// Exit codes of every program.
inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;     ///< the work could not be done: a file, a disk, a model
inline constexpr int kWrongUsage = 2;  ///< the command line is wrong; nothing was done

/// A CLI11 application with the habits of our programs: of a flag given twice the last one counts, --help
/// shows defaults, and '-' and '_' inside flag names are the same.
class Program : public CLI::App {
public:
    Program(std::string name, std::string description) : CLI::App(std::move(description), std::move(name)) {
        option_defaults()->always_capture_default();
        option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        get_formatter()->column_width(34);
        set_help_flag("-h,--help", "print this text");
        set_version_flag("--version",
                         message(get_name(), " ", DEEPSEEK_VERSION_MAJOR, ".", DEEPSEEK_VERSION_MINOR, ".",
                                 DEEPSEEK_VERSION_PATCH),
                         "print the version");
        allow_extras();  // so that run() sees unknown flags before CLI11 complains about missing ones
    }
};

/// A check for Option::check(): a number from least to most. CLI11's own lets nan pass, takes -1 for the greatest number
/// of an unsigned variable, and numbers too large for a variable for the greatest that it holds; it also spells the
/// range in --help.
template <class T>
CLI::Validator in_range(T least, T most) {
    auto const check = [least, most](std::string const& text) -> std::string {
        T value{};
        auto const* const end = text.data() + text.size();
        auto const [stop, code] = std::from_chars(text.data(), end, value);
        if (code == std::errc() && stop == end && value >= least && value <= most) {
            return "";
        }
        return message("'", text, "' is not a ", std::is_integral_v<T> ? "whole number" : "number", " from ",
                       least, " to ", most);
    };
    return CLI::Validator(check, "");
}

/// A check for Option::check(): any text.
inline CLI::Validator not_empty() {
    return CLI::Validator([](std::string const& text) { return std::string(text.empty() ? "is empty" : ""); },
                          "");
}

namespace detail {

// Edits that turn a into b: insertions, deletions, replacements, and swaps of neighbours (the usual slips of
// the hand), by the three-row dynamic programme of optimal string alignment.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> above(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(above.begin(), above.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            auto const replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
        std::swap(before, above);
        std::swap(above, row);
    }
    return above.back();
}

// The flag of the program that is most like an unknown one, with its dashes; empty if none is near.
inline std::string nearest_flag(CLI::App const& program, std::string_view unknown) {
    auto const name = unknown.substr(std::min(unknown.find_first_not_of('-'), unknown.size()));
    std::string nearest;
    auto best = std::max<std::size_t>(2, name.size() / 3) + 1;
    for (auto const* option : program.get_options()) {
        for (auto const& candidate : option->get_lnames()) {
            // A beginning that was cut short ("--out" for "--output") is as near as one slip.
            bool const begins = name.size() >= 2 && candidate.starts_with(name);
            auto const distance = begins ? std::size_t{1} : edit_distance(name, candidate);
            if (distance < best) {
                best = distance;
                nearest = "--" + candidate;
            }
        }
    }
    return nearest;
}

// Spells the names of long flags with '-' throughout, up to a lone "--"; values stay as they are.
inline std::vector<std::string> normalized_arguments(int argc, char const* const* argv) {
    std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
    for (auto& argument : arguments) {
        if (argument == "--") {
            break;
        }
        if (argument.starts_with("--")) {
            auto const end = std::min(argument.find('='), argument.size());
            std::replace(argument.begin(), argument.begin() + static_cast<std::ptrdiff_t>(end), '_', '-');
        }
    }
    return arguments;
}

inline int wrong_usage(CLI::App const& program, std::string const& what) {
    auto const& name = program.get_name();
    std::fprintf(stderr, "%s: %s\n%s --help lists the flags\n", name.c_str(), what.c_str(), name.c_str());
    return kWrongUsage;
}

inline std::string unexpected_argument(CLI::App const& program, std::vector<std::string> const& remaining) {
    auto const flag = std::find_if(remaining.begin(), remaining.end(),
                                   [](auto const& argument) { return argument.starts_with('-'); });
    if (flag == remaining.end()) {
        return "unexpected argument '" + remaining.front() + "'";
    }
    auto const name = flag->substr(0, flag->find('='));
    auto const nearest = nearest_flag(program, name);
    return "unknown flag " + name + (nearest.empty() ? "" : "; did you mean " + nearest + "?");
}

// What stdout did not take (a full disk) must not look like success.
inline int after_output(CLI::App const& program, int code) {
    bool const lost = std::ferror(stdout) != 0;
    errno = 0;
    if ((std::fflush(stdout) == 0 && !lost) || code != kSuccess) {
        return code;
    }
    auto const cause = errno != 0 ? ": " + std::generic_category().message(errno) : "";
    std::fprintf(stderr, "%s: cannot write to stdout%s\n", program.get_name().c_str(), cause.c_str());
    return kFailure;
}

}  // namespace detail

/// Reads the command line into the program's options and runs the body. Returns what main returns: the body's
/// own code (0 if it returns nothing), 1 with one line on stderr if it throws or if stdout cannot be written, 2 with a reason and, for an
/// unknown flag, the nearest known one, if the command line is wrong.
template <class Body>
int run(CLI::App& program, int argc, char const* const* argv, Body&& body) {
    try {
        auto arguments = detail::normalized_arguments(argc, argv);
        std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
        program.parse(std::move(arguments));
    } catch (CLI::Success const& success) {  // --help
        return detail::after_output(program, program.exit(success));
    } catch (CLI::ParseError const& error) {
        auto const remaining = program.remaining();  // a mistyped flag explains a missing one
        return detail::wrong_usage(
            program, remaining.empty() ? error.what() : detail::unexpected_argument(program, remaining));
    }
    if (auto const remaining = program.remaining(); !remaining.empty()) {
        return detail::wrong_usage(program, detail::unexpected_argument(program, remaining));
    }
    auto const name = program.get_name();
    try {
        if constexpr (std::is_void_v<std::invoke_result_t<Body&>>) {
            body();
            return detail::after_output(program, kSuccess);
        } else {
            return detail::after_output(program, body());
        }
    } catch (std::bad_alloc const&) {
        std::fprintf(stderr, "%s: not enough memory\n", name.c_str());
    } catch (std::exception const& error) {  // Error among them
        std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
    }
    return kFailure;
}

}  // namespace deepseek::inline DEEPSEEK_ABI::app

#endif
