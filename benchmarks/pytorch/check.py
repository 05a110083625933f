# SPDX-License-Identifier: MIT
"""Compares model.py with the reference that the golden tests were made with: losses and one gradient, float64."""

import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "golden"))
import torch_reference as reference  # noqa: E402
from model import Config, Model  # noqa: E402


def reference_names(name: str, layers: int) -> str:
    """The name in Hugging Face files of a parameter of Model."""
    name = name.replace("embed_tokens", "model.embed_tokens").replace(".mlp.bias", ".mlp.gate.e_score_correction_bias")
    if name.startswith("mtp."):
        depth, rest = name.removeprefix("mtp.").split(".", 1)
        rest = "shared_head." + rest if rest.startswith("norm.") else rest.removeprefix("block.")
        return f"model.layers.{layers + int(depth)}.{rest}"
    return "model." + name if name.startswith(("layers.", "norm.")) else name


def main() -> None:
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    c = Config(101, 32, 2, 2, 8, 12, 16, 8, 4, 2, 16, 24)
    tokens, targets = torch.randint(c.vocabulary, (2, 2, 12))
    config = dict(
        hidden_size=c.dim, num_attention_heads=c.heads, qk_nope_head_dim=c.nope, qk_rope_head_dim=c.rope,
        v_head_dim=c.nope, kv_lora_rank=c.kv_rank, q_lora_rank=c.q_rank, rope_theta=c.theta, rms_norm_eps=c.epsilon,
        n_routed_experts=c.experts, num_experts_per_tok=c.top_k, n_group=1, topk_group=1, scoring_func="sigmoid",
        norm_topk_prob=True, routed_scaling_factor=1.0, first_k_dense_replace=0, num_hidden_layers=c.layers,
        tie_word_embeddings=True, num_nextn_predict_layers=c.mtp_depth,
    )
    for pad_values in (False, True):
        model = Model(c, pad_values)
        weights = {}
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            weights[reference_names(name, c.layers)] = tensor.detach().clone().requires_grad_(name[-5:] != ".bias")
        output = reference.forward(config, weights, tokens)
        expected = [reference.main_loss(output.logits, targets), *reference.mtp_losses(output, targets)]
        found = model.losses(tokens, targets)
        (expected[0] + expected[1]).backward()
        (found[0] + found[1]).backward()
        worst = max(abs(float((a - b).detach())) for a, b in zip(expected, found))
        for name, parameter in model.named_parameters():
            other = weights[reference_names(name, c.layers)].grad
            other = torch.zeros_like(parameter) if other is None else other
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            worst = max(worst, float((other - grad).abs().max()))
        print(f"pad_values={pad_values}: losses and gradients differ by at most {worst:.1e}")
        assert worst < 1e-7  # the reference rounds angles to float32 in another order


main()
