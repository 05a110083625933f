#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that has to pass, from a fresh clone on Debian 12, as root or with sudo:
#   tests/run.sh            packages, formatting, release build and all tests, sanitizer build and the fast tests
#   tests/run.sh --quick    without the sanitizer half
set -euo pipefail
cd "$(dirname "$0")/.."

presets=(release debug)
case "${1-}" in
    "") ;;
    --quick) presets=(release) ;;
    *)
        echo "usage: tests/run.sh [--quick]" >&2
        exit 2
        ;;
esac

say() { printf '\n== %s (after %d s)\n' "$1" "$SECONDS"; }

say "Packages"
cmake/install_packages.sh programs tests

say "Formatting"
# Other versions of clang-format break lines elsewhere, so only the version of Debian 12 decides.
formatter=$(command -v clang-format-14 || command -v clang-format || true)
if [[ -z $formatter ]] || [[ $("$formatter" --version) != *"version 14."* ]]; then
    echo "Skipped: it takes clang-format 14."
else
    find include examples tests benchmarks -name '*.[ch]pp' -print0 |
        xargs -0 --no-run-if-empty "$formatter" --dry-run --Werror
    echo "Every file is formatted as .clang-format says."
fi

summary=()
failed=()
for preset in "${presets[@]}"; do
    say "Building build/$preset"
    cmake --preset "$preset" >/dev/null
    cmake --build --preset "$preset"

    say "Testing build/$preset"
    log=build/$preset/tests.log
    ctest --preset "$preset" 2>&1 | tee "$log" || failed+=("$preset")
    summary+=("$preset: $(grep 'tests passed' "$log" || echo 'no summary from CTest')")
done

say "Summary"
printf '%s\n' "${summary[@]}"
if ((${#failed[@]} != 0)); then
    echo "FAILED: ${failed[*]}; details above and in build/<preset>/tests.log"
    exit 1
fi
