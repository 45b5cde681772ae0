//! Mistral: a Llama whose layers see a sliding window.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionBias, AttentionWeights, Layer, decoder, gated};
use super::dimensions::Keys;
use super::windows::{uniform, window};
use super::{Architecture, Dimensions, PlanOptions, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Mistral.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistral {
    pub dimensions: Dimensions,
    pub windows: Windows,
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": false,
        "sliding_window": 4096,
    })
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let dimensions = Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?;
    let windows = uniform(config, dimensions.layers, window(config)?)?;
    Ok(Box::new(Mistral { dimensions, windows }))
}

impl Architecture for Mistral {
    fn family(&self) -> &'static str {
        "mistral"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(&self.dimensions, options, |plan, layer, rope, x| {
            let h = layer.rms_norm(plan, "input_layernorm", x);
            let h = attention(plan, layer, rope, h, self.windows[layer.index]);
            let x = plan.add(x, h);
            let h = layer.rms_norm(plan, "post_attention_layernorm", x);
            let h = gated(plan, layer, h, false);
            plan.add(x, h)
        })
    }
}

/// Attention without biases over a window; Mixtral has the same.
pub(super) fn attention(
    plan: &mut PlanBuilder,
    layer: &Layer<'_>,
    rope: RopeId,
    h: Columns,
    window: Option<u32>,
) -> Columns {
    let weights = AttentionWeights::declare(plan, layer, AttentionBias::None);
    let (q, k, v) = weights.query_key_value(plan, h);
    let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
    let attended = layer.attend(plan, (q, k, v), window);
    plan.linear(attended, weights.o)
}
