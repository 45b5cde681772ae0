//! The runner: writes a step's tables, records and submits it, and reads back what was asked for.

use std::sync::Arc;

use super::cache::DeviceCache;
use super::gpu::Gpu;
use super::pace::Pace;
use super::readback::{Readback, Wanted};
use super::record::Program;
use super::tables::{DeviceTable, Tables};
use super::timing::{Timed, Timing};
use super::values::{DeviceValues, STORAGE};
use super::weights::DeviceWeights;
use crate::gpu::under_way::UnderWay;
use crate::pages::check_copies;
use crate::plan::{Footprint, Plan};
use crate::{
    BackendError, Batch, BatchLayout, Numerics, PageCopy, PrepareOptions, Profile, Runner, StepOutput, Ticket,
};

/// All that a prepared plan consists of.
pub(super) struct Parts {
    pub(super) gpu: Gpu,
    pub(super) plan: Arc<Plan>,
    pub(super) options: PrepareOptions,
    pub(super) weights: DeviceWeights,
    pub(super) caches: Vec<DeviceCache>,
    pub(super) tables: Tables,
    pub(super) values: DeviceValues,
    pub(super) program: Program,
}

/// A plan that is carried out on a GPU.
pub(super) struct WgpuRunner {
    parts: Parts,
    timing: Timing,
    pace: Pace,
    readback: Readback,
    under_way: UnderWay<Submitted>,
    profile: Option<Profile>,
    /// A buffer that a page passes through when it is copied, where there are pages.
    page: Option<wgpu::Buffer>,
}

/// What is kept of a step until it is collected.
struct Submitted {
    wanted: Wanted,
    /// How its nodes are timed, where they are.
    timed: Option<Timed>,
}

impl WgpuRunner {
    pub(super) fn new(parts: Parts) -> Result<Self, BackendError> {
        let timing = Timing::new(&parts.gpu, parts.plan.nodes.len());
        let readback = Readback::new(&parts)?;
        let pace = Pace::new(&parts.plan, parts.gpu.open.kind);
        let largest = parts.caches.iter().flat_map(DeviceCache::pools).map(|(_, bytes)| bytes).max();
        let page = |bytes: u64| parts.gpu.open.buffer("a page on its way", bytes, STORAGE);
        let page = largest.map(page).transpose()?;
        Ok(Self { parts, timing, pace, readback, under_way: UnderWay::default(), profile: None, page })
    }

    /// Writes the rows that the caller supplied; that they are there and complete was checked.
    fn write_inputs(&self, batch: &Batch) {
        for input in &batch.inputs {
            let region = self.parts.values.region(input.value);
            self.parts.gpu.open.queue.write_buffer(&region.buffer, 0, bytemuck::cast_slice(&input.data));
        }
    }

    /// Records and submits a checked step; tells how it is timed, where it is.
    fn launch(
        &mut self,
        batch: &Batch,
        layout: &BatchLayout,
    ) -> Result<(Wanted, Option<Timed>), BackendError> {
        let Parts { gpu, tables, .. } = &mut self.parts;
        let open = Arc::clone(&gpu.open);
        let counts = tables.write(&open.queue, batch, layout)?;
        self.write_inputs(batch);
        let encoder = || open.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let mut last = encoder();
        let mut timed = None;
        if let Some(queries) = self.timing.queries() {
            // What was written for the step has to be there for those that are made before it.
            open.queue.submit([]);
            let Parts { gpu, plan, program, .. } = &self.parts;
            let short = self.pace.cuts(&counts).is_empty();
            timed = Some(queries.record(gpu, (plan, program), (&counts, short), &mut last)?);
        } else {
            let mut from = 0;
            for until in self.pace.cuts(&counts) {
                let mut piece = encoder();
                self.parts.program.record(&mut piece, &counts, (from, until));
                open.queue.submit([piece.finish()]);
                from = until;
            }
            self.parts.program.record(&mut last, &counts, (from, self.parts.plan.nodes.len()));
        }
        // What a timed step takes is more than a step.
        if self.under_way.is_empty() && timed.is_none() {
            self.pace.start(&counts);
        } else {
            self.pace.forget();
        }
        let wanted = self.readback.record(&self.parts, last, batch, layout)?;
        Ok((wanted, timed))
    }
}

impl Runner for WgpuRunner {
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError> {
        self.parts.gpu.open.check()?;
        let layout = self.under_way.check(batch, &self.parts.plan, &self.parts.options)?;
        let open = Arc::clone(&self.parts.gpu.open);
        let (wanted, timed) = open.scoped("a step", 0, || self.launch(batch, &layout))??;
        Ok(self.under_way.submitted(batch, Submitted { wanted, timed }))
    }

    fn queues(&self) -> bool {
        true
    }

    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError> {
        self.parts.gpu.open.check()?;
        let (step, sampled) = self.under_way.collect(&ticket)?;
        let (output, faults) = self.readback.take(&self.parts, step.wanted)?;
        self.pace.finish();
        let timed = step.timed.as_ref();
        let profile = timed.map(|timed| self.timing.take(&self.parts.gpu, timed)).transpose()?;
        self.profile = profile.flatten();
        let vocabulary = self.parts.plan.vocabulary().unwrap_or(0);
        let parts = &self.parts;
        self.under_way.collected((&output, &faults, &sampled), vocabulary, |drawn| {
            parts.tables.restore_drawn(&parts.gpu.open.queue, drawn);
            Ok(())
        })?;
        Ok(output)
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError> {
        let open = Arc::clone(&self.parts.gpu.open);
        open.check()?;
        check_copies(copies, &self.parts.options.cache)?;
        let Some(page) = self.page.as_ref().filter(|_| !copies.is_empty()) else { return Ok(()) };
        open.scoped("copying pages", 0, || {
            let mut encoder =
                open.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            for copy in copies {
                for (region, bytes) in self.parts.caches.iter().flat_map(DeviceCache::pools) {
                    let place = |page: u32| region.offset + u64::from(page) * bytes;
                    encoder.copy_buffer_to_buffer(&region.buffer, place(copy.from), page, 0, bytes);
                    encoder.copy_buffer_to_buffer(page, 0, &region.buffer, place(copy.to), bytes);
                }
            }
            open.queue.submit([encoder.finish()]);
        })
    }

    fn set_profiling(&mut self, on: bool) {
        self.timing.set(on);
    }

    fn profile(&self) -> Option<Profile> {
        self.profile.clone()
    }

    fn memory(&self) -> Footprint {
        let weights = self.parts.weights.bytes();
        let cache =
            self.parts.caches.iter().flat_map(DeviceCache::pools).map(|(region, _)| region.size).sum();
        let tables = self.parts.tables.region(super::tables::Table::RowToken).buffer.size();
        let drawn = self.parts.tables.device_region(DeviceTable::Tokens).size;
        let activations = self.parts.values.bytes()
            + self.parts.program.params_bytes
            + tables
            + drawn
            + self.page.as_ref().map_or(0, wgpu::Buffer::size)
            + self.readback.bytes();
        Footprint { weights, cache, activations }
    }

    fn numerics(&self) -> Numerics {
        self.parts.gpu.capabilities.tier.numerics()
    }
}
