#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The from-scratch project's architecture in plain PyTorch, restated from its description, and what it computes with
random weights: the oracle of from_scratch_100m_test.cpp.

    reference.py fixture DIRECTORY   a small model and its values in float64, as checked in beside this file
    reference.py full DIRECTORY      the real sizes in float32: state.pt as the project saves it, expected.safetensors

Needs torch, numpy and safetensors."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, silu


@dataclass
class Sizes:
    vocabulary: int = 50257
    context: int = 1024
    layers: int = 8
    width: int = 512
    heads: int = 8
    kv_rank: int = 128
    q_rank: int = 192
    rope: int = 32
    experts: int = 8
    top_k: int = 2
    expert_hidden: int = 512
    shared_hidden: int = 768
    mtp_heads: int = 1


SMALL = Sizes(61, 24, 2, 16, 2, 8, 12, 4, 4, 2, 12, 20, 2)


def shapes(s: Sizes) -> dict[str, tuple[int, ...]]:
    """Every parameter and the experts' balancing biases, in the project's order."""
    table = {"wte.weight": (s.vocabulary, s.width), "wpe.weight": (s.context, s.width)}

    def swiglu(prefix: str, hidden: int) -> None:
        for name, shape in (("gate_proj", (hidden, s.width)), ("up_proj", (hidden, s.width)),
                            ("down_proj", (s.width, hidden))):
            table[f"{prefix}{name}.weight"], table[f"{prefix}{name}.bias"] = shape, shape[:1]

    def block(prefix: str, norms: tuple[str, str]) -> None:
        table[f"{prefix}{norms[0]}.weight"] = (s.width,)
        for name, shape in (("kv_proj", (s.kv_rank, s.width)), ("k_decompress", (s.width, s.kv_rank)),
                            ("v_decompress", (s.width, s.kv_rank)), ("q_proj", (s.q_rank, s.width)),
                            ("q_decompress", (s.width, s.q_rank)), ("k_rope_proj", (s.heads * s.rope, s.width)),
                            ("q_rope_proj", (s.heads * s.rope, s.q_rank)), ("o_proj", (s.width, s.width))):
            table[f"{prefix}attn.{name}.weight"] = shape
        table[f"{prefix}attn.kv_norm.weight"] = (s.kv_rank,)
        table[f"{prefix}attn.o_proj.bias"] = (s.width,)
        table[f"{prefix}{norms[1]}.weight"] = (s.width,)
        table[f"{prefix}mlp.expert_bias"] = (s.experts,)
        table[f"{prefix}mlp.router.weight"] = (s.experts, s.width)
        for expert in range(s.experts):
            swiglu(f"{prefix}mlp.experts.{expert}.", s.expert_hidden)
        swiglu(f"{prefix}mlp.shared_expert.", s.shared_hidden)

    for layer in range(s.layers):
        block(f"h.{layer}.", ("ln_1", "ln_2"))
    table["ln_f.weight"] = (s.width,)
    for head in range(s.mtp_heads):
        table[f"mtp_heads.{head}.combine_proj.weight"] = (s.width, 2 * s.width)
        table[f"mtp_heads.{head}.combine_proj.bias"] = (s.width,)
        table[f"mtp_heads.{head}.norm1.weight"] = table[f"mtp_heads.{head}.norm2.weight"] = (s.width,)
        block(f"mtp_heads.{head}.", ("attn_norm", "mlp_norm"))
    return table


class Reference:
    def __init__(self, sizes: Sizes, weights: dict[str, torch.Tensor], dtype: torch.dtype):
        self.s, self.w = sizes, {name: value.to(dtype) for name, value in weights.items()}
        self.gap = math.inf  # the closest that a routed token came to another choice

    def norm(self, x, name):
        rms = x.norm(dim=-1, keepdim=True) / math.sqrt(x.shape[-1])
        return self.w[name + ".weight"] * x / (rms + 1e-6)

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def swiglu(self, x, name):
        return self.linear(silu(self.linear(x, name + "gate_proj")) * self.linear(x, name + "up_proj"), name + "down_proj")

    def rotate(self, x):  # [batch, heads, positions, rope]
        half = x.shape[-1] // 2
        frequency = 1.0 / (10000 ** (torch.arange(0, 2 * half, 2).float() / (2 * half)))
        angle = torch.outer(torch.arange(x.shape[-2]).float(), frequency).to(x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)

    def attention(self, x, name):
        heads = lambda y: y.unflatten(-1, (self.s.heads, -1)).transpose(1, 2)
        c = self.norm(self.linear(x, name + "kv_proj"), name + "kv_norm")
        cq = self.linear(x, name + "q_proj")
        k = torch.cat((heads(self.linear(c, name + "k_decompress")),
                       self.rotate(heads(self.linear(x, name + "k_rope_proj")))), -1)
        q = torch.cat((heads(self.linear(cq, name + "q_decompress")),
                       self.rotate(heads(self.linear(cq, name + "q_rope_proj")))), -1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(k.shape[-1])
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        values = scores.masked_fill(future, -math.inf).softmax(-1) @ heads(self.linear(c, name + "v_decompress"))
        return self.linear(values.transpose(1, 2).flatten(2), name + "o_proj")

    def experts(self, x, name):
        logits = x @ self.w[name + "router.weight"].T + self.w[name + "expert_bias"]
        best = logits.sort(-1, descending=True).values
        self.gap = min(self.gap, (best[..., self.s.top_k - 1] - best[..., self.s.top_k]).min().item())
        chosen, index = logits.topk(self.s.top_k, -1)
        gates = torch.zeros_like(logits).scatter(-1, index, chosen.softmax(-1))
        y = self.swiglu(x, name + "shared_expert.")
        for expert in range(self.s.experts):
            rows = gates[..., expert] > 0
            y[rows] += gates[rows][:, expert : expert + 1] * self.swiglu(x[rows], f"{name}experts.{expert}.")
        return y

    def block(self, x, name, norms):
        x = x + self.attention(self.norm(x, name + norms[0]), name + "attn.")
        return x + self.experts(self.norm(x, name + norms[1]), name + "mlp.")

    def __call__(self, tokens, targets):
        """Logits, those of every MTP head, the main loss and the MTP heads'. targets[i] is the token after tokens[i]."""
        length = tokens.shape[1]
        x = self.w["wte.weight"][tokens] + self.w["wpe.weight"][:length]
        for layer in range(self.s.layers):
            x = self.block(x, f"h.{layer}.", ("ln_1", "ln_2"))
        h = self.norm(x, "ln_f")
        all_logits = [h @ self.w["wte.weight"].T]
        losses = [cross_entropy(all_logits[0].flatten(0, 1), targets.flatten())]
        for k in range(1, self.s.mtp_heads + 1):
            name = f"mtp_heads.{k - 1}."
            e = torch.zeros_like(h)
            e[:, : length - k] = self.w["wte.weight"][tokens[:, k:]]
            h = self.linear(torch.cat((self.norm(h, name + "norm1"), self.norm(e, name + "norm2")), -1), name + "combine_proj")
            h = self.block(h, name, ("attn_norm", "mlp_norm"))
            all_logits.append(h @ self.w["wte.weight"].T)
            # The labels are one token further on than a prediction of the next but k would have them.
            losses.append(cross_entropy(all_logits[k][:, : length - k - 1].flatten(0, 1), targets[:, k + 1 :].flatten()))
        return all_logits, losses


def random_weights(s: Sizes, deviation: float) -> dict[str, torch.Tensor]:
    weights = {}
    for name, shape in shapes(s).items():
        gain = "norm" in name or "ln_" in name
        weights[name] = torch.randn(shape) * (0.2 if gain or name.endswith("bias") else deviation) + (1.0 if gain else 0.0)
    # A token and a position so small that it matters where a norm's epsilon stands.
    weights["wte.weight"][7] *= 1e-5
    weights["wpe.weight"][5] *= 1e-5
    return weights


def expected(s: Sizes, weights, dtype, sequences: int, length: int) -> dict[str, torch.Tensor]:
    window = torch.randint(s.vocabulary, (sequences, length + 1))
    window[:, 5] = 7
    reference = Reference(s, weights, dtype)
    with torch.no_grad():
        logits, losses = reference(window[:, :-1], window[:, 1:])
    print(f"closest choice of experts: {reference.gap:.2g}; losses {[round(loss.item(), 4) for loss in losses]}")
    return {"window": window, "logits": logits[0], "losses": torch.stack(losses),
            **{f"mtp.{k}.logits": logits[k][:, : length - k].contiguous() for k in range(1, s.mtp_heads + 1)}}


def main(kind: str, directory: str) -> None:
    torch.manual_seed(20)
    out = Path(directory)
    out.mkdir(parents=True, exist_ok=True)
    if kind == "fixture":
        weights = random_weights(SMALL, 0.4)
        save_file(weights, out / "model.safetensors")
        save_file(expected(SMALL, weights, torch.float64, 2, SMALL.context), out / "expected.safetensors")
        return
    s = Sizes()
    weights = random_weights(s, 0.05)
    state = {**weights, "lm_head.weight": weights["wte.weight"]}
    for name in [name for name in weights if name.endswith("attn.kv_proj.weight")]:
        attention = name.removesuffix("kv_proj.weight")
        state[attention + "causal_mask"] = torch.ones(s.context, s.context).tril()[None, None]
        state[attention + "rope.inv_freq"] = 1.0 / (10000 ** (torch.arange(0, s.rope, 2).float() / s.rope))
    torch.save(state, out / "state.pt")
    print(f"state.pt: {len(state)} entries")
    values = expected(s, weights, torch.float32, 1, s.context)
    every = slice(None, None, 61)  # rows
    for name in [name for name in values if name.endswith("logits")]:
        values[name] = values[name][:, every].contiguous()
    save_file(values, out / "expected.safetensors")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("fixture", "full"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
