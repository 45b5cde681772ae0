//! Rotation by position, where it is not part of the cache's operator.

use bytemuck::{Pod, Zeroable};

use crate::cuda::build::{Build, DeviceOperand, Launch};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::plan::{RopeId, RopeLayout};
use crate::{BackendError, plan};

/// Threads of a block.
const THREADS: u32 = 128;

/// What kernels are told of a rotation.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Rotation {
    pub(super) rotary: u32,
    pub(super) interleaved: u32,
    pub(super) angle_stride: u32,
    pub(super) angle_first: u32,
}

impl Rotation {
    pub(super) fn new(build: &Build<'_>, rope: RopeId) -> Self {
        let spec = &build.plan.ropes[rope.index()];
        let (angle_first, angle_stride) = build.tables.angles(rope);
        let interleaved = u32::from(spec.layout == RopeLayout::Interleaved);
        Self { rotary: spec.rotary_dim as u32, interleaved, angle_stride, angle_first }
    }

    /// Whether four elements of a head that begins at a multiple of four floats can be turned at a time.
    pub(super) fn in_quads(&self) -> bool {
        self.rotary.is_multiple_of(8)
            && self.angle_stride.is_multiple_of(4)
            && self.angle_first.is_multiple_of(4)
    }
}

/// The parameters of `rope/rope.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    input: u64,
    output: u64,
    stride: u32,
    heads: u32,
    dim: u32,
    rotation: Rotation,
    quads: u32,
}

#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn rope(build: &mut Build<'_>, op: &plan::Rope) -> Result<(), BackendError> {
    let input = build.operand(op.input);
    let dim = build.plan.ropes[op.rope.index()].head_dim as u32;
    let rotation = Rotation::new(build, op.rope);
    let quads = heads_in_quads(&input, dim) && rotation.in_quads();
    let params = Params {
        input: input.address(),
        output: build.value(op.output).address(),
        stride: input.stride,
        heads: input.width / dim,
        dim,
        rotation,
        quads: u32::from(quads),
    };
    let rows = build.shape(op.output).rows;
    let parts = (params.heads * dim.div_ceil(4)).div_ceil(THREADS);
    build.launch(Launch::new(kernel(), &params, THREADS, move |step| {
        let rows = step.rows_of(rows);
        (rows > 0).then_some([rows, parts, 1])
    }));
    Ok(())
}

/// Whether an operand's heads begin at multiples of four floats.
pub(super) fn heads_in_quads(operand: &DeviceOperand, dim: u32) -> bool {
    dim.is_multiple_of(4) && operand.in_quads()
}

fn kernel() -> Kernel {
    Kernel::new("rope/rope", "rope")
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    vec![kernel()]
}
