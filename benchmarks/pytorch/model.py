# SPDX-License-Identifier: MIT
"""The model of bench_train.cpp in PyTorch, written for speed on a CPU: what ours is measured beside.

Mathematics of DeepSeek-V3 as published: MLA with compressed queries, MoE with sigmoid scores, a selection bias and a
shared expert, MTP of depth 1, tied head. check.py compares it with tests/golden/torch_reference.py.

Experts run one after the other on the rows that chose them, the fastest of the usual forms on a CPU: no padding, and
products as large as the routing allows. Attention is scaled_dot_product_attention; its fused CPU kernel takes values
only as wide as queries and keys, so they are padded where `pad_values` is set.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    vocabulary: int
    dim: int
    layers: int
    heads: int
    kv_rank: int
    q_rank: int
    nope: int
    rope: int
    experts: int
    top_k: int
    hidden: int
    shared_hidden: int
    mtp_depth: int = 1
    epsilon: float = 1e-6
    theta: float = 10000.0


MODELS = {
    "from_scratch_100m": Config(50257, 512, 8, 8, 128, 192, 64, 32, 8, 2, 512, 1024),
    "width_256": Config(50257, 256, 4, 4, 64, 96, 64, 32, 8, 2, 256, 384),
}


def linear(columns: int, rows: int) -> nn.Linear:
    return nn.Linear(columns, rows, bias=False)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Interleaved pairs of x [..., T, rope] turned by their position's angles, cos and sin [T, rope / 2]."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, c: Config, pad_values: bool):
        super().__init__()
        self.c, self.pad_values = c, pad_values
        self.q_a_proj = linear(c.dim, c.q_rank)
        self.q_a_layernorm = nn.RMSNorm(c.q_rank, eps=1e-6)
        self.q_b_proj = linear(c.q_rank, c.heads * (c.nope + c.rope))
        self.kv_a_proj_with_mqa = linear(c.dim, c.kv_rank + c.rope)
        self.kv_a_layernorm = nn.RMSNorm(c.kv_rank, eps=1e-6)
        self.kv_b_proj = linear(c.kv_rank, c.heads * 2 * c.nope)
        self.o_proj = linear(c.heads * c.nope, c.dim)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        c, (batch, length, _) = self.c, x.shape
        query = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        query = query.view(batch, length, c.heads, -1).transpose(1, 2)
        latent, key_rope = self.kv_a_proj_with_mqa(x).split([c.kv_rank, c.rope], dim=-1)
        expanded = self.kv_b_proj(self.kv_a_layernorm(latent)).view(batch, length, c.heads, -1).transpose(1, 2)
        key_nope, values = expanded.split([c.nope, c.nope], dim=-1)
        query_nope, query_rope = query.split([c.nope, c.rope], dim=-1)
        key_rope = rotate(key_rope, cos, sin)[:, None].expand(-1, c.heads, -1, -1)
        query = torch.cat([query_nope, rotate(query_rope, cos, sin)], dim=-1)
        keys = torch.cat([key_nope, key_rope], dim=-1)
        if self.pad_values:
            values = F.pad(values, (0, c.rope))
        out = F.scaled_dot_product_attention(query, keys, values, is_causal=True)[..., : c.nope]
        return self.o_proj(out.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = linear(dim, hidden), linear(dim, hidden), linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class MoE(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.gate = linear(c.dim, c.experts)
        self.register_buffer("bias", torch.zeros(c.experts))
        self.experts = nn.ModuleList(SwiGLU(c.dim, c.hidden) for _ in range(c.experts))
        self.shared_experts = SwiGLU(c.dim, c.shared_hidden)

    # How many rows an expert gets is known at run time only: the compiler leaves this part as it is.
    @torch.compiler.disable
    def routed(self, x: torch.Tensor, chosen: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        order = chosen.flatten().argsort(stable=True)
        rows = order // self.c.top_k
        counts = chosen.flatten().bincount(minlength=self.c.experts).tolist()
        parts = x[rows].split(counts)
        y = torch.cat([expert(part) for expert, part in zip(self.experts, parts)])
        return torch.zeros_like(x).index_add(0, rows, y * gates.flatten()[order, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(0, 1)
        scores = self.gate(flat).sigmoid()
        chosen = (scores + self.bias).topk(self.c.top_k, dim=-1).indices
        gates = scores.gather(1, chosen)
        gates = gates / (gates.sum(-1, keepdim=True) + 1e-20)
        return (self.shared_experts(flat) + self.routed(flat, chosen, gates)).view_as(x)


class Block(nn.Module):
    def __init__(self, c: Config, pad_values: bool):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(c.dim, eps=c.epsilon)
        self.self_attn = Attention(c, pad_values)
        self.post_attention_layernorm = nn.RMSNorm(c.dim, eps=c.epsilon)
        self.mlp = MoE(c)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class MtpModule(nn.Module):
    def __init__(self, c: Config, pad_values: bool):
        super().__init__()
        self.enorm, self.hnorm = nn.RMSNorm(c.dim, eps=c.epsilon), nn.RMSNorm(c.dim, eps=c.epsilon)
        self.eh_proj = linear(2 * c.dim, c.dim)
        self.block = Block(c, pad_values)
        self.norm = nn.RMSNorm(c.dim, eps=c.epsilon)

    def forward(self, embedded, hidden, cos, sin):
        return self.norm(self.block(self.eh_proj(torch.cat([self.enorm(embedded), self.hnorm(hidden)], -1)), cos, sin))


class Model(nn.Module):
    def __init__(self, c: Config, pad_values: bool):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c.vocabulary, c.dim)
        self.layers = nn.ModuleList(Block(c, pad_values) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.dim, eps=c.epsilon)
        self.mtp = nn.ModuleList(MtpModule(c, pad_values) for _ in range(c.mtp_depth))
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def losses(self, tokens: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        """Mean losses of the main model and of every MTP depth. tokens, targets [B, T]."""
        c, length = self.c, tokens.shape[1]
        frequencies = c.theta ** (-torch.arange(0, c.rope, 2, dtype=torch.float32) / c.rope)
        angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies)
        cos, sin = angles.cos(), angles.sin()
        embedded = self.embed_tokens(tokens)
        x = embedded
        for layer in self.layers:
            x = layer(x, cos, sin)
        hidden = self.norm(x)
        losses = [self.loss(hidden, targets, tokens.numel())]
        for depth, module in enumerate(self.mtp, 1):
            keep = length - depth
            hidden = module(embedded[:, depth:], hidden[:, :keep], cos[:keep], sin[:keep])
            losses.append(self.loss(hidden, targets[:, depth:], tokens.numel()))
        return losses

    def loss(self, hidden: torch.Tensor, targets: torch.Tensor, count: int) -> torch.Tensor:
        logits = F.linear(hidden, self.embed_tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / count

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        main, *mtp = self.losses(tokens, targets)
        return main + 0.3 * sum(mtp) / max(len(mtp), 1) if mtp else main
