//! Regions of memory, and the values of a plan on the device.

use std::collections::HashMap;
use std::sync::Arc;

use super::driver::{Buffer, Stream};
use super::gpu::Gpu;
use crate::BackendError;
use crate::plan::{BatchLimits, MemoryPlan, Plan, ValueId};

/// A part of a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    buffer: Arc<Buffer>,
    /// In bytes.
    offset: u64,
    pub(crate) size: u64,
}

impl Region {
    /// A whole buffer.
    pub(crate) fn whole(buffer: Arc<Buffer>) -> Self {
        let size = buffer.bytes();
        Self { buffer, offset: 0, size }
    }

    /// Where it begins on the device: what kernels are told. It is good for as long as somebody holds the buffer, which the runner does.
    pub(crate) fn address(&self) -> u64 {
        self.buffer.address() + self.offset
    }
}

/// The memory of a plan's values, and of what operators pass from one launch to the next.
#[derive(Debug)]
pub(crate) struct DeviceValues {
    /// All values, one behind another.
    arena: Arc<Buffer>,
    /// Offset and size of each buffer of the memory plan, then of each input.
    places: Vec<(u64, u64)>,
    buffer_of: Vec<usize>,
    scratch: HashMap<&'static str, Arc<Buffer>>,
    /// Scratch memory that was too small for somebody and is still used by others.
    outgrown: Vec<Arc<Buffer>>,
}

/// What places begin at multiples of.
const ALIGNMENT: u64 = 256;

impl DeviceValues {
    pub(crate) fn new(
        gpu: &Gpu,
        stream: &Stream,
        plan: &Plan,
        limits: &BatchLimits,
    ) -> Result<Self, BackendError> {
        let memory = MemoryPlan::new(plan, limits);
        let mut buffer_of = memory.buffer_of;
        let mut sizes = memory.buffers;
        // What the caller supplies is written before the step begins, when other values may still be in the buffer that was
        // planned: so it gets one of its own.
        for input in plan.inputs() {
            buffer_of[input.index()] = sizes.len();
            sizes.push(limits.bytes(&plan.values[input.index()].shape));
        }
        let mut end = 0_u64;
        let places = sizes.into_iter().map(|size| {
            let offset = end;
            end = end.saturating_add(size).checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX);
            (offset, size)
        });
        let places = places.collect::<Vec<_>>();
        let arena = gpu.open.zeroed(stream, "activations", end)?;
        Ok(Self { arena, places, buffer_of, scratch: HashMap::new(), outgrown: vec![] })
    }

    pub(crate) fn region(&self, value: ValueId) -> Region {
        let (offset, size) = self.places[self.buffer_of[value.index()]];
        Region { buffer: Arc::clone(&self.arena), offset, size }
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        let scratch = self.scratch.values().chain(&self.outgrown);
        self.arena.bytes() + scratch.map(|buffer| buffer.bytes()).sum::<u64>()
    }

    pub(crate) fn share(&self, a: ValueId, b: ValueId) -> bool {
        self.buffer_of[a.index()] == self.buffer_of[b.index()]
    }

    /// The scratch memory of a purpose, at least `bytes` of it.
    pub(crate) fn scratch(
        &mut self,
        gpu: &Gpu,
        purpose: &'static str,
        bytes: u64,
    ) -> Result<Region, BackendError> {
        if let Some(buffer) = self.scratch.get(purpose).filter(|buffer| buffer.bytes() >= bytes) {
            return Ok(Region::whole(Arc::clone(buffer)));
        }
        // Listing launches is no part of a step, so a stream of the moment does.
        let stream = gpu.open.stream()?;
        let buffer = gpu.open.zeroed(&stream, purpose, bytes)?;
        stream.wait().map_err(|error| gpu.open.refused(error))?;
        // Who asked before keeps the smaller one.
        self.outgrown.extend(self.scratch.insert(purpose, Arc::clone(&buffer)));
        Ok(Region::whole(buffer))
    }
}
