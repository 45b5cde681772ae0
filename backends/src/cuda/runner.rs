//! The runner: copies a step's tables, launches it, and reads back what was asked for.

use std::sync::Arc;

use super::cache::DeviceCache;
use super::driver::{CudaError, Stream};
use super::gpu::Gpu;
use super::graphs::Graphs;
use super::program::Program;
use super::readback::{Readback, Wanted};
use super::tables::Tables;
use super::timing::Timing;
use super::values::DeviceValues;
use super::weights::DeviceWeights;
use crate::gpu::under_way::UnderWay;
use crate::pages::check_copies;
use crate::plan::{Footprint, Plan};
use crate::{
    BackendError, Batch, BatchLayout, Clocks, Numerics, PageCopy, PrepareOptions, Profile, Runner,
    StepOutput, Ticket,
};

/// All that a prepared plan consists of.
pub(super) struct Parts {
    pub(super) gpu: Gpu,
    pub(super) stream: Stream,
    pub(super) plan: Arc<Plan>,
    pub(super) options: PrepareOptions,
    pub(super) weights: DeviceWeights,
    pub(super) caches: Vec<DeviceCache>,
    pub(super) tables: Tables,
    pub(super) values: DeviceValues,
    pub(super) program: Program,
}

/// A plan that is carried out on a GPU.
pub(super) struct CudaRunner {
    graphs: Graphs,
    timing: Timing,
    readback: Readback,
    under_way: UnderWay<Submitted>,
    profile: Option<Profile>,
    /// Last, so that what lives in its context is let go of before it.
    parts: Parts,
}

/// What is kept of a step until it is collected.
struct Submitted {
    wanted: Wanted,
    /// What its nodes are timed by, where they are.
    timed: Option<Clocks>,
}

impl CudaRunner {
    pub(super) fn new(parts: Parts) -> Result<Self, BackendError> {
        // What was zeroed on the way is zero from here on, and what is wrong with the device shows now.
        parts.stream.wait().map_err(|error| parts.gpu.open.refused(error))?;
        let readback = Readback::new(&parts)?;
        Ok(Self {
            graphs: Graphs::default(),
            timing: Timing::default(),
            readback,
            under_way: UnderWay::default(),
            profile: None,
            parts,
        })
    }

    fn refused(&self, error: CudaError) -> BackendError {
        self.parts.gpu.open.refused(error)
    }

    /// Copies the rows that the caller supplied; that they are there and complete was checked.
    fn write_inputs(&self, batch: &Batch) -> Result<(), BackendError> {
        for input in &batch.inputs {
            let region = self.parts.values.region(input.value);
            let copied = self.parts.stream.copy_from(region.address(), bytemuck::cast_slice(&input.data));
            copied.map_err(|error| self.refused(error))?;
        }
        Ok(())
    }

    /// Launches a checked step; tells what it is timed by, where it is.
    fn launch(
        &mut self,
        batch: &Batch,
        layout: &BatchLayout,
    ) -> Result<(Wanted, Option<Clocks>), BackendError> {
        self.write_inputs(batch)?;
        let Parts { gpu, stream, plan, tables, program, .. } = &mut self.parts;
        let counts = tables.write(stream, batch, layout)?.map_err(|error| gpu.open.refused(error))?;
        let timed = if self.timing.on() {
            Some(self.timing.launch(gpu, stream, (plan, program), &counts.bucket())?)
        } else {
            self.graphs.launch(stream, program, &counts).map_err(|error| gpu.open.refused(error))?;
            None
        };
        Ok((self.readback.record(&self.parts, batch, layout)?, timed))
    }
}

impl Runner for CudaRunner {
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError> {
        self.parts.gpu.open.check()?;
        let layout = self.under_way.check(batch, &self.parts.plan, &self.parts.options)?;
        let (wanted, timed) = self.launch(batch, &layout)?;
        Ok(self.under_way.submitted(batch, Submitted { wanted, timed }))
    }

    fn queues(&self) -> bool {
        true
    }

    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError> {
        self.parts.gpu.open.check()?;
        let (step, sampled) = self.under_way.collect(&ticket)?;
        let (output, faults) = self.readback.take(&self.parts, step.wanted)?;
        let nodes = self.parts.plan.nodes.len();
        let profile = step.timed.map(|clocks| self.timing.take(&self.parts.gpu, nodes, clocks));
        self.profile = profile.transpose()?;
        let vocabulary = self.parts.plan.vocabulary().unwrap_or(0);
        let parts = &self.parts;
        self.under_way.collected((&output, &faults, &sampled), vocabulary, |drawn| {
            parts.tables.restore_drawn(&parts.stream, drawn).map_err(|error| parts.gpu.open.refused(error))
        })?;
        Ok(output)
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError> {
        self.parts.gpu.open.check()?;
        check_copies(copies, &self.parts.options.cache)?;
        for copy in copies.iter().filter(|copy| copy.from != copy.to) {
            for (region, bytes) in self.parts.caches.iter().flat_map(DeviceCache::pools) {
                let place = |page: u32| region.address() + u64::from(page) * bytes;
                let copied = self.parts.stream.copy_on_device(place(copy.to), place(copy.from), bytes);
                copied.map_err(|error| self.refused(error))?;
            }
        }
        Ok(())
    }

    fn set_profiling(&mut self, on: bool) {
        self.timing.set(on);
    }

    fn profile(&self) -> Option<Profile> {
        self.profile.clone()
    }

    fn memory(&self) -> Footprint {
        let Parts { weights, caches, values, tables, .. } = &self.parts;
        Footprint {
            weights: weights.bytes(),
            cache: caches.iter().flat_map(DeviceCache::pools).map(|(region, _)| region.size).sum(),
            activations: values.bytes() + tables.bytes(),
        }
    }

    fn numerics(&self) -> Numerics {
        self.parts.gpu.capabilities.tier().numerics()
    }
}

impl Drop for CudaRunner {
    fn drop(&mut self) {
        // Steps on their way use what is about to be let go of. On a lost device there is nothing to wait for.
        if self.parts.gpu.open.lost().is_none() {
            let _ = self.parts.stream.wait();
        }
    }
}
