//! A mixture's products: each slot of a row takes the matrix of the expert that it chose.
//!
//! Few slots are a product of one row each, streamed. Many are put in the order of experts first, so that tiles of slots that
//! chose the same expert can be multiplied with its matrix together.

use bytemuck::{Pod, Zeroable};

use super::linear::{
    FORMATS, TILE, UNITS_TILE, has_matrix_units, kinds_of_devices, tiles_kernel, units_activations,
    units_kernel,
};
use super::product::{
    Activations, Count, HAS_BIAS, MatvecShape, Params, activations, matvec_blocks, matvec_kernel,
};
use crate::format::WeightFormat;
use crate::gpu::grouping::Grouping;
use crate::wgpu::build::{Binding, Build, Dispatch, Groups, spread};
use crate::wgpu::capabilities::Capabilities;
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::StepCounts;
use crate::wgpu::values::Region;
use crate::wgpu::weights::{DeviceMatrix, Shard};
use crate::{BackendError, plan};

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct GroupParams {
    experts: u32,
    slots: u32,
    size: u32,
    tiles_at: u32,
    order_at: u32,
    padding: [u32; 3],
}

pub(super) fn expert_linear(build: &mut Build<'_>, op: &plan::ExpertLinear) -> Result<(), BackendError> {
    let matrix = build.matrix(op.matrix).clone();
    let count = Count::of(&build.shape(op.output));
    let most = count.most(&build.options.limits);
    let units = has_matrix_units(build.capabilities(), matrix.format);
    let grouping = Grouping::new(op.experts as u32, if units { UNITS_TILE } else { TILE }, most);
    let x = activations(build, op.input, matrix.format)?;
    let slots = Slots { op, matrix: &matrix, count };
    for shard in &matrix.shards {
        let shape = MatvecShape::streaming(build.capabilities(), matrix.format, 1);
        let blocks = matvec_blocks(shape, slots.expert_rows(build));
        let chosen = build.operand(op.chosen).region;
        let kernel = slot_kernel(matrix.format, build.capabilities());
        slots.dispatch(build, (shard, &x, chosen), grouping, kernel, move |step| {
            let slots = count.rows(step);
            (!grouping.pays(slots)).then_some(slots * blocks)
        });
    }
    if !grouping.pays(most) {
        return Ok(());
    }
    let lists = group(build, op, grouping, count)?;
    // Slots of the input count as rows, and may be fewer than the slots that choose.
    let input_slots = build.shape(op.input.value).slots as u32;
    let wanted = move |rows: u32| grouping.pays(rows / input_slots * count.slots);
    let x = if units { units_activations(build, op.input, matrix.format, &x, wanted)? } else { x };
    for shard in &matrix.shards {
        let across = slots.expert_rows(build).div_ceil(grouping.size);
        let kernel = if units { units_kernel(matrix.format) } else { tiles_kernel(matrix.format) };
        let kernel = kernel.with("experts");
        slots.dispatch(build, (shard, &x, lists.clone()), grouping, kernel, move |step| {
            let slots = count.rows(step);
            let tiles = grouping.tiles(slots);
            grouping.pays(slots).then_some(tiles * across)
        });
    }
    Ok(())
}

/// Lists the slots of each expert.
fn group(
    build: &mut Build<'_>,
    op: &plan::ExpertLinear,
    grouping: Grouping,
    count: Count,
) -> Result<Region, BackendError> {
    let lists = build.scratch("slots by expert", 4 * u64::from(grouping.words))?;
    let Grouping { experts, size, tiles_at, order_at, .. } = grouping;
    let params = GroupParams { experts, slots: count.slots, size, tiles_at, order_at, padding: [0; 3] };
    let chosen = build.operand(op.chosen).region;
    build.dispatch(Dispatch {
        kernel: group_kernel(),
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings: vec![Binding::Read(chosen), Binding::ReadWrite(lists.clone())],
        groups: Box::new(move |step| grouping.pays(count.rows(step)).then_some([1, 1, 1])),
    });
    Ok(lists)
}

/// What the products of all kernels and shards have in common.
struct Slots<'a> {
    op: &'a plan::ExpertLinear,
    matrix: &'a DeviceMatrix,
    count: Count,
}

impl Slots<'_> {
    fn expert_rows(&self, build: &Build<'_>) -> u32 {
        build.shape(self.op.output).width as u32
    }

    /// A launch for a shard; `choices` is the chosen experts, or the slots in their order.
    fn dispatch(
        &self,
        build: &mut Build<'_>,
        (shard, x, choices): (&Shard, &Activations, Region),
        grouping: Grouping,
        kernel: Kernel,
        groups: impl Fn(&StepCounts) -> Option<u32> + Send + Sync + 'static,
    ) {
        let bias = self.op.bias.map(|bias| build.vector(bias));
        let expert_rows = self.expert_rows(build);
        let params = Params {
            y_stride: expert_rows,
            slots: self.count.slots,
            flags: self.count.flags() | if bias.is_some() { HAS_BIAS } else { 0 },
            expert_rows,
            input_slots: build.shape(self.op.input.value).slots as u32,
            experts: grouping.experts,
            tiles_at: grouping.tiles_at,
            order_at: grouping.order_at,
            ..Params::new(self.matrix, shard, x)
        };
        // What a kernel does not read is bound to something that lies there for reading anyway.
        let unused = &shard.codes;
        let bindings = vec![
            Binding::Read(shard.codes.clone()),
            Binding::Read(shard.scales.as_ref().unwrap_or(unused).clone()),
            Binding::Read(x.region.clone()),
            Binding::ReadWrite(build.value(self.op.output)),
            Binding::Read(bias.as_ref().unwrap_or(unused).clone()),
            Binding::Read(unused.clone()),
            Binding::Read(choices),
        ];
        let groups: Groups = Box::new(move |step| groups(step).and_then(spread));
        build.dispatch(Dispatch { kernel, params: bytemuck::bytes_of(&params).to_vec(), bindings, groups });
    }
}

fn group_kernel() -> Kernel {
    Kernel::new("linear/group")
}

/// A product per slot.
fn slot_kernel(format: WeightFormat, capabilities: &Capabilities) -> Kernel {
    let shape = MatvecShape::streaming(capabilities, format, 1);
    matvec_kernel(format, 1, shape, capabilities).with("experts")
}

pub(super) fn variants() -> Vec<Kernel> {
    let devices = kinds_of_devices();
    let mut kernels = vec![group_kernel()];
    for format in FORMATS {
        kernels.push(tiles_kernel(format).with("experts"));
        if devices.iter().any(|device| has_matrix_units(device, format)) {
            kernels.push(units_kernel(format).with("experts"));
        }
        for device in &devices {
            let kernel = slot_kernel(format, device);
            if !kernels.contains(&kernel) {
                kernels.push(kernel);
            }
        }
    }
    kernels
}
