#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What takes a CUDA GPU: kernels beside the loops that define their operations, a model that trains and generates beside the
# emulated device, the same bits at every run, and what compute-sanitizer says of the kernels. Ends with a table; without
# nvcc or a GPU with "skipped" and status 77.
#   tests/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
    echo "skipped: $1"
    exit 77
}
PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || skip "no nvcc in PATH or /usr/local/cuda/bin"
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || true
[[ -n ${gpu-} ]] || skip "no CUDA GPU"

out=build/gpu
mkdir -p "$out"
table=()
failed=0
# check NAME COMMAND...: one line of the table
check() {
    local name=$1 begin=$SECONDS result=passed
    shift
    printf '\n== %s\n' "$name"
    "$@" || result="FAILED ($?)"
    [[ $result == passed ]] || failed=1
    table+=("$(printf '%-36s %-12s %4d s' "$name" "$result" $((SECONDS - begin)))")
}

compile=(nvcc -std=c++20 -arch=native -lineinfo -Werror all-warnings -Iinclude -Itests)
check "compile kernels" "${compile[@]}" tests/kernels/on_cuda.cu -o "$out/kernels"
check "compile model" "${compile[@]}" tests/cuda/parity.cu -o "$out/parity"
check "kernels against their loops" "$out/kernels"
check "model against the emulated device" "$out/parity"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        check "kernels, $tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$out/kernels"
    done
    check "model, memcheck" compute-sanitizer --tool memcheck --error-exitcode 1 "$out/parity"
else
    table+=("$(printf '%-36s %-12s' "compute-sanitizer" "not installed")")
fi

printf '\n%s, %s\n' "$gpu" "$(nvcc --version | grep -o 'V[0-9.]*' | tail -n 1)"
printf '%s\n' "${table[@]}"
exit "$failed"
