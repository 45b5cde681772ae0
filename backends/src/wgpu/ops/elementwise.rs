//! Operators that look at one element at a time, and rows that are quantised as they are computed.

use bytemuck::{Pod, Zeroable};

use super::rowwise::{Team, code_words, in_quads, is_selected, per_item, per_row, with_any};
use crate::format::ActivationScale;
use crate::gpu::elementwise::{Elementwise, PRODUCT, number};
use crate::plan::{Shape, ValueId};
use crate::wgpu::build::{Binding, Build, DeviceOperand, Dispatch};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::Table;
use crate::wgpu::values::Region;
use crate::{BackendError, plan};

/// The parameters of `activation/elementwise.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    selected: u32,
    slots: u32,
    width: u32,
    first: u32,
    stride: u32,
    second_first: u32,
    second_stride: u32,
    has_second: u32,
    operation: u32,
    factor: f32,
    padding: [u32; 2],
}

/// The parameters of `activation/quantize.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct QuantizeParams {
    selected: u32,
    slots: u32,
    width: u32,
    first: u32,
    stride: u32,
    second_first: u32,
    second_stride: u32,
    has_second: u32,
    operation: u32,
    code_words: u32,
    most_rows: u32,
    scale: f32,
}

/// Where quantised rows go, and how they get their scales.
pub(super) struct Rounding {
    codes: Region,
    /// Rows and slots of the largest step: the scales lie behind their codes.
    pub(super) most_rows: u32,
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
}

/// One launch over all elements; `reads` is the value of the first operand, whose memory the output may have taken over.
#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn each(
    build: &mut Build<'_>,
    Elementwise { first, second, output, operation, factor }: Elementwise,
) -> Result<(), BackendError> {
    let shape = build.plan.shape(first);
    let in_place = build.share(first.value, output);
    let (input, second) = (build.operand(first), second.map(|second| build.operand(second)));
    let quads = in_quads(&[&input]) && second.as_ref().is_none_or(|second| in_quads(&[second]));
    let params = Params {
        selected: is_selected(shape.rows),
        slots: shape.slots as u32,
        width: input.width,
        first: input.first,
        stride: input.stride,
        second_first: second.as_ref().map_or(0, |second| second.first),
        second_stride: second.as_ref().map_or(0, |second| second.stride),
        has_second: u32::from(second.is_some()),
        operation,
        factor,
        padding: [0; 2],
    };
    let nothing = build.table(Table::Selected);
    let groups = per_item(shape, input.width.div_ceil(4));
    let bindings = vec![
        Binding::Read(if in_place { nothing.clone() } else { input.region }),
        Binding::Read(second.map_or(nothing, |second| second.region)),
        Binding::ReadWrite(build.value(output)),
    ];
    let kernel = Kernel::new("activation/elementwise").with_if(quads, "quads").with_if(in_place, "in_place");
    build.dispatch(Dispatch { kernel, params: bytemuck::bytes_of(&params).to_vec(), bindings, groups });
    Ok(())
}

/// One launch over all rows, which are quantised.
fn each_quantized(
    build: &mut Build<'_>,
    input: &DeviceOperand,
    second: Option<&DeviceOperand>,
    shape: Shape,
    operation: u32,
    rounding: Rounding,
) {
    let words = code_words(input.width);
    let team = Team::new(4 * words, build.capabilities());
    let quads = in_quads(&[input]) && second.is_none_or(|second| in_quads(&[second]));
    let params = QuantizeParams {
        selected: is_selected(shape.rows),
        slots: shape.slots as u32,
        width: input.width,
        first: input.first,
        stride: input.stride,
        second_first: second.map_or(0, |second| second.first),
        second_stride: second.map_or(0, |second| second.stride),
        has_second: u32::from(second.is_some()),
        operation,
        code_words: words,
        most_rows: rounding.most_rows,
        scale: rounding.scale,
    };
    let bindings = vec![
        Binding::Read(input.region.clone()),
        Binding::Read(second.map_or_else(|| build.table(Table::Selected), |second| second.region.clone())),
        Binding::ReadWrite(rounding.codes),
    ];
    let kernel = team.kernel("activation/quantize").with_if(quads, "quads");
    let params = bytemuck::bytes_of(&params).to_vec();
    build.dispatch(Dispatch { kernel, params, bindings, groups: per_row(shape, 1) });
}

/// Quantises rows as they are: for products whose input nobody quantised before.
#[allow(clippy::unnecessary_wraps, reason = "what lists dispatches may fail")]
pub(super) fn quantize_rows(
    build: &mut Build<'_>,
    input: &DeviceOperand,
    shape: Shape,
    rounding: Rounding,
) -> Result<(), BackendError> {
    each_quantized(build, input, None, shape, PRODUCT, rounding);
    Ok(())
}

pub(super) fn gated(build: &mut Build<'_>, op: &plan::Gated) -> Result<(), BackendError> {
    let Some(scale) = op.quantize else { return each(build, op.into()) };
    let (gate, up) = (build.operand(op.gate), build.operand(op.up));
    let shape = build.plan.shape(op.gate);
    let rounding = Rounding::new(build, op.output, scale);
    each_quantized(build, &gate, Some(&up), shape, number(op.function), rounding);
    Ok(())
}

pub(super) fn variants() -> Vec<Kernel> {
    [
        with_any(&Kernel::new("activation/elementwise"), &["in_place", "quads"]),
        with_any(&Kernel::new("activation/quantize"), &["quads", "resident", "subgroup"]),
    ]
    .concat()
}
