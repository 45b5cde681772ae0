//! A mixture's products: each slot of a row takes the matrix of the expert that it chose.
//!
//! Few slots are a product of one row each, streamed. Many are put in the order of experts first, so that tiles of slots that
//! chose the same expert can be multiplied with its matrix together.

use bytemuck::{Pod, Zeroable};

use super::linear::{
    Fused, SIMT_FEATURES, SIMT_SIDE, SIMT_THREADS, has_matrix_units, meet, mma_kernel, simt_kernel,
    stream_kernel,
};
use super::product::{Activations, Count, Product, WithNorm, activations, half_row_bytes, pack};
use super::shapes::{MmaShape, StreamShape};
use crate::cuda::build::{Build, Launch, blocks};
use crate::cuda::kernels::Kernel;
use crate::cuda::values::Region;
use crate::cuda::weights::DeviceMatrix;
use crate::format::WeightFormat;
use crate::gpu::grouping::{FULL_ENOUGH, Grouping};
use crate::{BackendError, plan};
#[cfg(test)]
use {super::linear::FORMATS, crate::cuda::capabilities::Capabilities};

/// Rows of a tile on matrix units.
const UNITS_ROWS: u32 = 64;
/// Threads of the block that lists slots.
const GROUP_THREADS: u32 = 256;

/// `Experts` of `linear/experts.cuh`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct Experts {
    choices: u64,
    features: u32,
    input_slots: u32,
    number: u32,
    tiles_at: u32,
    order_at: u32,
    columns: u32,
}

/// The parameters of `linear/stream.cu` with experts.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct StreamParams {
    with_norm: WithNorm,
    experts: Experts,
}

/// The parameters of `linear/tiles_mma.cu` and `linear/simt.cu` with experts.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    product: Product,
    experts: Experts,
}

/// The parameters of `linear/group.cu`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct GroupParams {
    chosen: u64,
    lists: u64,
    experts: u32,
    slots: u32,
    size: u32,
    tiles_at: u32,
    order_at: u32,
    selected: u32,
}

pub(super) fn expert_linear(build: &mut Build<'_>, op: &plan::ExpertLinear) -> Result<(), BackendError> {
    let matrix = build.matrix(op.matrix).clone();
    let count = Count::of(&build.shape(op.output));
    let most = count.most(&build.options.limits);
    let features = build.shape(op.output).width as u32;
    let units = has_matrix_units(build.capabilities(), matrix.format);
    let shape = MmaShape::new(build.capabilities(), matrix.format, UNITS_ROWS, features);
    let grouping = Grouping::new(op.experts as u32, if units { shape.rows } else { SIMT_SIDE }, most);
    let x = activations(build, op.input, matrix.format)?;
    let product = Product {
        y: build.value(op.output).address(),
        y_stride: features,
        bias: op.bias.map_or(0, |bias| build.vector(bias)),
        selected: count.selected(),
        slots: count.slots,
        ..Product::of(&matrix, &x)
    };
    let experts = Experts {
        choices: build.operand(op.chosen).address(),
        features,
        input_slots: x.count.slots,
        number: grouping.experts,
        tiles_at: grouping.tiles_at,
        order_at: grouping.order_at,
        columns: 0,
    };
    let this = Slots { matrix, x, product, experts, count, most, grouping };
    if units {
        this.stream(build)?;
    } else {
        this.few(build);
    }
    if grouping.pays(count.most_told(&build.options.limits)) {
        let lists = this.group(build)?;
        if units { this.tiles_mma(build, &lists, shape)? } else { this.tiles_simt(build, &lists) }
    }
    Ok(())
}

/// The products of all slots: what does not depend on the kernel.
struct Slots {
    matrix: DeviceMatrix,
    x: Activations,
    product: Product,
    experts: Experts,
    /// Of the slots of the result.
    count: Count,
    most: u32,
    grouping: Grouping,
}

impl Slots {
    /// The most slots that are multiplied one by one.
    fn most_apart(&self) -> u32 {
        self.most.min((FULL_ENOUGH * self.grouping.experts).next_power_of_two())
    }

    /// A product of one row for each slot.
    fn stream(&self, build: &mut Build<'_>) -> Result<(), BackendError> {
        let format = self.matrix.format;
        let shape = StreamShape::new(build.capabilities(), format);
        let (split, shared) = shape.room(build.capabilities(), format, self.matrix.row_bytes, 1);
        let columns = self.experts.features.div_ceil(16);
        let mut product = Product { split, ..self.product };
        if split > 1 {
            let tiles = self.most_apart() * columns;
            meet(build, &mut product, u64::from(tiles) * u64::from(split) * 128, tiles)?;
        }
        let with_norm = WithNorm { product, ..WithNorm::default() };
        let params = StreamParams { with_norm, experts: Experts { columns, ..self.experts } };
        let fused = Fused { quads: self.x.quads, ..Fused::default() };
        let kernel = stream_kernel(format, shape, fused).define("EXPERTS", 1);
        let (count, grouping) = (self.count, self.grouping);
        let launch = Launch::new(kernel, &params, shape.threads(), move |step| {
            let slots = count.rows(step);
            if grouping.pays(slots) { None } else { blocks(slots * columns * split) }
        });
        build.launch(launch.shared(shared));
        Ok(())
    }

    /// Likewise without matrix units.
    fn few(&self, build: &mut Build<'_>) {
        let columns = self.experts.features.div_ceil(SIMT_FEATURES);
        let params = Params { product: self.product, experts: Experts { columns, ..self.experts } };
        let kernel = simt_kernel("few", self.matrix.format, self.x.quads).define("EXPERTS", 1);
        let (count, grouping) = (self.count, self.grouping);
        build.launch(Launch::new(kernel, &params, SIMT_THREADS, move |step| {
            let slots = count.rows(step);
            if grouping.pays(slots) { None } else { blocks(slots * columns) }
        }));
    }

    /// Lists the slots of each expert.
    fn group(&self, build: &mut Build<'_>) -> Result<Region, BackendError> {
        let grouping = self.grouping;
        let lists = build.scratch("slots by expert", 4 * u64::from(grouping.words))?;
        let params = GroupParams {
            chosen: self.experts.choices,
            lists: lists.address(),
            experts: grouping.experts,
            slots: self.count.slots,
            size: grouping.size,
            tiles_at: grouping.tiles_at,
            order_at: grouping.order_at,
            selected: self.count.selected(),
        };
        let count = self.count;
        build.launch(Launch::new(group_kernel(), &params, GROUP_THREADS, move |step| {
            if grouping.pays(count.rows(step)) { blocks(1) } else { None }
        }));
        Ok(lists)
    }

    fn tiles_mma(&self, build: &mut Build<'_>, lists: &Region, shape: MmaShape) -> Result<(), BackendError> {
        let format = self.matrix.format;
        let (count, grouping) = (self.count, self.grouping);
        let x = if matches!(format, WeightFormat::W8a8(_)) {
            self.x
        } else {
            // Slots of the input count as rows, and may be fewer than the slots that choose.
            let input_slots = self.x.count.slots;
            let wanted = move |rows: u32| grouping.pays(rows / input_slots * count.slots);
            let order = matches!(format, WeightFormat::Int4(_));
            pack(build, &self.x, half_row_bytes(&self.matrix), order, wanted)?
        };
        let product = Product { x: x.address, x_stride: x.stride, ..self.product };
        let params = Params { product, experts: Experts { choices: lists.address(), ..self.experts } };
        let across = self.experts.features.div_ceil(MmaShape::FEATURES);
        let kernel = mma_kernel(format, shape).define("EXPERTS", 1);
        let launch = Launch::new(kernel, &params, shape.threads(), move |step| {
            let slots = count.rows(step);
            let tiles = grouping.tiles(slots);
            if grouping.pays(slots) { blocks(tiles * across) } else { None }
        });
        build.launch(launch.shared(shape.shared(format)));
        Ok(())
    }

    fn tiles_simt(&self, build: &mut Build<'_>, lists: &Region) {
        let (count, grouping) = (self.count, self.grouping);
        let params =
            Params { product: self.product, experts: Experts { choices: lists.address(), ..self.experts } };
        let across = self.experts.features.div_ceil(SIMT_SIDE);
        let kernel = simt_kernel("tiles", self.matrix.format, self.x.quads).define("EXPERTS", 1);
        build.launch(Launch::new(kernel, &params, SIMT_THREADS, move |step| {
            let slots = count.rows(step);
            let tiles = grouping.tiles(slots);
            if grouping.pays(slots) { blocks(tiles * across) } else { None }
        }));
    }
}

fn group_kernel() -> Kernel {
    Kernel::new("linear/group", "group")
}

#[cfg(test)]
pub(super) fn variants(capabilities: &Capabilities) -> Vec<Kernel> {
    let mut kernels = vec![group_kernel()];
    for format in FORMATS {
        if has_matrix_units(capabilities, format) {
            let fused = Fused { quads: true, ..Fused::default() };
            let shape = StreamShape::new(capabilities, format);
            kernels.push(stream_kernel(format, shape, fused).define("EXPERTS", 1));
            let shape = MmaShape::new(capabilities, format, UNITS_ROWS, u32::MAX);
            kernels.push(mma_kernel(format, shape).define("EXPERTS", 1));
        } else {
            kernels
                .extend(["few", "tiles"].map(|entry| simt_kernel(entry, format, true).define("EXPERTS", 1)));
        }
    }
    kernels
}
