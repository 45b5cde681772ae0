//! The time of each node, from the device's own clock: by the step's beginnings where it is short ([`crate::gpu::beginnings`]),
//! else between passes, of which each node has its own.

use super::gpu::Gpu;
use super::record::Program;
use super::tables::StepCounts;
use super::values::STORAGE;
use crate::gpu::beginnings::Beginnings;
use crate::plan::Plan;
use crate::{BackendError, Clocks, Profile};

/// How the nodes of a runner's steps are timed, where the device has a clock.
pub(super) struct Timing {
    on: bool,
    queries: Option<Queries>,
}

/// Pairs of readings of the device's clock.
pub(super) struct Queries {
    sets: Vec<wgpu::QuerySet>,
    pairs: usize,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

/// How a step is timed that was recorded.
pub(super) enum Timed {
    /// By the pairs of its beginnings, in the order in which they are made.
    ByBeginnings(Beginnings),
    /// By a pair for each node that launched something. The others took no time of their own: their pairs hold nothing, or what an earlier
    /// step left there.
    ByNode(Vec<bool>),
}

impl Timing {
    pub(super) fn new(gpu: &Gpu, nodes: usize) -> Self {
        Self { on: false, queries: Queries::new(gpu, nodes) }
    }

    pub(super) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// What steps are timed with now, if they are.
    pub(super) fn queries(&self) -> Option<&Queries> {
        self.queries.as_ref().filter(|_| self.on)
    }

    /// Reads the times of a step that is done.
    pub(super) fn take(&self, gpu: &Gpu, timed: &Timed) -> Result<Option<Profile>, BackendError> {
        let Some(queries) = &self.queries else { return Ok(None) };
        let seconds = queries.seconds(gpu)?;
        Ok(Some(match timed {
            Timed::ByBeginnings(beginnings) => {
                let made = beginnings.order().count().min(seconds.len());
                let seconds = beginnings.node_seconds(&seconds[..made]);
                Profile { seconds, clocks: Clocks::OfBeginnings }
            }
            Timed::ByNode(launched) => {
                let own = |(seconds, launched): (&f64, &bool)| if *launched { *seconds } else { 0.0 };
                let seconds = seconds.iter().zip(launched).map(own).collect();
                Profile { seconds, clocks: Clocks::BetweenNodes }
            }
        }))
    }
}

impl Queries {
    fn new(gpu: &Gpu, nodes: usize) -> Option<Self> {
        let open = &gpu.open;
        if nodes == 0 || !open.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let most = wgpu::QUERY_SET_MAX_QUERIES as usize;
        let pairs = Beginnings::most_made(nodes);
        let count = 2 * pairs;
        let set = |first: usize| {
            let count = (count - first).min(most) as u32;
            let descriptor = wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count };
            open.device.create_query_set(&descriptor)
        };
        let make = || (0..count).step_by(most).map(set).collect::<Vec<_>>();
        let sets = open.scoped("clocks", 0, make).ok()?;
        let bytes = 8 * count as u64;
        let resolve = STORAGE | wgpu::BufferUsages::QUERY_RESOLVE;
        let read = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Some(Self {
            sets,
            pairs,
            resolved: open.buffer("times", bytes, resolve).ok()?,
            read: open.buffer("times to read", bytes, read).ok()?,
        })
    }

    /// A pass at whose ends the readings of a pair are taken; none beyond the last pair.
    pub(super) fn writes(&self, pair: usize) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let query = 2 * pair as u32;
        let (set, query) = (query / wgpu::QUERY_SET_MAX_QUERIES, query % wgpu::QUERY_SET_MAX_QUERIES);
        Some(wgpu::ComputePassTimestampWrites {
            query_set: self.sets.get(set as usize)?,
            beginning_of_pass_write_index: Some(query),
            end_of_pass_write_index: Some(query + 1),
        })
    }

    /// Records a step and what it is timed by into `last`; what has to come before it is submitted. A step that is not `short` is not made
    /// more than once.
    pub(super) fn record(
        &self,
        gpu: &Gpu,
        (plan, program): (&Plan, &Program),
        (counts, short): (&StepCounts, bool),
        last: &mut wgpu::CommandEncoder,
    ) -> Result<Timed, BackendError> {
        let launched = program.launched(counts);
        let mut beginnings = Beginnings::new(plan, &launched);
        let timed = if short && beginnings.take_turns(self.longest(gpu, program, counts, &beginnings)?) {
            self.record_beginnings(gpu, program, counts, &beginnings, last)?;
            Timed::ByBeginnings(beginnings)
        } else {
            program.record_timed(last, counts, self);
            let mut nodes = vec![false; plan.nodes.len()];
            launched.into_iter().flatten().for_each(|node| nodes[node] = true);
            Timed::ByNode(nodes)
        };
        self.resolve(last);
        Ok(timed)
    }

    /// Seconds of the longest part of a step, which is made for it.
    fn longest(
        &self,
        gpu: &Gpu,
        program: &Program,
        counts: &StepCounts,
        beginnings: &Beginnings,
    ) -> Result<f64, BackendError> {
        let (Some(count), Some(writes)) = (beginnings.parts().last(), self.writes(0)) else { return Ok(0.0) };
        let mut encoder = gpu.open.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        program.record_first(&mut encoder, counts, *count, writes);
        self.resolve(&mut encoder);
        gpu.open.wait(gpu.open.queue.submit([encoder.finish()]))?;
        Ok(self.seconds(gpu)?.first().copied().unwrap_or(0.0))
    }

    /// Submits all parts, turn after turn, and records the step itself.
    fn record_beginnings(
        &self,
        gpu: &Gpu,
        program: &Program,
        counts: &StepCounts,
        beginnings: &Beginnings,
        last: &mut wgpu::CommandEncoder,
    ) -> Result<(), BackendError> {
        let open = &gpu.open;
        let parts = beginnings.parts();
        for (pair, place) in beginnings.order().enumerate() {
            let Some(writes) = self.writes(pair) else { break };
            let Some(count) = parts.get(place) else {
                program.record_first(last, counts, beginnings.whole(), writes);
                break;
            };
            let mut encoder = open.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            program.record_first(&mut encoder, counts, *count, writes);
            let submitted = open.queue.submit([encoder.finish()]);
            // No more than a turn's are under way at once.
            if place + 1 == parts.len() {
                open.wait(submitted)?;
            }
        }
        Ok(())
    }

    /// Records that the readings become numbers.
    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let most = wgpu::QUERY_SET_MAX_QUERIES as usize;
        for (index, set) in self.sets.iter().enumerate() {
            let count = (2 * self.pairs - index * most).min(most) as u32;
            encoder.resolve_query_set(set, 0..count, &self.resolved, (index * most * 8) as u64);
        }
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, self.read.size());
    }

    /// Waits for what is under way and reads the seconds of all pairs.
    fn seconds(&self, gpu: &Gpu) -> Result<Vec<f64>, BackendError> {
        let open = &gpu.open;
        let failed = |message: String| open.refused(message);
        self.read.map_async(wgpu::MapMode::Read, .., |_| {});
        open.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| failed(error.to_string()))?;
        let ticks =
            self.read.get_mapped_range(..).map(|bytes| bytemuck::pod_collect_to_vec::<u8, u64>(&bytes));
        self.read.unmap();
        let ticks = ticks.map_err(|error| failed(error.to_string()))?;
        let period = f64::from(open.queue.get_timestamp_period()) * 1e-9;
        let seconds = |[begin, end]: &[u64; 2]| end.saturating_sub(*begin) as f64 * period;
        Ok(ticks.as_chunks::<2>().0.iter().map(seconds).collect())
    }
}
