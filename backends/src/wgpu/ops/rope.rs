//! Rotation by position, where it is not part of the cache's operator.

use bytemuck::{Pod, Zeroable};

use crate::plan;
use crate::plan::{RopeId, RopeLayout};
use crate::wgpu::build::{Binding, Build, DeviceOperand, Dispatch, spread};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::angles_of;
use crate::wgpu::values::Region;

/// Invocations of a workgroup.
const LANES: u32 = 256;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    first: u32,
    stride: u32,
    width: u32,
    head_dim: u32,
    rotary: u32,
    interleaved: u32,
    padding: [u32; 2],
}

pub(super) fn rope(build: &mut Build<'_>, op: &plan::Rope) {
    let (input, output) = (build.operand(op.input), build.value(op.output));
    rotate(build, &input, op.rope, output);
}

/// Rotates the heads of an operand into a value of its width.
pub(super) fn rotate(build: &mut Build<'_>, input: &DeviceOperand, rope: RopeId, output: Region) {
    let spec = &build.plan.ropes[rope.index()];
    let params = Params {
        first: input.first,
        stride: input.stride,
        width: input.width,
        head_dim: spec.head_dim as u32,
        rotary: spec.rotary_dim as u32,
        interleaved: u32::from(spec.layout == RopeLayout::Interleaved),
        padding: [0; 2],
    };
    let width = input.width;
    let bindings = vec![
        Binding::Read(input.region.clone()),
        Binding::Read(build.table(angles_of(rope))),
        Binding::ReadWrite(output),
    ];
    build.dispatch(Dispatch {
        kernel: kernel(),
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings,
        groups: Box::new(move |step| spread((step.rows * width).div_ceil(LANES))),
    });
}

fn kernel() -> Kernel {
    Kernel::new("rope/rope")
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![kernel()]
}
