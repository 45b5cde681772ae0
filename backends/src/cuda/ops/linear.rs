//! `y = factor · (x · Wᵀ + bias) + residual`: which kernel for how many rows.
//!
//! | rows | kernel |
//! |---|---|
//! | up to 8 | `stream`, at the speed of memory |
//! | more, on matrix units of warps | `tiles_mma`, codes decoded on the way |
//! | more, on those of warpgroups, f16 and w8a8 | `split_wgmma` up to some hundreds, then `tiles_wgmma` |
//! | more there, other formats | `tiles_mma` up to some dozens, then `unpack` and `tiles_wgmma` |
//! | without matrix units, and f32 matrices always | `simt` |

use super::product::{
    Activations, Product, Stored, WithMaps, WithNorm, activations, code_bits, direct, half_row_bytes, map,
    pack, unpack, unpacked_features, with_format,
};
use super::shapes::{Bounds, MmaShape, SplitShape, StreamShape, TilesShape, few_for_mma};
use crate::cuda::build::{Build, Launch, blocks};
use crate::cuda::capabilities::{Capabilities, KernelTier};
use crate::cuda::driver::ByteMatrix;
use crate::cuda::kernels::Kernel;
use crate::cuda::weights::DeviceMatrix;
use crate::format::WeightFormat;
use crate::gpu::elementwise::number;
use crate::gpu::one_row::{gate_after, norm_into};
use crate::gpu::stored::stored_after;
use crate::{BackendError, plan};
#[cfg(test)]
use {
    super::product::{pack_kernel, unpack_kernel},
    crate::format::{ActivationScale, Int4Group, Int8Group},
};

/// Rows of activations that `stream` and simt's `few` take at most.
const FEW: u32 = 8;
/// From so many rows on `tiles_mma` has tiles enough without sharing their K.
const MANY: u32 = 128;
/// Threads of simt's blocks, the features that one of `few` takes, and the side of a tile.
pub(super) const SIMT_THREADS: u32 = 256;
pub(super) const SIMT_FEATURES: u32 = 8;
pub(super) const SIMT_SIDE: u32 = 64;

pub(super) fn linear(build: &mut Build<'_>, op: &plan::Linear) -> Result<(), BackendError> {
    let matrix = build.matrix(op.matrix).clone();
    let x = activations(build, op.input, matrix.format)?;
    let product = Product::new(build, op, &x);
    let this = Linear { matrix, x, product };
    if has_matrix_units(build.capabilities(), this.matrix.format) {
        this.on_matrix_units(build, op)
    } else {
        this.simt(build);
        Ok(())
    }
}

/// f32 matrices may not be rounded to f16.
pub(super) fn has_matrix_units(capabilities: &Capabilities, format: WeightFormat) -> bool {
    capabilities.tier() >= KernelTier::Mma && format != WeightFormat::F32
}

/// A product: what does not depend on the kernel.
struct Linear {
    matrix: DeviceMatrix,
    x: Activations,
    product: Product,
}

impl Linear {
    fn simt(&self, build: &mut Build<'_>) {
        let (count, features) = (self.x.count, self.matrix.rows);
        let few = simt_kernel("few", self.matrix.format, self.x.quads);
        build.launch(Launch::new(few, &self.product, SIMT_THREADS, move |step| {
            let rows = count.rows(step);
            if rows <= FEW && rows > 0 { blocks(features.div_ceil(SIMT_FEATURES)) } else { None }
        }));
        if self.x.most_told > FEW {
            let tiles = simt_kernel("tiles", self.matrix.format, self.x.quads);
            build.launch(Launch::new(tiles, &self.product, SIMT_THREADS, move |step| {
                let rows = count.rows(step);
                let tiles = rows.div_ceil(SIMT_SIDE) * features.div_ceil(SIMT_SIDE);
                if rows > FEW { blocks(tiles) } else { None }
            }));
        }
    }

    fn on_matrix_units(&self, build: &mut Build<'_>, op: &plan::Linear) -> Result<(), BackendError> {
        self.one_row(build, op)?;
        let mut below = 1;
        for up_to in [2, 4, FEW] {
            if self.x.most_told > below {
                let params = WithNorm { product: self.product, ..WithNorm::default() };
                self.stream(
                    build,
                    Bounds { below, up_to },
                    params,
                    Fused { quads: self.x.quads, ..Fused::default() },
                )?;
            }
            below = up_to;
        }
        if self.x.most_told <= FEW {
            return Ok(());
        }
        let few = self.rows_for_mma(build.capabilities()).max(FEW);
        if few > FEW {
            self.tiles_mma(build, few)?;
        }
        if self.x.most_told <= few {
            return Ok(());
        }
        match self.matrix.format {
            WeightFormat::F16 | WeightFormat::W8a8(_) => self.on_warpgroups(build),
            _ => self.unpacked(build, few),
        }
    }

    /// Up to so many rows `tiles_mma` is used.
    fn rows_for_mma(&self, capabilities: &Capabilities) -> u32 {
        // Tensor copies begin at multiples of 16 bytes.
        let copies = self.x.address.is_multiple_of(16) || code_bits(self.matrix.format) != 8;
        if capabilities.tier() >= KernelTier::Wgmma && copies {
            few_for_mma(self.matrix.format)
        } else {
            u32::MAX
        }
    }

    /// The launch for steps of one row, which takes over what comes right before and after ([`crate::gpu::one_row`],
    /// [`crate::gpu::stored`]).
    fn one_row(&self, build: &mut Build<'_>, op: &plan::Linear) -> Result<(), BackendError> {
        let node = build.node;
        let norm = node.and_then(|node| norm_into(build, node, op)).cloned();
        let gate = node.and_then(|node| gate_after(build, node, op)).cloned();
        let stored = node.and_then(|node| stored_after(build, node, op)).map(|to| Stored::new(build, &to));
        let mut params = WithNorm { product: self.product, ..WithNorm::default() };
        let mut fused = Fused {
            norm: norm.is_some(),
            result: match (&gate, &stored) {
                (Some(_), _) => Outcome::Gated,
                (None, Some(_)) => Outcome::Stored,
                (None, None) => Outcome::Rows,
            },
            quads: self.x.quads,
        };
        params.stored = stored.unwrap_or_default();
        if let Some(norm) = norm {
            let x = direct(build, norm.input);
            (params.product.x, params.product.x_stride, fused.quads) = (x.address, x.stride, x.quads);
            params.norm_weight = norm.weight.map_or(0, |weight| build.vector(weight));
            (params.norm_epsilon, params.norm_offset) = (norm.epsilon, norm.weight_offset);
        }
        if let Some(gate) = gate {
            params.product.y = build.value(gate.output).address();
            params.product.y_stride = self.matrix.rows / 2;
            params.function = number(gate.function);
        }
        self.stream(build, Bounds { below: 0, up_to: 1 }, params, fused)
    }

    /// A launch of `stream` for so many rows.
    fn stream(
        &self,
        build: &mut Build<'_>,
        bounds: Bounds,
        mut params: WithNorm,
        fused: Fused,
    ) -> Result<(), BackendError> {
        let format = self.matrix.format;
        let shape = StreamShape::new(build.capabilities(), format);
        let (split, shared) = shape.room(build.capabilities(), format, self.matrix.row_bytes, bounds.up_to);
        let tiles = if fused.result == Outcome::Gated {
            (self.matrix.rows / 2).div_ceil(8)
        } else {
            self.matrix.rows.div_ceil(16)
        };
        params.product.split = split;
        if split > 1 {
            let sums = u64::from(tiles) * u64::from(split) * 128;
            meet(build, &mut params.product, sums, tiles)?;
        }
        let resident = shape.resident(build.capabilities(), format, shared);
        let columns = (resident / split).clamp(1, tiles);
        let count = self.x.count;
        let kernel = stream_kernel(format, shape, fused);
        let launch = Launch::new(kernel, &params, shape.threads(), move |step| {
            if bounds.holds(count.rows(step)) { blocks(columns * split) } else { None }
        });
        build.launch(launch.shared(shared));
        Ok(())
    }

    /// More than a few rows, up to `most` of them.
    fn tiles_mma(&self, build: &mut Build<'_>, most: u32) -> Result<(), BackendError> {
        let format = self.matrix.format;
        let count = self.x.count;
        let x = if matches!(format, WeightFormat::W8a8(_)) {
            self.x
        } else {
            let order = matches!(format, WeightFormat::Int4(_));
            pack(build, &self.x, half_row_bytes(&self.matrix), order, move |rows| rows > FEW && rows <= most)?
        };
        let mut below = FEW;
        while below < self.x.most_told.min(most) {
            // Beyond some rows there are tiles enough.
            let many = below >= MANY;
            let bounds = Bounds { below, up_to: if many { most } else { 2 * below } };
            let shape = MmaShape::new(build.capabilities(), format, bounds.up_to, self.matrix.rows);
            let across = self.matrix.rows.div_ceil(MmaShape::FEATURES);
            let tiles = bounds.up_to.div_ceil(shape.rows).saturating_mul(across);
            let split = if many {
                1
            } else {
                shape.split(build.capabilities(), format, tiles, self.matrix.row_bytes)
            };
            let mut product = Product { x: x.address, x_stride: x.stride, split, ..self.product };
            if split > 1 {
                let sums = u64::from(tiles) * u64::from(split) * u64::from(MmaShape::FEATURES * shape.rows);
                meet(build, &mut product, sums, tiles)?;
            }
            let launch = Launch::new(mma_kernel(format, shape), &product, shape.threads(), move |step| {
                let rows = count.rows(step);
                if bounds.holds(rows) { blocks(rows.div_ceil(shape.rows) * across * split) } else { None }
            });
            build.launch(launch.shared(shape.shared(format)));
            below = bounds.up_to;
        }
        Ok(())
    }

    /// More than a few rows of f16 or codes, as they lie.
    fn on_warpgroups(&self, build: &mut Build<'_>) -> Result<(), BackendError> {
        let x = if matches!(self.matrix.format, WeightFormat::W8a8(_)) {
            self.x
        } else {
            pack(build, &self.x, half_row_bytes(&self.matrix), false, |rows| rows > FEW)?
        };
        let (features, row_bytes) = (self.matrix.rows, self.matrix.row_bytes);
        let weights =
            ByteMatrix { address: self.matrix.codes.address(), rows: features, row_bytes, stride: row_bytes };
        let mut below = FEW;
        while self.x.most_told > below {
            let bounds = Bounds { below, up_to: 2 * below };
            let Some(shape) = SplitShape::new(build.capabilities(), features, row_bytes, bounds.up_to) else {
                return self.tiles(build, &x, &weights, self.product, below);
            };
            self.split(build, &x, &weights, shape, bounds)?;
            below = bounds.up_to;
        }
        Ok(())
    }

    /// The activations as tensor copies find them.
    fn rows(&self, x: &Activations) -> ByteMatrix {
        let row_bytes = if code_bits(self.matrix.format) == 8 && x.address == self.x.address {
            x.width.next_multiple_of(64)
        } else {
            x.stride
        };
        ByteMatrix { address: x.address, rows: x.most, row_bytes, stride: x.stride }
    }

    /// A launch of `split_wgmma` for so many rows.
    fn split(
        &self,
        build: &mut Build<'_>,
        x: &Activations,
        weights: &ByteMatrix,
        shape: SplitShape,
        bounds: Bounds,
    ) -> Result<(), BackendError> {
        let params = WithMaps {
            x_map: map(build, &self.rows(x), shape.rows)?,
            w_map: map(build, weights, shape.features)?,
            product: Product { split: shape.split, ..self.product },
            padding: [0; 2],
        };
        let (count, across) = (self.x.count, weights.rows.div_ceil(shape.features));
        let kernel = split_kernel(kind(self.matrix.format), shape);
        let launch = Launch::new(kernel, &params, shape.threads(), move |step| {
            let rows = count.rows(step);
            let tiles = rows.div_ceil(shape.rows) * across;
            if bounds.holds(rows) { blocks(tiles * shape.split) } else { None }
        });
        build.launch(Launch { cluster: shape.split, ..launch.shared(shape.shared()) });
        Ok(())
    }

    /// Launches of `tiles_wgmma` for more than so many rows.
    fn tiles(
        &self,
        build: &mut Build<'_>,
        x: &Activations,
        weights: &ByteMatrix,
        product: Product,
        few: u32,
    ) -> Result<(), BackendError> {
        let mut below = few;
        while self.x.most_told > below {
            let up_to = if below >= TilesShape::MANY_ROWS { u32::MAX } else { 2 * below };
            let bounds = Bounds { below, up_to };
            let shape = TilesShape::new(build.capabilities(), weights.rows, up_to);
            let params = WithMaps {
                x_map: map(build, &self.rows(x), TilesShape::ROWS)?,
                w_map: map(build, weights, shape.features / 2)?,
                product,
                padding: [0; 2],
            };
            let (count, across) = (self.x.count, weights.rows.div_ceil(shape.features));
            let clusters = build.capabilities().multiprocessors / 2;
            let kernel = tiles_kernel(kind(self.matrix.format), shape);
            let launch = Launch::new(kernel, &params, TilesShape::THREADS, move |step| {
                let rows = count.rows(step);
                let tiles = rows.div_ceil(2 * TilesShape::ROWS) * across;
                if bounds.holds(rows) { blocks(2 * tiles.min(clusters)) } else { None }
            });
            build.launch(Launch { cluster: 2, ..launch.shared(shape.shared()) });
            below = up_to;
        }
        Ok(())
    }

    /// More than `few` rows of weights that are unpacked to f16 first, a piece at a time.
    fn unpacked(&self, build: &mut Build<'_>, few: u32) -> Result<(), BackendError> {
        let row_bytes = half_row_bytes(&self.matrix);
        let x = pack(build, &self.x, row_bytes, false, move |rows| rows > few)?;
        let at_once = unpacked_features(row_bytes);
        let count = self.x.count;
        for first in (0..self.matrix.rows).step_by(at_once as usize) {
            let features = at_once.min(self.matrix.rows - first);
            let wanted = move |step: &crate::gpu::tables::StepCounts| count.rows(step) > few;
            let address = unpack(build, &self.matrix, (first, features), row_bytes, wanted)?;
            let weights = ByteMatrix { address, rows: features, row_bytes, stride: row_bytes };
            let behind = |address: u64| if address == 0 { 0 } else { address + 4 * u64::from(first) };
            let product = Product {
                y: behind(self.product.y),
                bias: behind(self.product.bias),
                residual: behind(self.product.residual),
                features,
                row_bytes,
                ..self.product
            };
            self.tiles(build, &x, &weights, product, few)?;
        }
        Ok(())
    }
}

/// What `stream` does along with a product, and whether it reads x in fours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fused {
    pub(super) norm: bool,
    pub(super) result: Outcome,
    pub(super) quads: bool,
}

/// What becomes of the features that `stream` computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They are the result.
    #[default]
    Rows,
    /// Their halves go through a gate.
    Gated,
    /// They are queries, keys and values, which are turned and stored.
    Stored,
}

/// Memory in which blocks that share a tile's K leave so many sums.
pub(super) fn meet(
    build: &mut Build<'_>,
    product: &mut Product,
    sums: u64,
    tiles: u32,
) -> Result<(), BackendError> {
    product.parts = build.scratch("sums of parts", 4 * sums)?.address();
    product.arrived = build.scratch("parts that are there", 4 * u64::from(tiles))?.address();
    Ok(())
}

/// The number of operands' kind in `linear/wgmma.cuh`: all but codes are f16 there.
const fn kind(format: WeightFormat) -> u32 {
    if matches!(format, WeightFormat::W8a8(_)) { 0 } else { 1 }
}

pub(super) fn simt_kernel(entry: &'static str, format: WeightFormat, quads: bool) -> Kernel {
    with_format(Kernel::new("linear/simt", entry), format).define("QUADS", u32::from(quads))
}

pub(super) fn stream_kernel(format: WeightFormat, shape: StreamShape, fused: Fused) -> Kernel {
    with_format(Kernel::new("linear/stream", "stream"), format)
        .define("QUADS", u32::from(fused.quads))
        .define("NORM", u32::from(fused.norm))
        .define("GATED", u32::from(fused.result == Outcome::Gated))
        .define("STORED", u32::from(fused.result == Outcome::Stored))
        .define("WARPS", shape.warps)
        .define("DEPTH", shape.depth)
        .define("CHUNK", shape.chunk)
        .define("TEAMS", shape.teams)
        .define("BLOCKS", shape.blocks)
}

pub(super) fn mma_kernel(format: WeightFormat, shape: MmaShape) -> Kernel {
    with_format(Kernel::new("linear/tiles_mma", "tiles"), format)
        .define("TILE_ROWS", shape.rows)
        .define("CHUNK", shape.chunk)
        .define("STAGES", shape.stages)
}

fn split_kernel(kind: u32, shape: SplitShape) -> Kernel {
    Kernel::new("linear/split_wgmma", "split")
        .define("KIND", kind)
        .define("TILE_ROWS", shape.rows)
        .define("TILE_FEATURES", shape.features)
        .define("STAGES", shape.stages)
}

fn tiles_kernel(kind: u32, shape: TilesShape) -> Kernel {
    Kernel::new("linear/tiles_wgmma", "tiles")
        .define("KIND", kind)
        .define("TILE_FEATURES", shape.features)
        .define("STAGES", shape.stages)
}

/// A format for each way that codes are read.
#[cfg(test)]
pub(super) const FORMATS: [WeightFormat; 9] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Int8(Int8Group::G32),
    WeightFormat::Int8(Int8Group::G128),
    WeightFormat::Nf4,
    WeightFormat::Int4(Int4Group::G32),
    WeightFormat::Int4(Int4Group::G128),
    WeightFormat::W8a8(ActivationScale::PerToken),
];

/// Not all combinations: what differs in one format alone is compiled for that one.
#[cfg(test)]
pub(super) fn variants(capabilities: &Capabilities) -> Vec<Kernel> {
    let mut kernels = vec![];
    let yes_no = [false, true];
    for format in FORMATS {
        if !has_matrix_units(capabilities, format) {
            kernels.extend(["few", "tiles"].map(|entry| simt_kernel(entry, format, true)));
            continue;
        }
        let shape = StreamShape::new(capabilities, format);
        let norm = !matches!(format, WeightFormat::W8a8(_));
        let stream = |norm, result, quads| stream_kernel(format, shape, Fused { norm, result, quads });
        kernels.extend([stream(false, Outcome::Rows, true), stream(norm, Outcome::Stored, true)]);
        if norm {
            kernels.push(stream(true, Outcome::Gated, true));
        }
        if !matches!(format, WeightFormat::F16 | WeightFormat::W8a8(_)) {
            kernels.push(unpack_kernel(format));
        }
        let small_groups =
            matches!(format, WeightFormat::Int8(Int8Group::G32) | WeightFormat::Int4(Int4Group::G32));
        let rows: &[u32] = if small_groups { &[64] } else { &[16, 64, 128] };
        let shapes = rows.iter().map(|rows| MmaShape::new(capabilities, format, *rows, u32::MAX));
        kernels.extend(shapes.map(|shape| mma_kernel(format, shape)));
        if format == WeightFormat::F16 {
            kernels.extend([
                stream(false, Outcome::Rows, false),
                stream(true, Outcome::Rows, false),
                stream(false, Outcome::Gated, true),
            ]);
        }
    }
    kernels.push(simt_kernel("few", WeightFormat::F32, false));
    if capabilities.tier() >= KernelTier::Mma {
        for quads in yes_no {
            kernels.extend(yes_no.map(|order| pack_kernel(quads, order)));
        }
    }
    if capabilities.tier() >= KernelTier::Wgmma {
        for kind in [0, 1] {
            kernels.extend([TilesShape::SMALL, TilesShape::LARGE].map(|shape| tiles_kernel(kind, shape)));
            let split =
                |rows| SplitShape::new(capabilities, 4096, 4096, rows).map(|shape| split_kernel(kind, shape));
            kernels.extend([64, 128, 256].into_iter().filter_map(split));
        }
    }
    kernels
}
