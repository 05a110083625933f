#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# How fast models train on a CUDA GPU, and what a step asks of it. Ends with a table; without nvcc or a GPU with "skipped" and
# status 77.
#   benchmarks/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/local/cuda/bin
if ! command -v nvcc >/dev/null; then
    echo "skipped: no nvcc in PATH or /usr/local/cuda/bin"
    exit 77
fi
if ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "skipped: no CUDA GPU"
    exit 77
fi
mkdir -p build/gpu
nvcc -std=c++20 -O3 -arch=native -Iinclude benchmarks/gpu_train.cu -o build/gpu/train
build/gpu/train
