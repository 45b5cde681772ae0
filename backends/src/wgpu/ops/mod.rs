//! One file per operator: which dispatches carry it out.

#![cfg_attr(not(test), allow(dead_code, reason = "only tests list all variants of kernels"))]

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
mod row;
mod rowwise;
mod sample;
mod select;
mod store_kv;

pub(super) use product::{MatvecShape, SHAPES};

use super::build::Build;
use super::shaders::Kernel;
use crate::BackendError;
use crate::gpu::one_row::left_out;
use crate::plan::Op;

/// What comes before the operators of each step.
pub(super) fn begin(build: &mut Build<'_>) -> Result<(), BackendError> {
    embed::resolve_tokens(build)
}

/// Lists the dispatches of an operator.
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
        Op::Rope(op) => {
            rope::rope(build, op);
            Ok(())
        }
        Op::StoreKv(op) => {
            store_kv::store_kv(build, op);
            Ok(())
        }
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

/// Every variant of every kernel that can be asked for: what is validated and translated without a device.
pub(crate) fn variants() -> Vec<Kernel> {
    [
        attention::variants(),
        combine::variants(),
        elementwise::variants(),
        embed::variants(),
        experts::variants(),
        linear::variants(),
        norm::variants(),
        rope::variants(),
        route::variants(),
        sample::variants(),
        select::variants(),
        store_kv::variants(),
    ]
    .concat()
}
