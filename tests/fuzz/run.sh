#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Feeds everything that reads foreign files with what libFuzzer makes of good ones, under the address and
# undefined-behaviour sanitizers, and prints a table. Needs clang++ 16 with libFuzzer (Debian: clang-16, libclang-rt-16-dev).
#   tests/fuzz/run.sh [SECONDS for each, 60] [READER...]
# What it finds stays in build/fuzz/<reader>/; once mended it belongs in tests/fuzz/regressions/<reader>/.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=60
if [[ ${1-} =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
fi
readers=("$@")
((${#readers[@]})) || readers=(safetensors index config tokenizer_json vocab_merges tiktoken tokens training_state jsonl)

compiler=$(command -v clang++-16 || command -v clang++ || true)
[[ -n $compiler ]] || { echo "skipped: no clang++" && exit 77; }
data=${DEEPSEEK_TEST_DATA:-../shared/data}
out=build/fuzz
mkdir -p "$out"
eigen=$(dirname "$(find /usr/include /usr/local/include -path '*/Eigen/Core' -print -quit)")/..
"$compiler" -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DDEEPSEEK_LINKS_PCRE2 \
    -DDEEPSEEK_LINKS_LIBEDIT -Iinclude -Itests -isystem "$eigen" tests/fuzz/fuzz.cpp -lpcre2-8 -o "$out/fuzz"

# The smallest good files there are; large ones only slow it down.
seed() {
    local reader=$1 to=$2
    shift 2
    mkdir -p "$to"
    for file in "$@" tests/fuzz/regressions/"$reader"/*; do
        if [[ -f $file ]]; then
            head -c 20000 "$file" >"$to/$(echo "$file" | tr / _)"
        fi
    done
}
seed safetensors "$out/safetensors/corpus" "$data"/safetensors-cases/*/*.safetensors "$data"/safetensors-cases/*.safetensors
seed index "$out/index/corpus" tests/fuzz/seeds/index.json
seed config "$out/config/corpus" tests/consumer/source/config.json "$data"/model-configs/*/config*.json
seed tokenizer_json "$out/tokenizer_json/corpus" tests/fuzz/seeds/tokenizer.json
seed vocab_merges "$out/vocab_merges/corpus" tests/fuzz/seeds/vocab_merges
seed tiktoken "$out/tiktoken/corpus" tests/fuzz/seeds/ranks.tiktoken
seed tokens "$out/tokens/corpus" "$data"/gpt2-bpe/vocab.bpe
seed training_state "$out/training_state/corpus" tests/fuzz/seeds/trainer.json
seed jsonl "$out/jsonl/corpus" "$data"/eval-blimp/npi_present_1.jsonl

table=()
status=0
for reader in "${readers[@]}"; do
    result=passed
    # One allocation of 64 MiB is more than any reader should need for 20 KB.
    READER=$reader ASAN_OPTIONS=allocator_may_return_null=0 "$out/fuzz" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1 -verbosity=1 -artifact_prefix="$out/$reader/" \
        "$out/$reader/corpus" >"$out/$reader/log" 2>&1 || { result=FOUND && status=1; }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$reader/log")
    coverage=$(grep -oE 'cov: [0-9]+' "$out/$reader/log" | tail -n 1)
    table+=("$(printf '%-16s %-8s %10s executions   %s' "$reader" "$result" "${runs:-?}" "$coverage")")
    echo "${table[-1]}"
done
exit "$status"
