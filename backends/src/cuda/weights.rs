//! Weights on the device: matrices as `shaders/CUDA.md` lays them out, vectors in f32.

use super::driver::{Event, Pinned, Stream};
use super::gpu::Gpu;
use super::values::Region;
use crate::format::{PackedMatrix, WeightFormat};
use crate::load::{Loader, PIECE_BYTES};
use crate::plan::{Matrix, Plan, Vector};
use crate::{BackendError, ProgressFn, WeightSource};

/// What rows of codes are padded to, in bytes.
const ROW: usize = 128;
/// What rows of scales are padded to, in bytes, where there is more than one to a row.
const SCALES: usize = 16;
/// Bytes of a half of the memory that weights pass through.
const STAGE: usize = 16 << 20;

/// A matrix on the device.
#[derive(Clone, Debug)]
pub(crate) struct DeviceMatrix {
    pub(crate) format: WeightFormat,
    pub(crate) rows: u32,
    pub(crate) cols: u32,
    /// Bytes from one row of codes to the next, a multiple of 128.
    pub(crate) row_bytes: u32,
    /// Scales from one row to the next: f16, a multiple of 8, in int4 pairs of a scale and a zero point, each counted; for `w8a8` one f32.
    pub(crate) row_scales: u32,
    pub(crate) codes: Region,
    /// Formats without scales have none.
    pub(crate) scales: Option<Region>,
}

impl DeviceMatrix {
    /// Where the scales lie; 0 where there are none.
    pub(crate) fn scales_address(&self) -> u64 {
        self.scales.as_ref().map_or(0, Region::address)
    }
}

/// The weights of a plan, in the order of its tables.
#[derive(Debug)]
pub(crate) struct DeviceWeights {
    pub(crate) matrices: Vec<DeviceMatrix>,
    /// f32.
    pub(crate) vectors: Vec<Region>,
}

impl DeviceWeights {
    /// Bytes of all matrices and vectors.
    pub(crate) fn bytes(&self) -> u64 {
        let regions = self.matrices.iter().flat_map(|matrix| [Some(&matrix.codes), matrix.scales.as_ref()]);
        regions.flatten().chain(&self.vectors).map(|region| region.size).sum()
    }

    /// Asks for all weights of a plan, a piece at a time.
    pub(crate) fn load(
        gpu: &Gpu,
        stream: &Stream,
        plan: &Plan,
        weights: &dyn WeightSource,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Self, BackendError> {
        let loader = Loader::new(plan, weights, progress, PIECE_BYTES);
        let mut upload = Upload { gpu, loader, stage: Stage::new(gpu, stream)? };
        let matrices = plan.matrices.iter().map(|m| upload.matrix(m)).collect::<Result<_, _>>()?;
        let vectors = plan.vectors.iter().map(|v| upload.vector(v)).collect::<Result<_, _>>()?;
        upload.stage.finish()?;
        upload.loader.report("weights loaded")?;
        Ok(Self { matrices, vectors })
    }
}

/// Weights on their way to the device.
struct Upload<'a, 'p> {
    gpu: &'a Gpu,
    loader: Loader<'a, 'p>,
    stage: Stage<'a>,
}

impl Upload<'_, '_> {
    /// Room for a matrix.
    fn allocate(&self, matrix: &Matrix) -> Result<DeviceMatrix, BackendError> {
        let row_bytes = matrix.format.row_bytes(matrix.cols).next_multiple_of(ROW);
        let (row_scales, scale_bytes) = match matrix.format.scale_bytes_per_row(matrix.cols) {
            0 => (0, 0),
            bytes if matches!(matrix.format, WeightFormat::W8a8(_)) => (1, bytes),
            bytes => (bytes.next_multiple_of(SCALES) / 2, bytes.next_multiple_of(SCALES)),
        };
        let region = |what: &str, row: usize| {
            let bytes = (matrix.rows as u64).saturating_mul(row as u64);
            Ok::<_, BackendError>(Region::whole(self.gpu.open.buffer(what, bytes)?))
        };
        Ok(DeviceMatrix {
            format: matrix.format,
            rows: matrix.rows as u32,
            cols: matrix.cols as u32,
            row_bytes: row_bytes as u32,
            row_scales: row_scales as u32,
            codes: region("weights", row_bytes)?,
            scales: if scale_bytes == 0 { None } else { Some(region("the scales of weights", scale_bytes)?) },
        })
    }

    fn matrix(&mut self, matrix: &Matrix) -> Result<DeviceMatrix, BackendError> {
        let room = self.allocate(matrix)?;
        let mut done = 0;
        for cut in self.loader.cuts(matrix) {
            let piece = self.loader.piece(matrix, cut)?;
            self.rows(&room, done, &piece)?;
            done += piece.rows();
        }
        Ok(room)
    }

    /// Puts rows in, from `first` on.
    fn rows(&mut self, room: &DeviceMatrix, first: usize, piece: &PackedMatrix) -> Result<(), BackendError> {
        let format = room.format;
        let row = format.row_bytes(piece.cols());
        let to = room.row_bytes as usize;
        self.stage.rows(room.codes.address() + (first * to) as u64, piece.codes(), row, to)?;
        if let Some(scales) = &room.scales {
            let row = format.scale_bytes_per_row(piece.cols());
            let padded = 2 * room.row_scales as usize;
            let to = if matches!(format, WeightFormat::W8a8(_)) { row } else { padded };
            self.stage.rows(scales.address() + (first * to) as u64, piece.scales(), row, to)?;
        }
        Ok(())
    }

    fn vector(&mut self, vector: &Vector) -> Result<Region, BackendError> {
        let values = self.loader.vector(vector)?;
        let bytes = bytemuck::cast_slice::<_, u8>(&values);
        let region = Region::whole(self.gpu.open.buffer("a weight vector", bytes.len() as u64)?);
        self.stage.rows(region.address(), bytes, bytes.len(), bytes.len())?;
        Ok(region)
    }
}

/// Pinned memory in two halves: one is filled while the device copies the other.
struct Stage<'a> {
    gpu: &'a Gpu,
    stream: &'a Stream,
    halves: [(Pinned, Event); 2],
    next: usize,
}

impl<'a> Stage<'a> {
    fn new(gpu: &'a Gpu, stream: &'a Stream) -> Result<Self, BackendError> {
        let half = || Ok::<_, BackendError>((gpu.open.pinned(STAGE)?, gpu.open.event(false)?));
        Ok(Self { gpu, stream, halves: [half()?, half()?], next: 0 })
    }

    /// Copies rows of `row` bytes to the device, where they are `to` bytes apart, with zeros between.
    fn rows(&mut self, mut address: u64, rows: &[u8], row: usize, to: usize) -> Result<(), BackendError> {
        if row == 0 {
            return Ok(());
        }
        if to > STAGE {
            return self.long_rows(address, rows, row, to);
        }
        for some in rows.chunks(STAGE / to * row) {
            let open = &self.gpu.open;
            let (pinned, passed) = &mut self.halves[self.next];
            open.wait(passed)?;
            let bytes = some.len() / row * to;
            let out = &mut pinned.get_mut()[..bytes];
            if row == to {
                out.copy_from_slice(some);
            } else {
                for (out, row) in out.chunks_exact_mut(to).zip(some.chunks_exact(row)) {
                    let (codes, padding) = out.split_at_mut(row.len());
                    codes.copy_from_slice(row);
                    padding.fill(0);
                }
            }
            let sent = self.stream.copy_pinned(address, pinned, bytes);
            sent.and_then(|()| self.stream.record(passed)).map_err(|error| open.refused(error))?;
            address += bytes as u64;
            self.next = 1 - self.next;
        }
        Ok(())
    }

    /// Likewise, of rows that are longer than a half.
    fn long_rows(&mut self, address: u64, rows: &[u8], row: usize, to: usize) -> Result<(), BackendError> {
        for (place, row) in rows.chunks_exact(row).enumerate() {
            let begin = address + (place * to) as u64;
            for (part, bytes) in row.chunks(STAGE).enumerate() {
                self.rows(begin + (part * STAGE) as u64, bytes, bytes.len(), bytes.len())?;
            }
            let zeroed = self.stream.zero(begin + row.len() as u64, (to - row.len()) as u64);
            zeroed.map_err(|error| self.gpu.open.refused(error))?;
        }
        Ok(())
    }

    /// Waits until all is there.
    fn finish(&mut self) -> Result<(), BackendError> {
        self.stream.wait().map_err(|error| self.gpu.open.refused(error))
    }
}
