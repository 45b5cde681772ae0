//! The runner: carries out each step when it is submitted, and keeps its results until they are collected.

use std::sync::Arc;
use std::time::Instant;

use super::cache::LayerCache;
use super::rope::Rotation;
use super::scratch::{Scratch, ScratchSizes, footprint};
use super::step::Step;
use super::threads::Threads;
use super::tickets::Tickets;
use super::values::Values;
use super::{Isa, LoadedWeights};
use crate::pages::check_copies;
use crate::plan::{BatchLimits, Footprint, Plan};
use crate::{
    BackendError, Batch, CacheOptions, Clocks, Numerics, PageCopy, PrepareOptions, Profile, Runner,
    StepOutput, Ticket,
};

/// A plan that is carried out on the CPU.
pub(super) struct CpuRunner {
    plan: Arc<Plan>,
    weights: LoadedWeights,
    isa: Isa,
    threads: Arc<Threads>,
    values: Values,
    caches: Vec<LayerCache>,
    rotations: Vec<Rotation>,
    scratch: Scratch,
    cache: CacheOptions,
    limits: BatchLimits,
    tickets: Tickets,
    memory: Footprint,
    profiling: bool,
}

impl CpuRunner {
    /// A runner over loaded weights; plan and options were checked.
    pub(super) fn new(
        plan: Arc<Plan>,
        weights: LoadedWeights,
        options: &PrepareOptions,
        isa: Isa,
        threads: Arc<Threads>,
    ) -> Result<Self, BackendError> {
        let (cache, limits, count) = (&options.cache, &options.limits, threads.count());
        let sizes = ScratchSizes::of(&plan, cache, limits, isa, count);
        sizes.reserve_on_threads(threads.pool())?;
        let caches = LayerCache::all_of(&plan, cache)?;
        let planned = footprint(&plan, cache, limits, &sizes, count);
        Ok(Self {
            memory: Footprint { cache: caches.iter().map(LayerCache::size).sum(), ..planned },
            values: Values::new(&plan, limits)?,
            caches,
            rotations: Rotation::all_of(&plan, limits.rows)?,
            scratch: Scratch::new(&sizes)?,
            cache: options.cache,
            limits: options.limits,
            tickets: Tickets::default(),
            profiling: false,
            plan,
            weights,
            isa,
            threads,
        })
    }
}

impl Runner for CpuRunner {
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError> {
        self.tickets.check_room()?;
        let layout = batch.check(&self.plan, &self.limits, &self.cache, &self.tickets.draws())?;
        let tokens = self.tickets.token_ids(batch, self.plan.vocabulary().unwrap_or(usize::MAX))?;
        let mut step = Step {
            plan: &self.plan,
            weights: &self.weights,
            isa: self.isa,
            batch,
            layout: &layout,
            tokens: &tokens,
            page_tokens: self.cache.page_tokens,
            values: &mut self.values,
            caches: &mut self.caches,
            rotations: &mut self.rotations,
            scratch: &mut self.scratch,
            drawn: vec![None; batch.sequences.len()],
        };
        let mut seconds = Vec::new();
        let profiling = self.profiling;
        let nodes = &self.plan.nodes;
        // One entry into the pool for the whole step: operators then share their work without waking it anew.
        let output = self.threads.stay_awake(|| {
            step.begin();
            for node in nodes {
                let start = profiling.then(Instant::now);
                step.run(&node.op)?;
                seconds.extend(start.map(|start| start.elapsed().as_secs_f64()));
            }
            Ok::<_, BackendError>(step.output())
        })?;
        Ok(self
            .tickets
            .finish(output, profiling.then_some(Profile { seconds, clocks: Clocks::BetweenNodes })))
    }

    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError> {
        self.tickets.collect(&ticket)
    }

    /// Copies them one after another, in all layers.
    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError> {
        check_copies(copies, &self.cache)?;
        for copy in copies {
            for cache in &mut self.caches {
                cache.copy_page(*copy);
            }
        }
        Ok(())
    }

    fn set_profiling(&mut self, on: bool) {
        self.profiling = on;
    }

    fn profile(&self) -> Option<Profile> {
        self.tickets.profile()
    }

    fn memory(&self) -> Footprint {
        self.memory
    }

    fn numerics(&self) -> Numerics {
        Numerics::F32
    }
}
