//! The plan: a model as a straight list of operators over named values.
//!
//! A model builds its plan once ([`PlanBuilder`]), a backend prepares it once and steps it many times.
//! Shapes are symbolic in the number of token rows of a step ([`Rows`]), so one plan serves prefill,
//! decode and any mixture. The same list serves six purposes:
//!
//! 1. **execution** by every backend, operator by operator in order;
//! 2. **fusion** ([`Plan::fused`]): rewrites that switch attributes on;
//! 3. **memory planning** ([`MemoryPlan`]): which values may share memory, and every byte known before
//!    anything is allocated ([`Plan::footprint`]);
//! 4. **profiling**: time per node, named like the node;
//! 5. **the cost model** ([`Plan::costs`]): bytes and operations per node, the floor beside each time;
//! 6. **conformance**: any node can be run alone on two backends and compared.
//!
//! A finished plan is *sound* ([`check`](mod@check) says what that means): a backend need not check
//! shapes again.

mod builder;
pub mod check;
mod cost;
mod display;
mod fusion;
mod memory;
mod ops;
mod rope;
mod value;

pub use builder::{
    Columns, ExpertOutput, Linear as LinearWeights, PlanBuilder, Routed, Weight, WeightVector,
};
pub use check::PlanError;
pub use cost::{Cost, StepShape};
pub use display::Listing;
pub use fusion::{Fusion, FusionSet};
pub use memory::{BatchLimits, Footprint, MemoryPlan};
pub use ops::*;
pub use rope::{RopeLayout, RopeScaling, RopeSpec};
pub use value::{
    Cache, CacheId, Element, Matrix, MatrixId, MatrixPart, Operand, RopeId, Rows, Shape, Value, ValueId,
    Vector, VectorId,
};

/// One operator in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What part of the model this is, such as `layers.3.q`: shown in profiles and messages.
    pub name: String,
    pub op: Op,
}

/// A straight list of operators, the values they pass on, and the weights they read.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub nodes: Vec<Node>,
    pub values: Vec<Value>,
    pub matrices: Vec<Matrix>,
    pub vectors: Vec<Vector>,
    pub ropes: Vec<RopeSpec>,
    pub caches: Vec<Cache>,
    /// The value that holds the logits of the selected rows, where the plan has one.
    pub logits: Option<ValueId>,
    /// Values that are handed to the caller after each step.
    pub taps: Vec<ValueId>,
}

impl Plan {
    /// The number of tokens that token ids are checked against: the rows of the embedding table.
    pub fn vocabulary(&self) -> Option<usize> {
        self.nodes.iter().find_map(|node| match &node.op {
            Op::Embed(embed) => Some(self.matrices[embed.table.index()].rows),
            _ => None,
        })
    }

    /// How many tokens the plan draws from, where it draws any.
    pub fn sampled_width(&self) -> Option<usize> {
        self.nodes.iter().find_map(|node| match &node.op {
            Op::Sample(sample) => Some(sample.logits.width),
            _ => None,
        })
    }

    /// The shape of an operand: that of its value, as wide as the operand.
    pub fn shape(&self, operand: Operand) -> Shape {
        Shape { width: operand.width, ..self.values[operand.value.index()].shape }
    }

    /// Whether an operand is all of its value.
    pub fn is_whole(&self, operand: Operand) -> bool {
        operand.first == 0 && operand.width == self.values[operand.value.index()].shape.width
    }

    /// The values that the caller supplies with each batch.
    pub fn inputs(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Input(input) => Some(input.output),
            _ => None,
        })
    }

    /// For each value, the index of the last node that reads or writes it; values that outlive the step
    /// (taps, logits) have one past the last node.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![0; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for value in node.op.inputs().iter().map(|o| o.value).chain(node.op.outputs()) {
                last[value.index()] = index;
            }
        }
        for value in self.taps.iter().chain(&self.logits) {
            last[value.index()] = self.nodes.len();
        }
        last
    }
}
