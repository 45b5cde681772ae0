//! Granite 3: a Llama with multipliers on the embedding, on attention, on what joins the residual
//! stream, and on the logits.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, Manner, embedding, gated, head, layers};
use super::dimensions::Keys;
use super::{Architecture, Dimensions, PlanOptions};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Granite.
#[derive(Clone, Debug, PartialEq)]
pub struct Granite {
    pub dimensions: Dimensions,
    pub attention_bias: bool,
    pub mlp_bias: bool,
    pub embedding_multiplier: f32,
    /// The scale of attention.
    pub attention_multiplier: f32,
    pub residual_multiplier: f32,
    /// What logits are divided by.
    pub logits_scaling: f32,
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": false,
        "num_key_value_heads": null,
    })
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let multiplier = |key| Ok(config.optional_number(key, 1e-9..=1e9)?.unwrap_or(1.0) as f32);
    Ok(Box::new(Granite {
        dimensions: Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?,
        attention_bias: config.flag("attention_bias")?,
        mlp_bias: config.flag("mlp_bias")?,
        embedding_multiplier: multiplier("embedding_multiplier")?,
        attention_multiplier: multiplier("attention_multiplier")?,
        residual_multiplier: multiplier("residual_multiplier")?,
        logits_scaling: multiplier("logits_scaling")?,
    }))
}

impl Architecture for Granite {
    fn family(&self) -> &'static str {
        "granite"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        let of = &self.dimensions;
        let mut plan = PlanBuilder::new();
        let embedding = embedding(&mut plan, of, options);
        let rope = plan.rope_spec(of.rope.at(options.context.unwrap_or(of.context)).clone());

        let x = plan.embed_scaled(embedding, self.embedding_multiplier);
        let x = layers(&mut plan, of, options, x, |plan, layer, x| {
            let h = layer.rms_norm(plan, "input_layernorm", x);
            let h = self.attention(plan, layer, rope, h);
            let h = plan.scale(h, self.residual_multiplier);
            let x = plan.add(x, h);
            let h = layer.rms_norm(plan, "post_attention_layernorm", x);
            let h = gated(plan, layer, h, self.mlp_bias);
            let h = plan.scale(h, self.residual_multiplier);
            plan.add(x, h)
        });
        let norm = plan.vector("model.norm.weight", of.hidden);
        let x = plan.rms_norm(x, norm, of.epsilon);
        let head = head(&mut plan, of, options, embedding);
        let logits = plan.logits(x, head);
        let logits = plan.scale(logits, 1.0 / self.logits_scaling);
        plan.hand_out_logits(logits);
        plan.sample(logits);
        plan.finish()
    }
}

impl Granite {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, h: Columns) -> Columns {
        let weights = AttentionWeights::declare(plan, layer, self.attention_bias.into());
        let (q, k, v) = weights.query_key_value(plan, h);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let manner = Manner { window: None, scale: self.attention_multiplier, softcap: None };
        let attended = layer.attend_with(plan, (q, k, v), manner);
        plan.linear(attended, weights.o)
    }
}
