//! OLMo 2: norms behind attention and feed-forward part instead of before them, and queries and keys
//! normalised over all their heads at once.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, decoder, gated};
use super::dimensions::Keys;
use super::{Architecture, Dimensions, PlanOptions};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// An OLMo 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Olmo2 {
    pub dimensions: Dimensions,
    pub attention_bias: bool,
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": false,
        "num_key_value_heads": null,
    })
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    Ok(Box::new(Olmo2 {
        dimensions: Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?,
        attention_bias: config.flag("attention_bias")?,
    }))
}

impl Architecture for Olmo2 {
    fn family(&self) -> &'static str {
        "olmo2"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(&self.dimensions, options, |plan, layer, rope, x| {
            let h = self.attention(plan, layer, rope, x);
            let h = layer.rms_norm(plan, "post_attention_layernorm", h);
            let x = plan.add(x, h);
            let h = gated(plan, layer, x, false);
            let h = layer.rms_norm(plan, "post_feedforward_layernorm", h);
            plan.add(x, h)
        })
    }
}

impl Olmo2 {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, x: Columns) -> Columns {
        let weights = AttentionWeights::declare(plan, layer, self.attention_bias.into());
        let (q, k, v) = weights.query_key_value(plan, x);
        let q = layer.rms_norm(plan, "self_attn.q_norm", q);
        let k = layer.rms_norm(plan, "self_attn.k_norm", k);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let attended = layer.attend(plan, (q, k, v), None);
        plan.linear(attended, weights.o)
    }
}
