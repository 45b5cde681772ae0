//! One step: its tables, and which function carries out which operator.

use super::cache::LayerCache;
use super::values::Values;
use super::{attention, elementwise, linear, moe, norm, rope, sample};
use crate::cpu::LoadedWeights;
use crate::plan::{Input, Op, Plan};
use crate::{BackendError, Batch, BatchLayout};

/// All that an operator may look at or write to.
pub(super) struct Step<'a> {
    pub(super) plan: &'a Plan,
    pub(super) weights: &'a LoadedWeights,
    pub(super) batch: &'a Batch,
    pub(super) layout: &'a BatchLayout,
    /// The token of each row.
    pub(super) tokens: &'a [u32],
    pub(super) caches: &'a mut [LayerCache],
    pub(super) values: Values,
}

impl Step<'_> {
    /// Carries out one operator.
    pub(super) fn run(&mut self, op: &Op) -> Result<(), BackendError> {
        match op {
            Op::Input(o) => self.input(o),
            Op::Embed(o) => linear::embed(o, self),
            Op::Norm(o) => norm::norm(o, self),
            Op::Linear(o) => linear::linear(o, self)?,
            Op::Rope(o) => rope::rope(o, self),
            Op::StoreKv(o) => attention::store_kv(o, self)?,
            Op::Attention(o) => attention::attention(o, self)?,
            Op::Gated(o) => elementwise::gated(o, self),
            Op::Activate(o) => elementwise::activate(o, self),
            Op::Add(o) => elementwise::add(o, self),
            Op::Scale(o) => elementwise::scale(o, self),
            Op::Softcap(o) => elementwise::softcap(o, self),
            Op::Route(o) => moe::route(o, self),
            Op::ExpertLinear(o) => moe::expert_linear(o, self)?,
            Op::ExpertCombine(o) => moe::expert_combine(o, self),
            Op::SelectRows(o) => elementwise::select_rows(o, self),
            Op::Sample(o) => sample::sample(o, self)?,
        }
        Ok(())
    }

    /// Takes in the rows that the caller supplied; that they are there and complete was checked.
    fn input(&mut self, op: &Input) {
        let rows = self.batch.inputs.iter().find(|input| input.value == op.output);
        let rows = rows.map_or(&[][..], |input| &input.data);
        self.values.write(op.output, rows.iter().map(|x| f64::from(*x)).collect());
    }
}
