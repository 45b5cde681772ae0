//! Normalisation.

use bytemuck::{Pod, Zeroable};

use super::elementwise::{Rounding, quantize_rows};
use super::rowwise::{Team, code_words, in_quads, is_selected, per_row, with_any};
use crate::format::ActivationScale;
use crate::plan::NormKind;
use crate::wgpu::build::{Binding, Build, DeviceOperand, Dispatch};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::Table;
use crate::{BackendError, plan};

/// The parameters of `norm/norm.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    selected: u32,
    slots: u32,
    groups: u32,
    width: u32,
    first: u32,
    stride: u32,
    add_first: u32,
    add_stride: u32,
    epsilon: f32,
    offset: f32,
    layer: u32,
    has_weight: u32,
    has_bias: u32,
    has_add: u32,
    has_sum: u32,
    code_words: u32,
    most_rows: u32,
    scale: f32,
    padding: [u32; 2],
}

pub(super) fn norm(build: &mut Build<'_>, op: &plan::Norm) -> Result<(), BackendError> {
    let heads = op.group != op.input.width;
    if let Some(scale) = op.quantize.filter(|_| heads) {
        // A row's scale is known once all of its groups are: they are quantised in a second pass.
        let shape = build.plan.shape(op.input);
        let bytes = build.options.limits.bytes(&shape);
        let normal = build.scratch("normalised rows", bytes)?;
        let width = shape.width as u32;
        let rows = DeviceOperand { region: normal, first: 0, width, stride: width };
        dispatch(build, op, None, &rows)?;
        return quantize_rows(build, &rows, shape, Rounding::new(build, op.output, scale));
    }
    let output = build.operand(plan::Operand { value: op.output, first: 0, width: op.input.width });
    dispatch(build, op, op.quantize, &output)
}

/// One launch, into `output`.
fn dispatch(
    build: &mut Build<'_>,
    op: &plan::Norm,
    quantize: Option<ActivationScale>,
    output: &DeviceOperand,
) -> Result<(), BackendError> {
    let shape = build.plan.shape(op.input);
    let (group, groups) = (op.group as u32, (op.input.width / op.group) as u32);
    let input = build.operand(op.input);
    let add = op.add.map(|add| build.operand(add));
    let in_place = op.sum.is_some_and(|sum| build.share(sum, op.input.value));
    let read_nothing = build.table(Table::Selected);
    let sum = match op.sum {
        Some(sum) => build.value(sum),
        None => build.scratch("nothing", 16)?,
    };
    let rounding = quantize.map(|scale| Rounding::new(build, op.output, scale));
    let words = code_words(op.input.width as u32);
    let team = Team::new(if quantize.is_some() { 4 * words } else { group }, build.capabilities());
    let quads =
        group.is_multiple_of(4) && in_quads(&[&input]) && add.as_ref().is_none_or(|add| in_quads(&[add]));
    let params = Params {
        selected: is_selected(shape.rows),
        slots: shape.slots as u32,
        groups,
        width: group,
        first: input.first,
        stride: input.stride,
        add_first: add.as_ref().map_or(0, |add| add.first),
        add_stride: add.as_ref().map_or(0, |add| add.stride),
        epsilon: op.epsilon,
        offset: op.weight_offset,
        layer: u32::from(op.kind == NormKind::Layer),
        has_weight: u32::from(op.weight.is_some()),
        has_bias: u32::from(op.bias.is_some()),
        has_add: u32::from(add.is_some()),
        has_sum: u32::from(op.sum.is_some()),
        code_words: words,
        most_rows: rounding.as_ref().map_or(0, |r| r.most_rows),
        scale: rounding.as_ref().map_or(0.0, |r| r.scale),
        padding: [0; 2],
    };
    let vector = |id: Option<plan::VectorId>| id.map_or(read_nothing.clone(), |id| build.vector(id));
    let bindings = vec![
        Binding::Read(if in_place { read_nothing.clone() } else { input.region }),
        Binding::Read(add.map_or(read_nothing.clone(), |add| add.region)),
        Binding::Read(vector(op.weight)),
        Binding::Read(vector(op.bias)),
        Binding::ReadWrite(sum),
        Binding::ReadWrite(output.region.clone()),
    ];
    let kernel = team
        .kernel("norm/norm")
        .with_if(quads, "quads")
        .with_if(in_place, "in_place")
        .with_if(quantize.is_some(), "quantize");
    let params = bytemuck::bytes_of(&params).to_vec();
    build.dispatch(Dispatch { kernel, params, bindings, groups: per_row(shape, groups) });
    Ok(())
}

pub(super) fn variants() -> Vec<Kernel> {
    with_any(&Kernel::new("norm/norm"), &["in_place", "quads", "quantize", "resident", "subgroup"])
}
