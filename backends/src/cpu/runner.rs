//! The runner: carries out each step when it is submitted, and keeps its results until they are collected.

use std::sync::Arc;
use std::time::Instant;

use rayon::ThreadPool;

use super::attention::AttentionScratch;
use super::cache::LayerCache;
use super::moe::ExpertScratch;
use super::rope::Rotation;
use super::sample::Sampler;
use super::step::Step;
use super::tickets::Tickets;
use super::values::Values;
use super::{Isa, LinearScratch, LoadedWeights};
use crate::pages::check_copies;
use crate::plan::{BatchLimits, Element, Footprint, Op, Operand, Plan, Shape};
use crate::{
    BackendError, Batch, CacheOptions, Numerics, PageCopy, PrepareOptions, Profile, Runner, StepOutput,
    Ticket,
};

/// Memory that operators keep from one step to the next.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) linear: LinearScratch,
    pub(super) attention: AttentionScratch,
    pub(super) experts: ExpertScratch,
    pub(super) router: Vec<f32>,
    pub(super) sampler: Sampler,
    /// A product on its way to a residual.
    pub(super) product: super::values::Buffer,
    /// For each row of the step, the cache page of its position and its place there.
    pub(super) places: Vec<(usize, usize)>,
}

/// What a runner holds: what every backend does, and the operators' own memory, which grows to this in the
/// first large step.
pub(super) fn footprint(plan: &Plan, cache: &CacheOptions, limits: &BatchLimits) -> Footprint {
    let planned = plan.footprint(cache, limits);
    // Products bring their input into a form of their own, and attention keeps partial results, each for all
    // rows and one operator at a time.
    let (mut products, mut attention) = (0, 0);
    for node in &plan.nodes {
        let rows_of =
            |operand: Operand| limits.bytes(&Shape { element: Element::F32, ..plan.shape(operand) });
        match &node.op {
            Op::Linear(o) => products = rows_of(o.input).max(products),
            Op::ExpertLinear(o) => {
                let product = limits.bytes(&plan.values[o.output.index()].shape);
                products = rows_of(o.input).saturating_add(product).max(products);
            }
            Op::Attention(o) => attention = rows_of(o.query).max(attention),
            _ => {}
        }
    }
    let activations = planned.activations.saturating_add(products).saturating_add(attention);
    Footprint { activations, ..planned }
}

/// A plan that is carried out on the CPU.
pub(super) struct CpuRunner {
    plan: Arc<Plan>,
    weights: LoadedWeights,
    isa: Isa,
    pool: Arc<ThreadPool>,
    values: Values,
    caches: Vec<LayerCache>,
    rotations: Vec<Rotation>,
    scratch: Scratch,
    cache: CacheOptions,
    limits: BatchLimits,
    tickets: Tickets,
    profiling: bool,
}

impl CpuRunner {
    /// A runner over loaded weights; plan and options were checked.
    pub(super) fn new(
        plan: Arc<Plan>,
        weights: LoadedWeights,
        options: &PrepareOptions,
        isa: Isa,
        pool: Arc<ThreadPool>,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            values: Values::new(&plan, &options.limits)?,
            caches: LayerCache::all_of(&plan, &options.cache)?,
            rotations: Rotation::all_of(&plan),
            scratch: Scratch::default(),
            cache: options.cache,
            limits: options.limits,
            tickets: Tickets::default(),
            profiling: false,
            plan,
            weights,
            isa,
            pool,
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
        let output = self.pool.install(|| {
            step.begin();
            for node in nodes {
                let start = profiling.then(Instant::now);
                step.run(&node.op)?;
                seconds.extend(start.map(|start| start.elapsed().as_secs_f64()));
            }
            Ok::<_, BackendError>(step.output())
        })?;
        Ok(self.tickets.finish(output, profiling.then_some(Profile { seconds })))
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
        footprint(&self.plan, &self.cache, &self.limits)
    }

    fn numerics(&self) -> Numerics {
        Numerics::F32
    }
}
