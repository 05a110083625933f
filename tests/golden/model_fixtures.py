# SPDX-License-Identifier: MIT
"""Whole models: logits, losses, gradients, generation, padding, bfloat16. Contents: README.md, `t1` … `t5`."""

import float64
import generator
import hf
import numpy as np
import torch
import torch_reference as reference
from configurations import CONFIGURATIONS

BATCH, LENGTH = 2, 33

# A choice nearer than this to a tie could fall differently in float32, whose error on scores is about 1e-6.
ROUTER_MARGIN = 1e-4
ARGMAX_MARGIN = 1e-2

TRACED_ROWS = [0, 7, 32]
LONG_ROWS = [0, 31, 63, 64, 100, 127, 150, 199]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


def double_model(config: dict, bias_set: int = 0):
    model = hf.build(config, torch.float64, bias_set)
    float64.replace_rotary_tables(model, config)
    return model


def top_gap(logits: torch.Tensor) -> float:
    best = logits.topk(2, dim=-1).values
    return float((best[..., 0] - best[..., 1]).min())


def choose_tokens(
    config: dict, weights: dict, key: str, *shape: int, router=ROUTER_MARGIN, argmax=ARGMAX_MARGIN
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first tokens of the keys key.0, key.1, … on which no routing and no argmax is close. Inputs and labels."""
    for trial in range(1000):
        window = torch.from_numpy(generator.tokens(f"{key}.{trial}", config["vocab_size"], shape[0], shape[1] + 1))
        tokens, labels = window[:, :-1], window[:, 1:]
        output = reference.forward(config, weights, tokens)
        if output.margin() > router and top_gap(output.logits) > argmax:
            return tokens, labels
    raise RuntimeError(f"{key}: no tokens with the margins asked for")


def gradient_tensors(gradients: dict[str, torch.Tensor], prefix: str = "grad.") -> dict[str, np.ndarray]:
    """Vectors whole, matrices as sketches."""
    return {
        prefix + name: generator.sketch(g.numpy()) if g.dim() == 2 else g.numpy().copy()
        for name, g in gradients.items()
    }


def greedy(config: dict, weights: dict, model, key: str, prompt_length: int = 8, new: int = 64) -> dict:
    """A generation in which no step is close to a tie, by generate() and by recomputing every prefix at once."""
    for trial in range(1000):
        prompt = torch.from_numpy(generator.tokens(f"{key}.greedy.{trial}", config["vocab_size"], 1, prompt_length))
        tokens = prompt
        for _ in range(new):
            output = reference.forward(config, weights, tokens)
            if output.margin() < ROUTER_MARGIN or top_gap(output.logits[:, -1]) < ARGMAX_MARGIN:
                break
            tokens = torch.cat([tokens, output.logits[:, -1].argmax(-1, keepdim=True)], dim=1)
        else:
            generated = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=new,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
            assert torch.equal(generated, tokens), f"{key}: generate() and recomputation disagree"
            return {"greedy.prompt": prompt[0].numpy(), "greedy.tokens": tokens[0, prompt_length:].numpy()}
    raise RuntimeError(f"{key}: no prompt with the margins asked for")


def bfloat16(config: dict, key: str) -> dict:
    """transformers in bfloat16 against the same rounded weights in float64, on tokens whose routing survives it."""
    narrow = hf.build(config, torch.bfloat16)
    rounded = {name: tensor.to(torch.float64) for name, tensor in hf.weights_of(narrow).items()}
    tokens, _ = choose_tokens(config, rounded, f"{key}.bf16", 1, 10, router=0.02, argmax=0.0)
    expected = reference.forward(config, rounded, tokens)
    chosen = []
    for module in narrow.modules():
        if type(module).__name__.endswith("TopkRouter"):
            module.register_forward_hook(lambda _, __, result: chosen.append(result[2].sort(dim=-1).values))
    actual = narrow(tokens).logits.double()
    assert all(torch.equal(a, b.indices) for a, b in zip(chosen, expected.routes, strict=True))
    error = actual - expected.logits
    return {
        "bf16.tokens": tokens.numpy(),
        "bf16.logits": expected.logits.numpy(),
        "bf16.error_max": np.array([float(error.abs().max())]),
        "bf16.error_rms": np.array([float(error.pow(2).mean().sqrt())]),
        "bf16.cosine": np.array([float(torch.cosine_similarity(actual, expected.logits, dim=-1).min())]),
    }


def left_padded(config: dict, weights: dict, model) -> dict:
    """Row 0 has 7 pads on its left, row 1 none. Logits of the pads are not defined and stored as zeros."""
    pads, length = 7, 20
    tokens, _ = choose_tokens(config, weights, "t1.padded", 2, length)
    alone = [row[None, pads if i == 0 else 0 :] for i, row in enumerate(tokens)]
    tokens, mask = tokens.clone(), torch.ones_like(tokens)
    tokens[0, :pads] = mask[0, :pads] = 0
    logits = model(tokens, attention_mask=mask).logits * mask[..., None]
    for row, real in enumerate(alone):
        assert relative(logits[row : row + 1, length - real.shape[1] :], model(real).logits) < 1e-6  # float32 angles
    return {
        "padded.tokens": tokens.numpy(),
        "padded.mask": mask.numpy(),
        "padded.logits": logits.float().numpy(),
    }


def build(name: str) -> dict[str, np.ndarray]:
    config = CONFIGURATIONS[name]
    model = double_model(config)
    weights = hf.weights_of(model)
    tokens, labels = choose_tokens(config, weights, name, BATCH, LENGTH)
    float64.check_changes_precision_only(hf.build, config, tokens)
    fixture = {"input.tokens": tokens.numpy(), "input.labels": labels.numpy()}
    with float64.wide():
        # Loss and gradients. (transformers' own loss function would cast the logits to float32.)
        logits = model(tokens).logits
        loss = reference.main_loss(logits, labels)
        loss.backward()
        gradients = hf.gradients_of(model)
        fixture |= gradient_tensors(gradients)
        fixture["output.loss"] = loss.detach().numpy().reshape(1)
        fixture["output.logits"] = logits.detach().numpy() if name in ("t1", "t2") else logits.detach().float().numpy()

        # The restatement agrees with transformers, in values and in gradients.
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        restated = reference.forward(config, leaves, tokens)
        reference.main_loss(restated.logits, labels).backward()
        assert relative(restated.logits, logits) < 1e-12
        for parameter, gradient in gradients.items():
            assert relative(leaves[parameter].grad, gradient) < 1e-11, f"{name}: gradient of {parameter}"
        for layer, x in enumerate(restated.stream):
            fixture[f"trace.{layer}"] = x[0, TRACED_ROWS].detach().numpy()
        fixture["trace.rows"] = np.array(TRACED_ROWS)

        with torch.no_grad():
            masked = labels.clone()
            masked[0, 5:9] = masked[1, 0] = masked[1, -1] = reference.IGNORED
            fixture["masked.labels"] = masked.numpy()
            fixture["masked.loss"] = reference.main_loss(logits, masked).numpy().reshape(1)

            long, _ = choose_tokens(config, weights, f"{name}.long", 1, 200, router=1e-5, argmax=0.0)
            fixture["long.tokens"] = long.numpy()
            fixture["long.rows"] = np.array(LONG_ROWS)
            fixture["long.logits"] = model(long).logits[0, LONG_ROWS].numpy()

            fixture |= greedy(config, weights, model, name)
            if name == "t1":
                fixture |= left_padded(config, weights, model)
                half_split = config | dict(rope_interleave=False)
                split_model = double_model(half_split)
                split_tokens, _ = choose_tokens(half_split, weights, "t1.half_split", 1, LENGTH)
                fixture["half_split.tokens"] = split_tokens.numpy()
                fixture["half_split.logits"] = split_model(split_tokens).logits.numpy()
                restated = reference.forward(half_split, weights, split_tokens)
                assert relative(restated.logits, split_model(split_tokens).logits) < 1e-12
                assert relative(model(split_tokens).logits, restated.logits) > 1e-2, "the layout makes no difference"
    if name in ("t1", "t3"):
        with torch.no_grad():
            fixture |= bfloat16(config, name)
    return fixture
