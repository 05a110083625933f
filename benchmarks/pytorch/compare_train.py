# SPDX-License-Identifier: MIT
"""Training speed of bench_train beside PyTorch: same models, batches, threads and precision, in one run.

    python3 benchmarks/pytorch/compare_train.py build/bench/benchmarks/bench_train [--threads 2] [--rounds 5] [--dtype bf16]

needs torch. Rounds alternate between the two sides, so that a change in the machine's load meets both; printed are
medians over rounds, and the best of PyTorch's variants: eager and compiled, with padded and unpadded values. Both sides
do the same work per step: forward, backward, gradient norm and clipping, AdamW; both keep their activations. In bf16 both
keep float32 weights: ours rounds them once per step, PyTorch by autocast.

glibc gives large blocks back to the system at every free, which costs PyTorch up to half of its speed; the process
starts itself again with settings that keep them (a warm allocator).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

WARM = {"MALLOC_MMAP_THRESHOLD_": "17179869184", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_ARENA_MAX": "1"}
CASES = [("from_scratch_100m", 4, 256), ("from_scratch_100m", 1, 1024), ("width_256", 16, 256)]


def our_speed(binary: str, dtype: str, model: str, sequences: int, length: int, threads: int) -> float:
    """Tokens per second of one process of bench_train."""
    name = f"train/{model}/cpu/{dtype}/{sequences}x{length}/threads:{threads}/"
    command = [binary, "--benchmark_filter=^" + name, "--benchmark_format=json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["benchmarks"][0]["tokens/s"]


class Peer:
    """One variant of the PyTorch side."""

    def __init__(self, model: str, sequences: int, length: int, compiled: bool, pad_values: bool, bf16: bool):
        import torch
        from model import MODELS, Model

        torch.manual_seed(1)
        config = MODELS[model]
        self.model = Model(config, pad_values)
        self.bf16 = bf16
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        others = [p for p in self.model.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [dict(params=decayed, weight_decay=0.1), dict(params=others, weight_decay=0.0)],
            lr=3e-4, betas=(0.9, 0.95), fused=True,
        )
        self.call = torch.compile(self.model) if compiled else self.model
        tokens = torch.randint(config.vocabulary, (sequences, length + 1))
        self.tokens, self.targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step(self) -> float:
        import torch

        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.call(self.tokens, self.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        return float(loss.detach())

    def speed(self, steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return steps * self.tokens.numel() / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="of PyTorch per round; bench_train does 2")
    parser.add_argument("--dtype", choices=["float", "bf16"], default="float")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in WARM.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | WARM)

    import torch

    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.dtype}, medians of {arguments.rounds} rounds")
    print("| model, batch | ours, tokens/s | PyTorch, tokens/s | variant | ratio | lowest to highest of ours | of theirs |")
    print("| --- | --: | --: | --- | --: | --: | --: |")
    for model, sequences, length in CASES:
        peers = {}
        for compiled in (False, True)[: 1 if arguments.no_compile else 2]:
            for padded in (False, True):
                name = ("compiled" if compiled else "eager") + (", padded values" if padded else "")
                peers[name] = Peer(model, sequences, length, compiled, padded, arguments.dtype == "bf16")
        for peer in peers.values():
            peer.speed(2)  # compiles, allocates
        trials = {name: statistics.median(peer.speed(1) for _ in range(3)) for name, peer in peers.items()}
        best = max(trials, key=trials.get)
        print("  trials:", {name: round(speed) for name, speed in trials.items()}, file=sys.stderr)
        peer = peers[best]
        peers.clear()
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(our_speed(arguments.binary, arguments.dtype, model, sequences, length, arguments.threads))
            theirs.append(peer.speed(arguments.steps))
        our_median, their_median = statistics.median(ours), statistics.median(theirs)
        print(
            f"| {model} {sequences}x{length} | {our_median:.0f} | {their_median:.0f} | {best} "
            f"| {our_median / their_median:.2f} | {min(ours):.0f} to {max(ours):.0f} "
            f"| {min(theirs):.0f} to {max(theirs):.0f} |",
            flush=True,
        )


main()
