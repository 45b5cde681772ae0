//! Routing of a mixture of experts.

use bytemuck::{Pod, Zeroable};

use super::rowwise::{is_selected, per_row};
use crate::plan::Scoring;
use crate::wgpu::build::{Binding, Build, Dispatch};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::Table;
use crate::{BackendError, plan};

/// The parameters of `moe/route.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    selected: u32,
    experts: u32,
    first: u32,
    stride: u32,
    top_k: u32,
    sigmoid: u32,
    has_bias: u32,
    renormalize: u32,
    factor: f32,
    padding: [u32; 3],
}

pub(super) fn route(build: &mut Build<'_>, op: &plan::Route) -> Result<(), BackendError> {
    let shape = build.plan.shape(op.logits);
    let logits = build.operand(op.logits);
    let room = logits.width.next_power_of_two().max(64);
    // A score and a key of each expert in workgroup memory.
    if u64::from(room) * 8 > u64::from(build.capabilities().workgroup_memory) {
        return Err(BackendError::Unsupported {
            device: build.gpu.open.name.clone(),
            what: format!("a choice among {} experts", logits.width),
        });
    }
    let params = Params {
        selected: is_selected(shape.rows),
        experts: logits.width,
        first: logits.first,
        stride: logits.stride,
        top_k: op.top_k as u32,
        sigmoid: u32::from(op.scoring == Scoring::Sigmoid),
        has_bias: u32::from(op.selection_bias.is_some()),
        renormalize: u32::from(op.renormalize),
        factor: op.factor,
        padding: [0; 3],
    };
    let bias = op.selection_bias.map_or_else(|| build.table(Table::Selected), |id| build.vector(id));
    let bindings = vec![
        Binding::Read(logits.region),
        Binding::Read(bias),
        Binding::ReadWrite(build.value(op.experts)),
        Binding::ReadWrite(build.value(op.weights)),
    ];
    let kernel = Kernel::new("moe/route").constant("EXPERTS", room).constant("SIZE", room.min(256));
    let params = bytemuck::bytes_of(&params).to_vec();
    build.dispatch(Dispatch { kernel, params, bindings, groups: per_row(shape, 1) });
    Ok(())
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![Kernel::new("moe/route"), Kernel::new("moe/route").constant("EXPERTS", 512).constant("SIZE", 256)]
}
