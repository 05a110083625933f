# SPDX-License-Identifier: MIT
"""Single layers: values and gradients. Contents: README.md, `layers`."""

import float64
import generator
import hf
import numpy as np
import torch
import torch_reference as reference
from configurations import CONFIGURATIONS
from model_fixtures import LONG_ROWS, ROUTER_MARGIN, double_model, gradient_tensors, relative
from transformers import DeepseekV2Config, DeepseekV3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3


def unit(key: str, *shape: int, grad: bool = False) -> torch.Tensor:
    return torch.from_numpy(generator.unit(key, *shape)).requires_grad_(grad)


def backward(module, prefix: str, names: str, y: torch.Tensor, dy: torch.Tensor, x: torch.Tensor) -> dict:
    """dx and the gradients of the module's parameters, the latter under `names` + their names in the module."""
    module.zero_grad()
    y.backward(dy)
    gradients = hf.split_experts({names + name: p.grad for name, p in module.named_parameters()})
    return {f"{prefix}.dx": x.grad.numpy(), **gradient_tensors(gradients, f"{prefix}.grad.")}


def samples() -> dict:
    """What a twin of generator.py must reproduce exactly."""
    name = "model.layers.1.mlp.gate.e_score_correction_bias"
    return {
        "generator.linear": generator.weight("lm_head.weight", [8]),
        "generator.gain": generator.weight("model.norm.weight", [8]),
        "generator.router_bias.0": generator.weight(name, [8], 0),
        "generator.router_bias.1": generator.weight(name, [8], 1),
        "generator.unit": generator.unit("mla.x", 8),
        "generator.sketch": generator.sketch(generator.unit("mla.x", 3, 4)),
    }


def rms_norm() -> dict:
    """Rows of ordinary, tiny and huge size: row r is a unit row times 2^exponents[r]."""
    fixture = {"rms_norm.exponents": np.array([0, -10, -20, 20, 40])}
    scale = torch.from_numpy(2.0 ** fixture["rms_norm.exponents"])[:, None]
    for epsilon in ("1e-6", "1e-5"):
        norm = v3.DeepseekV3RMSNorm(64, float(epsilon)).double()
        norm.weight.data = torch.from_numpy(generator.weight("model.norm.weight", [64]))
        x = (unit("rms_norm.x", 5, 64) * scale).requires_grad_()
        y = norm(x)
        y.backward(unit("rms_norm.dy", 5, 64))
        assert relative(reference.rms_norm(x, norm.weight, float(epsilon)), y) < 1e-14
        fixture |= {
            f"rms_norm.{epsilon}.y": y.detach().numpy(),
            f"rms_norm.{epsilon}.dx": x.grad.numpy(),
            f"rms_norm.{epsilon}.dgain": norm.weight.grad.numpy(),
        }
    return fixture


def swiglu() -> dict:
    mlp = double_model(CONFIGURATIONS["t1"]).model.layers[0].mlp
    x = unit("swiglu.x", 9, 64, grad=True)
    y = mlp(x)
    fixture = backward(mlp, "swiglu", "model.layers.0.mlp.", y, unit("swiglu.dy", 9, 64), x)
    return fixture | {"swiglu.y": y.detach().numpy()}


def rope() -> dict:
    """Frequencies and tables as transformers has them (float32), rotated vectors as the restatement has them."""
    yarn = dict(type="yarn", factor=40, original_max_position_embeddings=4096, beta_fast=32, beta_slow=1)
    released = dict(qk_nope_head_dim=128, qk_rope_head_dim=64, rope_theta=10000.0, max_position_embeddings=163840)
    cases = {
        "plain": dict(released, rope_scaling=None),
        "moonlight": dict(released, rope_theta=50000.0, max_position_embeddings=8192, rope_scaling=None),
        "v3": dict(released, rope_scaling=dict(yarn, mscale=1.0, mscale_all_dim=1.0)),
        "v2_lite": dict(released, rope_scaling=dict(yarn, mscale=0.707, mscale_all_dim=0.707)),
        "t1": CONFIGURATIONS["t1"],
        "t3": CONFIGURATIONS["t3"],
        "t4": CONFIGURATIONS["t4"],
    }
    positions = [0, 1, 4095, 131071]
    fixture = {"rope.positions": np.array(positions)}
    for name, case in cases.items():
        config = (DeepseekV2Config if name in ("v2_lite", "t4") else DeepseekV3Config)(**case)
        if case["rope_scaling"]:
            frequencies, factor = ROPE_INIT_FUNCTIONS["yarn"](config)
        else:
            frequencies, factor = v3.DeepseekV3RotaryEmbedding.compute_default_rope_parameters(config)
        assert factor == 1.0
        ours = torch.from_numpy(reference.inverse_frequencies(case))
        assert ((frequencies - ours).abs() <= 2 * torch.finfo(torch.float32).eps * frequencies).all()
        scale = v3.yarn_apply_mscale(config.rope_parameters, config.qk_head_dim**-0.5)
        assert abs(scale - reference.score_scale(case)) < 1e-15
        angles = torch.tensor(positions, dtype=torch.float32)[:, None] * frequencies
        fixture |= {
            f"rope.{name}.inv_freq": frequencies.numpy(),
            f"rope.{name}.scale": np.array([scale]),
            f"rope.{name}.cos": angles.double().cos().numpy(),
            f"rope.{name}.sin": angles.double().sin().numpy(),
        }
    turned_at = torch.tensor([3, 17, 200])
    cos, sin = reference.rotation(CONFIGURATIONS["t1"], turned_at, torch.float64)
    x = unit("rope.x", 3, 8)
    return fixture | {
        "rope.rotated.positions": turned_at.numpy(),
        "rope.rotated.interleaved": reference.rotate(x, cos, sin, True).numpy(),
        "rope.rotated.half_split": reference.rotate(x, cos, sin, False).numpy(),
    }


def mla(name: str, config: dict, length: int, rows: list[int]) -> dict:
    """Attention of layer 0 on one sequence."""
    model = double_model(config)
    attention = model.model.layers[0].self_attn
    x = unit("mla.x", length, 64, grad=True)
    positions = model.model.rotary_emb(x, torch.arange(length)[None])
    mask = torch.full((length, length), -torch.inf, dtype=torch.float64).triu(1)[None, None]
    y = attention(x[None], position_embeddings=positions, attention_mask=mask)[0][0]
    names = "model.layers.0.self_attn."
    fixture = backward(attention, name, names, y, unit("mla.dy", length, 64), x)
    fixture |= {f"{name}.y": y.detach().numpy()[rows], f"{name}.dx": fixture[f"{name}.dx"][rows]}
    restated = reference.mla(config, hf.weights_of(model), names, x.detach()[None])[0]
    assert relative(restated, y) < 1e-13
    return fixture | {f"{name}.rows": np.array(rows)}


def router(name: str, bias_set: int) -> dict:
    """Layer 1's router on 1024 tokens. A set of experts is a bit mask; 0 marks tokens too close to a tie to ask."""
    config, prefix = CONFIGURATIONS[name], f"router.{name}.{bias_set}"
    model = double_model(config, bias_set)
    weights, names = hf.weights_of(model), "model.layers.1.mlp.gate."
    x = unit("router.x", 1024, 64)
    asked = 200

    def sorted_by_expert(result):
        _, gates, indices = result
        order = indices.sort(dim=-1)
        return gates.gather(1, order.indices), order.values

    with torch.no_grad():
        gates, indices = sorted_by_expert(model.model.layers[1].mlp.gate(x))
    routed = reference.route(config, weights, names, x)
    # Probabilities lie closer together than sigmoids, and float32 has them to 1e-7.
    clear = routed.margin > (ROUTER_MARGIN if config["scoring_func"] == "sigmoid" else ROUTER_MARGIN / 10)
    assert clear.sum() >= 1000 and clear[:16].all()
    assert torch.equal(routed.indices[clear], indices[clear])
    assert relative(routed.gates[clear], gates[clear]) < 1e-14
    if name == "t1" and bias_set == 1:
        # The set exists to tell a mask of minus infinity from one of zero: the last expert chosen is often negative.
        chosen = (routed.scores + weights[names + "e_score_correction_bias"]).gather(1, routed.indices)
        assert (chosen.amin(-1) < 0).float().mean() > 0.1
    with torch.no_grad():  # as transformers computes it by itself
        narrow = hf.build(config, torch.float32, bias_set).model.layers[1].mlp.gate
        float64_torch, v3.torch = v3.torch, torch
        float_gates, float_indices = sorted_by_expert(narrow(x.float()))
        v3.torch = float64_torch
    assert torch.equal(float_indices[clear], indices[clear])
    assert relative(float_gates[clear].double(), gates[clear]) < 1e-5
    fixture = {
        f"{prefix}.experts": torch.where(clear, (1 << indices).sum(-1), 0).numpy(),
        f"{prefix}.gates": torch.where(clear[:, None], gates, 0)[:asked].numpy(),
    }
    if config["model_type"] == "deepseek_v2":  # normalised gates, as V2's own code has them; transformers has not
        normalised = reference.route(config | dict(norm_topk_prob=True), weights, names, x).gates
        fixture[f"{prefix}.normalised"] = torch.where(clear[:, None], normalised, 0)[:asked].numpy()
    if (name, bias_set) in (("t1", 0), ("t4", 0)):
        rows = unit("router.x", 1024, 64)[:16].requires_grad_()
        module = model.model.layers[1].mlp.gate
        gates, _ = sorted_by_expert(module(rows))
        gates.backward(unit("router.dgates", 16, 4))
        fixture[f"{prefix}.dx"] = rows.grad.numpy()
        fixture[f"{prefix}.dweight"] = module.weight.grad.numpy()
    return fixture


def moe(name: str, config: dict) -> dict:
    """Layer 1's experts on 16 tokens, and on the first 5 alone: with 20 choices of 16 experts some have no token."""
    model = double_model(config)
    weights, names = hf.weights_of(model), "model.layers.1.mlp."
    layer = model.model.layers[1].mlp
    everything = unit("moe.x", 16, 64)
    restated, routed = reference.moe(config, weights, names, everything)
    assert routed.margin.min() > ROUTER_MARGIN
    with torch.no_grad():
        y = layer(everything[None])[0]
    assert relative(restated, y) < 1e-13
    few = everything[:5].clone().requires_grad_()
    part = layer(few[None])[0]
    assert relative(part, y[:5]) < 1e-13
    fixture = backward(layer, f"{name}.few", names, part, unit("moe.dy", 16, 64)[:5], few)
    used = routed.indices[:5].unique()
    assert 0 < len(used) < 16
    for expert in range(16):
        zero = not fixture[f"{name}.few.grad.{names}experts.{expert}.up_proj.weight"].any()
        assert zero == (expert not in used)
    return fixture | {f"{name}.y": y.numpy(), f"{name}.few.experts": used.numpy()}


def balance() -> dict:
    """The balance loss of layer 1's router on two sequences of 16 tokens, with alpha 0.01."""
    config, prefix = CONFIGURATIONS["t1"], "model.layers.1.mlp.gate."
    weights = hf.weights_of(double_model(config))
    weights[prefix + "weight"] = weights[prefix + "weight"].clone().requires_grad_()
    x = unit("router.x", 32, 64, grad=True)
    routed = reference.route(config, weights, prefix, x)
    loss = reference.balance_loss(config, routed, 2, 0.01)
    loss.backward()
    return {
        "balance.loss": loss.detach().numpy().reshape(1),
        "balance.loss_of_actual_choices": reference.balance_loss(config, routed, 2, 0.01, actual=True)
        .detach()
        .numpy()
        .reshape(1),
        "balance.dx": x.grad.numpy(),
        "balance.dweight": weights[prefix + "weight"].grad.numpy(),
    }


def build() -> dict[str, np.ndarray]:
    fixture = samples() | rope()  # transformers' own float32 tables, so not `wide`
    with float64.wide():
        biased = CONFIGURATIONS["t1"] | dict(attention_bias=True)
        fixture |= rms_norm() | swiglu() | balance()
        for name, config, length in (
            ("mla.t1", CONFIGURATIONS["t1"], 17),
            ("mla.t2", CONFIGURATIONS["t2"], 17),
            ("mla.t1_biased", biased, 17),
            ("mla.t3", CONFIGURATIONS["t3"], 200),
        ):
            fixture |= mla(name, config, length, LONG_ROWS if length == 200 else list(range(length)))
        for name, bias_set in (("t1", 0), ("t1", 1), ("t2", 0), ("t2", 1), ("t4", 0), ("t5", 0)):
            fixture |= router(name, bias_set)
        return fixture | moe("moe.t1", CONFIGURATIONS["t1"]) | moe("moe.t4", CONFIGURATIONS["t4"])
