//! Llama 2 and 3, and the many models that share their shape: attention and a gated feed-forward part,
//! each behind an RMS norm and added to the residual stream.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, decoder, gated};
use super::dimensions::Keys;
use super::{Architecture, Dimensions, PlanOptions};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Llama.
#[derive(Clone, Debug, PartialEq)]
pub struct Llama {
    pub dimensions: Dimensions,
    pub attention_bias: bool,
    pub mlp_bias: bool,
}

impl From<Dimensions> for Llama {
    fn from(dimensions: Dimensions) -> Self {
        Self { dimensions, attention_bias: false, mlp_bias: false }
    }
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
    Ok(Box::new(Llama {
        dimensions: Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?,
        attention_bias: config.flag("attention_bias")?,
        mlp_bias: config.flag("mlp_bias")?,
    }))
}

impl Architecture for Llama {
    fn family(&self) -> &'static str {
        "llama"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(&self.dimensions, options, |plan, layer, rope, x| {
            let h = layer.rms_norm(plan, "input_layernorm", x);
            let h = self.attention(plan, layer, rope, h);
            let x = plan.add(x, h);
            let h = layer.rms_norm(plan, "post_attention_layernorm", x);
            let h = gated(plan, layer, h, self.mlp_bias);
            plan.add(x, h)
        })
    }

    fn with_layers(&self, layers: usize) -> Option<Box<dyn Architecture>> {
        let layers = layers.clamp(1, self.dimensions.layers);
        Some(Box::new(Self { dimensions: Dimensions { layers, ..self.dimensions.clone() }, ..self.clone() }))
    }
}

impl Llama {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, h: Columns) -> Columns {
        let weights = AttentionWeights::declare(plan, layer, self.attention_bias.into());
        let (q, k, v) = weights.query_key_value(plan, h);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let attended = layer.attend(plan, (q, k, v), None);
        plan.linear(attended, weights.o)
    }
}
