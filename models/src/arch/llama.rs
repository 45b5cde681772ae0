//! Llama 2 and 3, and the many models that share their shape.

use ingle_backends::plan::{Plan, PlanBuilder, PlanError};

use super::{Architecture, AttentionWeights, Dimensions, FeedForwardWeights, WeightFormats, head};

/// A Llama.
#[derive(Clone, Debug, PartialEq)]
pub struct Llama(pub Dimensions);

impl Architecture for Llama {
    fn family(&self) -> &'static str {
        "llama"
    }

    fn context(&self) -> usize {
        self.0.context
    }

    fn plan(&self, formats: WeightFormats) -> Result<Plan, PlanError> {
        let of = &self.0;
        let mut plan = PlanBuilder::new();
        let embedding = plan.matrix("model.embed_tokens.weight", of.vocabulary, of.hidden, formats.embedding);
        let rope = plan.rope_spec(of.rope.clone());

        let mut x = plan.embed(embedding);
        for index in 0..of.layers {
            let layer = format!("model.layers.{index}");
            plan.scope(format!("layers.{index}"));
            let attention = AttentionWeights::declare(&mut plan, &layer, of, formats.layers);
            let feed_forward = FeedForwardWeights::declare(&mut plan, &layer, of, formats.layers);
            let attention_norm = plan.vector(format!("{layer}.input_layernorm.weight"), of.hidden);
            let mlp_norm = plan.vector(format!("{layer}.post_attention_layernorm.weight"), of.hidden);
            let cache = plan.cache(of.kv_heads, of.head_dim);

            let h = plan.rms_norm(x, attention_norm, of.epsilon);
            let q = plan.linear(h, attention.q);
            let k = plan.linear(h, attention.k);
            let v = plan.linear(h, attention.v);
            let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
            let attended = plan.attention(q, k, v, cache, of.heads);
            let attended = plan.linear(attended, attention.o);
            x = plan.add(x, attended);

            let h = plan.rms_norm(x, mlp_norm, of.epsilon);
            let gate = plan.linear(h, feed_forward.gate);
            let up = plan.linear(h, feed_forward.up);
            let h = plan.silu_mul(gate, up);
            let h = plan.linear(h, feed_forward.down);
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
}
