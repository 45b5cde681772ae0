//! Mixtures of experts: each token goes through a few of many small feed-forward parts.

use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{Columns, ExpertOutput, MatrixPart, PlanBuilder, Scoring, Weight};

use super::decoder::Layer;
use crate::config::{ConfigError, Fields};

/// The experts of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    pub count: usize,
    pub per_token: usize,
    /// Inner size of one expert.
    pub inner: usize,
    /// Whether the chosen experts' weights are made to sum to 1.
    pub renormalize: bool,
}

/// What a family calls the parts of an expert.
pub(super) struct Names {
    pub(super) block: &'static str,
    pub(super) gate: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
}

impl Experts {
    /// Real models have at most some hundreds; every expert of every layer is a tensor to name.
    const MOST: usize = 1 << 12;
    const MOST_IN_ALL: usize = 1 << 18;
    const LARGEST_INNER: usize = 1 << 20;

    /// Reads the number of experts, under either of its names, and how many of them see a token.
    pub(super) fn read(config: &Fields, inner_key: &str, layers: usize) -> Result<Self, ConfigError> {
        let newer = config.optional_size("num_local_experts", 1..=Self::MOST)?;
        let older = config.optional_size("num_experts", 1..=Self::MOST)?;
        let (key, count) = match (newer, older) {
            (Some(newer), Some(older)) if newer != older => {
                return Err(config.wrong("num_experts", format!("the same as num_local_experts, {newer}")));
            }
            (Some(count), _) => ("num_local_experts", count),
            (None, Some(count)) => ("num_experts", count),
            (None, None) => return Err(config.missing("num_experts", "a whole number")),
        };
        if count * layers > Self::MOST_IN_ALL {
            let needed = format!("at most {} in {layers} layers", Self::MOST_IN_ALL / layers);
            return Err(config.wrong(key, needed));
        }
        Ok(Self {
            count,
            per_token: config.size("num_experts_per_tok", 1..=count)?,
            inner: config.size(inner_key, 1..=Self::LARGEST_INNER)?,
            renormalize: true,
        })
    }

    /// The mixture: chooses experts by their router's softmax, and adds up what they give.
    pub(super) fn mix(
        &self,
        plan: &mut PlanBuilder,
        layer: &Layer<'_>,
        names: &Names,
        h: Columns,
    ) -> Columns {
        let (hidden, block) = (layer.of.hidden, format!("{}.{}", layer.name, names.block));
        let mut experts = |name: &str, rows, cols| -> Weight {
            let tensor = |e| format!("{block}.experts.{e}.{name}.weight");
            let parts = (0..self.count).map(|e| MatrixPart { tensor: tensor(e), first_row: 0, rows });
            plan.matrix_of(parts.collect(), cols, layer.formats.of_layer(&tensor(0)))
        };
        let gate = experts(names.gate, self.inner, hidden);
        let up = experts(names.up, self.inner, hidden);
        let down = experts(names.down, hidden, self.inner);
        let router = plan.matrix(format!("{block}.gate.weight"), self.count, hidden, WeightFormat::F32);

        let logits = plan.linear(h, router);
        let routed = plan.route(
            logits,
            ExpertOutput {
                top_k: self.per_token,
                scoring: Scoring::Softmax,
                renormalize: self.renormalize,
                factor: 1.0,
                selection_bias: None,
            },
        );
        let gate = plan.expert_linear(h, routed, self.count, gate);
        let up = plan.expert_linear(h, routed, self.count, up);
        let h = plan.gated(gate, up, layer.of.activation);
        let h = plan.expert_linear(h, routed, self.count, down);
        plan.expert_combine(h, routed)
    }
}
