//! Operators that look at one element at a time, and rows that are quantised as they are computed.

use bytemuck::{Pod, Zeroable};

use super::norm::Team;
use super::{code_bytes, is_selected};
use crate::cuda::build::{Build, DeviceOperand, Launch, blocks};
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::cuda::values::Region;
use crate::format::ActivationScale;
use crate::gpu::elementwise::{Elementwise, PRODUCT, number};
use crate::plan::{Shape, ValueId};
use crate::{BackendError, plan};

/// Threads of a block that works on elements.
const THREADS: u32 = 256;
/// Blocks of the cluster that quantises a wide row, on devices that have clusters.
const CLUSTER: u32 = 8;
const CLUSTERS_SINCE: u32 = 90;

/// The parameters of `activation/elementwise.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    input: u64,
    second: u64,
    output: u64,
    selected: u32,
    slots: u32,
    width: u32,
    stride: u32,
    second_stride: u32,
    operation: u32,
    factor: f32,
    padding: u32,
}

/// The parameters of `activation/quantize.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct QuantizeParams {
    input: u64,
    second: u64,
    codes: u64,
    scales: u64,
    selected: u32,
    slots: u32,
    width: u32,
    stride: u32,
    second_stride: u32,
    operation: u32,
    code_bytes: u32,
    scale: f32,
}

/// Where quantised rows go, and how they get their scales.
pub(super) struct Rounding {
    codes: Region,
    /// Rows and slots of the largest step: the scales lie behind their codes.
    most_rows: u32,
    /// The scale of all rows, or 0 where each has its own.
    pub(super) scale: f32,
}

impl Rounding {
    /// Into a value of int8 rows.
    pub(super) fn new(build: &Build<'_>, value: ValueId, scale: ActivationScale) -> Self {
        let shape = build.shape(value);
        let rows = build.options.limits.rows_of(shape.rows);
        Self::into_region(build.value(value), (rows * shape.slots) as u32, scale)
    }

    /// Into a region that has room for so many rows of codes, and for their scales behind them.
    pub(super) fn into_region(codes: Region, most_rows: u32, scale: ActivationScale) -> Self {
        let scale = match scale {
            ActivationScale::PerToken => 0.0,
            ActivationScale::PerTensor(scale) => scale,
        };
        Self { codes, most_rows, scale }
    }

    /// Where the scales of rows of so many bytes lie.
    pub(super) fn scales(&self, code_bytes: u32) -> u64 {
        self.codes.address() + u64::from(self.most_rows) * u64::from(code_bytes)
    }
}

/// One launch over all elements.
#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn each(
    build: &mut Build<'_>,
    Elementwise { first, second, output, operation, factor }: Elementwise,
) -> Result<(), BackendError> {
    let shape = build.plan.shape(first);
    let (input, second) = (build.operand(first), second.map(|second| build.operand(second)));
    let params = Params {
        input: input.address(),
        second: second.as_ref().map_or(0, DeviceOperand::address),
        output: build.value(output).address(),
        selected: is_selected(shape.rows),
        slots: shape.slots as u32,
        width: input.width,
        stride: input.stride,
        second_stride: second.as_ref().map_or(0, |second| second.stride),
        operation,
        factor,
        padding: 0,
    };
    let quads = input.in_quads() && second.as_ref().is_none_or(DeviceOperand::in_quads);
    let parts = input.width.div_ceil(4 * THREADS);
    build.launch(Launch::new(elementwise(quads), &params, THREADS, move |step| {
        let rows = step.rows_of(shape.rows) * shape.slots as u32;
        (rows > 0).then_some([rows, parts, 1])
    }));
    Ok(())
}

/// All rows, which are quantised.
fn each_quantized(
    build: &mut Build<'_>,
    input: &DeviceOperand,
    second: Option<&DeviceOperand>,
    shape: Shape,
    operation: u32,
    rounding: &Rounding,
) {
    let code_bytes = code_bytes(input.width);
    let params = QuantizeParams {
        input: input.address(),
        second: second.map_or(0, DeviceOperand::address),
        codes: rounding.codes.address(),
        scales: rounding.scales(code_bytes),
        selected: is_selected(shape.rows),
        slots: shape.slots as u32,
        width: input.width,
        stride: input.stride,
        second_stride: second.map_or(0, |second| second.stride),
        operation,
        code_bytes,
        scale: rounding.scale,
    };
    let quads = input.in_quads() && second.is_none_or(DeviceOperand::in_quads);
    // A single block would take long over a wide row.
    let wide = code_bytes >= CLUSTER * 512;
    let share = if wide && has_clusters(build.capabilities()) { CLUSTER } else { 1 };
    let team = Team::new(code_bytes.div_ceil(share));
    let launch = Launch::new(quantize(quads, team.kept, share), &params, team.threads, move |step| {
        blocks(step.rows_of(shape.rows) * shape.slots as u32 * share)
    });
    build.launch(Launch { cluster: share, ..launch });
}

fn has_clusters(capabilities: &Capabilities) -> bool {
    capabilities.target.arch >= CLUSTERS_SINCE
}

/// Quantises rows as they are: for products whose input nobody quantised before.
#[allow(clippy::unnecessary_wraps, reason = "what lists launches may fail")]
#[allow(clippy::needless_pass_by_value, reason = "callers make it for this alone")]
pub(super) fn quantize_rows(
    build: &mut Build<'_>,
    input: &DeviceOperand,
    shape: Shape,
    rounding: Rounding,
) -> Result<(), BackendError> {
    each_quantized(build, input, None, shape, PRODUCT, &rounding);
    Ok(())
}

pub(super) fn gated(build: &mut Build<'_>, op: &plan::Gated) -> Result<(), BackendError> {
    let Some(scale) = op.quantize else { return each(build, op.into()) };
    let (gate, up) = (build.operand(op.gate), build.operand(op.up));
    let shape = build.plan.shape(op.gate);
    let rounding = Rounding::new(build, op.output, scale);
    each_quantized(build, &gate, Some(&up), shape, number(op.function), &rounding);
    Ok(())
}

fn elementwise(quads: bool) -> Kernel {
    Kernel::new("activation/elementwise", "elementwise").define("QUADS", u32::from(quads))
}

fn quantize(quads: bool, kept: u32, share: u32) -> Kernel {
    Kernel::new("activation/quantize", "quantize")
        .define("QUADS", u32::from(quads))
        .define("KEPT", kept)
        .define("SHARE", share)
}

#[cfg(test)]
pub(super) fn variants(capabilities: &Capabilities) -> Vec<Kernel> {
    let mut variants = vec![];
    for quads in [false, true] {
        variants.push(elementwise(quads));
        for share in [1, CLUSTER].into_iter().filter(|share| *share == 1 || has_clusters(capabilities)) {
            variants.extend([0, 2, 4].map(|kept| quantize(quads, kept, share)));
        }
    }
    variants
}
