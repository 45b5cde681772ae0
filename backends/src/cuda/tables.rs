//! What the host tells the device anew for each step, packed into one piece of memory that is copied at once.
//!
//! The piece begins with [`StepHeader`], which says where in the piece each table begins; so kernels need to know no more than where the
//! piece lies, and a step copies no more than it has.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use super::driver::{Buffer, Pinned, Stream};
use super::gpu::Gpu;
use crate::gpu::tables::{Pair, SampleRecord, StepCounts, StepTables, list_pairs, spans};
use crate::plan::{Plan, RopeId};
use crate::{BackendError, Batch, BatchLayout, PrepareOptions, STEPS_UNDER_WAY};

/// `Step` of `shaders/lib/step.cuh`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct StepHeader {
    counts: StepCounts,
    row_token: u64,
    row_position: u64,
    row_sequence: u64,
    row_slot: u64,
    first_row: u64,
    attention: u64,
    selected_rows: u64,
    samples: u64,
    sample_lists: u64,
    angles: u64,
}

/// What tables begin at multiples of.
const ALIGNMENT: usize = 16;

/// The tables of a runner.
#[derive(Debug)]
pub(crate) struct Tables {
    /// The piece on the device.
    step: Arc<Buffer>,
    /// The piece on the host, one for each step that may be under way.
    pieces: [Pinned; STEPS_UNDER_WAY],
    next: usize,
    /// For each row its token, draws of the step before put in.
    tokens: Arc<Buffer>,
    /// For each sequence the token that was drawn for it last; then, for each, 0 or what went wrong.
    results: Arc<Buffer>,
    sequences: usize,
    /// For each rotation, its frequencies and magnitude, and where its angles begin in a row of them.
    rotations: Vec<Rotation>,
    /// Floats of all angles of a row.
    angle_stride: usize,
    list_pairs: usize,
    page_tokens: usize,
    /// Kept from step to step, so that a step allocates little.
    on_host: StepTables,
}

#[derive(Debug)]
struct Rotation {
    frequencies: Vec<f64>,
    magnitude: f64,
    first: usize,
}

impl Tables {
    pub(crate) fn new(
        gpu: &Gpu,
        stream: &Stream,
        plan: &Plan,
        options: &PrepareOptions,
    ) -> Result<Self, BackendError> {
        let limits = &options.limits;
        let (rows, sequences) = (limits.rows, limits.sequences);
        let list_pairs = list_pairs(plan, options);
        let mut angle_stride = 0;
        let rotations = plan.ropes.iter().map(|rope| {
            let first = angle_stride;
            angle_stride += rope.rotary_dim;
            Rotation { frequencies: rope.inverse_frequencies(), magnitude: rope.magnitude(), first }
        });
        let rotations = rotations.collect();
        let sizes = [
            size_of::<StepHeader>(),
            4 * rows,
            4 * rows,
            4 * rows,
            4 * rows,
            4 * (sequences + 1),
            usize::try_from(spans::bytes(plan, options)).unwrap_or(usize::MAX),
            4 * limits.selected,
            sequences.saturating_mul(size_of::<SampleRecord>()),
            list_pairs.saturating_mul(size_of::<Pair>()),
            rows.saturating_mul(4 * angle_stride),
        ];
        let bytes = sizes.into_iter().fold(0_usize, |sum, size| {
            sum.saturating_add(size).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)
        });
        let what = format!("the tables of steps of {rows} rows and {sequences} sequences");
        let step = gpu.open.zeroed(stream, &what, bytes as u64)?;
        Ok(Self {
            step,
            pieces: [gpu.open.pinned(bytes)?, gpu.open.pinned(bytes)?],
            next: 0,
            tokens: gpu.open.zeroed(stream, "tokens", 4 * rows as u64)?,
            results: gpu.open.zeroed(stream, "drawn tokens", 8 * sequences as u64)?,
            sequences,
            rotations,
            angle_stride,
            list_pairs,
            page_tokens: options.cache.page_tokens,
            on_host: StepTables::default(),
        })
    }

    /// Where `Step` lies.
    pub(crate) fn step(&self) -> u64 {
        self.step.address()
    }

    /// Where each row's token lies, draws put in.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.address()
    }

    /// Where each sequence's token lies that was drawn last. Faults lie right behind these, so that both are read back at once.
    pub(crate) fn drawn(&self) -> u64 {
        self.results.address()
    }

    /// Where each sequence's fault lies.
    pub(crate) fn faults(&self) -> u64 {
        self.results.address() + 4 * self.sequences as u64
    }

    /// Bytes of what was drawn and of the faults.
    pub(crate) fn result_bytes(&self) -> usize {
        8 * self.sequences
    }

    /// Of a rotation's angles, the first in a row of angles, and the floats from row to row.
    pub(crate) fn angles(&self, rope: RopeId) -> (u32, u32) {
        (self.rotations[rope.index()].first as u32, self.angle_stride as u32)
    }

    /// Bytes on the device.
    pub(crate) fn bytes(&self) -> u64 {
        self.step.bytes() + self.tokens.bytes() + self.results.bytes()
    }

    /// Copies the tables of a step. No more than [`STEPS_UNDER_WAY`] steps may be under way with it.
    pub(crate) fn write(
        &mut self,
        stream: &Stream,
        batch: &Batch,
        layout: &BatchLayout,
    ) -> Result<Result<StepCounts, super::driver::CudaError>, BackendError> {
        let mut tables = std::mem::take(&mut self.on_host);
        tables.fill(batch, layout, self.page_tokens, self.list_pairs)?;
        let base = self.step.address();
        let piece = &mut self.pieces[self.next];
        let mut out = Packer { piece: piece.get_mut(), base, end: size_of::<StepHeader>() };
        let header = StepHeader {
            counts: tables.counts,
            row_token: out.put(&tables.row_token),
            row_position: out.put(&layout.position),
            row_sequence: out.put(&layout.sequence),
            row_slot: out.put(&tables.row_slot),
            first_row: out.put(&layout.first_row),
            attention: out.put(&tables.attention),
            selected_rows: out.put(&layout.selected),
            samples: out.put(&tables.samples),
            sample_lists: out.put(&tables.lists),
            angles: out.angles(&self.rotations, self.angle_stride, &layout.position),
        };
        let bytes = out.end;
        let piece = &mut self.pieces[self.next];
        piece.get_mut()[..size_of::<StepHeader>()].copy_from_slice(bytemuck::bytes_of(&header));
        self.on_host = tables;
        self.next = (self.next + 1) % STEPS_UNDER_WAY;
        Ok(stream.copy_pinned(base, piece, bytes).map(|()| header.counts))
    }

    /// Puts back what was drawn before a step that failed.
    pub(crate) fn restore_drawn(
        &self,
        stream: &Stream,
        drawn: &[Option<u32>],
    ) -> Result<(), super::driver::CudaError> {
        let words = drawn.iter().map(|token| token.unwrap_or(0)).collect::<Vec<_>>();
        if words.is_empty() { Ok(()) } else { stream.copy_from(self.drawn(), bytemuck::cast_slice(&words)) }
    }
}

/// Puts one table behind another.
struct Packer<'a> {
    piece: &'a mut [u8],
    /// Where the piece lies on the device.
    base: u64,
    end: usize,
}

impl Packer<'_> {
    /// Appends a table and says where on the device it will be.
    fn put<T: Pod>(&mut self, table: &[T]) -> u64 {
        let bytes = bytemuck::cast_slice::<_, u8>(table);
        let place = self.end;
        self.piece[place..place + bytes.len()].copy_from_slice(bytes);
        self.end = (place + bytes.len()).next_multiple_of(ALIGNMENT).min(self.piece.len());
        self.base + place as u64
    }

    /// Likewise for each row the angles of all rotations.
    fn angles(&mut self, rotations: &[Rotation], stride: usize, positions: &[u32]) -> u64 {
        let place = self.end;
        let bytes = 4 * stride * positions.len();
        let floats = bytemuck::cast_slice_mut::<_, f32>(&mut self.piece[place..place + bytes]);
        for (row, position) in floats.chunks_exact_mut(stride.max(1)).zip(positions) {
            for rotation in rotations {
                let Rotation { frequencies, magnitude, first } = rotation;
                let row = &mut row[*first..*first + 2 * frequencies.len()];
                crate::plan::RopeSpec::angles_at(frequencies, *magnitude, *position, row);
            }
        }
        self.end = (place + bytes).next_multiple_of(ALIGNMENT).min(self.piece.len());
        self.base + place as u64
    }
}
