# SPDX-License-Identifier: MIT
"""transformers in float64, without the places where it goes through float32.

The modelling code of transformers casts to float32 in its norms, its router and the softmax of eager attention, and
builds rotary angles, cosines and sines in float32. In a float64 model these casts limit every result to about 1e-7.
This file is the only place that touches transformers:

1. While `wide` is active, the name `torch` in the two modelling modules is a proxy whose `float32` and `float` are
   `float64`. The code of transformers runs as it is; only those casts widen.
2. Rotary tables are replaced: inverse frequencies are evaluated in float64 and rounded once to float32, the angle is
   the float32 product position * frequency (as in transformers), and cosine and sine are taken of that float32
   number in the model's dtype. The frequencies differ from those of transformers by at most an ulp.
3. deepseek_v2 casts the rotated parts with `Tensor.float`, which no proxy of `torch` can see; its rotation is replaced
   by the same complex product in the model's dtype.

`check_changes_precision_only` compares a float32 model with and without items 2 and 3.
"""

import contextlib

import torch
import torch_reference
from transformers.models.deepseek_v2 import modeling_deepseek_v2 as v2
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3


class _WideTorch:
    """The module torch, except that float32 means float64."""

    float32 = torch.float64
    float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def _rotate_v2(query, key, turns):
    def turned(x):
        return torch.view_as_real(
            torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous()) * turns.unsqueeze(1)
        ).flatten(3)

    return turned(query), turned(key)


def _rotary_forward(config: dict, version_3: bool):
    def forward(x, position_ids):
        cos, sin = torch_reference.rotation(config, position_ids, x.dtype)
        if not version_3:
            return torch.complex(cos, sin)
        return torch.cat([cos, cos], dim=-1), torch.cat([sin, sin], dim=-1)

    return forward


def replace_rotary_tables(model, config: dict) -> None:
    """Item 2 for one model, given its config.json. Item 3 follows from `wide`."""
    model.model.rotary_emb.forward = _rotary_forward(config, config["model_type"] == "deepseek_v3")


@contextlib.contextmanager
def exact_rotation():
    """Item 3."""
    before = v2.apply_rotary_emb
    v2.apply_rotary_emb = _rotate_v2
    try:
        yield
    finally:
        v2.apply_rotary_emb = before


@contextlib.contextmanager
def wide():
    """Items 1 and 3."""
    before = v2.torch, v3.torch
    v2.torch = v3.torch = _WideTorch()
    try:
        with exact_rotation():
            yield
    finally:
        v2.torch, v3.torch = before


def check_changes_precision_only(build, config: dict, tokens: torch.Tensor) -> float:
    """Largest difference of logits, relative to the largest logit, that items 2 and 3 make in float32."""
    with torch.no_grad():
        plain = build(config, torch.float32)(tokens).logits
        patched = build(config, torch.float32)
        replace_rotary_tables(patched, config)
        with exact_rotation():
            difference = (patched(tokens).logits - plain).abs().max() / plain.abs().max()
    assert difference < 1e-5, f"the float64 patches change more than precision: {difference}"
    return float(difference)
