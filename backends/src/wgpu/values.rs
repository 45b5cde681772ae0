//! Regions of buffers, and the values of a plan on the device.

use std::collections::HashMap;
use std::num::NonZeroU64;

use super::gpu::Gpu;
use crate::BackendError;
use crate::plan::{BatchLimits, MemoryPlan, Plan, ValueId};

/// What values and tables may be used for.
pub(crate) const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// A part of a buffer: what a kernel sees through a binding.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) buffer: wgpu::Buffer,
    /// In bytes, a multiple of 256.
    pub(crate) offset: u64,
    /// In bytes, a multiple of 4.
    pub(crate) size: u64,
}

impl Region {
    /// A whole buffer.
    pub(crate) fn whole(buffer: wgpu::Buffer) -> Self {
        let size = buffer.size();
        Self { buffer, offset: 0, size }
    }

    pub(crate) fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size: NonZeroU64::new(self.size) }
    }
}

/// The buffers of a plan's values, and what operators pass from one dispatch to the next.
pub(crate) struct DeviceValues {
    buffers: Vec<wgpu::Buffer>,
    buffer_of: Vec<usize>,
    scratch: HashMap<&'static str, wgpu::Buffer>,
    /// The largest step.
    limits: BatchLimits,
}

/// What to do where a value of so many rows is too large.
fn fewer_rows(most: u64, bytes: u64, rows: usize) -> String {
    match u128::from(most) * rows as u128 / u128::from(bytes.max(1)) {
        0 => "not even one row fits: use another device (`ingle devices` lists them)".to_owned(),
        fit => format!("prepare for steps of at most {fit} rows"),
    }
}

impl DeviceValues {
    pub(crate) fn new(gpu: &Gpu, plan: &Plan, limits: &BatchLimits) -> Result<Self, BackendError> {
        let memory = MemoryPlan::new(plan, limits);
        // Fusion may leave values that nobody writes any more.
        for (value, _) in
            plan.values.iter().zip(&memory.buffer_of).filter(|(_, buffer)| **buffer != usize::MAX)
        {
            let (bytes, rows) = (limits.bytes(&value.shape), limits.rows_of(value.shape.rows));
            let what = format!("the value `{}` of {rows} rows", value.name);
            gpu.check_visible(what, bytes, |most| fewer_rows(most, bytes, rows))?;
        }
        let buffer = |bytes: u64| gpu.open.buffer("activations", bytes, STORAGE);
        let mut buffers = memory.buffers.iter().map(|bytes| buffer(*bytes)).collect::<Result<Vec<_>, _>>()?;
        let mut buffer_of = memory.buffer_of;
        // What the caller supplies is written before the step begins, when other values may still be in the buffer that was
        // planned: so it gets one of its own.
        for input in plan.inputs() {
            buffer_of[input.index()] = buffers.len();
            buffers.push(buffer(limits.bytes(&plan.values[input.index()].shape))?);
        }
        Ok(Self { buffers, buffer_of, scratch: HashMap::new(), limits: *limits })
    }

    pub(crate) fn region(&self, value: ValueId) -> Region {
        Region::whole(self.buffers[self.buffer_of[value.index()]].clone())
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.buffers.iter().chain(self.scratch.values()).map(wgpu::Buffer::size).sum()
    }

    pub(crate) fn share(&self, a: ValueId, b: ValueId) -> bool {
        self.buffer_of[a.index()] == self.buffer_of[b.index()]
    }

    /// The scratch memory of a purpose, at least `bytes` of it.
    ///
    /// A larger wish makes a new buffer; who asked before keeps the old one.
    pub(crate) fn scratch(
        &mut self,
        gpu: &Gpu,
        purpose: &'static str,
        bytes: u64,
    ) -> Result<Region, BackendError> {
        if let Some(buffer) = self.scratch.get(purpose).filter(|buffer| buffer.size() >= bytes) {
            return Ok(Region::whole(buffer.clone()));
        }
        let BatchLimits { rows, sequences, .. } = self.limits;
        let what = format!("room for {purpose} in steps of {rows} rows and {sequences} sequences");
        gpu.check_visible(what, bytes, |_| "prepare for smaller steps".to_owned())?;
        let buffer = gpu.open.buffer(purpose, bytes, STORAGE)?;
        self.scratch.insert(purpose, buffer.clone());
        Ok(Region::whole(buffer))
    }
}
