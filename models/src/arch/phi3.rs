//! Phi 3, 3.5 and 4-mini: a Llama whose projections lie fused in the checkpoint, with a window, and with
//! a rotation that changes when contexts get longer than the original one.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{Layer, decoder};
use super::dimensions::Keys;
use super::windows::{uniform, window};
use super::{Architecture, Dimensions, PlanOptions, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A Phi 3.
#[derive(Clone, Debug, PartialEq)]
pub struct Phi3 {
    pub dimensions: Dimensions,
    pub windows: Windows,
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
    let dimensions = Dimensions::read(config, &Keys::USUAL, &RopeDefaults::base(10_000.0))?;
    let windows = uniform(config, dimensions.layers, window(config)?)?;
    Ok(Box::new(Phi3 { dimensions, windows }))
}

impl Architecture for Phi3 {
    fn family(&self) -> &'static str {
        "phi3"
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
            let h = self.feed_forward(plan, layer, h);
            plan.add(x, h)
        })
    }
}

impl Phi3 {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, h: Columns) -> Columns {
        let of = &self.dimensions;
        let rows = [of.query_width(), of.key_width(), of.key_width()];
        let [q, k, v] = layer.fused_projections(plan, "self_attn.qkv_proj", rows, of.hidden);
        let o = layer.projection(plan, "self_attn.o_proj", (of.hidden, of.query_width()), false);

        let (q, k, v) = (plan.linear(h, q), plan.linear(h, k), plan.linear(h, v));
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let attended = layer.attend(plan, (q, k, v), self.windows[layer.index]);
        plan.linear(attended, o)
    }

    fn feed_forward(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, h: Columns) -> Columns {
        let of = &self.dimensions;
        let rows = [of.feed_forward, of.feed_forward];
        let [gate, up] = layer.fused_projections(plan, "mlp.gate_up_proj", rows, of.hidden);
        let down = layer.projection(plan, "mlp.down_proj", (of.hidden, of.feed_forward), false);

        let (gate, up) = (plan.linear(h, gate), plan.linear(h, up));
        let h = plan.gated(gate, up, of.activation);
        plan.linear(h, down)
    }
}
