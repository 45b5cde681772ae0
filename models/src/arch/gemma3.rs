//! Gemma 3: five layers with a window to each that sees everything, with rotations of their own, and
//! queries and keys normalised head by head.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, Manner, inverse_root};
use super::dimensions::Keys;
use super::gemma::{decoder, embedding_factor, softcap};
use super::windows::{by_layer, needed_window};
use super::{Architecture, Dimensions, PlanOptions, Rotation, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults, rotation};

/// A Gemma 3. The rotation of the dimensions is that of the global layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemma3 {
    pub dimensions: Dimensions,
    /// The rotation of the layers with a window.
    pub local_rope: Rotation,
    pub windows: Windows,
    pub attention_bias: bool,
    /// Attention is scaled by one over its root.
    pub query_scalar: f64,
    pub logit_softcap: Option<f32>,
    pub embedding_factor: f32,
}

/// What a configuration means where it is silent. Published ones are, about sizes that they share.
pub(super) fn defaults() -> Value {
    json!({
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": true,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 262_208,
        "max_position_embeddings": 131_072,
    })
}

pub(super) fn read(all: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let keys = Keys { activation: "hidden_activation", ..Keys::USUAL };
    let global = RopeDefaults { layer_type: Some("full_attention"), ..RopeDefaults::base(1_000_000.0) };
    let local = RopeDefaults {
        layer_type: Some("sliding_attention"),
        base_key: "rope_local_base_freq",
        base: 10_000.0,
        scaled: false,
    };
    let dimensions = Dimensions::read(config, &keys, &global)?;
    let period = |key| config.optional_size(key, 1..=Dimensions::LARGEST_CONTEXT);
    let period = period("sliding_window_pattern")?.or(period("_sliding_window_pattern")?).unwrap_or(6);
    let slides = |layer: usize| !(layer + 1).is_multiple_of(period);
    let window = needed_window(config)?;
    Ok(Box::new(Gemma3 {
        local_rope: rotation(config, dimensions.head_dim, dimensions.context, &local)?,
        windows: by_layer(config, dimensions.layers, Some(window), slides)?,
        attention_bias: config.flag("attention_bias")?,
        query_scalar: config.number("query_pre_attn_scalar", 1e-6..=1e9)?,
        logit_softcap: softcap(config, "final_logit_softcapping")?,
        embedding_factor: embedding_factor(all.dtype(), dimensions.hidden),
        dimensions,
    }))
}

/// The two rotations of a plan.
#[derive(Clone, Copy)]
struct Ropes {
    global: RopeId,
    local: RopeId,
}

impl Architecture for Gemma3 {
    fn family(&self) -> &'static str {
        "gemma3"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        decoder(
            &self.dimensions,
            options,
            (self.embedding_factor, self.logit_softcap),
            |plan, context| Ropes {
                global: plan.rope_spec(self.dimensions.rope.at(context).clone()),
                local: plan.rope_spec(self.local_rope.at(context).clone()),
            },
            |plan, layer, ropes, h| self.attention(plan, layer, ropes, h),
        )
    }
}

impl Gemma3 {
    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, ropes: Ropes, h: Columns) -> Columns {
        let window = self.windows[layer.index];
        let rope = if window.is_some() { ropes.local } else { ropes.global };
        let weights = AttentionWeights::declare(plan, layer, self.attention_bias.into());
        let (q, k, v) = weights.query_key_value(plan, h);
        let q = layer.head_norm(plan, "self_attn.q_norm", q, 1.0);
        let k = layer.head_norm(plan, "self_attn.k_norm", k, 1.0);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let manner = Manner { window, scale: inverse_root(self.query_scalar), softcap: None };
        let attended = layer.attend_with(plan, (q, k, v), manner);
        plan.linear(attended, weights.o)
    }
}
