//! SmolLM 3: a Llama of which some layers do not rotate, so that they see content without its place.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, decoder, gated};
use super::dimensions::Keys;
use super::windows::{by_layer, switched_window};
use super::{Architecture, Dimensions, PlanOptions, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A SmolLM 3.
#[derive(Clone, Debug, PartialEq)]
pub struct SmolLm3 {
    pub dimensions: Dimensions,
    /// For each layer, whether it rotates.
    pub rotates: Vec<bool>,
    pub windows: Windows,
    pub attention_bias: bool,
    pub mlp_bias: bool,
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "tie_word_embeddings": true})
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let dimensions = Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(2_000_000.0))?;
    let rotates = rotating_layers(config, dimensions.layers)?;
    let windows = by_layer(config, dimensions.layers, switched_window(config)?, |layer| !rotates[layer])?;
    Ok(Box::new(SmolLm3 {
        dimensions,
        rotates,
        windows,
        attention_bias: config.flag("attention_bias")?,
        mlp_bias: config.flag("mlp_bias")?,
    }))
}

/// The layers that rotate: a 1 in `no_rope_layers`, despite its name, or all but every so-many-th.
fn rotating_layers(config: &Fields, layers: usize) -> Result<Vec<bool>, ConfigError> {
    let interval =
        config.optional_size("no_rope_layer_interval", 1..=Dimensions::LARGEST_CONTEXT)?.unwrap_or(4);
    match config.sizes("no_rope_layers", 0..=1)? {
        None => Ok((0..layers).map(|layer| !(layer + 1).is_multiple_of(interval)).collect()),
        Some(list) if list.len() == layers => Ok(list.into_iter().map(|rotates| rotates == 1).collect()),
        Some(_) => Err(config.wrong("no_rope_layers", format!("one for each of {layers} layers"))),
    }
}

impl Architecture for SmolLm3 {
    fn family(&self) -> &'static str {
        "smollm3"
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
}

impl SmolLm3 {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, h: Columns) -> Columns {
        let weights = AttentionWeights::declare(plan, layer, self.attention_bias.into());
        let (mut q, mut k, v) = weights.query_key_value(plan, h);
        if self.rotates[layer.index] {
            (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        }
        let attended = layer.attend(plan, (q, k, v), self.windows[layer.index]);
        plan.linear(attended, weights.o)
    }
}
