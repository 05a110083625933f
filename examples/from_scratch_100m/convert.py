#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the state dict of a PyTorch file into safetensors: convert.py best_deepseek_v3.pt model.safetensors

Left out is what the model type knows: attention masks, rotary frequencies, and the head, which is the embedding.
Needs torch and safetensors."""

import sys

import torch
from safetensors.torch import save_file

KNOWN = (".causal_mask", ".rope.inv_freq")


def main(source: str, target: str) -> None:
    state = torch.load(source, map_location="cpu", weights_only=True)
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        sys.exit(f"{source}: not a state dict: {', '.join(str(key) for key in list(state)[:5])}, …")
    if not {"wte.weight", "lm_head.weight"} <= state.keys():
        sys.exit(f"{source}: has no wte.weight and lm_head.weight, so it is not of this model")
    head = state.pop("lm_head.weight")
    if not torch.equal(head, state["wte.weight"]):
        sys.exit(f"{source}: lm_head.weight is not wte.weight, expected a model whose head is its embedding")
    kept = {name: value.contiguous() for name, value in state.items() if not name.endswith(KNOWN)}
    save_file(kept, target, metadata={"format": "pt"})
    print(f"{target}: {len(kept)} tensors, {sum(value.numel() for value in kept.values()):,} values")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
