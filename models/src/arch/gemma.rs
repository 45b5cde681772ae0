//! What the Gemma families share: a scaled embedding, norms with weights stored as `w − 1` before and
//! after both parts of a layer, and logits that may be capped.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError};

use super::decoder::{Layer, embedding, gated, head, layers};
use super::{Dimensions, PlanOptions};
use crate::config::{ConfigError, Fields};

/// The decoder around the families' attention. What `prepare` declares is handed to each layer's.
pub(super) fn decoder<P: Copy>(
    of: &Dimensions,
    options: &PlanOptions,
    (embedding_factor, softcap): (f32, Option<f32>),
    prepare: impl Fn(&mut PlanBuilder, usize) -> P,
    attention: impl Fn(&mut PlanBuilder, &Layer<'_>, P, Columns) -> Columns,
) -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let embedding = embedding(&mut plan, of, options);
    let prepared = prepare(&mut plan, options.context.unwrap_or(of.context));

    let x = plan.embed_scaled(embedding, embedding_factor);
    let x = layers(&mut plan, of, options, x, |plan, layer, x| {
        let h = norm(plan, layer, "input_layernorm", x);
        let h = attention(plan, layer, prepared, h);
        let h = norm(plan, layer, "post_attention_layernorm", h);
        let x = plan.add(x, h);
        let h = norm(plan, layer, "pre_feedforward_layernorm", x);
        let h = gated(plan, layer, h, false);
        let h = norm(plan, layer, "post_feedforward_layernorm", h);
        plan.add(x, h)
    });
    let weight = plan.vector("model.norm.weight", of.hidden);
    let x = plan.rms_norm_offset(x, weight, of.epsilon);
    let head = head(&mut plan, of, options, embedding);
    let mut logits = plan.logits(x, head);
    if let Some(cap) = softcap {
        logits = plan.softcap(logits, cap);
        plan.hand_out_logits(logits);
    }
    plan.sample(logits);
    plan.finish()
}

fn norm(plan: &mut PlanBuilder, layer: &Layer<'_>, name: &str, x: Columns) -> Columns {
    let weight = plan.vector(format!("{}.{name}.weight", layer.name), x.width);
    plan.rms_norm_offset(x, weight, layer.of.epsilon)
}

/// Reads a cap of logits.
pub(super) fn softcap(config: &Fields, key: &str) -> Result<Option<f32>, ConfigError> {
    Ok(config.optional_number(key, 1e-6..=1e9)?.map(|cap| cap as f32))
}

/// What the embedding is multiplied by: the root of its size, in the precision that the model was
/// trained in and that its weights are stored in.
pub(crate) fn embedding_factor(dtype: Option<&str>, hidden: usize) -> f32 {
    let root = (hidden as f64).sqrt() as f32;
    match dtype {
        Some("float32" | "float64") => root,
        Some("float16") => rounded(root, 13),
        _ => rounded(root, 16),
    }
}

/// A number without the last bits of its mantissa, ties to even.
fn rounded(number: f32, bits_less: u32) -> f32 {
    let (bits, unit) = (number.to_bits(), 1u32 << bits_less);
    let half = (unit >> 1) - 1 + (bits >> bits_less & 1);
    f32::from_bits((bits + half) & !(unit - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedding_factor_has_the_precision_of_the_weights() {
        let factor = |dtype| embedding_factor(Some(dtype), 2560).to_bits();
        // √2560 = 50.59644256…; bf16 has steps of 0.25 there and f16 of 0.03125.
        assert_eq!(factor("bfloat16"), 50.5f32.to_bits());
        assert_eq!(factor("float16"), 50.59375f32.to_bits());
        assert_eq!(factor("float32"), 50.596_443f32.to_bits());
    }
}
