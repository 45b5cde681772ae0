"""What the checkpoints of `checkpoints.py` are: configurations in the spelling that every release reads.

`features` are changes of the configuration, each of which must move the logits; `gains` scale the random
weights whose name contains the key; `legacy` are changes for transformers 4.
"""

TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def fixture(family, config, features, dtype="bfloat16", **more):
    return {
        "config_class": f"{family}Config",
        "model_class": f"{family}ForCausalLM",
        "config": TOKENS | config,
        "features": features,
        "dtype": dtype,
    } | more


def sizes(hidden, layers, heads, kv_heads, feed_forward, vocabulary, context=256, **more):
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": feed_forward,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
    } | more


def gemma3_text(**more):
    """Seven layers: five local ones, a global one, and the pattern begins again."""
    keys = sizes(32, 7, 4, 2, 28, 113, head_dim=8, sliding_window=12, query_pre_attn_scalar=6)
    keys |= {"rope_theta": 20000.0, "rope_local_base_freq": 500.0}
    return keys | {"rope_scaling": {"rope_type": "linear", "factor": 8.0}} | more


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.2, 1.5],
    "long_factor": [1.5, 4.0, 9.0],
}

FIXTURES = {
    "llama": fixture(
        "Llama",
        sizes(32, 2, 4, 4, 44, 131, rope_theta=5000.0, tie_word_embeddings=False),
        {"rope base": {"rope_theta": 10000.0}},
        dtype="float32",
    ),
    "llama3": fixture(
        "Llama",
        sizes(48, 3, 6, 2, 56, 151, tie_word_embeddings=True, attention_bias=True, mlp_bias=True)
        | {"rope_theta": 50000.0, "rope_scaling": LLAMA3},
        {
            "rope scaling": {"rope_scaling": None},
            "attention bias": {"attention_bias": False},
            "mlp bias": {"mlp_bias": False},
        },
        dtype="float16",
    ),
    "mistral": fixture(
        "Mistral",
        sizes(40, 3, 4, 2, 64, 109, head_dim=14, sliding_window=16, rope_theta=10000.0),
        {"window": {"sliding_window": None}},
    ),
    "mixtral": fixture(
        "Mixtral",
        sizes(32, 3, 4, 2, 24, 101, num_local_experts=5, num_experts_per_tok=2, sliding_window=20)
        | {"rope_theta": 10000.0},
        {"window": {"sliding_window": None}, "experts": {"num_experts_per_tok": 1}},
    ),
    "qwen2": fixture(
        "Qwen2",
        sizes(40, 4, 4, 2, 48, 127, use_sliding_window=True, sliding_window=16, max_window_layers=2)
        | {"rope_theta": 10000.0},
        {"window": {"use_sliding_window": False}, "layers with windows": {"max_window_layers": 3}},
    ),
    "qwen3": fixture(
        "Qwen3",
        sizes(40, 3, 4, 2, 72, 137, head_dim=16, rope_theta=10000.0, rope_scaling=YARN)
        | {"tie_word_embeddings": True, "attention_bias": True},
        {"rope scaling": {"rope_scaling": None}, "attention bias": {"attention_bias": False}},
    ),
    "qwen3-moe": fixture(
        "Qwen3Moe",
        sizes(32, 6, 4, 2, 36, 103, head_dim=10, num_experts=5, num_experts_per_tok=2)
        | {"moe_intermediate_size": 16, "decoder_sparse_step": 2, "mlp_only_layers": [3]}
        | {"norm_topk_prob": False, "rope_theta": 10000.0},
        {"renormalisation": {"norm_topk_prob": True}, "experts": {"num_experts_per_tok": 3}},
    ),
    "phi3": fixture(
        "Phi3",
        # The factors apply to three quarters of a head of 8. The short prompt and its continuation stay
        # within the original context, the long prompt does not.
        sizes(48, 3, 6, 2, 56, 139, context=512, sliding_window=40, rope_theta=1000.0)
        | {"partial_rotary_factor": 0.75, "original_max_position_embeddings": 64, "rope_scaling": LONGROPE},
        {
            "rope scaling": {"rope_scaling": None},
            "window": {"sliding_window": None},
            "original context": {"original_max_position_embeddings": 128},
        },
        legacy={"rope_scaling": {"type": "longrope"} | {k: v for k, v in LONGROPE.items() if k != "rope_type"}},
    ),
    "gemma2": fixture(
        "Gemma2",
        sizes(36, 4, 4, 2, 56, 107, head_dim=12, sliding_window=16, query_pre_attn_scalar=5)
        | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 8.0, "rope_theta": 10000.0},
        {
            "window": {"sliding_window": 256},
            "softcap of attention": {"attn_logit_softcapping": None},
            "softcap of logits": {"final_logit_softcapping": None},
            "scale of attention": {"query_pre_attn_scalar": 12},
        },
        # The exact root of 36, so that no rounding of the embedding's factor is tested here.
        gains={"norm offset": 1.0, "embed_tokens": 0.4},
    ),
    "gemma3": fixture(
        "Gemma3",
        # A hidden size without a whole root, in f32: the embedding's factor is not rounded there.
        gemma3_text(hidden_size=27, num_attention_heads=3, num_key_value_heads=1),
        {
            "window": {"sliding_window": 256},
            "rope scaling": {"rope_scaling": None},
            "global base": {"rope_theta": 500.0},
            "local base": {"rope_local_base_freq": 20000.0},
            "scale of attention": {"query_pre_attn_scalar": 10},
        },
        config_class="Gemma3TextConfig",
        dtype="float32",
        gains={"norm offset": 1.0, "embed_tokens": 0.4},
    ),
    "gemma3-vision": fixture(
        "Gemma3",
        {
            "text_config": TOKENS | gemma3_text(hidden_size=36, num_attention_heads=4),
            "vision_config": {
                "hidden_size": 8,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 1,
                "image_size": 8,
                "patch_size": 4,
            },
            "mm_tokens_per_image": 4,
            "image_token_index": 112,
            "boi_token_index": 110,
            "eoi_token_index": 111,
        },
        {"window": {"text_config": {"sliding_window": 256}}},
        text_config_class="Gemma3TextConfig",
        model_class="Gemma3ForConditionalGeneration",
        gains={"norm offset": 1.0, "embed_tokens": 0.4},
    ),
    "olmo2": fixture(
        "Olmo2",
        sizes(40, 3, 4, 2, 64, 127, attention_bias=True, rope_theta=20000.0, tie_word_embeddings=False),
        {"attention bias": {"attention_bias": False}},
    ),
    "smollm3": fixture(
        "SmolLM3",
        sizes(40, 4, 4, 2, 48, 119, no_rope_layers=[1, 0, 1, 0], rope_theta=5000.0)
        | {"use_sliding_window": True, "sliding_window": 24, "mlp_bias": True, "tie_word_embeddings": True},
        {
            "layers without rope": {"no_rope_layers": [1, 1, 1, 1], "layer_types": None},
            "window": {"use_sliding_window": False, "layer_types": None},
            "mlp bias": {"mlp_bias": False},
        },
    ),
    "granite": fixture(
        "Granite",
        sizes(40, 3, 4, 2, 56, 121, embedding_multiplier=3.0, attention_multiplier=0.1875, rope_theta=10000.0)
        | {"residual_multiplier": 0.75, "logits_scaling": 0.5, "tie_word_embeddings": True}
        | {"attention_bias": True, "mlp_bias": True},
        {
            "multiplier of the embedding": {"embedding_multiplier": 1.0},
            "multiplier of attention": {"attention_multiplier": 0.4},
            "multiplier of the residual": {"residual_multiplier": 1.0},
            "scaling of the logits": {"logits_scaling": 1.0},
        },
        gains={"embed_tokens": 0.4},
    ),
    "starcoder2": fixture(
        "Starcoder2",
        sizes(40, 3, 4, 2, 96, 117, sliding_window=16, rope_theta=10000.0, use_bias=True, norm_epsilon=1e-5),
        {"window": {"sliding_window": None}, "bias": {"use_bias": False}},
    ),
}
