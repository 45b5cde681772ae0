//! What all products with weight matrices share: the parameters of their kernels, activations as the kernels want them, and the
//! shapes that the streaming kernel comes in.

use std::env;
use std::sync::OnceLock;

use bytemuck::{Pod, Zeroable};

use super::elementwise::{Rounding, quantize_rows};
use super::row;
use super::rowwise::is_selected;
use crate::BackendError;
use crate::format::{ActivationScale, WeightFormat};
use crate::plan::{BatchLimits, Element, Operand, Rows, Shape};
use crate::wgpu::build::{Binding, Build, DeviceOperand, Dispatch, spread};
use crate::wgpu::capabilities::Capabilities;
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::StepCounts;
use crate::wgpu::values::Region;
use crate::wgpu::weights::{DeviceMatrix, Shard};

/// Bits of [`Params::flags`].
pub(super) const HAS_BIAS: u32 = 1;
pub(super) const HAS_RESIDUAL: u32 = 2;
pub(super) const IN_PLACE: u32 = 4;
pub(super) const SELECTED: u32 = 8;

/// `Params` of `shaders/linear/operands.wesl`, whose fields are explained there.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Params {
    pub(super) steps: u32,
    pub(super) row_codes: u32,
    pub(super) row_scales: u32,
    pub(super) scale_shift: u32,
    pub(super) first_row: u32,
    pub(super) shard_rows: u32,
    pub(super) x_first: u32,
    pub(super) x_stride: u32,
    pub(super) x_scales: u32,
    pub(super) y_stride: u32,
    pub(super) residual_first: u32,
    pub(super) residual_stride: u32,
    pub(super) flags: u32,
    pub(super) factor: f32,
    pub(super) slots: u32,
    pub(super) expert_rows: u32,
    pub(super) input_slots: u32,
    pub(super) experts: u32,
    pub(super) tiles_at: u32,
    pub(super) order_at: u32,
    pub(super) norm_epsilon: f32,
    pub(super) norm_offset: f32,
    pub(super) function: u32,
    pub(super) x_quads: u32,
    pub(super) heads: u32,
    pub(super) kv_heads: u32,
    pub(super) dim: u32,
    pub(super) vector_words: u32,
    pub(super) page_tokens: u32,
    pub(super) key_head: u32,
    pub(super) value_head: u32,
    pub(super) interleaved: u32,
}

impl Params {
    /// What follows from a shard of a matrix and from the activations.
    pub(super) fn new(matrix: &DeviceMatrix, shard: &Shard, x: &Activations) -> Self {
        let codes = Codes::of(matrix.format);
        let mut params = Self {
            steps: codes.steps(matrix.cols),
            row_codes: matrix.row_quads * 16 / codes.bytes,
            row_scales: if codes.feature == "w_int4" { matrix.row_scales / 2 } else { matrix.row_scales },
            scale_shift: codes.scale_shift,
            first_row: shard.first_row,
            shard_rows: shard.rows,
            factor: 1.0,
            slots: 1,
            input_slots: 1,
            ..Self::default()
        };
        params.read(x);
        params
    }

    /// Where the activations lie.
    pub(super) fn read(&mut self, x: &Activations) {
        (self.x_first, self.x_stride, self.x_scales) = (x.first, x.stride, x.scales);
        self.x_quads = x.quads;
    }
}

/// How kernels read the codes of a format: `Codes` of `shaders/lib/dequantize.wesl`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codes {
    pub(super) feature: &'static str,
    /// Of a `Codes`.
    pub(super) bytes: u32,
    /// Weights of a `Codes`.
    pub(super) width: u32,
    /// A group is 1 << this many `Codes`.
    scale_shift: u32,
}

impl Codes {
    pub(super) const fn of(format: WeightFormat) -> Self {
        /// `Codes` of eight weights in a group, as a power of two.
        const fn shift(group: usize) -> u32 {
            group.trailing_zeros() - 3
        }
        match format {
            WeightFormat::F32 => Self { feature: "w_f32", bytes: 16, width: 4, scale_shift: 0 },
            WeightFormat::F16 => Self { feature: "w_f16", bytes: 16, width: 8, scale_shift: 0 },
            WeightFormat::Bf16 => Self { feature: "w_bf16", bytes: 16, width: 8, scale_shift: 0 },
            WeightFormat::Int8(group) => {
                Self { feature: "w_int8", bytes: 8, width: 8, scale_shift: shift(group.size()) }
            }
            WeightFormat::Nf4 => Self { feature: "w_nf4", bytes: 4, width: 8, scale_shift: shift(64) },
            WeightFormat::Int4(group) => {
                Self { feature: "w_int4", bytes: 4, width: 8, scale_shift: shift(group.size()) }
            }
            WeightFormat::W8a8(_) => Self { feature: "w_w8a8", bytes: 8, width: 8, scale_shift: 0 },
        }
    }

    /// How many cover a row.
    pub(super) fn steps(self, cols: u32) -> u32 {
        cols.div_ceil(self.width)
    }
}

/// Activations as the kernels read them.
#[derive(Clone, Debug)]
pub(super) struct Activations {
    pub(super) region: Region,
    /// In elements of the kernels' binding: `vec4<f32>`, and `vec2<u32>` of codes.
    first: u32,
    stride: u32,
    /// Fours of elements of a row.
    quads: u32,
    /// Of w8a8: where the scales begin, in words.
    scales: u32,
}

impl Activations {
    /// f32 rows that are read as they lie.
    pub(super) fn direct(x: DeviceOperand) -> Self {
        Self { region: x.region, first: x.first / 4, stride: x.stride / 4, quads: x.width / 4, scales: 0 }
    }
}

/// How many rows a value has in a step, slots counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    kind: Rows,
    pub(super) slots: u32,
}

impl Count {
    pub(super) fn of(shape: &Shape) -> Self {
        Self { kind: shape.rows, slots: shape.slots as u32 }
    }

    pub(super) fn rows(self, step: &StepCounts) -> u32 {
        step.rows_of(self.kind) * self.slots
    }

    /// In the largest step.
    pub(super) fn most(self, limits: &BatchLimits) -> u32 {
        limits.rows_of(self.kind) as u32 * self.slots
    }

    pub(super) const fn flags(self) -> u32 {
        match self.kind {
            Rows::Tokens => 0,
            Rows::Selected => SELECTED,
        }
    }
}

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct PackParams {
    first: u32,
    stride: u32,
    width: u32,
    fours: u32,
    slots: u32,
    selected: u32,
    padding: [u32; 2],
}

pub(super) fn pack_kernel(half: bool) -> Kernel {
    Kernel::new("linear/pack").with_if(half, "half")
}

/// The activations of a product, prepared by a dispatch of their own where they do not lie as the kernels want them.
pub(super) fn activations(
    build: &mut Build<'_>,
    operand: Operand,
    format: WeightFormat,
) -> Result<Activations, BackendError> {
    let shape = build.shape(operand.value);
    let most = Count::of(&shape).most(&build.options.limits);
    let x = build.operand(operand);
    if let WeightFormat::W8a8(scale) = format {
        let quantized = shape.element == Element::Int8Rows;
        // Rows of codes that are there already may be read from some column on; what is quantised here begins at the first.
        let (first, width) = if quantized { (x.first, x.stride) } else { (0, x.width) };
        if !first.is_multiple_of(8) {
            return Err(BackendError::Unsupported {
                device: build.gpu.open.name.clone(),
                what: format!(
                    "int8 rows read from column {first} on: columns have to begin at a multiple of 8"
                ),
            });
        }
        let stride = width.next_multiple_of(64);
        let region = if quantized { x.region } else { quantize(build, operand, scale)? };
        let scales = most * (stride / 4);
        return Ok(Activations { region, first: first / 8, stride: stride / 8, quads: stride / 4, scales });
    }
    let aligned = |number: u32| number.is_multiple_of(4);
    if aligned(x.first) && aligned(x.stride) && x.width.is_multiple_of(row::width(format)) {
        return Ok(Activations::direct(x));
    }
    pack(build, operand, false, |_| true)
}

/// Rows that begin at multiples of 16 bytes, filled up with zeros to 64 elements; as f16 where `half`. Only in steps of so many
/// rows as are `wanted`.
pub(super) fn pack(
    build: &mut Build<'_>,
    operand: Operand,
    half: bool,
    wanted: impl Fn(u32) -> bool + Send + Sync + 'static,
) -> Result<Activations, BackendError> {
    let shape = build.shape(operand.value);
    let (count, x) = (Count::of(&shape), build.operand(operand));
    let width = x.width.next_multiple_of(64);
    let most = count.most(&build.options.limits);
    let size = if half { 2 } else { 4 };
    let purpose = if half { "activations as f16" } else { "packed activations" };
    let packed = build.scratch(purpose, u64::from(most) * u64::from(width) * size)?;
    let fours = width / 4;
    let params = PackParams {
        first: x.first,
        stride: x.stride,
        width: x.width,
        fours,
        slots: count.slots,
        selected: is_selected(shape.rows),
        padding: [0; 2],
    };
    build.dispatch(Dispatch {
        kernel: pack_kernel(half),
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings: vec![Binding::Read(x.region), Binding::ReadWrite(packed.clone())],
        groups: Box::new(move |step| {
            let rows = count.rows(step);
            if wanted(rows) { spread((rows * fours).div_ceil(256)) } else { None }
        }),
    });
    Ok(Activations { region: packed, first: 0, stride: fours, quads: fours, scales: 0 })
}

/// Rows of f32 as int8 rows, for a product whose input nobody quantised before.
fn quantize(build: &mut Build<'_>, operand: Operand, scale: ActivationScale) -> Result<Region, BackendError> {
    let shape = build.shape(operand.value);
    let x = build.operand(operand);
    let most = Count::of(&shape).most(&build.options.limits);
    let row = u64::from(x.width.next_multiple_of(64)) + 4;
    let quantized = build.scratch("quantized activations", u64::from(most) * row)?;
    let rounding = Rounding::into_region(quantized.clone(), most, scale);
    quantize_rows(build, &x, Shape { width: operand.width, ..shape }, rounding)?;
    Ok(quantized)
}

/// A shape of the streaming kernel, `shaders/linear/matvec.wesl`, or of the one for one row, `row.wesl`: what is worth trying on a
/// device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MatvecShape {
    /// Invocations that share four rows of weights (`tall`: eight); a power of two from 4 on.
    pub(crate) lanes: u32,
    /// Such teams in a workgroup.
    pub(crate) teams: u32,
    pub(crate) tall: bool,
    /// Reads of each row that are under way at once, per lane: 1, 2 or 4.
    pub(crate) unroll: u32,
    /// In the kernel for one row, blocks of rows of weights that a workgroup goes through; 0 in the streaming kernel.
    pub(crate) passes: u32,
}

/// Names a shape by its place in [`SHAPES`], for benchmarks; what is no such place names none.
const SHAPE_VARIABLE: &str = "INGLE_WGPU_MATVEC";

/// Rows of a matrix from which one subgroup to a team has enough to do: in the streaming kernel, and in the one for one row.
const MANY_FEATURES: u32 = 1 << 16;
const SOME_FEATURES: u32 = 1 << 14;

/// What an autotuner may choose from.
pub(crate) const SHAPES: &[MatvecShape] = &[
    several(32, 4, false, 4),
    several(32, 4, false, 2),
    several(32, 8, false, 2),
    several(32, 2, false, 4),
    several(32, 4, true, 2),
    several(32, 4, true, 1),
    several(64, 2, false, 2),
    several(128, 1, false, 2),
    several(16, 8, false, 2),
    several(8, 8, false, 1),
    several(128, 1, false, 4),
    several(256, 1, false, 2),
    several(256, 1, false, 1),
    several(128, 2, false, 2),
    one(32, 8, 2, 1),
    one(32, 8, 1, 1),
    one(32, 8, 1, 2),
    one(32, 8, 2, 4),
    one(32, 4, 1, 1),
    one(32, 4, 2, 1),
    one(64, 4, 1, 1),
    one(64, 4, 2, 1),
    one(64, 4, 2, 2),
    one(128, 2, 1, 1),
    one(128, 2, 2, 1),
    one(16, 16, 2, 1),
    one(8, 8, 1, 1),
];

/// Of the kernel for several rows.
const fn several(lanes: u32, teams: u32, tall: bool, unroll: u32) -> MatvecShape {
    MatvecShape { lanes, teams, tall, unroll, passes: 0 }
}

/// Of the kernel for one row.
const fn one(lanes: u32, teams: u32, unroll: u32, passes: u32) -> MatvecShape {
    MatvecShape { lanes, teams, tall: false, unroll, passes }
}

impl MatvecShape {
    /// Whether the kernel for so many rows comes in this shape.
    pub(crate) const fn suits(self, format: WeightFormat, rows: u32) -> bool {
        (self.passes > 0) == (rows == 1 && row::has_kernel(format))
    }

    /// What is used where nobody has measured, unless somebody forces a shape to measure it.
    pub(crate) fn usual(capabilities: &Capabilities, format: WeightFormat, rows: u32, features: u32) -> Self {
        static FORCED: OnceLock<Option<usize>> = OnceLock::new();
        let forced = FORCED.get_or_init(|| env::var(SHAPE_VARIABLE).ok()?.parse().ok());
        let forced = forced.and_then(|index| SHAPES.get(index));
        if let Some(shape) = forced.filter(|shape| shape.suits(format, rows)) {
            return *shape;
        }
        if rows == 1 && row::has_kernel(format) {
            return if capabilities.software {
                one(8, 8, 1, 1)
            } else if features < SOME_FEATURES {
                one(64, 4, 2, 1)
            } else {
                one(32, 8, 2, 1)
            };
        }
        if rows == 1 && features < MANY_FEATURES && !capabilities.software {
            // Measured on an H200: a matrix of so few rows keeps all of a large device busy only if many lanes share each row.
            return several(128, 2, false, 2);
        }
        Self::streaming(capabilities, format, rows)
    }

    /// The usual shape of the streaming kernel.
    pub(crate) fn streaming(capabilities: &Capabilities, format: WeightFormat, rows: u32) -> Self {
        if capabilities.software {
            return several(8, 8, false, 1);
        }
        // Several rows of activations need their sums in registers; codes of few bytes need more of them under way.
        let unroll = match (rows, Codes::of(format).bytes) {
            (1, 16) | (2, _) => 2,
            (1, _) => 4,
            _ => 1,
        };
        several(32, 4, rows >= 4, unroll)
    }
}

/// The streaming kernel for `rows` rows at once: 1, 2, 4 or 8.
pub(super) fn matvec_kernel(
    format: WeightFormat,
    rows: u32,
    shape: MatvecShape,
    capabilities: &Capabilities,
) -> Kernel {
    let at_once = match rows {
        1 => "rows1",
        2 => "rows2",
        4 => "rows4",
        _ => "rows8",
    };
    let subgroups = capabilities.subgroups.is_some();
    Kernel::new("linear/matvec")
        .with(Codes::of(format).feature)
        .with(at_once)
        .with_if(shape.tall, "tall")
        .with_if(shape.unroll == 2, "unroll2")
        .with_if(shape.unroll == 4, "unroll4")
        .with_if(subgroups, "subgroups")
        .with_if(capabilities.subgroup_at_least(shape.lanes), "whole")
        .constant("LANES", shape.lanes)
        .constant("INVOCATIONS", shape.lanes * shape.teams)
}

/// Workgroups of the streaming kernel that cover so many rows of weights.
pub(super) fn matvec_blocks(shape: MatvecShape, rows: u32) -> u32 {
    rows.div_ceil(shape.teams * if shape.tall { 8 } else { 4 })
}
