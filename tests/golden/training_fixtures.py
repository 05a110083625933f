# SPDX-License-Identifier: MIT
"""Training T1: AdamW, the balance loss in the whole model, the update of the router bias. README.md, `training`."""

import float64
import hf
import numpy as np
import torch
import torch_reference as reference
from configurations import CONFIGURATIONS
from model_fixtures import BATCH, LENGTH, choose_tokens, double_model, gradient_tensors, relative
from transformers.loss.loss_utils import fixed_cross_entropy

STEPS = 20


def adamw(config: dict) -> dict:
    """Twenty steps of torch.optim.AdamW; matrices decay, vectors do not. A new batch every step."""
    model = double_model(config)
    weights = hf.weights_of(model)  # shares memory with the model
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)],
        lr=1e-3,
        betas=(0.9, 0.95),
        eps=1e-8,
        foreach=False,
    )
    windows, losses = [], []
    for step in range(STEPS):
        tokens, labels = choose_tokens(config, weights, f"adamw.{step}", BATCH, LENGTH, router=1e-6, argmax=0.0)
        loss = reference.main_loss(model(tokens).logits, labels)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        windows.append(torch.cat([tokens, labels[:, -1:]], dim=1))
        losses.append(float(loss.detach()))
    final = {name: tensor for name, tensor in weights.items() if ".experts." not in name or ".experts.0." in name}
    del final["model.layers.1.mlp.gate.e_score_correction_bias"], final["model.layers.2.mlp.gate.e_score_correction_bias"]
    return {
        "adamw.windows": torch.stack(windows).numpy(),
        "adamw.losses": np.array(losses),
        **gradient_tensors(final, "adamw.final."),
    }


def balanced(config: dict) -> dict:
    """Main loss plus the balance loss (alpha 0.01) of every MoE layer: value of each part, all gradients."""
    weights = hf.weights_of(double_model(config))
    tokens, labels = choose_tokens(config, weights, "balanced", BATCH, LENGTH)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    output = reference.forward(config, leaves, tokens)
    balance = [reference.balance_loss(config, routed, BATCH, 0.01) for routed in output.routes]
    main = reference.main_loss(output.logits, labels)
    (main + sum(balance)).backward()
    gradients = {
        name: leaf.grad
        for name, leaf in leaves.items()
        if leaf.grad is not None and (".experts." not in name or ".experts.0." in name)
    }
    return {
        "balanced.tokens": tokens.numpy(),
        "balanced.labels": labels.numpy(),
        "balanced.loss": (main + sum(balance)).detach().numpy().reshape(1),
        "balanced.loss.layers": torch.stack(balance).detach().numpy(),
        **gradient_tensors(gradients, "balanced.grad."),
    }


def ignored(config: dict, fixture: dict[str, np.ndarray]) -> dict:
    """The loss of transformers with every third label -100, on the tokens of `balanced`; two gradients.

    The model's own loss rounds logits to float32; the mean behind it does not.
    """
    tokens = torch.from_numpy(fixture["balanced.tokens"])
    labels = torch.from_numpy(fixture["balanced.labels"]).clone()
    labels.flatten()[::3] = reference.IGNORED
    model = double_model(config)
    output = model(tokens, labels=tokens, shift_labels=labels)
    loss = fixed_cross_entropy(output.logits.flatten(0, 1), labels.flatten())
    assert (output.loss - loss).abs() < 1e-6 * loss
    loss.backward()
    gradients = dict(model.named_parameters())
    names = ("model.norm.weight", "model.layers.0.input_layernorm.weight")
    return {
        "ignored.loss": loss.detach().numpy().reshape(1),
        **gradient_tensors({name: gradients[name].grad for name in names}, "ignored.grad."),
    }


def bias_update(config: dict) -> dict:
    """Two micro-batches, then one update of each layer's bias from the counts of both, by 0.001."""
    speed = 0.001
    weights = hf.weights_of(double_model(config))
    batches = [choose_tokens(config, weights, f"bias.{i}", BATCH, LENGTH)[0] for i in range(2)]
    routes = [reference.forward(config, weights, tokens).routes for tokens in batches]
    fixture = {"bias.tokens": torch.stack(batches).numpy()}
    for i, layer in enumerate((1, 2)):
        counts = torch.stack([torch.bincount(r[i].indices.flatten(), minlength=16) for r in routes])
        name = f"model.layers.{layer}.mlp.gate.e_score_correction_bias"
        total = counts.sum(0)
        fixture[f"bias.counts.{layer}"] = counts.numpy()
        fixture[f"bias.after.{layer}"] = reference.updated_bias(weights[name], total, speed).numpy()
        zero_mean = reference.updated_bias(weights[name], total, speed, zero_mean=True)
        fixture[f"bias.after_zero_mean.{layer}"] = zero_mean.numpy()
    return fixture


def build() -> dict[str, np.ndarray]:
    config = CONFIGURATIONS["t1"]
    with float64.wide():
        balance = balanced(config)
        return adamw(config) | balance | ignored(config, balance) | bias_update(config)
