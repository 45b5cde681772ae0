//! Qwen 3 as a mixture of experts: each token goes through a few of many small feed-forward parts.

use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{
    Columns, ExpertOutput, MatrixPart, Plan, PlanBuilder, PlanError, Scoring, Weight,
};

use super::{Architecture, Dimensions, WeightFormats, qwen3};

/// A Qwen 3 mixture of experts. `feed_forward` of the dimensions is that of one expert.
#[derive(Clone, Debug, PartialEq)]
pub struct Qwen3Moe {
    pub dimensions: Dimensions,
    pub experts: usize,
    pub experts_per_token: usize,
    /// Whether the chosen experts' weights are made to sum to 1.
    pub renormalize: bool,
}

impl Architecture for Qwen3Moe {
    fn family(&self) -> &'static str {
        "qwen3_moe"
    }

    fn context(&self) -> usize {
        self.dimensions.context
    }

    fn plan(&self, formats: WeightFormats) -> Result<Plan, PlanError> {
        qwen3::decoder(&self.dimensions, formats, |plan, layer, h| {
            self.feed_forward(plan, layer, h, formats.layers)
        })
    }
}

impl Qwen3Moe {
    fn feed_forward(&self, plan: &mut PlanBuilder, layer: &str, h: Columns, format: WeightFormat) -> Columns {
        let (hidden, inner) = (self.dimensions.hidden, self.dimensions.feed_forward);
        let mut experts = |name: &str, rows, cols| -> Weight {
            let part = |e| MatrixPart {
                tensor: format!("{layer}.mlp.experts.{e}.{name}.weight"),
                first_row: 0,
                rows,
            };
            plan.matrix_of((0..self.experts).map(part).collect(), cols, format)
        };
        let gate = experts("gate_proj", inner, hidden);
        let up = experts("up_proj", inner, hidden);
        let down = experts("down_proj", hidden, inner);
        let router = plan.matrix(format!("{layer}.mlp.gate.weight"), self.experts, hidden, WeightFormat::F32);

        let logits = plan.linear(h, router);
        let routed = plan.route(
            logits,
            ExpertOutput {
                top_k: self.experts_per_token,
                scoring: Scoring::Softmax,
                renormalize: self.renormalize,
                factor: 1.0,
                selection_bias: None,
            },
        );
        let gate = plan.expert_linear(h, routed, self.experts, gate);
        let up = plan.expert_linear(h, routed, self.experts, up);
        let h = plan.silu_mul(gate, up);
        let h = plan.expert_linear(h, routed, self.experts, down);
        plan.expert_combine(h, routed)
    }
}
