//! Qwen 3 as a mixture of experts: in most layers each token goes through a few of many small
//! feed-forward parts.

use ingle_backends::plan::{Plan, PlanError};
use serde_json::{Value, json};

use super::decoder::{decoder, gated};
use super::dimensions::Keys;
use super::experts::Names;
use super::windows::{switched_window, uniform};
use super::{Architecture, Dimensions, Experts, PlanOptions, Windows, qwen3};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Qwen 3 mixture of experts.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen3Moe {
    pub dimensions: Dimensions,
    pub windows: Windows,
    pub attention_bias: bool,
    pub experts: Experts,
    /// For each layer, whether it is a mixture; else it has one feed-forward part, of the dimensions' size.
    pub mixtures: Vec<bool>,
}

const NAMES: Names = Names { block: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" };

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({"hidden_act": "silu", "rms_norm_eps": 1e-6, "tie_word_embeddings": false})
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let dimensions = Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?;
    let layers = dimensions.layers;
    let renormalize = config.flag("norm_topk_prob")?;
    let experts = Experts { renormalize, ..Experts::read(config, "moe_intermediate_size", layers)? };
    let step = config.optional_size("decoder_sparse_step", 1..=Dimensions::LARGEST_CONTEXT)?.unwrap_or(1);
    let dense = config.sizes("mlp_only_layers", 0..=Dimensions::LARGEST_CONTEXT)?.unwrap_or_default();
    let mixtures = (0..layers).map(|layer| (layer + 1).is_multiple_of(step) && !dense.contains(&layer));
    Ok(Box::new(Qwen3Moe {
        windows: uniform(config, layers, switched_window(config)?)?,
        attention_bias: config.flag("attention_bias")?,
        experts,
        mixtures: mixtures.collect(),
        dimensions,
    }))
}

impl Architecture for Qwen3Moe {
    fn family(&self) -> &'static str {
        "qwen3_moe"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(&self.dimensions, options, |plan, layer, rope, x| {
            let h = layer.rms_norm(plan, "input_layernorm", x);
            let h = qwen3::attention(plan, layer, rope, h, self.windows[layer.index], self.attention_bias);
            let x = plan.add(x, h);
            let h = layer.rms_norm(plan, "post_attention_layernorm", x);
            let h = if self.mixtures[layer.index] {
                self.experts.mix(plan, layer, &NAMES, h)
            } else {
                gated(plan, layer, h, false)
            };
            plan.add(x, h)
        })
    }
}
