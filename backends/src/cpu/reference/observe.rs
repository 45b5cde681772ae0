//! Looking over the oracle's shoulder: what the conformance tests derive their tolerances from.
//!
//! After each node an [`Observer`] sees what the node read and wrote, and may change what it wrote: a
//! step with outputs moved by as much as rounding may move them shows how far the rest of the plan
//! carries such errors.

use super::cache::LayerCache;
use super::values::Values;
use crate::cpu::LoadedWeights;
use crate::plan::{Node, Operand, Plan, ValueId};
use crate::{Batch, BatchLayout};

/// Is called after each node of a step, in order.
pub trait Observer {
    /// The node has run, and nothing that reads its outputs has.
    fn after(&mut self, event: NodeEvent<'_>);
}

/// Sees nothing.
pub(super) struct Nobody;

impl Observer for Nobody {
    fn after(&mut self, _: NodeEvent<'_>) {}
}

/// A node that has just run, and all that it could see.
#[derive(Debug)]
pub struct NodeEvent<'a> {
    /// The node's place in the plan.
    pub index: usize,
    /// The plan that is being carried out.
    pub plan: &'a Plan,
    /// Its weights.
    pub weights: &'a LoadedWeights,
    /// What the step was asked to do.
    pub batch: &'a Batch,
    /// The batch in rows.
    pub layout: &'a BatchLayout,
    /// The token of each row, draws of the step before put in.
    pub tokens: &'a [u32],
    /// The caches, with what this step has stored so far.
    pub caches: &'a [LayerCache],
    pub(super) values: &'a mut Values,
}

impl NodeEvent<'_> {
    /// The node.
    pub fn node(&self) -> &Node {
        &self.plan.nodes[self.index]
    }

    /// All values computed so far.
    pub fn values(&self) -> &Values {
        self.values
    }

    /// All numbers of a value.
    pub fn value(&self, value: ValueId) -> &[f64] {
        self.values.value(value)
    }

    /// The numbers of an operand.
    pub fn operand(&self, operand: Operand) -> Vec<f64> {
        self.values.operand(operand)
    }

    /// The numbers of one of this node's outputs, to be changed; `None` for any other value.
    pub fn output_mut(&mut self, value: ValueId) -> Option<&mut [f64]> {
        self.node().op.outputs().contains(&value).then(|| self.values.value_mut(value))
    }
}
