//! A mixture's products: each slot of a row takes the matrix of the expert that it chose.

use super::linear::{FORMATS, kinds_of_devices};
use super::product::{Count, HAS_BIAS, MatvecShape, Params, activations, matvec_blocks, matvec_kernel};
use crate::format::WeightFormat;
use crate::wgpu::build::{Binding, Build, Dispatch, spread};
use crate::wgpu::capabilities::Capabilities;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn expert_linear(build: &mut Build<'_>, op: &plan::ExpertLinear) -> Result<(), BackendError> {
    let matrix = build.matrix(op.matrix).clone();
    let (input, output) = (build.shape(op.input.value), build.shape(op.output));
    let count = Count::of(&output);
    let x = activations(build, op.input, matrix.format)?;
    let chosen = build.operand(op.chosen);
    let bias = op.bias.map(|bias| build.vector(bias));
    let expert_rows = output.width as u32;
    for shard in &matrix.shards {
        let params = Params {
            y_stride: expert_rows,
            slots: count.slots,
            flags: count.flags() | if bias.is_some() { HAS_BIAS } else { 0 },
            expert_rows,
            input_slots: input.slots as u32,
            ..Params::new(&matrix, shard, &x)
        };
        let unused = &shard.codes;
        let bindings = vec![
            Binding::Read(shard.codes.clone()),
            Binding::Read(shard.scales.as_ref().unwrap_or(unused).clone()),
            Binding::Read(x.region.clone()),
            Binding::ReadWrite(build.value(op.output)),
            Binding::Read(bias.as_ref().unwrap_or(unused).clone()),
            Binding::Read(unused.clone()),
            Binding::Read(chosen.region.clone()),
        ];
        let shape = MatvecShape::usual(build.capabilities(), matrix.format, 1);
        let blocks = matvec_blocks(shape, expert_rows);
        build.dispatch(Dispatch {
            kernel: slot_kernel(matrix.format, build.capabilities()),
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings,
            groups: Box::new(move |step| spread(count.rows(step) * blocks)),
        });
    }
    Ok(())
}

/// A product per slot.
fn slot_kernel(format: WeightFormat, capabilities: &Capabilities) -> Kernel {
    let shape = MatvecShape::usual(capabilities, format, 1);
    matvec_kernel(format, 1, shape, capabilities).with("experts")
}

pub(super) fn variants() -> Vec<Kernel> {
    let devices = kinds_of_devices();
    let of_format = |format| devices.iter().map(move |device| slot_kernel(format, device));
    let mut distinct: Vec<Kernel> = vec![];
    for kernel in FORMATS.into_iter().flat_map(of_format) {
        if !distinct.contains(&kernel) {
            distinct.push(kernel);
        }
    }
    distinct
}
