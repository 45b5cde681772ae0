//! Gemma 3: norms before and after each block with weights stored as `w − 1`, normalised queries and
//! keys, five layers of local attention to each global one with rotations of their own, a scaled
//! embedding, and GELU.

use ingle_backends::plan::{Attention, Columns, Plan, PlanBuilder, PlanError, RopeId, RopeSpec};

use super::{Architecture, AttentionWeights, Dimensions, FeedForwardWeights, WeightFormats, head};

/// A Gemma 3. The rotation of the dimensions is that of the global layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemma3 {
    pub dimensions: Dimensions,
    pub local_rope: RopeSpec,
    /// Positions that a local layer sees.
    pub window: u32,
    /// Every so-many-th layer is global.
    pub global_every: usize,
    /// Attention is scaled by one over its root.
    pub query_scalar: f32,
}

impl Architecture for Gemma3 {
    fn family(&self) -> &'static str {
        "gemma3"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, formats: WeightFormats) -> Result<Plan, PlanError> {
        let of = &self.dimensions;
        let mut plan = PlanBuilder::new();
        let embedding = plan.matrix("model.embed_tokens.weight", of.vocabulary, of.hidden, formats.embedding);
        let global_rope = plan.rope_spec(of.rope.clone());
        let local_rope = plan.rope_spec(self.local_rope.clone());

        // The published models were trained with this factor in bf16.
        let factor = half_precision_root(of.hidden);
        let mut x = plan.embed_scaled(embedding, factor);
        for index in 0..of.layers {
            plan.scope(format!("layers.{index}"));
            let layer = format!("model.layers.{index}");
            let mut norm = |name: &str| plan.vector(format!("{layer}.{name}.weight"), of.hidden);
            let before_attention = norm("input_layernorm");
            let after_attention = norm("post_attention_layernorm");
            let before_mlp = norm("pre_feedforward_layernorm");
            let after_mlp = norm("post_feedforward_layernorm");
            let global = (index + 1) % self.global_every == 0;
            let (rope, window) = if global { (global_rope, None) } else { (local_rope, Some(self.window)) };

            let h = plan.rms_norm_offset(x, before_attention, of.epsilon);
            let h = self.attention(&mut plan, &layer, formats, h, rope, window);
            let h = plan.rms_norm_offset(h, after_attention, of.epsilon);
            x = plan.add(x, h);

            let weights = FeedForwardWeights::declare(&mut plan, &layer, of, formats.layers);
            let h = plan.rms_norm_offset(x, before_mlp, of.epsilon);
            let (gate, up) = (plan.linear(h, weights.gate), plan.linear(h, weights.up));
            let h = plan.gelu_mul(gate, up);
            let h = plan.linear(h, weights.down);
            let h = plan.rms_norm_offset(h, after_mlp, of.epsilon);
            x = plan.add(x, h);
        }
        plan.scope("");
        let norm = plan.vector("model.norm.weight", of.hidden);
        let x = plan.rms_norm_offset(x, norm, of.epsilon);
        let head = head(&mut plan, of, embedding, formats.embedding);
        let logits = plan.logits(x, head);
        plan.sample(logits);
        plan.finish()
    }
}

impl Gemma3 {
    fn attention(
        &self,
        plan: &mut PlanBuilder,
        layer: &str,
        formats: WeightFormats,
        h: Columns,
        rope: RopeId,
        window: Option<u32>,
    ) -> Columns {
        let of = &self.dimensions;
        let weights = AttentionWeights::declare(plan, layer, of, formats.layers);
        let q_norm = plan.vector(format!("{layer}.self_attn.q_norm.weight"), of.head_dim);
        let k_norm = plan.vector(format!("{layer}.self_attn.k_norm.weight"), of.head_dim);
        let cache = plan.cache(of.kv_heads, of.head_dim);

        let (q, k, v) = (plan.linear(h, weights.q), plan.linear(h, weights.k), plan.linear(h, weights.v));
        let q = plan.head_norm(q, of.head_dim, q_norm, 1.0, of.epsilon);
        let k = plan.head_norm(k, of.head_dim, k_norm, 1.0, of.epsilon);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let attention = Attention {
            query: q,
            cache,
            heads: of.heads,
            scale: 1.0 / self.query_scalar.sqrt(),
            window,
            softcap: None,
            sinks: None,
            output: q.value,
        };
        let attended = plan.attend(k, v, attention);
        plan.linear(attended, weights.o)
    }
}

/// The root of a number, rounded to the 8 significant bits of bf16, ties to even.
fn half_precision_root(number: usize) -> f32 {
    let bits = (number as f32).sqrt().to_bits();
    let rounded = bits + 0x7fff + (bits >> 16 & 1);
    f32::from_bits(rounded & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::half_precision_root;

    #[test]
    fn the_embedding_factor_is_that_of_bf16() {
        // √2560 = 50.596…, and bf16 has steps of 0.25 there.
        assert!((half_precision_root(2560) - 50.5).abs() < f32::EPSILON);
        assert!((half_precision_root(1024) - 32.0).abs() < f32::EPSILON);
    }
}
