//! The weighted sum of what a row's experts gave.

use bytemuck::{Pod, Zeroable};

use super::is_selected;
use crate::cuda::build::{Build, DeviceOperand, Launch};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::{BackendError, plan};

/// Threads of a block.
const THREADS: u32 = 256;

/// The parameters of `moe/combine.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    input: u64,
    weights: u64,
    residual: u64,
    output: u64,
    selected: u32,
    slots: u32,
    width: u32,
    stride: u32,
    weights_stride: u32,
    residual_stride: u32,
}

#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn expert_combine(build: &mut Build<'_>, op: &plan::ExpertCombine) -> Result<(), BackendError> {
    let (input, weights) = (build.operand(op.input), build.operand(op.weights));
    let residual = op.residual.map(|residual| build.operand(residual));
    let rows = build.shape(op.output).rows;
    let params = Params {
        input: input.address(),
        weights: weights.address(),
        residual: residual.as_ref().map_or(0, DeviceOperand::address),
        output: build.value(op.output).address(),
        selected: is_selected(rows),
        slots: weights.width,
        width: input.width,
        stride: input.stride,
        weights_stride: weights.stride,
        residual_stride: residual.as_ref().map_or(0, |residual| residual.stride),
    };
    let parts = input.width.div_ceil(THREADS);
    build.launch(Launch::new(kernel(), &params, THREADS, move |step| {
        let rows = step.rows_of(rows);
        (rows > 0).then_some([rows, parts, 1])
    }));
    Ok(())
}

fn kernel() -> Kernel {
    Kernel::new("moe/combine", "combine")
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    vec![kernel()]
}
