//! The weighted sum of what a row's experts gave.

use bytemuck::{Pod, Zeroable};

use super::rowwise::{in_quads, is_selected, per_item, with_any};
use crate::wgpu::build::{Binding, Build, Dispatch};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::Table;
use crate::{BackendError, plan};

/// The parameters of `moe/combine.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    selected: u32,
    slots: u32,
    width: u32,
    first: u32,
    stride: u32,
    weights_first: u32,
    weights_stride: u32,
    has_residual: u32,
    residual_first: u32,
    residual_stride: u32,
    padding: [u32; 2],
}

#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn expert_combine(build: &mut Build<'_>, op: &plan::ExpertCombine) -> Result<(), BackendError> {
    let (input, weights) = (build.operand(op.input), build.operand(op.weights));
    let residual = op.residual.map(|residual| build.operand(residual));
    let in_place = op.residual.is_some_and(|residual| build.share(residual.value, op.output));
    let quads = in_quads(&[&input]) && residual.as_ref().is_none_or(|residual| in_quads(&[residual]));
    let output = build.shape(op.output);
    let params = Params {
        selected: is_selected(output.rows),
        slots: weights.width,
        width: input.width,
        first: input.first,
        stride: input.stride,
        weights_first: weights.first,
        weights_stride: weights.stride,
        has_residual: u32::from(residual.is_some()),
        residual_first: residual.as_ref().map_or(0, |residual| residual.first),
        residual_stride: residual.as_ref().map_or(0, |residual| residual.stride),
        padding: [0; 2],
    };
    let nothing = build.table(Table::Selected);
    let groups = per_item(output, input.width.div_ceil(4));
    let residual = residual.filter(|_| !in_place).map_or(nothing, |residual| residual.region);
    let bindings = vec![
        Binding::Read(input.region),
        Binding::Read(weights.region),
        Binding::Read(residual),
        Binding::ReadWrite(build.value(op.output)),
    ];
    let kernel = Kernel::new("moe/combine").with_if(quads, "quads").with_if(in_place, "in_place");
    build.dispatch(Dispatch { kernel, params: bytemuck::bytes_of(&params).to_vec(), bindings, groups });
    Ok(())
}

pub(super) fn variants() -> Vec<Kernel> {
    with_any(&Kernel::new("moe/combine"), &["in_place", "quads"])
}
