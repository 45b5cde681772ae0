//! `y = factor · (x · Wᵀ + bias) + residual`.

use super::product::{
    Activations, Codes, Count, HAS_BIAS, HAS_RESIDUAL, IN_PLACE, MatvecShape, Params, SHAPES, activations,
    matvec_blocks, matvec_kernel, pack, pack_kernel,
};
use super::row;
use crate::format::{ActivationScale, Int4Group, Int8Group, WeightFormat};
use crate::wgpu::build::{Binding, Build, Dispatch, Groups, spread};
use crate::wgpu::capabilities::{Capabilities, KernelTier};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::weights::{DeviceMatrix, Shard};
use crate::{BackendError, plan};

/// Rows of activations that the streaming kernel takes at once.
const AT_ONCE: [u32; 4] = [1, 2, 4, MOST_AT_ONCE];
const MOST_AT_ONCE: u32 = 8;
/// Rows and columns of a tile of results.
pub(super) const TILE: u32 = 64;
/// Likewise on matrix units, and the workgroup memory that a tile takes.
pub(super) const UNITS_TILE: u32 = 128;
const UNITS_MEMORY: u32 = 29 << 10;

pub(super) fn linear(build: &mut Build<'_>, op: &plan::Linear) -> Result<(), BackendError> {
    let matrix = build.matrix(op.matrix).clone();
    let count = Count::of(&build.shape(op.input.value));
    let most = count.most(&build.options.limits);
    let few = few(build.capabilities());
    let units = most > few && has_matrix_units(build.capabilities(), matrix.format);
    let x = activations(build, op.input, matrix.format)?;
    let x_units = if units {
        Some(units_activations(build, op.input, matrix.format, &x, move |rows| rows > few)?)
    } else {
        None
    };
    for shard in &matrix.shards {
        let product = Product::new(build, op, &matrix, shard, &x, count);
        let mut below = 0;
        for at_once in AT_ONCE {
            // The largest kernel goes over the matrix again for each further handful of rows.
            let up_to = if at_once == MOST_AT_ONCE { few } else { at_once };
            if at_once == 1 {
                one_row(build, op, &product);
            } else if most > below {
                let shape = build.matvec_shape(matrix.format, at_once, shard.rows, matrix.cols);
                let kernel = matvec_kernel(matrix.format, at_once, shape, build.capabilities());
                let blocks = matvec_blocks(shape, shard.rows);
                product.dispatch(build, kernel, move |rows| {
                    (rows > below && rows <= up_to).then(|| blocks * rows.div_ceil(at_once))
                });
            }
            below = at_once;
        }
        if let Some(x_units) = &x_units {
            let product = Product::new(build, op, &matrix, shard, x_units, count);
            let across = shard.rows.div_ceil(UNITS_TILE);
            product.dispatch(build, units_kernel(matrix.format), move |rows| {
                (rows > few).then(|| rows.div_ceil(UNITS_TILE) * across)
            });
        } else if most > few {
            let across = shard.rows.div_ceil(TILE);
            product.dispatch(build, tiles_kernel(matrix.format), move |rows| {
                (rows > few).then(|| rows.div_ceil(TILE) * across)
            });
        }
    }
    Ok(())
}

/// The launch for steps of one row, which takes over what comes right before and after ([`crate::one_row`]).
fn one_row(build: &mut Build<'_>, op: &plan::Linear, product: &Product) {
    let matrix = build.matrix(op.matrix).clone();
    let features = product.params.shard_rows;
    if !row::has_kernel(matrix.format) {
        let shape = build.matvec_shape(matrix.format, 1, features, matrix.cols);
        let kernel = matvec_kernel(matrix.format, 1, shape, build.capabilities());
        let blocks = matvec_blocks(shape, features);
        return product.dispatch(build, kernel, move |rows| (rows == 1).then_some(blocks));
    }
    let row::Launch { kernel, params, bindings, workgroups } =
        row::launch(build, op, &matrix, (&product.params, &product.bindings));
    let count = product.count;
    Product { params, bindings, count }
        .dispatch(build, kernel, move |rows| (rows == 1).then_some(workgroups));
}

/// Up to so many rows the matrix is streamed; more go through tiles, which a few rows would leave nearly empty.
const fn few(capabilities: &Capabilities) -> u32 {
    if capabilities.coop || capabilities.software { 2 * MOST_AT_ONCE } else { 4 * MOST_AT_ONCE }
}

/// The product with one shard: what does not depend on the kernel.
#[derive(Clone)]
struct Product {
    params: Params,
    bindings: Vec<Binding>,
    count: Count,
}

impl Product {
    fn new(
        build: &Build<'_>,
        op: &plan::Linear,
        matrix: &DeviceMatrix,
        shard: &Shard,
        x: &Activations,
        count: Count,
    ) -> Self {
        let mut params = Params {
            y_stride: matrix.rows,
            factor: op.factor,
            slots: count.slots,
            flags: count.flags(),
            ..Params::new(matrix, shard, x)
        };
        // What a kernel does not read is bound to something that lies there for reading anyway.
        let unused = &shard.codes;
        let bias = op.bias.map(|bias| build.vector(bias));
        if bias.is_some() {
            params.flags |= HAS_BIAS;
        }
        let mut residual = None;
        if let Some(operand) = op.residual {
            if build.share(operand.value, op.output) {
                params.flags |= IN_PLACE;
            } else {
                let operand = build.operand(operand);
                params.flags |= HAS_RESIDUAL;
                (params.residual_first, params.residual_stride) = (operand.first, operand.stride);
                residual = Some(operand.region);
            }
        }
        let bindings = vec![
            Binding::Read(shard.codes.clone()),
            Binding::Read(shard.scales.as_ref().unwrap_or(unused).clone()),
            Binding::Read(x.region.clone()),
            Binding::ReadWrite(build.value(op.output)),
            Binding::Read(bias.as_ref().unwrap_or(unused).clone()),
            Binding::Read(residual.as_ref().unwrap_or(unused).clone()),
        ];
        Self { params, bindings, count }
    }

    /// A launch with as many workgroups as `groups` says for a number of rows.
    fn dispatch(
        &self,
        build: &mut Build<'_>,
        kernel: Kernel,
        groups: impl Fn(u32) -> Option<u32> + Send + Sync + 'static,
    ) {
        let count = self.count;
        let groups: Groups = Box::new(move |step| groups(count.rows(step)).and_then(spread));
        let params = bytemuck::bytes_of(&self.params).to_vec();
        build.dispatch(Dispatch { kernel, params, bindings: self.bindings.clone(), groups });
    }
}

pub(super) fn tiles_kernel(format: WeightFormat) -> Kernel {
    Kernel::new("linear/tiles").with(Codes::of(format).feature)
}

pub(super) fn units_kernel(format: WeightFormat) -> Kernel {
    Kernel::new("linear/matrix_units").with(Codes::of(format).feature)
}

/// Activations as matrix units read them: the codes of w8a8 as they are, others as f16 in a copy of their own, since few rows
/// keep theirs as f32. `wanted` says for which numbers of rows the copy is made.
pub(super) fn units_activations(
    build: &mut Build<'_>,
    operand: plan::Operand,
    format: WeightFormat,
    x: &Activations,
    wanted: impl Fn(u32) -> bool + Send + Sync + 'static,
) -> Result<Activations, BackendError> {
    match format {
        WeightFormat::W8a8(_) => Ok(x.clone()),
        _ => pack(build, operand, true, wanted),
    }
}

/// Whether many rows go through matrix units: f32 matrices may not be rounded to f16.
pub(super) fn has_matrix_units(capabilities: &Capabilities, format: WeightFormat) -> bool {
    capabilities.has_matrix_units(UNITS_MEMORY) && format != WeightFormat::F32
}

/// A format for each way that codes are read.
pub(super) const FORMATS: [WeightFormat; 7] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Int8(Int8Group::G64),
    WeightFormat::Nf4,
    WeightFormat::Int4(Int4Group::G128),
    WeightFormat::W8a8(ActivationScale::PerToken),
];

/// Devices that differ in which kernels they get.
pub(super) fn kinds_of_devices() -> Vec<Capabilities> {
    let device = |tier: KernelTier, subgroups: Option<(u32, u32)>, software: bool| Capabilities {
        tier,
        subgroups,
        f16: tier >= KernelTier::F16,
        dot4: tier >= KernelTier::Dot4,
        coop: tier >= KernelTier::Coop,
        workgroup_memory: if tier == KernelTier::Base { 16 << 10 } else { 48 << 10 },
        invocations: if tier == KernelTier::Base { 256 } else { 1024 },
        binding: 128 << 20,
        buffer: 256 << 20,
        storage_buffers: 8,
        software,
    };
    vec![
        device(KernelTier::Base, None, false),
        device(KernelTier::Base, None, true),
        // Subgroups that hold a team, and that may not.
        device(KernelTier::Subgroup, Some((32, 32)), false),
        device(KernelTier::Subgroup, Some((8, 32)), false),
        device(KernelTier::Subgroup, Some((8, 8)), true),
        device(KernelTier::Subgroup, Some((4, 4)), true),
        device(KernelTier::Coop, Some((32, 32)), false),
    ]
}

pub(super) fn variants() -> Vec<Kernel> {
    let mut kernels = vec![pack_kernel(false), pack_kernel(true)];
    for format in FORMATS {
        kernels.push(tiles_kernel(format));
        if kinds_of_devices().iter().any(|device| has_matrix_units(device, format)) {
            kernels.push(units_kernel(format));
        }
        for device in kinds_of_devices() {
            for at_once in AT_ONCE {
                for features in [1, u32::MAX] {
                    let shape = MatvecShape::usual(&device, format, at_once, features);
                    if at_once == 1 && row::has_kernel(format) {
                        kernels.extend(row::variants(&device, format, shape));
                    } else {
                        kernels.push(matvec_kernel(format, at_once, shape, &device));
                    }
                }
            }
        }
    }
    // What only an autotuner asks for.
    for shape in SHAPES {
        for device in kinds_of_devices() {
            let format = WeightFormat::Nf4;
            if shape.suits(format, 2) {
                kernels.push(matvec_kernel(format, 2, *shape, &device));
            } else {
                kernels.extend(row::variants(&device, format, *shape));
            }
        }
    }
    let mut distinct: Vec<Kernel> = vec![];
    for kernel in kernels {
        if !distinct.contains(&kernel) {
            distinct.push(kernel);
        }
    }
    distinct
}
