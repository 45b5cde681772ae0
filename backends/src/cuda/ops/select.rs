//! The rows whose logits somebody asked for.

use bytemuck::{Pod, Zeroable};

use super::code_bytes;
use crate::cuda::build::{Build, Launch};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::plan::Element;
use crate::{BackendError, plan};

/// Threads of a block.
const THREADS: u32 = 256;

/// The parameters of `rows/select.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    input: u64,
    output: u64,
    input_scales: u64,
    output_scales: u64,
    slots: u32,
    words: u32,
    stride: u32,
    padding: u32,
}

#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn select_rows(build: &mut Build<'_>, op: &plan::SelectRows) -> Result<(), BackendError> {
    let shape = build.shape(op.output);
    let input = build.operand(op.input);
    let output = build.value(op.output).address();
    let slots = shape.slots as u32;
    let mut params = Params {
        input: input.address(),
        output,
        input_scales: 0,
        output_scales: 0,
        slots,
        words: input.width,
        stride: input.stride,
        padding: 0,
    };
    if shape.element == Element::Int8Rows {
        // Such an operand is all of its value.
        let row = code_bytes(input.stride);
        let limits = &build.options.limits;
        let behind = |rows: usize| u64::from(row) * (rows * shape.slots) as u64;
        params.input_scales = params.input + behind(limits.rows);
        params.output_scales = output + behind(limits.selected);
        (params.words, params.stride) = (row / 4, row / 4);
    }
    let parts = params.words.div_ceil(THREADS);
    build.launch(Launch::new(kernel(), &params, THREADS, move |step| {
        let rows = step.selected * slots;
        (rows > 0).then_some([rows, parts, 1])
    }));
    Ok(())
}

fn kernel() -> Kernel {
    Kernel::new("rows/select", "select_rows")
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    vec![kernel()]
}
