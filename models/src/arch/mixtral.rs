//! Mixtral: a Mistral whose feed-forward parts are mixtures of experts.

use ingle_backends::plan::{Plan, PlanError};
use serde_json::{Value, json};

use super::decoder::decoder;
use super::dimensions::Keys;
use super::experts::Names;
use super::windows::{uniform, window};
use super::{Architecture, Dimensions, Experts, PlanOptions, Windows, mistral};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Mixtral.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixtral {
    pub dimensions: Dimensions,
    pub windows: Windows,
    pub experts: Experts,
}

const NAMES: Names = Names { block: "block_sparse_moe", gate: "w1", up: "w3", down: "w2" };

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({"hidden_act": "silu", "rms_norm_eps": 1e-5, "tie_word_embeddings": false})
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let dimensions = Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(1_000_000.0))?;
    let windows = uniform(config, dimensions.layers, window(config)?)?;
    let experts = Experts::read(config, "intermediate_size", dimensions.layers)?;
    Ok(Box::new(Mixtral { dimensions, windows, experts }))
}

impl Architecture for Mixtral {
    fn family(&self) -> &'static str {
        "mixtral"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(&self.dimensions, options, |plan, layer, rope, x| {
            let h = layer.rms_norm(plan, "input_layernorm", x);
            let h = mistral::attention(plan, layer, rope, h, self.windows[layer.index]);
            let x = plan.add(x, h);
            let h = layer.rms_norm(plan, "post_attention_layernorm", x);
            let h = self.experts.mix(plan, layer, &NAMES, h);
            plan.add(x, h)
        })
    }
}
