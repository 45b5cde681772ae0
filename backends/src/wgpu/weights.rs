//! Weights on the device: matrices in pieces that fit a binding, vectors in f32.
//!
//! A matrix lies as [`mod@crate::format`] packs it, rows padded to 16 bytes of codes so that every row begins where a
//! `vec4<u32>` may be read; what is added is zero. Its rows are cut into shards, each a buffer of codes and one of scales, none
//! larger than the device binds.

use super::gpu::Gpu;
use super::values::{Region, STORAGE};
use crate::format::{PackedMatrix, WeightFormat};
use crate::load::{Loader, PIECE_BYTES};
use crate::plan::{Matrix, Plan, Vector};
use crate::{BackendError, ProgressFn, WeightSource};

/// Bytes that the beginning of a row is a multiple of.
const QUAD: usize = 16;
/// Bytes handed to the queue before it is made to finish with them, so that what is on its way to the device stays small.
const IN_FLIGHT: u64 = 256 << 20;

/// A matrix on the device.
#[derive(Clone, Debug)]
pub(crate) struct DeviceMatrix {
    pub(crate) format: WeightFormat,
    pub(crate) rows: u32,
    pub(crate) cols: u32,
    /// `vec4<u32>` (16 bytes) of codes from one row to the next.
    pub(crate) row_quads: u32,
    /// Scales from one row to the next, as [`WeightFormat::scales_per_row`] counts them (f16, two to a word, rows not padded:
    /// scale `i` of the shard is half `i & 1` of word `i >> 1`; for `w8a8` f32).
    pub(crate) row_scales: u32,
    pub(crate) shards: Vec<Shard>,
}

/// Neighbouring rows of a matrix.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(crate) codes: Region,
    /// Formats without scales have none.
    pub(crate) scales: Option<Region>,
}

/// The weights of a plan, in the order of its tables.
#[derive(Debug)]
pub(crate) struct DeviceWeights {
    pub(crate) matrices: Vec<DeviceMatrix>,
    /// f32.
    pub(crate) vectors: Vec<Region>,
}

impl DeviceMatrix {
    /// Room for a matrix, cut into shards.
    fn allocate(gpu: &Gpu, matrix: &Matrix) -> Result<Self, BackendError> {
        let row = padded_row(matrix);
        let row_scales = matrix.format.scale_bytes_per_row(matrix.cols) as u64;
        // At least one, as `check_visible` made sure.
        let fit = (gpu.capabilities.visible() / row.max(row_scales).max(1)).max(1);
        // An even number of rows, so that the f16 scales of a shard begin at a whole word.
        let fit = if fit > 1 { fit & !1 } else { fit }.min(matrix.rows as u64);
        let shard = |first: u64| {
            let rows = fit.min(matrix.rows as u64 - first);
            let codes = gpu.open.buffer("weights", rows * row, STORAGE)?;
            let scales = match rows * row_scales {
                0 => None,
                bytes => Some(Region::whole(gpu.open.buffer("the scales of weights", bytes, STORAGE)?)),
            };
            let (first_row, rows) = (first as u32, rows as u32);
            Ok::<_, BackendError>(Shard { first_row, rows, codes: Region::whole(codes), scales })
        };
        let shards = (0..matrix.rows as u64).step_by(fit as usize).map(shard).collect::<Result<_, _>>()?;
        Ok(Self {
            format: matrix.format,
            rows: matrix.rows as u32,
            cols: matrix.cols as u32,
            row_quads: (row / QUAD as u64) as u32,
            row_scales: matrix.format.scales_per_row(matrix.cols) as u32,
            shards,
        })
    }

    /// Puts rows in, from `first` on.
    fn write(&self, queue: &wgpu::Queue, first: usize, piece: &PackedMatrix, carry: &mut Carry) {
        let (row_codes, row_scales) =
            (self.format.row_bytes(piece.cols()), self.format.scale_bytes_per_row(piece.cols()));
        let row = self.row_quads as usize * QUAD;
        for shard in &self.shards {
            let begin = first.max(shard.first_row as usize);
            let end = (first + piece.rows()).min((shard.first_row + shard.rows) as usize);
            if begin >= end {
                continue;
            }
            let codes = &piece.codes()[(begin - first) * row_codes..(end - first) * row_codes];
            let offset = (begin - shard.first_row as usize) * row;
            if row == row_codes {
                queue.write_buffer(&shard.codes.buffer, offset as u64, codes);
            } else {
                let mut padded = vec![0; (end - begin) * row];
                for (padded, codes) in padded.chunks_exact_mut(row).zip(codes.chunks_exact(row_codes)) {
                    padded[..row_codes].copy_from_slice(codes);
                }
                queue.write_buffer(&shard.codes.buffer, offset as u64, &padded);
            }
            if let Some(region) = &shard.scales {
                let scales = &piece.scales()[(begin - first) * row_scales..(end - first) * row_scales];
                let offset = (begin - shard.first_row as usize) * row_scales;
                carry.write(queue, &region.buffer, offset, scales);
            }
        }
    }
}

/// Bytes from one row of codes to the next.
fn padded_row(matrix: &Matrix) -> u64 {
    matrix.format.row_bytes(matrix.cols).next_multiple_of(QUAD) as u64
}

/// Refuses weights that cannot be cut into pieces that a kernel can be shown: before any is loaded, which may take minutes.
pub(crate) fn check_visible(gpu: &Gpu, plan: &Plan) -> Result<(), BackendError> {
    for matrix in &plan.matrices {
        let scales = matrix.format.scale_bytes_per_row(matrix.cols) as u64;
        let name = matrix.parts.first().map_or("", |part| part.tensor.as_str());
        let what = format!("one row of `{name}` in {}, {} columns,", matrix.format, matrix.cols);
        gpu.check_visible(what, padded_row(matrix).max(scales), |_| {
            "it has to be in a format of fewer bits, or on another device (`ingle devices` lists them)"
                .to_owned()
        })?;
    }
    for vector in &plan.vectors {
        let name = vector.parts.first().map_or("", |(tensor, _)| tensor.as_str());
        gpu.check_visible(format!("the vector `{name}`"), (vector.len as u64).saturating_mul(4), |_| {
            "it cannot be cut: use another device (`ingle devices` lists them)".to_owned()
        })?;
    }
    Ok(())
}

/// Writes of bytes that need not begin or end at whole words, where each goes on from the one before.
#[derive(Default)]
struct Carry {
    half: Option<(usize, [u8; 2])>,
}

impl Carry {
    fn write(&mut self, queue: &wgpu::Queue, buffer: &wgpu::Buffer, offset: usize, bytes: &[u8]) {
        let aligned = offset.is_multiple_of(4) && bytes.len().is_multiple_of(4);
        if aligned {
            queue.write_buffer(buffer, offset as u64, bytes);
            return;
        }
        // Scales are halves: at most two bytes are missing at either end.
        let mut whole = Vec::with_capacity(bytes.len() + 4);
        let start = offset & !3;
        if start < offset {
            let before = self.half.take().filter(|(end, _)| *end == offset).map_or([0; 2], |(_, half)| half);
            whole.extend(before);
        }
        whole.extend(bytes);
        let end = offset + bytes.len();
        if !end.is_multiple_of(4) {
            self.half = whole.last_chunk::<2>().map(|half| (end, *half));
            whole.extend([0; 2]);
        }
        queue.write_buffer(buffer, start as u64, &whole);
    }
}

impl DeviceWeights {
    /// Bytes of all matrices and vectors.
    pub(crate) fn bytes(&self) -> u64 {
        let shards = self.matrices.iter().flat_map(|matrix| &matrix.shards);
        let regions = shards.flat_map(|shard| [Some(&shard.codes), shard.scales.as_ref()]).flatten();
        regions.chain(&self.vectors).map(|region| region.size).sum()
    }

    /// Asks for all weights of a plan, a piece at a time.
    pub(crate) fn load(
        gpu: &Gpu,
        plan: &Plan,
        weights: &dyn WeightSource,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Self, BackendError> {
        let loader = Loader::new(plan, weights, progress, PIECE_BYTES);
        let mut upload = Upload { gpu, loader, in_flight: 0 };
        let matrices = plan.matrices.iter().map(|m| upload.matrix(m)).collect::<Result<_, _>>()?;
        let vectors = plan.vectors.iter().map(|v| upload.vector(v)).collect::<Result<_, _>>()?;
        upload.flush()?;
        upload.loader.report("weights loaded")?;
        Ok(Self { matrices, vectors })
    }
}

/// Weights on their way to the device.
struct Upload<'a, 'p> {
    gpu: &'a Gpu,
    loader: Loader<'a, 'p>,
    /// Bytes handed to the queue since it was last waited for.
    in_flight: u64,
}

impl Upload<'_, '_> {
    /// Counts bytes that were handed to the queue, and waits for it where they are many.
    fn sent(&mut self, bytes: u64) -> Result<(), BackendError> {
        self.in_flight += bytes;
        if self.in_flight >= IN_FLIGHT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BackendError> {
        self.in_flight = 0;
        let open = &self.gpu.open;
        let index = open.scoped("weights", self.loader.total_bytes, || open.queue.submit([]))?;
        open.wait(index)
    }

    fn matrix(&mut self, matrix: &Matrix) -> Result<DeviceMatrix, BackendError> {
        let room = DeviceMatrix::allocate(self.gpu, matrix)?;
        let mut carry = Carry::default();
        let mut done = 0;
        for cut in self.loader.cuts(matrix) {
            let piece = self.loader.piece(matrix, cut)?;
            room.write(&self.gpu.open.queue, done, &piece, &mut carry);
            done += piece.rows();
            self.sent(piece.bytes() as u64)?;
        }
        Ok(room)
    }

    fn vector(&mut self, vector: &Vector) -> Result<Region, BackendError> {
        let values = self.loader.vector(vector)?;
        let bytes = bytemuck::cast_slice::<_, u8>(&values);
        let buffer = self.gpu.open.buffer("a weight vector", bytes.len() as u64, STORAGE)?;
        self.gpu.open.queue.write_buffer(&buffer, 0, bytes);
        self.sent(bytes.len() as u64)?;
        Ok(Region::whole(buffer))
    }
}
