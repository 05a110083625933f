# SPDX-License-Identifier: MIT
"""DeepSeek-V3 and V2 in plain PyTorch: a functional restatement in the dtype of the weights.

transformers trains no MTP module and has no balance loss; this file has both. The main model is checked against
transformers by make.py before any fixture is written. Weights are a dictionary keyed by the names of Hugging Face
files, one entry per expert. Sequences are [batch, tokens].
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F


# Positions ------------------------------------------------------------------------------------------------------------


def inverse_frequencies(config: dict) -> np.ndarray:
    """Rotary frequencies [dr / 2]: evaluated in float64, rounded once to float32."""
    width, theta, yarn = config["qk_rope_head_dim"], config["rope_theta"], config.get("rope_scaling")
    i = np.arange(width // 2)
    frequencies = np.float64(theta) ** (-2.0 * i / width)
    if yarn:
        length = yarn["original_max_position_embeddings"]

        def pair_with(turns):  # the (fractional) pair that makes `turns` turns within the original context
            return width * math.log(length / (2 * math.pi * turns)) / (2 * math.log(theta))

        low = max(math.floor(pair_with(yarn["beta_fast"])), 0)
        high = min(math.ceil(pair_with(yarn["beta_slow"])), width - 1)
        ramp = np.clip((i - low) / ((high - low) or 0.001), 0, 1)
        frequencies = frequencies * ((1 - ramp) + ramp / yarn["factor"])
    return frequencies.astype(np.float32)


def yarn_magnitude(factor: float, mscale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def score_scale(config: dict) -> float:
    scale = (config["qk_nope_head_dim"] + config["qk_rope_head_dim"]) ** -0.5
    yarn = config.get("rope_scaling")
    return scale * yarn_magnitude(yarn["factor"], yarn.get("mscale_all_dim", 0)) ** 2 if yarn else scale


def rotation(config: dict, positions: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [..., dr / 2] of the angles; the angle is a float32 product, whatever the dtype of the result.

    YaRN's attention factor on cos and sin is 1 for every configuration used here (mscale equals mscale_all_dim) that
    does not give it.
    """
    angles = positions[..., None].to(torch.float32) * torch.from_numpy(inverse_frequencies(config))
    factor = (config.get("rope_scaling") or {}).get("attention_factor", 1.0)
    return factor * angles.to(dtype).cos(), factor * angles.to(dtype).sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, interleaved: bool) -> torch.Tensor:
    """x [..., dr]: pairs (2i, 2i + 1), or (i, i + dr / 2), turned by the angle of their position."""
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


# Layers ---------------------------------------------------------------------------------------------------------------


def rms_norm(x: torch.Tensor, gain: torch.Tensor, epsilon: float) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * gain


def swiglu(weights: dict, prefix: str, x: torch.Tensor) -> torch.Tensor:
    gate = x @ weights[prefix + "gate_proj.weight"].T
    up = x @ weights[prefix + "up_proj.weight"].T
    return (F.silu(gate) * up) @ weights[prefix + "down_proj.weight"].T


LATENT_EPSILON = 1e-6  # of the norms on the query and key/value latents, whatever rms_norm_eps is


def mla(config: dict, weights: dict, prefix: str, x: torch.Tensor) -> torch.Tensor:
    """Multi-head latent attention in the naive form, causal. x [B, T, D]."""
    batch, length, _ = x.shape
    heads, nope, rope = config["num_attention_heads"], config["qk_nope_head_dim"], config["qk_rope_head_dim"]
    value, rank = config["v_head_dim"], config["kv_lora_rank"]

    def project(name, y):
        out = y @ weights[prefix + name + ".weight"].T
        bias = weights.get(prefix + name + ".bias")
        return out if bias is None else out + bias

    if config["q_lora_rank"]:
        latent = rms_norm(project("q_a_proj", x), weights[prefix + "q_a_layernorm.weight"], LATENT_EPSILON)
        query = project("q_b_proj", latent)
    else:
        query = project("q_proj", x)
    query = query.view(batch, length, heads, nope + rope).transpose(1, 2)  # [B, H, T, dq]
    latent, key_rope = project("kv_a_proj_with_mqa", x).split([rank, rope], dim=-1)
    latent = rms_norm(latent, weights[prefix + "kv_a_layernorm.weight"], LATENT_EPSILON)
    expanded = project("kv_b_proj", latent).view(batch, length, heads, nope + value).transpose(1, 2)
    key_nope, values = expanded.split([nope, value], dim=-1)

    cos, sin = rotation(config, torch.arange(length), x.dtype)
    interleaved = config.get("rope_interleave", True)
    query_rope = rotate(query[..., nope:], cos, sin, interleaved)
    key_rope = rotate(key_rope, cos, sin, interleaved)[:, None].expand(-1, heads, -1, -1)  # one for all heads

    query = torch.cat([query[..., :nope], query_rope], dim=-1)
    keys = torch.cat([key_nope, key_rope], dim=-1)
    scores = query @ keys.transpose(-1, -2) * score_scale(config)
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    probabilities = scores.masked_fill(hidden, -math.inf).softmax(-1)
    return project("o_proj", (probabilities @ values).transpose(1, 2).reshape(batch, length, heads * value))


@dataclass
class Route:
    """One MoE layer's decisions on N tokens, and how far they were from being others."""

    scores: torch.Tensor  # [N, E]: sigmoid or softmax
    indices: torch.Tensor  # [N, K], ascending
    gates: torch.Tensor  # [N, K]
    margin: torch.Tensor  # [N]: least gap between a kept and a dropped expert, or group


def route(config: dict, weights: dict, prefix: str, x: torch.Tensor) -> Route:
    experts, top_k = config["n_routed_experts"], config["num_experts_per_tok"]
    groups, kept = config["n_group"], config["topk_group"]
    logits = x @ weights[prefix + "weight"].T  # [N, E]
    sigmoid = config["scoring_func"] == "sigmoid"
    scores = logits.sigmoid() if sigmoid else logits.softmax(-1)
    choice = scores + weights[prefix + "e_score_correction_bias"] if sigmoid else scores
    margin = torch.full(x.shape[:1], math.inf, dtype=x.dtype)
    if groups > 1:
        by_group = choice.view(-1, groups, experts // groups)
        group_score = by_group.topk(2, dim=-1).values.sum(-1) if sigmoid else by_group.amax(-1)
        order = group_score.sort(dim=-1, descending=True)
        margin = order.values[:, kept - 1] - order.values[:, kept]
        dropped = torch.ones_like(group_score, dtype=torch.bool).scatter(1, order.indices[:, :kept], False)
        choice = choice.masked_fill(dropped.repeat_interleave(experts // groups, dim=1), -math.inf)
    order = choice.sort(dim=-1, descending=True, stable=True)
    margin = torch.minimum(margin, order.values[:, top_k - 1] - order.values[:, top_k])
    indices = order.indices[:, :top_k].sort(dim=-1).values
    gates = scores.gather(1, indices)
    if config["norm_topk_prob"]:
        gates = gates / (gates.sum(-1, keepdim=True) + 1e-20)
    # V2's own code scales the gates only where it does not normalise them; V3 does both.
    if sigmoid or not config["norm_topk_prob"]:
        gates = gates * config["routed_scaling_factor"]
    return Route(scores, indices, gates, margin.detach())


def moe(config: dict, weights: dict, prefix: str, x: torch.Tensor) -> tuple[torch.Tensor, Route]:
    """Routed and shared experts. x [N, D]."""
    routed = route(config, weights, prefix + "gate.", x)
    y = swiglu(weights, prefix + "shared_experts.", x)
    for expert in range(config["n_routed_experts"]):
        token, slot = torch.where(routed.indices == expert)
        part = swiglu(weights, f"{prefix}experts.{expert}.", x[token]) * routed.gates[token, slot, None]
        y = y.index_add(0, token, part)
    return y, routed


def balance_loss(config: dict, routed: Route, batch: int, alpha: float, actual: bool = False) -> torch.Tensor:
    """Sequence-wise balance loss of one MoE layer, mean over the sequences.

    The fraction f counts the top K of the unbiased scores of all experts (the published definition), or the experts
    in fact chosen.
    """
    experts, top_k = config["n_routed_experts"], config["num_experts_per_tok"]
    scores = routed.scores.view(batch, -1, experts)
    length = scores.shape[1]
    indices = routed.indices if actual else routed.scores.topk(top_k, dim=-1).indices
    counts = F.one_hot(indices, experts).sum(1).view(batch, length, experts).sum(1).to(scores.dtype)
    fraction = counts * experts / (top_k * length)
    share = (scores / scores.sum(-1, keepdim=True)).mean(1)
    return alpha * (fraction * share).sum(-1).mean()


def updated_bias(bias: torch.Tensor, counts: torch.Tensor, speed: float, zero_mean: bool = False) -> torch.Tensor:
    """The selection bias after an optimizer step in which expert e was chosen counts[e] times."""
    step = speed * torch.sign(counts.to(bias.dtype).mean() - counts)
    return bias + (step - step.mean() if zero_mean else step)


# Model ----------------------------------------------------------------------------------------------------------------


def block(config: dict, weights: dict, layer: int, x: torch.Tensor) -> tuple[torch.Tensor, Route | None]:
    prefix, epsilon = f"model.layers.{layer}.", config["rms_norm_eps"]
    normed = rms_norm(x, weights[prefix + "input_layernorm.weight"], epsilon)
    x = x + mla(config, weights, prefix + "self_attn.", normed)
    normed = rms_norm(x, weights[prefix + "post_attention_layernorm.weight"], epsilon)
    if layer < config["first_k_dense_replace"]:
        return x + swiglu(weights, prefix + "mlp.", normed), None
    y, routed = moe(config, weights, prefix + "mlp.", normed.flatten(0, 1))
    return x + y.view_as(x), routed


@dataclass
class Output:
    logits: torch.Tensor  # [B, T, V]
    mtp_logits: list[torch.Tensor]  # depth k: [B, T - k, V]
    stream: list[torch.Tensor]  # residual stream after the embedding and after each layer
    routes: list[Route] = field(default_factory=list)  # of each MoE layer, then of each MTP module

    def margin(self) -> float:
        return min(float(routed.margin.min()) for routed in self.routes)


def forward(config: dict, weights: dict, tokens: torch.Tensor) -> Output:
    """The main model and `num_nextn_predict_layers` MTP modules, chained on normalised hidden states."""
    embedding, epsilon = weights["model.embed_tokens.weight"], config["rms_norm_eps"]
    head = embedding if config["tie_word_embeddings"] else weights["lm_head.weight"]
    x = F.embedding(tokens, embedding)
    stream, routes = [x], []
    for layer in range(config["num_hidden_layers"]):
        x, routed = block(config, weights, layer, x)
        stream.append(x)
        routes += [routed] if routed else []
    hidden = rms_norm(x, weights["model.norm.weight"], epsilon)
    output = Output(hidden @ head.T, [], stream, routes)
    for depth in range(1, config["num_nextn_predict_layers"] + 1):
        # Row i joins the hidden state of position i with the embedding of token i + depth.
        layer = config["num_hidden_layers"] + depth - 1
        prefix = f"model.layers.{layer}."
        e = rms_norm(F.embedding(tokens[:, depth:], embedding), weights[prefix + "enorm.weight"], epsilon)
        h = rms_norm(hidden[:, : tokens.shape[1] - depth], weights[prefix + "hnorm.weight"], epsilon)
        joined = torch.cat([e, h], dim=-1) @ weights[prefix + "eh_proj.weight"].T
        y, routed = block(config, weights, layer, joined)
        hidden = rms_norm(y, weights[prefix + "shared_head.norm.weight"], epsilon)
        output.mtp_logits.append(hidden @ head.T)
        output.routes.append(routed)
    return output


IGNORED = -100


def main_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the labels that are not IGNORED."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def mtp_labels(labels: torch.Tensor, depth: int) -> torch.Tensor:
    """Labels [B, T - depth] of MTP depth `depth`: row i predicts token i + depth + 1, the label of row i + depth."""
    return labels[:, depth:]


def mtp_losses(output: Output, labels: torch.Tensor) -> list[torch.Tensor]:
    """Per depth: summed cross entropy over the number of labels of the main loss."""
    count = (labels != IGNORED).sum()
    return [
        F.cross_entropy(
            logits.flatten(0, 1), mtp_labels(labels, depth).flatten(), ignore_index=IGNORED, reduction="sum"
        )
        / count
        for depth, logits in enumerate(output.mtp_logits, 1)
    ]
