# SPDX-License-Identifier: MIT
"""Models of random sizes, there and back: transformers saves and this library loads, this library saves and transformers
loads; each time all logits and the greedy continuation are the same. The types come from deepseek_add_model.

huggingface.py [--count 20] [--first 0] [--seed 1] [-D…]: other flags go to CMake; --first leaves out the models before that
one. Exit status 77 (skipped) without transformers.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

# transformers goes through float32 in its norms, routers and rotary tables, whatever the dtype of the model.
TOLERANCE = 2e-6


def random_config(r: random.Random):
    """A configuration that both sides can express."""
    second = r.random() < 0.3
    layers = r.randint(1, 4)
    groups = r.choice([1, 1, 2, 4])
    experts = groups * r.randint(2, 4)
    kept = r.randint(1, groups)
    hidden = r.choice([24, 32, 40, 56])
    rope = {"rope_type": "default", "rope_theta": r.choice([1e4, 5e4, 1e6])}
    if r.random() < 0.5:
        rope |= {"rope_type": "yarn", "factor": r.choice([2.0, 4.0]), "original_max_position_embeddings": 16}
        rope |= r.choice([{"mscale": 1.0, "mscale_all_dim": 1.0}, {"mscale": 0.707, "mscale_all_dim": 0.5}, {}])
    context = int(16 * rope["factor"]) if rope["rope_type"] == "yarn" else 64
    shared = {
        "vocab_size": r.randint(50, 90),
        "hidden_size": hidden,
        "intermediate_size": r.randint(10, 60),
        "moe_intermediate_size": r.randint(5, 30),
        "num_hidden_layers": layers,
        "num_attention_heads": (heads := r.randint(1, 4)),
        "num_key_value_heads": heads,
        "n_routed_experts": experts,
        "num_experts_per_tok": r.randint(1, min(4, kept * experts // groups)),
        "n_shared_experts": r.randint(0, 2),
        "n_group": groups,
        "topk_group": kept,
        "routed_scaling_factor": r.choice([1.0, 2.446, 2.5]),
        "first_k_dense_replace": r.randint(0, layers),
        "q_lora_rank": r.choice([None, r.randint(4, hidden)]),
        "kv_lora_rank": r.randint(4, hidden),
        "qk_nope_head_dim": r.randint(3, 20),
        "qk_rope_head_dim": 2 * r.randint(1, 8),
        "v_head_dim": r.randint(3, 20),
        "rms_norm_eps": r.choice([1e-6, 1e-5]),
        "rope_parameters": rope,
        "max_position_embeddings": context,
        "attention_bias": r.random() < 0.3,
        "tie_word_embeddings": r.random() < 0.3,
        "initializer_range": 0.2,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "attn_implementation": "eager",
        "experts_implementation": "eager",
    }
    if second:
        method = "greedy" if groups == 1 else "group_limited_greedy"
        return transformers.DeepseekV2Config(topk_method=method, norm_topk_prob=False, **shared)
    return transformers.DeepseekV3Config(
        norm_topk_prob=r.random() < 0.7,
        rope_interleave=r.random() < 0.7,
        num_mtp_layers=r.randint(0, 1),
        **shared,
    )


def save_random_model(r: random.Random, folder: Path) -> str:
    """A model with random norms and router biases, in one of the forms that transformers writes."""
    config = random_config(r)
    network = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith(("norm.weight", "layernorm.weight")):
                tensor.copy_(1 + 0.2 * torch.randn_like(tensor))
            elif name.endswith((".bias", "e_score_correction_bias")):
                tensor.copy_(0.1 * torch.randn_like(tensor))
    dtype = r.choice([torch.float32, torch.bfloat16, torch.float16])
    stacked = r.random() < 0.4
    shards = r.choice(["50GB", "40KB"])
    network.to(dtype).save_pretrained(folder, save_original_format=not stacked, max_shard_size=shards)
    form = f"{str(dtype)[6:]}, {'stacked' if stacked else 'single'} experts, {len(list(folder.glob('*.safetensors')))} files"
    return f"{config.model_type}, {form}"


def answers(folder: Path):
    """What transformers computes: logits of 20 tokens, and 12 more by greedy decoding."""
    network = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    tokens = torch.tensor([[(7 * i * i + 3 * i + 1) % network.config.vocab_size for i in range(20)]])
    with torch.no_grad():
        logits = network(tokens).logits[0]
        for _ in range(12):
            tokens = torch.cat([tokens, network(tokens, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    return logits, tokens[0, 20:].tolist()


def compare(folder: Path, name: str) -> float:
    *rows, continuation = (folder / f"{name}.answers").read_text().splitlines()
    ours = torch.tensor([[float(x) for x in row.split()] for row in rows], dtype=torch.float64)
    theirs, tokens = answers(folder / name)
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    assert error < TOLERANCE, f"{folder.name}/{name}: logits differ by {error} of the largest"
    found = [int(x) for x in continuation.split()]
    assert found == tokens, f"{folder.name}/{name}: continued by {found}, by transformers with {tokens}"
    return error


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    flags, definitions = parser.parse_known_args()
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="Initializing zero-element tensors")  # of absent shared experts
    with tempfile.TemporaryDirectory() as scratch:
        models, build = Path(scratch, "models"), Path(scratch, "build")
        kinds = {}
        for i in range(flags.first, flags.first + flags.count):
            folder = models / f"m{i}"
            torch.manual_seed(1000 * flags.seed + i)
            kinds[folder] = save_random_model(random.Random(1000 * flags.seed + i), folder / "theirs")
        source = Path(__file__).parent / "huggingface"
        configure = ["cmake", "-S", source, "-B", build, f"-DMODELS={models}", *definitions]
        subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", build, "--target", "check"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([build / "check", models], check=True)
        for folder, kind in kinds.items():
            loaded, saved = compare(folder, "theirs"), compare(folder, "ours")
            print(f"{folder.name}: {kind}: loaded {loaded:.1e}, saved {saved:.1e}")
    print(f"transformers {transformers.__version__}: {flags.count} models in both directions")


main()
