# SPDX-License-Identifier: MIT
"""transformers' models with the weights of generator.py, under the names that files have."""

import copy

import generator
import torch
import transformers
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

transformers.logging.set_verbosity_error()

_FUSED = {"mlp.experts.gate_up_proj": ("gate_proj", "up_proj"), "mlp.experts.down_proj": ("down_proj",)}


def split_experts(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Views of transformers' stacked expert tensors, one per expert and matrix, as files name them."""
    split = {}
    for name, tensor in tensors.items():
        for fused, parts in _FUSED.items():
            if name.endswith(fused):
                prefix = name.removesuffix(fused)
                for expert, matrix in enumerate(tensor):
                    for part, rows in zip(parts, matrix.chunk(len(parts))):
                        split[f"{prefix}mlp.experts.{expert}.{part}.weight"] = rows
                break
        else:
            split[name] = tensor
    return split


def build(config: dict, dtype: torch.dtype, bias_set: int = 0):
    """A model in eval mode with eager attention and experts, every tensor given by the formula."""
    classes = {
        "deepseek_v3": (DeepseekV3Config, DeepseekV3ForCausalLM),
        "deepseek_v2": (DeepseekV2Config, DeepseekV2ForCausalLM),
    }
    config_class, model_class = classes[config["model_type"]]
    parsed = config_class(**copy.deepcopy(config))
    parsed._attn_implementation = "eager"
    parsed._experts_implementation = "eager"
    model = model_class(parsed).to(dtype).eval()
    with torch.no_grad():
        for name, tensor in split_experts(dict(model.state_dict(keep_vars=True))).items():
            if "e_score_correction_bias" in name:
                tensor.data = tensor.data.to(torch.promote_types(dtype, torch.float32))  # never below float32
            tensor.copy_(torch.from_numpy(generator.weight(name, tensor.shape, bias_set)))
    return model


def weights_of(model) -> dict[str, torch.Tensor]:
    """The model's tensors under the names of files, sharing memory with the model."""
    return {name: tensor.detach() for name, tensor in split_experts(dict(model.state_dict())).items()}


def gradients_of(model) -> dict[str, torch.Tensor]:
    return split_experts({name: parameter.grad for name, parameter in model.named_parameters()})
