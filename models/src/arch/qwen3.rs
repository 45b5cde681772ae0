//! Qwen 3: a Llama whose queries and keys are normalised head by head.

use ingle_backends::plan::{CacheId, Columns, Plan, PlanBuilder, PlanError, RopeId};

use super::{Architecture, AttentionWeights, Dimensions, FeedForwardWeights, WeightFormats, head};

/// A dense Qwen 3.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen3(pub Dimensions);

impl Architecture for Qwen3 {
    fn family(&self) -> &'static str {
        "qwen3"
    }

    fn context(&self) -> usize {
        self.0.context
    }

    fn plan(&self, formats: WeightFormats) -> Result<Plan, PlanError> {
        decoder(&self.0, formats, |plan, layer, h| {
            let weights = FeedForwardWeights::declare(plan, layer, &self.0, formats.layers);
            let (gate, up) = (plan.linear(h, weights.gate), plan.linear(h, weights.up));
            let h = plan.silu_mul(gate, up);
            plan.linear(h, weights.down)
        })
    }
}

/// The decoder that dense models and mixtures of experts share, around their feed-forward part.
pub(super) fn decoder(
    of: &Dimensions,
    formats: WeightFormats,
    feed_forward: impl Fn(&mut PlanBuilder, &str, Columns) -> Columns,
) -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let embedding = plan.matrix("model.embed_tokens.weight", of.vocabulary, of.hidden, formats.embedding);
    let rope = plan.rope_spec(of.rope.clone());

    let mut x = plan.embed(embedding);
    for index in 0..of.layers {
        let layer = format!("model.layers.{index}");
        plan.scope(format!("layers.{index}"));
        let attention_norm = plan.vector(format!("{layer}.input_layernorm.weight"), of.hidden);
        let mlp_norm = plan.vector(format!("{layer}.post_attention_layernorm.weight"), of.hidden);
        let cache = plan.cache(of.kv_heads, of.head_dim);

        let h = plan.rms_norm(x, attention_norm, of.epsilon);
        let attended = attention(&mut plan, &layer, of, formats, h, rope, cache);
        x = plan.add(x, attended);

        let h = plan.rms_norm(x, mlp_norm, of.epsilon);
        let h = feed_forward(&mut plan, &layer, h);
        x = plan.add(x, h);
    }
    plan.scope("");
    let norm = plan.vector("model.norm.weight", of.hidden);
    let x = plan.rms_norm(x, norm, of.epsilon);
    let head = head(&mut plan, of, embedding, formats.embedding);
    let logits = plan.logits(x, head);
    plan.sample(logits);
    plan.finish()
}

fn attention(
    plan: &mut PlanBuilder,
    layer: &str,
    of: &Dimensions,
    formats: WeightFormats,
    h: Columns,
    rope: RopeId,
    cache: CacheId,
) -> Columns {
    let weights = AttentionWeights::declare(plan, layer, of, formats.layers);
    let q_norm = plan.vector(format!("{layer}.self_attn.q_norm.weight"), of.head_dim);
    let k_norm = plan.vector(format!("{layer}.self_attn.k_norm.weight"), of.head_dim);

    let (q, k, v) = (plan.linear(h, weights.q), plan.linear(h, weights.k), plan.linear(h, weights.v));
    let q = plan.head_norm(q, of.head_dim, q_norm, 0.0, of.epsilon);
    let k = plan.head_norm(k, of.head_dim, k_norm, 0.0, of.epsilon);
    let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
    let attended = plan.attention(q, k, v, cache, of.heads);
    plan.linear(attended, weights.o)
}
