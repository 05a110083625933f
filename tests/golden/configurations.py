# SPDX-License-Identifier: MIT
"""The five tiny models, as config.json dictionaries in the spelling of released checkpoints."""

_T1 = dict(
    model_type="deepseek_v3",
    vocab_size=128,
    hidden_size=64,
    intermediate_size=96,
    moe_intermediate_size=32,
    num_hidden_layers=3,
    first_k_dense_replace=1,
    moe_layer_freq=1,
    num_attention_heads=4,
    num_key_value_heads=4,
    q_lora_rank=24,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=12,
    n_routed_experts=16,
    num_experts_per_tok=4,
    n_shared_experts=1,
    n_group=4,
    topk_group=2,
    topk_method="noaux_tc",
    scoring_func="sigmoid",
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    hidden_act="silu",
    rms_norm_eps=1e-6,
    rope_theta=10000.0,
    rope_scaling=None,
    max_position_embeddings=256,
    attention_bias=False,
    attention_dropout=0.0,
    tie_word_embeddings=False,
    num_nextn_predict_layers=0,
)


def _yarn(mscale: float) -> dict:
    return dict(
        type="yarn",
        factor=4,
        original_max_position_embeddings=64,
        beta_fast=32,
        beta_slow=1,
        mscale=mscale,
        mscale_all_dim=mscale,
    )


# Moonlight-like: no query compression, no groups, two shared experts, other theta and epsilon.
_T2 = _T1 | dict(q_lora_rank=None, n_group=1, topk_group=1, n_shared_experts=2, rope_theta=50000.0, rms_norm_eps=1e-5)

_T3 = _T1 | dict(rope_scaling=_yarn(1.0))

# V2-Lite-like: softmax scores, greedy choice, gates neither normalised nor scaled.
_T4 = _T1 | dict(
    model_type="deepseek_v2",
    q_lora_rank=None,
    n_group=1,
    topk_group=1,
    topk_method="greedy",
    scoring_func="softmax",
    norm_topk_prob=False,
    routed_scaling_factor=1.0,
    rope_scaling=_yarn(0.707),
)

_T5 = _T4 | dict(topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=16.0)

CONFIGURATIONS = {"t1": _T1, "t2": _T2, "t3": _T3, "t4": _T4, "t5": _T5}

# Files whose keys transformers does not take at their word, or whose parts are unusual.
VARIANTS = {
    "v2_normalised": _T4 | dict(norm_topk_prob=True, routed_scaling_factor=1.5),
    "v2_greedy_in_groups": _T4 | dict(n_group=4, topk_group=1),
    "v2_no_shared": _T4 | dict(n_shared_experts=0),
    "v3_no_shared": _T1 | dict(n_shared_experts=0),
    "yarn_of_factor_1": _T1 | dict(rope_scaling=_yarn(1.0) | dict(factor=1.0, attention_factor=1.25)),
}
