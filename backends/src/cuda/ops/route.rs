//! Routing of a mixture of experts.

use bytemuck::{Pod, Zeroable};

use super::is_selected;
use crate::cuda::build::{Build, Launch, blocks};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::plan::Scoring;
use crate::{BackendError, plan};

/// Threads of a block.
const THREADS: u32 = 128;

/// The parameters of `moe/route.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    logits: u64,
    bias: u64,
    experts: u64,
    weights: u64,
    selected: u32,
    count: u32,
    stride: u32,
    top_k: u32,
    sigmoid: u32,
    renormalize: u32,
    factor: f32,
    padding: u32,
}

pub(super) fn route(build: &mut Build<'_>, op: &plan::Route) -> Result<(), BackendError> {
    let rows = build.plan.shape(op.logits).rows;
    let logits = build.operand(op.logits);
    // A score and a key of each expert.
    let shared = logits.width.saturating_mul(8);
    if shared > build.capabilities().shared_memory {
        return Err(build.unsupported(format!("a choice among {} experts", logits.width)));
    }
    let params = Params {
        logits: logits.address(),
        bias: op.selection_bias.map_or(0, |bias| build.vector(bias)),
        experts: build.value(op.experts).address(),
        weights: build.value(op.weights).address(),
        selected: is_selected(rows),
        count: logits.width,
        stride: logits.stride,
        top_k: op.top_k as u32,
        sigmoid: u32::from(op.scoring == Scoring::Sigmoid),
        renormalize: u32::from(op.renormalize),
        factor: op.factor,
        padding: 0,
    };
    let launch = Launch::new(kernel(), &params, THREADS, move |step| blocks(step.rows_of(rows)));
    build.launch(launch.shared(shared));
    Ok(())
}

fn kernel() -> Kernel {
    Kernel::new("moe/route", "route")
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    vec![kernel()]
}
