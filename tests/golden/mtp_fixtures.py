# SPDX-License-Identifier: MIT
"""Multi-token prediction on T1: the restatement's logits, losses and gradients. Contents: README.md, `mtp`."""

import copy

import float64
import generator
import hf
import numpy as np
import torch
import torch_reference as reference
from configurations import CONFIGURATIONS
from model_fixtures import choose_tokens, double_model, gradient_tensors, relative
from transformers.modeling_layers import MtpLayer
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as v3

DEPTHS = 3
WEIGHT = 0.3
BATCH, LENGTH = 2, 21


def configuration(depths: int) -> dict:
    return CONFIGURATIONS["t1"] | dict(num_nextn_predict_layers=depths)


def weights_with_modules(depths: int) -> dict[str, torch.Tensor]:
    """T1's weights and those of `depths` modules: layers 3, 4, … with the extra tensors of section 5.4."""
    deep = CONFIGURATIONS["t1"] | dict(num_hidden_layers=3 + depths)
    width = deep["hidden_size"]
    weights = dict(hf.weights_of(double_model(deep)))
    for layer in range(3, 3 + depths):
        for name, shape in (
            ("enorm.weight", [width]),
            ("hnorm.weight", [width]),
            ("shared_head.norm.weight", [width]),
            ("eh_proj.weight", [width, 2 * width]),
        ):
            full = f"model.layers.{layer}.{name}"
            weights[full] = torch.from_numpy(generator.weight(full, shape))
    return weights


def drafting_module(weights: dict, layer: int, tokens: torch.Tensor, hidden: torch.Tensor, depth: int) -> torch.Tensor:
    """transformers' own (inference) module: normalised hidden states of rows [0, T - depth)."""
    model = double_model(CONFIGURATIONS["t1"])
    module = MtpLayer(model.config, v3.DeepseekV3DecoderLayer, v3.DeepseekV3RMSNorm, layer).double().eval()
    prefix = f"model.layers.{layer}."
    renamed = {"enorm": "enorm", "hnorm": "hnorm", "eh_proj": "eh_proj", "post_norm": "shared_head.norm"}
    with torch.no_grad():
        for name, tensor in hf.split_experts(dict(module.state_dict(keep_vars=True))).items():
            stem = name.removesuffix(".weight")
            source = f"{renamed[stem]}.weight" if stem in renamed else name.removeprefix("mtp_block.")
            tensor.copy_(weights[prefix + source])
        length = tokens.shape[1] - depth
        embedded = torch.nn.functional.embedding(tokens[:, depth:], weights["model.embed_tokens.weight"])
        mask = torch.full((length, length), -torch.inf, dtype=torch.float64).triu(1)[None, None]
        positions = model.model.rotary_emb(embedded, torch.arange(length)[None])
        return module(embedded, hidden[:, :length], positions, mask, None, None)


def total(config: dict, output: reference.Output, labels: torch.Tensor) -> tuple[torch.Tensor, dict]:
    main, depths = reference.main_loss(output.logits, labels), reference.mtp_losses(output, labels)
    loss = main + WEIGHT / len(depths) * sum(depths)
    parts = {"loss": loss, "loss.main": main, "loss.depths": torch.stack(depths)}
    return loss, {name: part.detach().numpy().reshape(-1) for name, part in parts.items()}


def build() -> dict[str, np.ndarray]:
    weights = weights_with_modules(DEPTHS)
    config = configuration(DEPTHS)
    tokens, labels = choose_tokens(config, weights, "mtp", BATCH, LENGTH)
    fixture = {"input.tokens": tokens.numpy(), "input.labels": labels.numpy()}
    output = reference.forward(config, weights, tokens)

    # Module by module, transformers' drafting code gives the same logits.
    hidden = reference.rms_norm(output.stream[-1], weights["model.norm.weight"], config["rms_norm_eps"])
    with float64.wide():
        for depth, logits in enumerate(output.mtp_logits, 1):
            hidden = drafting_module(weights, 2 + depth, tokens, hidden, depth)
            assert relative(hidden @ weights["lm_head.weight"].T, logits) < 1e-12
            fixture[f"output.logits.{depth}"] = logits.float().numpy()
            swapped = copy.copy(weights)
            name = f"model.layers.{2 + depth}.eh_proj.weight"
            swapped[name] = weights[name].roll(config["hidden_size"], dims=1)
            wrong = reference.forward(config, swapped, tokens).mtp_logits[depth - 1]
            assert relative(wrong, logits) > 0.1, "the order of the halves makes no difference"

    for depths in range(1, DEPTHS + 1):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        loss, parts = total(config, reference.forward(configuration(depths), leaves, tokens), labels)
        loss.backward()
        fixture |= {f"dm{depths}.{name}": part for name, part in parts.items()}
        gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        if depths != 2:  # all of depth 2; elsewhere two experts stand for the others
            gradients = {
                name: g
                for name, g in gradients.items()
                if ".experts." not in name or ".experts.0." in name or ".experts.9." in name
            }
        fixture |= gradient_tensors(gradients, f"dm{depths}.grad.")

    masked = labels.clone()
    masked[0, 5:9] = masked[1, 0] = masked[1, -1] = reference.IGNORED
    fixture["masked.labels"] = masked.numpy()
    fixture |= {f"masked.{name}": part for name, part in total(config, output, masked)[1].items()}

    tied = configuration(1) | dict(tie_word_embeddings=True)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    loss, parts = total(tied, reference.forward(tied, leaves, tokens), labels)
    loss.backward()
    fixture |= {f"tied.{name}": part for name, part in parts.items()}
    shared = {"model.embed_tokens.weight": leaves["model.embed_tokens.weight"].grad}
    fixture |= gradient_tensors(shared, "tied.grad.")

    counting = torch.arange(13)[None]  # tokens 0 … 11, labels 1 … 12
    for depth in range(1, DEPTHS + 1):
        fixture[f"counting.labels.{depth}"] = reference.mtp_labels(counting[:, 1:], depth)[0].numpy()
    return fixture
