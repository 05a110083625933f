#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From nothing to stories, from a fresh clone on Debian 12, as root or with sudo: installs the packages, builds the
# programs, writes a corpus, trains a tokenizer and a small model for about two minutes, and lets it tell stories.
#   examples/quickstart.sh [FOLDER]    everything is written to FOLDER, by default build/quickstart
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/quickstart}
programs=build/programs

step() { printf '\n== %s (after %d s)\n' "$1" "$SECONDS"; }
run() {
    printf '$'
    printf ' %q' "$@"
    printf '\n'
    "$@"
}

step "Packages"
cmake/install_packages.sh programs

step "Building the programs"
cmake --preset programs >/dev/null
run cmake --build --preset programs --target make_stories prepare train generate

step "Writing a corpus of little stories"
mkdir -p "$out"
run "$programs/make_stories" --output "$out/stories.txt" --force

step "Training a tokenizer and splitting the corpus into tokens"
run "$programs/prepare" --input "$out/stories.txt" --tokenizer train:1536 --output "$out/data" --force

step "Training a model for two minutes"
run "$programs/train" --model quickstart --data "$out/data" --out "$out/model" --max-minutes 2

step "Telling stories"
run "$programs/generate" --model "$out/model" --prompt "Once upon a time" --num-samples 3 -n 200 --temp 0.8 --seed 1

step "Counting the people in twenty more"
"$programs/generate" --model "$out/model" --prompt "Once upon a time" --num-samples 20 -n 200 --temp 0.8 --seed 100 --json \
    2>/dev/null >"$out/told.jsonl"
run "$programs/make_stories" --names "$out/told.jsonl"

step "Done. The model is in $out/model; another story:"
echo "  $programs/generate --model $out/model --prompt 'One day' --temp 0.8"
