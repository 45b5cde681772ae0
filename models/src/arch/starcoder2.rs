//! StarCoder 2: layer norms and biases throughout, a window, and a feed-forward part without a gate.

use ingle_backends::plan::{Columns, Plan, PlanBuilder, PlanError, RopeId};
use serde_json::{Value, json};

use super::decoder::{AttentionWeights, Layer, embedding, head, layers};
use super::dimensions::Keys;
use super::windows::{uniform, window};
use super::{Architecture, Dimensions, PlanOptions, Windows};
use crate::config::{Config, ConfigError, Fields, RopeDefaults};

/// A StarCoder 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Starcoder2 {
    pub dimensions: Dimensions,
    pub windows: Windows,
    /// Whether projections have biases; norms always do.
    pub bias: bool,
}

/// What a configuration means where it is silent.
pub(super) fn defaults() -> Value {
    json!({
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": 1e-5,
        "tie_word_embeddings": true,
        "use_bias": true,
    })
}

pub(super) fn read(_: &Config, config: &Fields) -> Result<Box<dyn Architecture>, ConfigError> {
    let keys = Keys { epsilon: "norm_epsilon", ..Keys::USUAL };
    let dimensions = Dimensions::read(config, &keys, &RopeDefaults::base(10_000.0))?;
    let windows = uniform(config, dimensions.layers, window(config)?)?;
    Ok(Box::new(Starcoder2 { dimensions, windows, bias: config.flag("use_bias")? }))
}

impl Architecture for Starcoder2 {
    fn family(&self) -> &'static str {
        "starcoder2"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, options: &PlanOptions) -> Result<Plan, PlanError> {
        let of = &self.dimensions;
        let mut plan = PlanBuilder::new();
        let embedding = embedding(&mut plan, of, options);
        let rope = plan.rope_spec(of.rope.at(options.context.unwrap_or(of.context)).clone());

        let x = plan.embed(embedding);
        let x = layers(&mut plan, of, options, x, |plan, layer, x| {
            let h = self.norm(plan, &format!("{}.input_layernorm", layer.name), x);
            let h = self.attention(plan, layer, rope, h);
            let x = plan.add(x, h);
            let h = self.norm(plan, &format!("{}.post_attention_layernorm", layer.name), x);
            let h = self.feed_forward(plan, layer, h);
            plan.add(x, h)
        });
        let x = self.norm(&mut plan, "model.norm", x);
        let head = head(&mut plan, of, options, embedding);
        let logits = plan.logits(x, head);
        plan.sample(logits);
        plan.finish()
    }
}

impl Starcoder2 {
    fn norm(&self, plan: &mut PlanBuilder, name: &str, x: Columns) -> Columns {
        let weight = plan.vector(format!("{name}.weight"), x.width);
        let bias = plan.vector(format!("{name}.bias"), x.width);
        plan.layer_norm(x, weight, Some(bias), self.dimensions.epsilon)
    }

    fn attention(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, rope: RopeId, h: Columns) -> Columns {
        let weights = AttentionWeights::declare(plan, layer, self.bias.into());
        let (q, k, v) = weights.query_key_value(plan, h);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let attended = layer.attend(plan, (q, k, v), self.windows[layer.index]);
        plan.linear(attended, weights.o)
    }

    fn feed_forward(&self, plan: &mut PlanBuilder, layer: &Layer<'_>, h: Columns) -> Columns {
        let of = &self.dimensions;
        let up = layer.projection(plan, "mlp.c_fc", (of.feed_forward, of.hidden), self.bias);
        let down = layer.projection(plan, "mlp.c_proj", (of.hidden, of.feed_forward), self.bias);
        let h = plan.linear(h, up);
        let h = plan.activate(h, of.activation);
        plan.linear(h, down)
    }
}
