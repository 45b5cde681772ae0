//! One file per operator: which launches carry it out.

mod attention;
mod combine;
mod elementwise;
mod embed;
mod experts;
mod linear;
mod norm;
mod one_row;
mod product;
mod rope;
mod route;
mod sample;
mod select;
mod shapes;
mod store_kv;

use super::build::Build;
#[cfg(test)]
use super::capabilities::Capabilities;
#[cfg(test)]
use super::kernels::Kernel;
use crate::BackendError;
use crate::format::WeightFormat;
use crate::gpu::one_row::left_out;
use crate::plan::{Op, Rows};

/// What comes before the operators of each step.
pub(super) fn begin(build: &mut Build<'_>) -> Result<(), BackendError> {
    embed::resolve_tokens(build)
}

/// Lists the launches of an operator.
pub(super) fn prepare(build: &mut Build<'_>, op: &Op) -> Result<(), BackendError> {
    let first = build.planned.len();
    list(build, op)?;
    if let Some(output) = build.node.and_then(|node| left_out(build, node, op)) {
        build.for_several_rows(first, output);
    }
    Ok(())
}

fn list(build: &mut Build<'_>, op: &Op) -> Result<(), BackendError> {
    match op {
        // The caller's rows are written where the value lies.
        Op::Input(_) => Ok(()),
        Op::Embed(op) => embed::embed(build, op),
        Op::Norm(op) => norm::norm(build, op),
        Op::Linear(op) => linear::linear(build, op),
        Op::Rope(op) => rope::rope(build, op),
        Op::StoreKv(op) => store_kv::store_kv(build, op),
        Op::Attention(op) => attention::attention(build, op),
        Op::Gated(op) => elementwise::gated(build, op),
        Op::Activate(op) => elementwise::each(build, op.into()),
        Op::Add(op) => elementwise::each(build, op.into()),
        Op::Scale(op) => elementwise::each(build, op.into()),
        Op::Softcap(op) => elementwise::each(build, op.into()),
        Op::Route(op) => route::route(build, op),
        Op::ExpertLinear(op) => experts::expert_linear(build, op),
        Op::ExpertCombine(op) => combine::expert_combine(build, op),
        Op::SelectRows(op) => select::select_rows(build, op),
        Op::Sample(op) => sample::sample(build, op),
    }
}

/// Every variant of every kernel that can be asked for on a device: what is compiled without one.
#[cfg(test)]
pub(super) fn variants(capabilities: &Capabilities) -> Vec<Kernel> {
    [
        attention::variants(capabilities),
        combine::variants(capabilities),
        elementwise::variants(capabilities),
        embed::variants(capabilities),
        experts::variants(capabilities),
        linear::variants(capabilities),
        norm::variants(capabilities),
        rope::variants(capabilities),
        route::variants(capabilities),
        sample::variants(capabilities),
        select::variants(capabilities),
        store_kv::variants(capabilities),
    ]
    .concat()
}

/// The number of a format in `shaders/lib/formats.cuh`, and how many columns share a scale (1 where none do).
const fn format_number(format: WeightFormat) -> (u32, u32) {
    match format {
        WeightFormat::F32 => (0, 1),
        WeightFormat::F16 => (1, 1),
        WeightFormat::Bf16 => (2, 1),
        WeightFormat::Int8(group) => (3, group.size() as u32),
        WeightFormat::Nf4 => (4, 64),
        WeightFormat::Int4(group) => (5, group.size() as u32),
        WeightFormat::W8a8(_) => (6, 1),
    }
}

/// How many formats have a number.
#[cfg(test)]
const FORMATS: u32 = 7;

/// Which rows, for a kernel's parameters: 1 where rows are those whose logits are wanted.
fn is_selected(rows: Rows) -> u32 {
    u32::from(rows == Rows::Selected)
}

/// Bytes of a row of int8 codes.
const fn code_bytes(width: u32) -> u32 {
    width.next_multiple_of(64)
}
