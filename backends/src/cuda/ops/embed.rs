//! The tokens of a step and their embeddings.

use bytemuck::{Pod, Zeroable};

use super::format_number;
use crate::cuda::build::{Build, Launch, blocks};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::{BackendError, plan};

/// Threads of a block.
const THREADS: u32 = 128;

/// The parameters of `rows/begin.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BeginParams {
    drawn: u64,
    tokens: u64,
    faults: u64,
    vocabulary: u32,
    padding: u32,
}

/// The parameters of `embed/embed.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    tokens: u64,
    codes: u64,
    scales: u64,
    output: u64,
    row_bytes: u64,
    row_scales: u32,
    group: u32,
    width: u32,
    factor: f32,
}

/// Lists what begins each step.
#[allow(clippy::unnecessary_wraps, reason = "what lists launches may fail")]
pub(super) fn resolve_tokens(build: &mut Build<'_>) -> Result<(), BackendError> {
    let params = BeginParams {
        drawn: build.tables.drawn(),
        tokens: build.tables.tokens(),
        faults: build.tables.faults(),
        // A plan that embeds nothing takes any token.
        vocabulary: build.plan.vocabulary().map_or(u32::MAX, |vocabulary| vocabulary as u32),
        padding: 0,
    };
    let kernel = Kernel::new("rows/begin", "begin");
    build.launch(Launch::new(kernel, &params, THREADS, |step| blocks(step.rows.div_ceil(THREADS))));
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn embed(build: &mut Build<'_>, op: &plan::Embed) -> Result<(), BackendError> {
    let table = build.matrix(op.table);
    let (format, group) = format_number(table.format);
    let width = table.cols;
    let params = Params {
        tokens: build.tables.tokens(),
        codes: table.codes.address(),
        scales: table.scales_address(),
        output: build.value(op.output).address(),
        row_bytes: u64::from(table.row_bytes),
        row_scales: table.row_scales,
        group,
        width,
        factor: op.factor,
    };
    let parts = width.div_ceil(4 * THREADS);
    let launch = Launch::new(kernel(format), &params, THREADS, move |step| {
        (step.rows > 0).then_some([step.rows, parts, 1])
    });
    build.launch(launch);
    Ok(())
}

fn kernel(format: u32) -> Kernel {
    Kernel::new("embed/embed", "embed").define("FORMAT", format)
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    (0..super::FORMATS).map(kernel).chain([Kernel::new("rows/begin", "begin")]).collect()
}
