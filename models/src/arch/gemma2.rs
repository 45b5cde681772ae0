//! Gemma 2: windows in every other layer, and caps on the logits of attention and on those of the model.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, Manner, inverse_root};
use super::dimensions::Keys;
use super::gemma::{decoder, embedding_factor, softcap};
use super::windows::{by_layer, needed_window};
use super::{Architecture, Dimensions, PlanOptions, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Gemma 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemma2 {
    pub dimensions: Dimensions,
    pub windows: Windows,
    pub attention_bias: bool,
    /// Attention is scaled by one over its root.
    pub query_scalar: f64,
    pub attention_softcap: Option<f32>,
    pub logit_softcap: Option<f32>,
    pub embedding_factor: f32,
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": true,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    })
}

pub(super) fn read(all: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let keys = Keys { activation: "hidden_activation", ..Keys::USUAL };
    let dimensions = Dimensions::read(config, &keys, &RopeDefaults::base(10_000.0))?;
    let window = needed_window(config)?;
    let windows = by_layer(config, dimensions.layers, Some(window), |layer| layer.is_multiple_of(2))?;
    Ok(Box::new(Gemma2 {
        embedding_factor: embedding_factor(all.dtype(), dimensions.hidden),
        dimensions,
        windows,
        attention_bias: config.flag("attention_bias")?,
        query_scalar: config.number("query_pre_attn_scalar", 1e-6..=1e9)?,
        attention_softcap: softcap(config, "attn_logit_softcapping")?,
        logit_softcap: softcap(config, "final_logit_softcapping")?,
    }))
}

impl Architecture for Gemma2 {
    fn family(&self) -> &'static str {
        "gemma2"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(
            &self.dimensions,
            options,
            (self.embedding_factor, self.logit_softcap),
            |plan, context| plan.rope_spec(self.dimensions.rope.at(context).clone()),
            |plan, layer, rope, h| self.attention(plan, layer, rope, h),
        )
    }
}

impl Gemma2 {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, h: Columns) -> Columns {
        let weights = AttentionWeights::declare(plan, layer, self.attention_bias.into());
        let (q, k, v) = weights.query_key_value(plan, h);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let manner = Manner {
            window: self.windows[layer.index],
            scale: inverse_root(self.query_scalar),
            softcap: self.attention_softcap,
        };
        let attended = layer.attend_with(plan, (q, k, v), manner);
        plan.linear(attended, weights.o)
    }
}
