//! The time of each node, from the device's own clock at the ends of passes.

use super::gpu::Gpu;
use super::values::STORAGE;
use crate::{BackendError, Profile};

/// Queries of a runner's nodes, where the device has a clock.
pub(super) struct Timing {
    on: bool,
    sets: Option<Sets>,
    nodes: usize,
}

struct Sets {
    queries: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

impl Timing {
    pub(super) fn new(gpu: &Gpu, nodes: usize) -> Self {
        Self { on: false, sets: Sets::new(gpu, nodes), nodes }
    }

    pub(super) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// Whether steps are timed now.
    pub(super) fn on(&self) -> bool {
        self.on && self.sets.is_some()
    }

    pub(super) fn queries(&self) -> &[wgpu::QuerySet] {
        self.sets.as_ref().map_or(&[], |sets| &sets.queries)
    }

    /// Records that the queries become numbers.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let Some(sets) = &self.sets else { return };
        let most = wgpu::QUERY_SET_MAX_QUERIES as usize;
        for (index, set) in sets.queries.iter().enumerate() {
            let count = (2 * self.nodes - index * most).min(most) as u32;
            encoder.resolve_query_set(set, 0..count, &sets.resolved, (index * most * 8) as u64);
        }
        encoder.copy_buffer_to_buffer(&sets.resolved, 0, &sets.read, 0, sets.read.size());
    }

    /// Reads the times of a step that is done, of which these nodes launched something. The others took no time of their own: their
    /// queries hold nothing, or what an earlier step left there.
    pub(super) fn take(&self, gpu: &Gpu, launched: &[bool]) -> Result<Option<Profile>, BackendError> {
        let Some(sets) = &self.sets else { return Ok(None) };
        let open = &gpu.open;
        let failed = |message: String| open.refused(message);
        sets.read.map_async(wgpu::MapMode::Read, .., |_| {});
        open.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| failed(error.to_string()))?;
        let ticks =
            sets.read.get_mapped_range(..).map(|bytes| bytemuck::pod_collect_to_vec::<u8, u64>(&bytes));
        sets.read.unmap();
        let ticks = ticks.map_err(|error| failed(error.to_string()))?;
        let period = f64::from(open.queue.get_timestamp_period()) * 1e-9;
        let time = |([begin, end], launched): (&[u64; 2], &bool)| {
            if *launched { end.saturating_sub(*begin) as f64 * period } else { 0.0 }
        };
        let seconds = ticks.as_chunks::<2>().0.iter().take(self.nodes).zip(launched).map(time).collect();
        Ok(Some(Profile { seconds }))
    }
}

impl Sets {
    fn new(gpu: &Gpu, nodes: usize) -> Option<Self> {
        let open = &gpu.open;
        if nodes == 0 || !open.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let most = wgpu::QUERY_SET_MAX_QUERIES as usize;
        let count = 2 * nodes;
        let set = |first: usize| {
            let count = (count - first).min(most) as u32;
            let descriptor = wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count };
            open.device.create_query_set(&descriptor)
        };
        let make = || (0..count).step_by(most).map(set).collect::<Vec<_>>();
        let queries = open.scoped("clocks", 0, make).ok()?;
        let bytes = 8 * count as u64;
        let resolve = STORAGE | wgpu::BufferUsages::QUERY_RESOLVE;
        let read = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Some(Self {
            queries,
            resolved: open.buffer("times", bytes, resolve).ok()?,
            read: open.buffer("times to read", bytes, read).ok()?,
        })
    }
}
