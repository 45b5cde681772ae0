//! Fusion: rewrites that turn neighbours into one operator by switching its attributes on.
//!
//! A fused plan computes the same as the plan it came from, up to rounding, and hands out the same
//! logits, taps and tokens. Since a fused operator is the plain one with an attribute set, what fusion
//! is worth can be measured by leaving a rewrite out ([`FusionSet::without`]).

mod absorb;
mod merge;
mod select;
mod sweep;

use super::check::check;
use super::{Op, Operand, Plan, PlanError, ValueId};

/// The rewrites, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fusion {
    /// Rows whose logits nobody wants leave the step as soon as nothing but the logits depends on them:
    /// after the last layer's attention instead of after its last operator.
    SelectEarly,
    /// Projections of the same input become one matrix: q, k and v; gate and up; those of experts too.
    MergeProjections,
    /// A scale after a projection becomes its factor.
    FoldScales,
    /// An addition to a projection's result, or to the experts' combined one, becomes its residual.
    FoldResiduals,
    /// An addition before a normalisation becomes part of it.
    AddNorm,
    /// Query and key are rotated while the key is written to the cache.
    RotateStore,
    /// Norms and gated activations that only feed `w8a8` products give int8 rows.
    Quantize,
}

impl Fusion {
    /// All of them, in the order in which they are applied.
    pub const ALL: [Self; 7] = [
        Self::SelectEarly,
        Self::MergeProjections,
        Self::FoldScales,
        Self::FoldResiduals,
        Self::AddNorm,
        Self::RotateStore,
        Self::Quantize,
    ];

    /// A short name for options and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SelectEarly => "select-early",
            Self::MergeProjections => "merge-projections",
            Self::FoldScales => "fold-scales",
            Self::FoldResiduals => "fold-residuals",
            Self::AddNorm => "add-norm",
            Self::RotateStore => "rotate-store",
            Self::Quantize => "quantize",
        }
    }

    fn apply(self, plan: &mut Plan) {
        match self {
            Self::SelectEarly => select::select_early(plan),
            Self::MergeProjections => merge::merge_projections(plan),
            Self::FoldScales => absorb::fold_scales(plan),
            Self::FoldResiduals => absorb::fold_residuals(plan),
            Self::AddNorm => absorb::add_norm(plan),
            Self::RotateStore => absorb::rotate_store(plan),
            Self::Quantize => absorb::quantize(plan),
        }
    }
}

/// Some of the rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FusionSet(u32);

impl FusionSet {
    pub const fn all() -> Self {
        Self((1 << Fusion::ALL.len()) - 1)
    }

    pub const fn none() -> Self {
        Self(0)
    }

    pub const fn contains(self, fusion: Fusion) -> bool {
        self.0 & (1 << fusion as u32) != 0
    }

    #[must_use]
    pub const fn with(self, fusion: Fusion) -> Self {
        Self(self.0 | 1 << fusion as u32)
    }

    #[must_use]
    pub const fn without(self, fusion: Fusion) -> Self {
        Self(self.0 & !(1 << fusion as u32))
    }
}

impl Plan {
    /// The plan with these rewrites applied.
    ///
    /// An error means that a rewrite is wrong, not the plan: the result is checked like any other plan
    /// before a backend sees it.
    pub fn fused(&self, set: FusionSet) -> Result<Self, PlanError> {
        let mut plan = self.clone();
        for fusion in Fusion::ALL.into_iter().filter(|f| set.contains(*f)) {
            fusion.apply(&mut plan);
        }
        sweep::sweep(&mut plan);
        check(&plan)?;
        Ok(plan)
    }
}

/// Who writes and reads a value: what every rewrite asks.
struct Uses {
    producer: Vec<Option<usize>>,
    consumers: Vec<Vec<usize>>,
    handed_out: Vec<bool>,
    /// How many nodes use each matrix.
    matrix_users: Vec<usize>,
}

impl Uses {
    fn of(plan: &Plan) -> Self {
        let mut uses = Self {
            producer: vec![None; plan.values.len()],
            consumers: vec![vec![]; plan.values.len()],
            handed_out: vec![false; plan.values.len()],
            matrix_users: vec![0; plan.matrices.len()],
        };
        for (index, node) in plan.nodes.iter().enumerate() {
            for output in node.op.outputs() {
                uses.producer[output.index()] = Some(index);
            }
            for operand in node.op.inputs() {
                uses.consumers[operand.value.index()].push(index);
            }
            if let Some(matrix) = node.op.matrix() {
                uses.matrix_users[matrix.index()] += 1;
            }
        }
        for value in plan.taps.iter().chain(&plan.logits) {
            uses.handed_out[value.index()] = true;
        }
        uses
    }

    /// The node that writes a value which nobody but one operand reads.
    fn sole_producer(&self, plan: &Plan, operand: Operand) -> Option<usize> {
        let value = operand.value.index();
        let alone = self.consumers[value].len() == 1 && !self.handed_out[value];
        (alone && plan.is_whole(operand)).then(|| self.producer[value]).flatten()
    }

    /// Whether a value is there before a node runs.
    fn ready_before(&self, value: ValueId, node: usize) -> bool {
        self.producer[value.index()].is_some_and(|producer| producer < node)
    }

    /// Whether every reader of a value comes after a node.
    fn read_only_after(&self, value: ValueId, node: usize) -> bool {
        self.consumers[value.index()].iter().all(|reader| *reader > node)
    }
}

/// Removes the nodes at these places.
fn remove_nodes(plan: &mut Plan, gone: &[usize]) {
    let mut index = 0;
    plan.nodes.retain(|_| {
        index += 1;
        !gone.contains(&(index - 1))
    });
}

/// Applies a local rewrite until it finds nothing more to do. `find` looks from a node onwards, rewrites
/// and returns the nodes that became superfluous.
fn rewrite(plan: &mut Plan, mut find: impl FnMut(&mut Plan, &Uses, usize) -> Option<Vec<usize>>) {
    let mut at = 0;
    let mut uses = Uses::of(plan);
    while at < plan.nodes.len() {
        match find(plan, &uses, at) {
            Some(gone) => {
                at -= gone.iter().filter(|node| **node < at).count();
                remove_nodes(plan, &gone);
                uses = Uses::of(plan);
            }
            None => at += 1,
        }
    }
}

/// Points every reader of a value at columns of another.
fn redirect(plan: &mut Plan, from: ValueId, to: Operand) {
    for node in &mut plan.nodes {
        for operand in node.op.inputs_mut() {
            if operand.value == from {
                *operand = Operand { first: to.first + operand.first, ..*operand };
                operand.value = to.value;
            }
        }
    }
}

/// Whether an operator works on each row by itself, so that rows may leave before it.
const fn is_row_wise(op: &Op) -> bool {
    match op {
        Op::Norm(_)
        | Op::Linear(_)
        | Op::Gated(_)
        | Op::Activate(_)
        | Op::Add(_)
        | Op::Scale(_)
        | Op::Softcap(_)
        | Op::Route(_)
        | Op::ExpertLinear(_)
        | Op::ExpertCombine(_) => true,
        Op::Input(_)
        | Op::Embed(_)
        | Op::Rope(_)
        | Op::StoreKv(_)
        | Op::Attention(_)
        | Op::SelectRows(_)
        | Op::Sample(_) => false,
    }
}

#[cfg(test)]
mod tests;
