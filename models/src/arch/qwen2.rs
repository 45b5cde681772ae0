//! Qwen 2 and 2.5: a Llama with biases on queries, keys and values, and windows in its upper layers
//! where these are switched on.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionBias, AttentionWeights, Layer, decoder, gated};
use super::dimensions::Keys;
use super::windows::{by_layer, switched_window};
use super::{Architecture, Dimensions, PlanOptions, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Qwen 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen2 {
    pub dimensions: Dimensions,
    pub windows: Windows,
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "max_window_layers": 28})
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let dimensions = Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?;
    let windows = upper_windows(config, dimensions.layers)?;
    Ok(Box::new(Qwen2 { dimensions, windows }))
}

/// Windows in the layers from `max_window_layers` on, which despite its name counts those without.
pub(super) fn upper_windows(config: &Fields, layers: usize) -> Result<Windows, ConfigError> {
    let window = switched_window(config)?;
    let first = config.size("max_window_layers", 0..=Dimensions::LARGEST_CONTEXT)?;
    by_layer(config, layers, window, |layer| layer >= first)
}

impl Architecture for Qwen2 {
    fn family(&self) -> &'static str {
        "qwen2"
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
            let h = gated(plan, layer, h, false);
            plan.add(x, h)
        })
    }
}

impl Qwen2 {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, h: Columns) -> Columns {
        let weights = AttentionWeights::declare(plan, layer, AttentionBias::QueryKeyValue);
        let (q, k, v) = weights.query_key_value(plan, h);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let attended = layer.attend(plan, (q, k, v), self.windows[layer.index]);
        plan.linear(attended, weights.o)
    }
}
