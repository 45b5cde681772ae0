//! Normalisation.

use bytemuck::{Pod, Zeroable};

use super::elementwise::{Rounding, quantize_rows};
use super::{code_bytes, is_selected};
use crate::cuda::build::{Build, DeviceOperand, Launch, blocks};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::format::ActivationScale;
use crate::plan::NormKind;
use crate::{BackendError, plan};

/// Threads of a block in which each warp does a group, and the widest group that it does.
const WARPS_THREADS: u32 = 256;
const WARP_COLUMNS: u32 = 512;

/// The parameters of `norm/norm.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    input: u64,
    add: u64,
    weight: u64,
    bias: u64,
    sum: u64,
    output: u64,
    scales: u64,
    selected: u32,
    slots: u32,
    groups: u32,
    width: u32,
    stride: u32,
    add_stride: u32,
    epsilon: f32,
    offset: f32,
    layer: u32,
    code_bytes: u32,
    scale: f32,
    padding: u32,
}

/// A block for rows of so many columns, four to a thread at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Team {
    pub(super) threads: u32,
    /// How many times four columns a thread keeps in registers; 0 where a row is too wide for that.
    pub(super) kept: u32,
}

impl Team {
    /// The most threads of a block.
    const LARGEST: u32 = 1024;

    /// Two fours per thread wait little for memory; wider rows need more.
    pub(super) fn new(columns: u32) -> Self {
        let fours = columns.div_ceil(4);
        let kept = [2, 4].into_iter().find(|kept| fours <= kept * Self::LARGEST).unwrap_or(0);
        let threads = fours.div_ceil(32 * if kept == 0 { 4 } else { kept }) * 32;
        Self { threads: threads.clamp(32, Self::LARGEST), kept }
    }
}

pub(super) fn norm(build: &mut Build<'_>, op: &plan::Norm) -> Result<(), BackendError> {
    let heads = op.group != op.input.width;
    if let Some(scale) = op.quantize.filter(|_| heads) {
        // A row's scale is known once all of its groups are: they are quantised in a second pass.
        let shape = build.plan.shape(op.input);
        let bytes = build.options.limits.bytes(&shape);
        let region = build.scratch("normalised rows", bytes)?;
        let width = shape.width as u32;
        let rows = DeviceOperand { region, first: 0, width, stride: width };
        launch(build, op, None, &rows);
        return quantize_rows(build, &rows, shape, Rounding::new(build, op.output, scale));
    }
    let output = build.operand(plan::Operand { value: op.output, first: 0, width: op.input.width });
    launch(build, op, op.quantize, &output);
    Ok(())
}

/// One launch, into `output`.
fn launch(build: &mut Build<'_>, op: &plan::Norm, quantize: Option<ActivationScale>, output: &DeviceOperand) {
    let shape = build.plan.shape(op.input);
    let (width, groups) = (op.group as u32, (op.input.width / op.group) as u32);
    let input = build.operand(op.input);
    let add = op.add.map(|add| build.operand(add));
    let rounding = quantize.map(|scale| Rounding::new(build, op.output, scale));
    let params = Params {
        input: input.address(),
        add: add.as_ref().map_or(0, DeviceOperand::address),
        weight: op.weight.map_or(0, |weight| build.vector(weight)),
        bias: op.bias.map_or(0, |bias| build.vector(bias)),
        sum: op.sum.map_or(0, |sum| build.value(sum).address()),
        output: output.region.address(),
        scales: rounding.as_ref().map_or(0, |rounding| rounding.scales(code_bytes(width))),
        selected: is_selected(shape.rows),
        slots: shape.slots as u32,
        groups,
        width,
        stride: input.stride,
        add_stride: add.as_ref().map_or(0, |add| add.stride),
        epsilon: op.epsilon,
        offset: op.weight_offset,
        layer: u32::from(op.kind == NormKind::Layer),
        code_bytes: code_bytes(width),
        scale: rounding.as_ref().map_or(0.0, |rounding| rounding.scale),
        padding: 0,
    };
    let quads =
        width.is_multiple_of(4) && input.in_quads() && add.as_ref().is_none_or(DeviceOperand::in_quads);
    let warps = width <= WARP_COLUMNS && quantize.is_none();
    let team = if warps {
        Team { threads: WARPS_THREADS, kept: width.div_ceil(4 * 32).next_power_of_two() }
    } else {
        Team::new(width)
    };
    let at_once = if warps { WARPS_THREADS / 32 } else { 1 };
    let per_row = shape.slots as u32 * groups;
    let kernel = kernel(quads, team.kept, warps, quantize.is_some());
    build.launch(Launch::new(kernel, &params, team.threads, move |step| {
        blocks((step.rows_of(shape.rows) * per_row).div_ceil(at_once))
    }));
}

#[allow(clippy::fn_params_excessive_bools, reason = "each is a define of the kernel")]
fn kernel(quads: bool, kept: u32, warps: bool, quantize: bool) -> Kernel {
    Kernel::new("norm/norm", "normalize")
        .define("QUADS", u32::from(quads))
        .define("KEPT", kept)
        .define("WARPS", u32::from(warps))
        .define("QUANTIZE", u32::from(quantize))
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    let mut variants = vec![];
    for quads in [false, true] {
        variants.extend([1, 2, 4].map(|kept| kernel(quads, kept, true, false)));
        for quantize in [false, true] {
            variants.extend([0, 2, 4].map(|kept| kernel(quads, kept, false, quantize)));
        }
    }
    variants
}
