//! What all products with weight matrices share: the parameters of their kernels, and activations as the kernels want them.

use bytemuck::{Pod, Zeroable};

use super::elementwise::{Rounding, quantize_rows};
use super::rope::Rotation;
use super::{code_bytes, format_number, is_selected};
use crate::BackendError;
use crate::cuda::build::{Build, DeviceOperand, Launch, blocks};
use crate::cuda::driver::{ByteMatrix, TensorMap};
use crate::cuda::kernels::Kernel;
use crate::cuda::weights::DeviceMatrix;
use crate::format::{ActivationScale, WeightFormat};
use crate::gpu::stored;
use crate::gpu::tables::StepCounts;
use crate::plan::{BatchLimits, Element, Linear, Operand, Rows, Shape};

/// `Product` of `linear/product.cuh`, whose fields are explained there.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Product {
    pub(super) codes: u64,
    pub(super) scales: u64,
    pub(super) x: u64,
    pub(super) x_scales: u64,
    pub(super) y: u64,
    pub(super) bias: u64,
    pub(super) residual: u64,
    pub(super) parts: u64,
    pub(super) arrived: u64,
    pub(super) features: u32,
    pub(super) cols: u32,
    pub(super) row_bytes: u32,
    pub(super) row_scales: u32,
    pub(super) x_stride: u32,
    pub(super) y_stride: u32,
    pub(super) residual_stride: u32,
    pub(super) selected: u32,
    pub(super) slots: u32,
    pub(super) factor: f32,
    pub(super) split: u32,
    pub(super) padding: u32,
}

/// `Params` of `linear/wgmma.cuh`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct WithMaps {
    pub(super) x_map: TensorMap,
    pub(super) w_map: TensorMap,
    pub(super) product: Product,
    pub(super) padding: [u32; 2],
}

/// `Params` of `linear/stream.cu`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct WithNorm {
    pub(super) product: Product,
    pub(super) norm_weight: u64,
    pub(super) norm_epsilon: f32,
    pub(super) norm_offset: f32,
    pub(super) function: u32,
    pub(super) padding: u32,
    pub(super) stored: Stored,
}

/// `Stored` of `linear/stream.cu`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Stored {
    rotated: u64,
    keys: u64,
    values: u64,
    heads: u32,
    kv_heads: u32,
    keys_first: u32,
    dim: u32,
    vector_bytes: u32,
    page_tokens: u32,
    interleaved: u32,
    angle_stride: u32,
    angle_first: u32,
    padding: u32,
}

impl Stored {
    pub(super) fn new(build: &Build<'_>, to: &stored::Stored<'_>) -> Self {
        let cache = build.cache(to.store.cache);
        let layout = cache.layout;
        let rotation = Rotation::new(build, to.rotate.rope);
        Self {
            rotated: build.value(to.rotate.output).address(),
            keys: cache.keys.codes.address(),
            values: cache.values.codes.address(),
            heads: (to.rotate.query.width / layout.head_dim) as u32,
            kv_heads: layout.kv_heads as u32,
            keys_first: u32::from(to.store.key.first < to.store.value.first),
            dim: layout.head_dim as u32,
            vector_bytes: cache.vector_bytes,
            page_tokens: layout.page_tokens as u32,
            interleaved: rotation.interleaved,
            angle_stride: rotation.angle_stride,
            angle_first: rotation.angle_first,
            padding: 0,
        }
    }
}

impl Product {
    pub(super) fn new(build: &Build<'_>, op: &Linear, x: &Activations) -> Self {
        let matrix = build.matrix(op.matrix);
        let residual = op.residual.map(|residual| build.operand(residual));
        Self {
            y: build.value(op.output).address(),
            y_stride: matrix.rows,
            bias: op.bias.map_or(0, |bias| build.vector(bias)),
            residual: residual.as_ref().map_or(0, DeviceOperand::address),
            residual_stride: residual.as_ref().map_or(0, |residual| residual.stride),
            factor: op.factor,
            ..Self::of(matrix, x)
        }
    }

    /// What follows from a matrix and from the activations.
    pub(super) fn of(matrix: &DeviceMatrix, x: &Activations) -> Self {
        let scale_bytes = if matches!(matrix.format, WeightFormat::W8a8(_)) { 4 } else { 2 };
        Self {
            codes: matrix.codes.address(),
            scales: matrix.scales_address(),
            x: x.address,
            x_scales: x.scales,
            features: matrix.rows,
            cols: matrix.cols,
            row_bytes: matrix.row_bytes,
            row_scales: matrix.row_scales * scale_bytes,
            x_stride: x.stride,
            selected: x.count.selected(),
            slots: x.count.slots,
            factor: 1.0,
            split: 1,
            ..Self::default()
        }
    }
}

/// How many rows a value has in a step, slots counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    kind: Rows,
    pub(super) slots: u32,
}

impl Count {
    pub(super) const fn of(shape: &Shape) -> Self {
        Self { kind: shape.rows, slots: shape.slots as u32 }
    }

    pub(super) fn rows(self, step: &StepCounts) -> u32 {
        step.rows_of(self.kind) * self.slots
    }

    /// In the largest step.
    pub(super) fn most(self, limits: &BatchLimits) -> u32 {
        limits.rows_of(self.kind) as u32 * self.slots
    }

    /// In the largest step, as launches are told it: rows are rounded up before slots are counted.
    pub(super) fn most_told(self, limits: &BatchLimits) -> u32 {
        let rows = limits.rows_of(self.kind) as u32;
        rows.next_power_of_two().saturating_mul(self.slots)
    }

    pub(super) fn selected(self) -> u32 {
        is_selected(self.kind)
    }
}

/// Activations as kernels read them: f32 rows, or rows of codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activations {
    /// Of the first column of the first row.
    pub(super) address: u64,
    /// Of codes, where the rows' scales lie.
    pub(super) scales: u64,
    /// Floats, or bytes of codes, from row to row.
    pub(super) stride: u32,
    /// Columns that are read.
    pub(super) width: u32,
    /// Whether all f32 rows begin and end at multiples of four columns.
    pub(super) quads: bool,
    pub(super) count: Count,
    /// Rows of the largest step, and as launches are told it.
    pub(super) most: u32,
    pub(super) most_told: u32,
}

/// Codes of int8 rows are read eight at a time.
const CODES_AT_ONCE: u32 = 8;

/// f32 rows, as they lie.
pub(super) fn direct(build: &Build<'_>, operand: Operand) -> Activations {
    let count = Count::of(&build.shape(operand.value));
    let x = build.operand(operand);
    Activations {
        address: x.address(),
        scales: 0,
        stride: x.stride,
        width: x.width,
        quads: x.in_quads(),
        count,
        most: count.most(&build.options.limits),
        most_told: count.most_told(&build.options.limits),
    }
}

/// The activations of a product with a matrix of this format; those of `w8a8` are quantised by a launch of their own, unless they are already.
pub(super) fn activations(
    build: &mut Build<'_>,
    operand: Operand,
    format: WeightFormat,
) -> Result<Activations, BackendError> {
    let WeightFormat::W8a8(scale) = format else { return Ok(direct(build, operand)) };
    let shape = build.shape(operand.value);
    let count = Count::of(&shape);
    let most = count.most(&build.options.limits);
    let x = build.operand(operand);
    // Rows of codes that are there already may be read from some column on; what is quantised here begins at the first.
    let (region, first, stride) = if shape.element == Element::Int8Rows {
        if !x.first.is_multiple_of(CODES_AT_ONCE) {
            let what = format!(
                "int8 rows read from column {} on: columns have to begin at a multiple of 8",
                x.first
            );
            return Err(build.unsupported(what));
        }
        (x.region, x.first, code_bytes(x.stride))
    } else {
        let stride = code_bytes(x.width);
        let region = build.scratch("quantized activations", u64::from(most) * u64::from(stride + 4))?;
        let shape = Shape { width: operand.width, ..shape };
        quantize_rows(build, &x, shape, Rounding::into_region(region.clone(), most, scale))?;
        (region, 0, stride)
    };
    let rounding = Rounding::into_region(region.clone(), most, ActivationScale::PerToken);
    Ok(Activations {
        address: region.address() + u64::from(first),
        scales: rounding.scales(stride),
        stride,
        width: x.width,
        quads: true,
        count,
        most,
        most_told: count.most_told(&build.options.limits),
    })
}

/// The parameters of `linear/pack.cu`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct PackParams {
    x: u64,
    packed: u64,
    cols: u32,
    stride: u32,
    row_bytes: u32,
    selected: u32,
    slots: u32,
    padding: u32,
}

/// Threads of a block of kernels that copy.
const COPY_THREADS: u32 = 256;

pub(super) fn pack_kernel(quads: bool, order: bool) -> Kernel {
    Kernel::new("linear/pack", "pack").define("QUADS", u32::from(quads)).define("ORDER", u32::from(order))
}

/// Rows of f16 in memory of their own, zero up to `row_bytes`; made in steps of so many rows as are `wanted`. In the `order` that decoded
/// int4 comes in, where asked for.
pub(super) fn pack(
    build: &mut Build<'_>,
    x: &Activations,
    row_bytes: u32,
    order: bool,
    wanted: impl Fn(u32) -> bool + Send + Sync + 'static,
) -> Result<Activations, BackendError> {
    let purpose = if order { "activations as f16, in order" } else { "activations as f16" };
    let packed = build.scratch(purpose, u64::from(x.most) * u64::from(row_bytes))?;
    let params = PackParams {
        x: x.address,
        packed: packed.address(),
        cols: x.width,
        stride: x.stride,
        row_bytes,
        selected: x.count.selected(),
        slots: x.count.slots,
        padding: 0,
    };
    let count = x.count;
    build.launch(Launch::new(pack_kernel(x.quads, order), &params, COPY_THREADS, move |step| {
        let rows = count.rows(step);
        let pieces = u64::from(rows) * u64::from(row_bytes / 16);
        if wanted(rows) { blocks(pieces.div_ceil(COPY_THREADS.into()) as u32) } else { None }
    }));
    Ok(Activations { address: packed.address(), stride: row_bytes, quads: true, ..*x })
}

/// The parameters of `linear/unpack.cu`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct UnpackParams {
    codes: u64,
    scales: u64,
    unpacked: u64,
    row_bytes: u32,
    row_scales: u32,
    cols: u32,
    to_bytes: u32,
    first: u32,
    features: u32,
}

/// Memory that features are unpacked to, at most.
const UNPACKED_BYTES: u32 = 128 << 20;
/// Features are unpacked in multiples of so many, which fill tiles, and so many at once: their tiles fill the device, and unless rows are long
/// they stay in L2 until they have been multiplied.
const UNPACKED_FEATURES: u32 = 256;
const UNPACKED_AT_ONCE: u32 = 4096;

/// How many features are unpacked at once where each takes so many bytes.
pub(super) fn unpacked_features(row_bytes: u32) -> u32 {
    let fit = UNPACKED_BYTES / row_bytes / UNPACKED_FEATURES * UNPACKED_FEATURES;
    fit.clamp(UNPACKED_FEATURES, UNPACKED_AT_ONCE)
}

pub(super) fn unpack_kernel(format: WeightFormat) -> Kernel {
    with_format(Kernel::new("linear/unpack", "unpack"), format)
}

/// Some features of a matrix as rows of f16 of so many bytes; where they then are.
pub(super) fn unpack(
    build: &mut Build<'_>,
    matrix: &DeviceMatrix,
    (first, features): (u32, u32),
    row_bytes: u32,
    wanted: impl Fn(&StepCounts) -> bool + Send + Sync + 'static,
) -> Result<u64, BackendError> {
    let room = u64::from(unpacked_features(row_bytes)) * u64::from(row_bytes);
    let unpacked = build.scratch("unpacked weights", room)?.address();
    let params = UnpackParams {
        codes: matrix.codes.address(),
        scales: matrix.scales_address(),
        unpacked,
        row_bytes: matrix.row_bytes,
        row_scales: 2 * matrix.row_scales,
        cols: matrix.cols,
        to_bytes: row_bytes,
        first,
        features,
    };
    let pieces = u64::from(features) * u64::from(row_bytes / 16);
    let count = pieces.div_ceil(COPY_THREADS.into()) as u32;
    build.launch(Launch::new(unpack_kernel(matrix.format), &params, COPY_THREADS, move |step| {
        if wanted(step) { blocks(count) } else { None }
    }));
    Ok(unpacked)
}

/// A map for tensor copies.
pub(super) fn map(build: &Build<'_>, matrix: &ByteMatrix, box_rows: u32) -> Result<TensorMap, BackendError> {
    TensorMap::new(matrix, box_rows).map_err(|error| build.gpu.open.refused(error))
}

/// Defines what kernels know of a format.
pub(super) fn with_format(kernel: Kernel, format: WeightFormat) -> Kernel {
    let (number, group) = format_number(format);
    kernel.define("FORMAT", number).define("GROUP", group)
}

/// Bits of a code.
pub(super) const fn code_bits(format: WeightFormat) -> u32 {
    match format {
        WeightFormat::F32 => 32,
        WeightFormat::F16 | WeightFormat::Bf16 => 16,
        WeightFormat::Int8(_) | WeightFormat::W8a8(_) => 8,
        WeightFormat::Nf4 | WeightFormat::Int4(_) => 4,
    }
}

/// Bytes of a row of f16 that is as long as the rows of a matrix, padding counted.
pub(super) fn half_row_bytes(matrix: &DeviceMatrix) -> u32 {
    matrix.row_bytes / code_bits(matrix.format) * 16
}

/// Bytes of the scales of a row's chunk of so many bytes, as kernels copy them: `SCALES` of `linear/decode.cuh`.
pub(super) fn chunk_scales(format: WeightFormat, chunk: u32) -> u32 {
    let scale = match format {
        WeightFormat::Int8(_) | WeightFormat::Nf4 => 2,
        WeightFormat::Int4(_) => 4,
        WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16 | WeightFormat::W8a8(_) => return 0,
    };
    let (_, group) = format_number(format);
    (chunk * 8 / code_bits(format) / group * scale).max(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Int4Group, Int8Group};

    #[test]
    fn no_step_has_more_rows_than_launches_are_listed_for() {
        let count = Count { kind: Rows::Tokens, slots: 3 };
        for rows in 1..40 {
            let limits = BatchLimits { rows, ..BatchLimits::default() };
            for rows in 1..=rows as u32 {
                let told = StepCounts { rows, ..StepCounts::default() }.bucket();
                assert!(count.rows(&told) <= count.most_told(&limits));
            }
        }
    }

    #[test]
    fn scales_are_copied_by_the_word() {
        let bytes = |format| [64, 128].map(|chunk| chunk_scales(format, chunk));
        assert_eq!(bytes(WeightFormat::F16), [0, 0]);
        assert_eq!(bytes(WeightFormat::Int8(Int8Group::G32)), [4, 8]);
        assert_eq!(bytes(WeightFormat::Int8(Int8Group::G128)), [4, 4]);
        assert_eq!(bytes(WeightFormat::Nf4), [4, 8]);
        assert_eq!(bytes(WeightFormat::Int4(Int4Group::G32)), [16, 32]);
    }

    #[test]
    fn pieces_of_unpacked_weights_fill_tiles_and_fit() {
        assert_eq!(unpacked_features(8192), 4096);
        assert_eq!(unpacked_features(128), 4096);
        assert_eq!(unpacked_features(57_344) % 256, 0);
        assert_eq!(unpacked_features(1 << 20), 256);
    }
}
