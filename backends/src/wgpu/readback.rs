//! What comes back from a step: drawn tokens and faults always, logits and tapped values where they were asked for.

use std::ops::Range;

use super::runner::Parts;
use super::tables::DeviceTable;
use crate::gpu::taps::numbers;
use crate::plan::{Element, ValueId};
use crate::{BackendError, Batch, BatchLayout, StepOutput, Tap};

/// Buffers that the host reads, used again from step to step.
pub(super) struct Readback {
    free: Vec<wgpu::Buffer>,
    bytes: u64,
}

/// What a submitted step will bring back, and where.
pub(super) struct Wanted {
    buffer: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    /// For each sequence whether it drew a token.
    draws: Vec<bool>,
    /// Bytes of the faults, the rows of logits of each sequence, and the tapped values.
    faults: Range<usize>,
    logits: Vec<Range<usize>>,
    taps: Vec<(ValueId, usize, Range<usize>)>,
}

/// Copies from buffers into the one that is read, one behind another.
#[derive(Default)]
struct Layout {
    copies: Vec<(wgpu::Buffer, u64, Range<usize>)>,
    end: usize,
}

impl Layout {
    fn add(&mut self, buffer: &wgpu::Buffer, offset: u64, bytes: usize) -> Range<usize> {
        let place = self.end..self.end + bytes;
        self.end = place.end;
        if bytes > 0 {
            self.copies.push((buffer.clone(), offset, place.clone()));
        }
        place
    }
}

impl Readback {
    /// With two buffers for what every step brings back, so that steps allocate nothing unless more is asked for.
    pub(super) fn new(parts: &Parts) -> Result<Self, BackendError> {
        let bytes = 8 * parts.options.limits.sequences as u64;
        let mut readback = Self { free: vec![], bytes: 0 };
        for _ in 0..2 {
            let buffer = readback.make(parts, bytes)?;
            readback.free.push(buffer);
        }
        Ok(readback)
    }

    /// Bytes of all buffers there are.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn make(&mut self, parts: &Parts, bytes: u64) -> Result<wgpu::Buffer, BackendError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = parts.gpu.open.buffer("results", bytes, usage)?;
        self.bytes += buffer.size();
        Ok(buffer)
    }

    /// A buffer of at least so many bytes: the smallest that is free, or a new one in place of the largest that is.
    fn buffer(&mut self, parts: &Parts, bytes: u64) -> Result<wgpu::Buffer, BackendError> {
        self.free.sort_by_key(wgpu::Buffer::size);
        if let Some(place) = self.free.iter().position(|buffer| buffer.size() >= bytes) {
            return Ok(self.free.remove(place));
        }
        if let Some(small) = self.free.pop() {
            self.bytes -= small.size();
        }
        self.make(parts, bytes)
    }

    /// Records the copies at the end of a step, and submits it.
    pub(super) fn record(
        &mut self,
        parts: &Parts,
        mut encoder: wgpu::CommandEncoder,
        batch: &Batch,
        layout: &BatchLayout,
    ) -> Result<Wanted, BackendError> {
        let sequences = batch.sequences.len();
        let mut places = Layout::default();
        let drawn = parts.tables.device_region(DeviceTable::Drawn);
        places.add(&drawn.buffer, 0, 4 * sequences);
        let faults = parts.tables.device_region(DeviceTable::Faults);
        let faults = places.add(&faults.buffer, 0, 4 * sequences);
        let logits = (0..sequences).map(|s| logit_rows(parts, batch, layout, s, &mut places)).collect();
        let taps = parts.plan.taps.iter().map(|value| {
            let shape = parts.plan.values[value.index()].shape;
            let rows = shape.slots * layout.count(shape.rows);
            let region = parts.values.region(*value);
            let place = if shape.element == Element::Int8Rows {
                // The scales lie behind the codes of the largest step.
                places.add(&region.buffer, 0, region.size as usize)
            } else {
                places.add(&region.buffer, 0, 4 * rows * shape.width)
            };
            (*value, rows, place)
        });
        let taps = taps.collect();
        let buffer = self.buffer(parts, places.end as u64)?;
        for (from, offset, place) in &places.copies {
            encoder.copy_buffer_to_buffer(from, *offset, &buffer, place.start as u64, place.len() as u64);
        }
        let submission = parts.gpu.open.queue.submit([encoder.finish()]);
        // Whether it worked shows when the bytes are asked for.
        buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        let draws = batch.sequences.iter().map(|sequence| sequence.sample.is_some()).collect();
        Ok(Wanted { buffer, submission, draws, faults, logits, taps })
    }

    /// Waits for a step and reads what it brought: its results, and the fault of each sequence.
    pub(super) fn take(
        &mut self,
        parts: &Parts,
        wanted: Wanted,
    ) -> Result<(StepOutput, Vec<u32>), BackendError> {
        let open = &parts.gpu.open;
        open.wait(wanted.submission.clone())?;
        let read = || {
            let bytes = wanted.buffer.get_mapped_range(..).map_err(|error| error.to_string())?;
            let words = |range: &Range<usize>| bytemuck::pod_collect_to_vec::<u8, u32>(&bytes[range.clone()]);
            let drawn = words(&(0..4 * wanted.draws.len()));
            let tokens =
                drawn.iter().zip(&wanted.draws).map(|(token, drew)| drew.then_some(*token)).collect();
            let floats =
                |range: &Range<usize>| bytemuck::pod_collect_to_vec::<u8, f32>(&bytes[range.clone()]);
            let logits = wanted.logits.iter().map(floats).collect();
            let taps = wanted.taps.iter().map(|(value, rows, range)| Tap {
                value: *value,
                data: numbers(&parts.plan, &parts.options.limits, *value, *rows, &bytes[range.clone()]),
            });
            Ok((StepOutput { tokens, logits, taps: taps.collect() }, words(&wanted.faults)))
        };
        let found: Result<_, String> = read();
        wanted.buffer.unmap();
        let found = found.map_err(|message| open.refused(message))?;
        self.free.push(wanted.buffer);
        Ok(found)
    }
}

/// The rows of logits that a sequence asked for.
fn logit_rows(
    parts: &Parts,
    batch: &Batch,
    layout: &BatchLayout,
    sequence: usize,
    places: &mut Layout,
) -> Range<usize> {
    let asked = batch.sequences[sequence].logits;
    let Some(logits) = parts.plan.logits else { return 0..0 };
    let shape = parts.plan.values[logits.index()].shape;
    let rows = layout.asked_rows(shape.rows, sequence, asked);
    let row = 4 * shape.slots * shape.width;
    places.add(&parts.values.region(logits).buffer, (rows.start * row) as u64, rows.len() * row)
}
