//! Qwen 3: a Qwen 2 without its biases, whose queries and keys are normalised head by head.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, decoder, gated};
use super::dimensions::Keys;
use super::qwen2::upper_windows;
use super::{Architecture, Dimensions, PlanOptions, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A dense Qwen 3.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen3 {
    pub dimensions: Dimensions,
    pub windows: Windows,
    pub attention_bias: bool,
}

impl From<Dimensions> for Qwen3 {
    fn from(dimensions: Dimensions) -> Self {
        Self { windows: vec![None; dimensions.layers], dimensions, attention_bias: false }
    }
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "head_dim": 128, "max_window_layers": 28})
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let dimensions = Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?;
    let windows = upper_windows(config, dimensions.layers)?;
    Ok(Box::new(Qwen3 { dimensions, windows, attention_bias: config.flag("attention_bias")? }))
}

impl Architecture for Qwen3 {
    fn family(&self) -> &'static str {
        "qwen3"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(&self.dimensions, options, |plan, layer, rope, x| {
            let h = layer.rms_norm(plan, "input_layernorm", x);
            let h = attention(plan, layer, rope, h, self.windows[layer.index], self.attention_bias);
            let x = plan.add(x, h);
            let h = layer.rms_norm(plan, "post_attention_layernorm", x);
            let h = gated(plan, layer, h, false);
            plan.add(x, h)
        })
    }
}

/// Attention with normalised heads; dense models and mixtures of experts have the same.
pub(super) fn attention(
    plan: &mut PlanBuilder,
    layer: &Layer<'_>,
    rope: RopeId,
    h: Columns,
    window: Option<u32>,
    bias: bool,
) -> Columns {
    let weights = AttentionWeights::declare(plan, layer, bias.into());
    let (q, k, v) = weights.query_key_value(plan, h);
    let q = layer.head_norm(plan, "self_attn.q_norm", q, 0.0);
    let k = layer.head_norm(plan, "self_attn.k_norm", k, 0.0);
    let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
    let attended = layer.attend(plan, (q, k, v), window);
    plan.linear(attended, weights.o)
}
