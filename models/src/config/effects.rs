//! Keys that are known to change what a model computes, and the values at which they do not.
//!
//! A family reads the keys that it knows. A key of this list that it did not read, with a value that
//! says something, means that the checkpoint computes something else than the family's plan.

use serde_json::Value;

/// When a key has no effect.
#[derive(Clone, Copy)]
enum Inert {
    /// `null`, `false`, zero, or an empty list.
    Off,
    /// `null` or one.
    One,
    /// `null`, or a list in which every layer is of the full kind.
    AllFull,
    /// `null`, or a list of ones.
    AllOnes,
    /// `null` or `true`.
    True,
    /// `null`, or one of the names of what everybody does.
    Named(&'static [&'static str]),
}

const KEYS: &[(&str, Inert)] = &[
    // Attention.
    ("attention_bias", Inert::Off),
    ("attention_in_bias", Inert::Off),
    ("attention_out_bias", Inert::Off),
    ("qkv_bias", Inert::Off),
    ("use_qkv_bias", Inert::Off),
    ("add_qkv_bias", Inert::Off),
    ("attn_logit_softcapping", Inert::Off),
    ("attn_logit_softcap", Inert::Off),
    ("attention_multiplier", Inert::Off),
    ("attention_scale", Inert::Off),
    ("query_pre_attn_scalar", Inert::Off),
    ("attn_temperature_tuning", Inert::Off),
    ("attention_chunk_size", Inert::Off),
    ("attn_output_gate", Inert::Off),
    ("clip_qkv", Inert::Off),
    ("use_qk_norm", Inert::Off),
    ("qk_norm", Inert::Off),
    ("qk_layernorm", Inert::Off),
    ("use_bidirectional_attention", Inert::Off),
    ("is_causal", Inert::True),
    ("sliding_window", Inert::Off),
    ("use_sliding_window", Inert::Off),
    ("sliding_window_pattern", Inert::Off),
    ("layer_types", Inert::AllFull),
    ("num_kv_shared_layers", Inert::Off),
    ("num_attention_heads_per_layer", Inert::Off),
    // Rotations.
    ("no_rope_layers", Inert::AllOnes),
    ("no_rope_layer_interval", Inert::Off),
    ("rope_local_base_freq", Inert::Off),
    ("rotary_pct", Inert::One),
    ("rotary_dim", Inert::Off),
    ("rotary_emb_fraction", Inert::One),
    ("rope_interleaved", Inert::Off),
    ("rope_interleave", Inert::Off),
    ("rope_ratio", Inert::One),
    ("mrope_section", Inert::Off),
    ("mrope_interleaved", Inert::Off),
    ("xdrope_section", Inert::Off),
    ("alpha", Inert::Off),
    ("short_mscale", Inert::Off),
    ("long_mscale", Inert::Off),
    ("alibi", Inert::Off),
    ("position_embedding_type", Inert::Named(&["rope", "absolute", "rotary"])),
    // Feed-forward parts.
    ("mlp_bias", Inert::Off),
    ("use_mlp_bias", Inert::Off),
    ("use_bias", Inert::Off),
    ("num_experts", Inert::Off),
    ("num_local_experts", Inert::Off),
    ("n_routed_experts", Inert::Off),
    ("n_shared_experts", Inert::Off),
    ("shared_expert_intermediate_size", Inert::Off),
    ("shared_intermediate_size", Inert::Off),
    ("first_k_dense_replace", Inert::Off),
    ("routed_scaling_factor", Inert::One),
    ("swiglu_limit", Inert::Off),
    // Norms, residuals and multipliers.
    ("parallel_residual", Inert::Off),
    ("use_parallel_residual", Inert::Off),
    ("parallel_attn", Inert::Off),
    ("residual_multiplier", Inert::One),
    ("embedding_multiplier", Inert::One),
    ("embedding_scale", Inert::One),
    ("scale_emb", Inert::One),
    ("scale_depth", Inert::One),
    ("dim_model_base", Inert::Off),
    ("logits_scaling", Inert::One),
    ("logit_scale", Inert::One),
    ("lm_head_multiplier", Inert::One),
    ("mup_denominator", Inert::Off),
    ("final_logit_softcapping", Inert::Off),
    ("hidden_size_per_layer_input", Inert::Off),
    ("altup_num_inputs", Inert::Off),
    ("laurel_rank", Inert::Off),
    ("final_norm", Inert::True),
    ("lm_head_bias", Inert::Off),
    // Another kind of model altogether.
    ("is_encoder_decoder", Inert::Off),
    ("add_cross_attention", Inert::Off),
    ("cross_attention_layers", Inert::Off),
    ("kv_lora_rank", Inert::Off),
    ("mamba_d_state", Inert::Off),
    ("linear_num_value_heads", Inert::Off),
    ("classifier_dropout", Inert::Off),
];

/// What the value of a key would have to be to have no effect, where it has one.
pub(super) fn needed(key: &str, value: &Value) -> Option<String> {
    let (_, inert) = KEYS.iter().find(|(known, _)| *known == key)?;
    let (harmless, needed) = match inert {
        Inert::Off => (is_off(value), "null, false or 0".to_owned()),
        Inert::One => (value.is_null() || is_one(value), "1".to_owned()),
        Inert::AllFull => (all(value, |v| v == "full_attention"), "full_attention everywhere".to_owned()),
        Inert::AllOnes => (all(value, is_one), "1 everywhere".to_owned()),
        Inert::True => (value.is_null() || value == true, "true".to_owned()),
        Inert::Named(names) => {
            (value.is_null() || names.iter().any(|name| value == name), names.join(" or "))
        }
    };
    (!harmless).then_some(needed)
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn all(value: &Value, kind: impl Fn(&Value) -> bool) -> bool {
    value.is_null() || value.as_array().is_some_and(|list| list.iter().all(kind))
}
