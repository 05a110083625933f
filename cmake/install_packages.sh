#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing of the Debian 12 packages that this project needs.
#   cmake/install_packages.sh programs          compiler, build tools, libraries of the programs
#   cmake/install_packages.sh programs tests    and what the tests need
set -euo pipefail

wanted=()
for group in "$@"; do
    case $group in
        programs) wanted+=(g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev libpcre2-dev libcli11-dev libedit-dev zlib1g-dev libzstd-dev) ;;
        tests) wanted+=(doctest-dev clang-format) ;;
        benchmarks) wanted+=(libbenchmark-dev libopenblas-dev libdnnl-dev) ;;
        *)
            echo "$0: unknown group '$group'; groups are programs, tests, benchmarks" >&2
            exit 2
            ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian, so nothing is installed. Needed here: ${wanted[*]} (names of Debian 12)."
    exit 0
fi

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $state == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    echo "All needed packages are installed."
    exit 0
fi

as_root=()
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        echo "Missing packages: ${missing[*]}" >&2
        echo "Installing them takes root, and there is no sudo here. As root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "Installing ${missing[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >/dev/null; }
# The package lists of a fresh machine are empty, those of an old one stale: refresh them only if they do not serve.
if ! apt install --yes --no-install-recommends "${missing[@]}" 2>/dev/null; then
    if ! { apt update && apt install --yes --no-install-recommends "${missing[@]}"; }; then
        echo "apt-get could not install: ${missing[*]}" >&2
        echo "Is there a network, and does /etc/apt name a Debian mirror?" >&2
        exit 1
    fi
fi
