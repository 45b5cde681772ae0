//! What comes back from a step: drawn tokens and faults always, logits and tapped values where they were asked for.

use std::ops::Range;

use super::driver::{CudaError, Event, Pinned};
use super::runner::Parts;
use crate::gpu::taps::numbers;
use crate::plan::{Element, ValueId};
use crate::{BackendError, Batch, BatchLayout, STEPS_UNDER_WAY, StepOutput, Tap};

/// Memory that results are copied to, used again from step to step.
#[derive(Debug)]
pub(super) struct Readback {
    free: Vec<Place>,
}

/// Pinned memory, and the event that says that all is there.
#[derive(Debug)]
struct Place {
    memory: Pinned,
    done: Event,
}

/// What a submitted step will bring back, and where.
#[derive(Debug)]
pub(super) struct Wanted {
    place: Place,
    /// For each sequence whether it drew a token.
    draws: Vec<bool>,
    /// Bytes of the drawn tokens, of the faults, of the rows of logits of each sequence, and of the tapped values.
    drawn: Range<usize>,
    faults: Range<usize>,
    logits: Vec<Range<usize>>,
    taps: Vec<(ValueId, usize, Range<usize>)>,
}

/// Copies from the device, one behind another.
#[derive(Default)]
struct Layout {
    copies: Vec<(u64, Range<usize>)>,
    end: usize,
}

impl Layout {
    fn add(&mut self, from: u64, bytes: usize) -> Range<usize> {
        let place = self.end..self.end + bytes;
        self.end = place.end.next_multiple_of(16);
        if bytes > 0 {
            self.copies.push((from, place.clone()));
        }
        place
    }
}

impl Readback {
    /// With memory for what every step brings back, so that steps allocate nothing unless more is asked for.
    pub(super) fn new(parts: &Parts) -> Result<Self, BackendError> {
        let place = |_| Place::new(parts, parts.tables.result_bytes());
        Ok(Self { free: (0..STEPS_UNDER_WAY).map(place).collect::<Result<_, _>>()? })
    }

    /// A place of at least so many bytes: the smallest that is free, or a new one instead of the largest that is.
    fn place(&mut self, parts: &Parts, bytes: usize) -> Result<Place, BackendError> {
        self.free.sort_by_key(|place| place.memory.bytes());
        if let Some(index) = self.free.iter().position(|place| place.memory.bytes() >= bytes) {
            return Ok(self.free.remove(index));
        }
        drop(self.free.pop());
        Place::new(parts, bytes)
    }

    /// Puts the copies at the end of a step.
    pub(super) fn record(
        &mut self,
        parts: &Parts,
        batch: &Batch,
        layout: &BatchLayout,
    ) -> Result<Wanted, BackendError> {
        let sequences = batch.sequences.len();
        let mut copies = Layout::default();
        let results = copies.add(parts.tables.drawn(), parts.tables.result_bytes());
        let faults = results.len() / 2;
        let logits = (0..sequences).map(|s| logit_rows(parts, batch, layout, s, &mut copies)).collect();
        let taps = parts.plan.taps.iter().map(|value| {
            let shape = parts.plan.values[value.index()].shape;
            let rows = shape.slots * layout.count(shape.rows);
            let region = parts.values.region(*value);
            // The scales of int8 rows lie behind the codes of the largest step.
            let bytes = match shape.element {
                Element::Int8Rows => region.size as usize,
                Element::F32 | Element::Index => 4 * rows * shape.width,
            };
            (*value, rows, copies.add(region.address(), bytes))
        });
        let taps = taps.collect();
        let place = self.place(parts, copies.end)?;
        let copy = || -> Result<(), CudaError> {
            for (from, to) in &copies.copies {
                parts.stream.copy_to_host(&place.memory, to.start, *from, to.len())?;
            }
            parts.stream.record(&place.done)
        };
        copy().map_err(|error| parts.gpu.open.refused(error))?;
        let draws = batch.sequences.iter().map(|sequence| sequence.sample.is_some()).collect();
        Ok(Wanted {
            place,
            draws,
            drawn: 0..4 * sequences,
            faults: faults..faults + 4 * sequences,
            logits,
            taps,
        })
    }

    /// Waits for a step and reads what it brought: its results, and the fault of each sequence.
    pub(super) fn take(
        &mut self,
        parts: &Parts,
        wanted: Wanted,
    ) -> Result<(StepOutput, Vec<u32>), BackendError> {
        parts.gpu.open.wait(&wanted.place.done)?;
        let bytes = wanted.place.memory.get();
        let words = |range: &Range<usize>| bytemuck::pod_collect_to_vec::<u8, u32>(&bytes[range.clone()]);
        let floats = |range: &Range<usize>| bytemuck::pod_collect_to_vec::<u8, f32>(&bytes[range.clone()]);
        let drawn = words(&wanted.drawn);
        let tokens = drawn.iter().zip(&wanted.draws).map(|(token, drew)| drew.then_some(*token)).collect();
        let logits = wanted.logits.iter().map(floats).collect();
        let taps = wanted.taps.iter().map(|(value, rows, range)| Tap {
            value: *value,
            data: numbers(&parts.plan, &parts.options.limits, *value, *rows, &bytes[range.clone()]),
        });
        let output = StepOutput { tokens, logits, taps: taps.collect() };
        let faults = words(&wanted.faults);
        self.free.push(wanted.place);
        Ok((output, faults))
    }
}

impl Place {
    fn new(parts: &Parts, bytes: usize) -> Result<Self, BackendError> {
        Ok(Self { memory: parts.gpu.open.pinned(bytes)?, done: parts.gpu.open.event(false)? })
    }
}

/// The rows of logits that a sequence asked for.
fn logit_rows(
    parts: &Parts,
    batch: &Batch,
    layout: &BatchLayout,
    sequence: usize,
    copies: &mut Layout,
) -> Range<usize> {
    let asked = batch.sequences[sequence].logits;
    let Some(logits) = parts.plan.logits else { return 0..0 };
    let shape = parts.plan.values[logits.index()].shape;
    let rows = layout.asked_rows(shape.rows, sequence, asked);
    let row = 4 * shape.slots * shape.width;
    copies.add(parts.values.region(logits).address() + (rows.start * row) as u64, rows.len() * row)
}
