//! The oracle's runner: carries out each step when it is submitted, and keeps its results until they are
//! collected.

use std::sync::Arc;
use std::time::Instant;

use super::cache::LayerCache;
use super::observe::{Nobody, NodeEvent, Observer};
use super::step::Step;
use super::values::Values;
use crate::cpu::LoadedWeights;
use crate::cpu::tickets::Tickets;
use crate::pages::check_copies;
use crate::plan::{BatchLimits, Footprint, Op, Plan};
use crate::{
    BackendError, Batch, CacheOptions, Clocks, Numerics, PageCopy, Profile, Runner, StepOutput, Tap, Ticket,
};

/// A plan that the oracle carries out.
#[derive(Debug)]
pub struct ReferenceRunner {
    plan: Arc<Plan>,
    weights: LoadedWeights,
    caches: Vec<LayerCache>,
    cache: CacheOptions,
    limits: BatchLimits,
    tickets: Tickets,
    profiling: bool,
}

impl ReferenceRunner {
    /// A runner over loaded weights; the plan and the options were checked.
    pub(super) fn new(
        plan: Arc<Plan>,
        weights: LoadedWeights,
        cache: CacheOptions,
        limits: BatchLimits,
    ) -> Result<Self, BackendError> {
        let layers = plan.caches.iter().map(|layer| LayerCache::new(layer.layout(&cache), cache.pages));
        let caches = layers.collect::<Result<_, _>>()?;
        Ok(Self { plan, weights, caches, cache, limits, tickets: Tickets::default(), profiling: false })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its weights.
    pub fn weights(&self) -> &LoadedWeights {
        &self.weights
    }

    /// The cache of each layer.
    pub fn caches(&self) -> &[LayerCache] {
        &self.caches
    }

    /// Submits and collects, and lets `observer` see, and change, what each node writes.
    pub fn step_observed(
        &mut self,
        batch: &Batch,
        observer: &mut dyn Observer,
    ) -> Result<StepOutput, BackendError> {
        let ticket = self.submit_observed(batch, observer)?;
        self.collect(ticket)
    }

    fn submit_observed(
        &mut self,
        batch: &Batch,
        observer: &mut dyn Observer,
    ) -> Result<Ticket, BackendError> {
        self.tickets.check_room()?;
        let layout = batch.check(&self.plan, &self.limits, &self.cache, &self.tickets.draws())?;
        let vocabulary = self.plan.vocabulary().unwrap_or(usize::MAX);
        let tokens = self.tickets.token_ids(batch, vocabulary)?;
        let plan = Arc::clone(&self.plan);
        let mut step = Step {
            plan: &plan,
            weights: &self.weights,
            batch,
            layout: &layout,
            tokens: &tokens,
            caches: &mut self.caches,
            values: Values::new(&plan, &layout),
        };
        let mut seconds = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let start = self.profiling.then(Instant::now);
            step.run(&node.op)?;
            seconds.extend(start.map(|start| start.elapsed().as_secs_f64()));
            observer.after(NodeEvent {
                index,
                plan: &plan,
                weights: &self.weights,
                batch,
                layout: &layout,
                tokens: &tokens,
                caches: step.caches,
                values: &mut step.values,
            });
        }
        let output = StepOutput { tokens: drawn(&step), logits: logits(&step), taps: taps(&step) };
        let profile = self.profiling.then_some(Profile { seconds, clocks: Clocks::BetweenNodes });
        Ok(self.tickets.finish(output, profile))
    }
}

impl Runner for ReferenceRunner {
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError> {
        self.submit_observed(batch, &mut Nobody)
    }

    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError> {
        self.tickets.collect(&ticket)
    }

    /// Copies them one after another, in all layers.
    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError> {
        check_copies(copies, &self.cache)?;
        for PageCopy { from, to } in copies {
            for cache in &mut self.caches {
                cache.copy_page(*from as usize, *to as usize);
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

    /// Activations are those of the largest step: all values at once, in f64.
    fn memory(&self) -> Footprint {
        Footprint {
            weights: self.weights.bytes(),
            activations: activation_bytes(&self.plan, &self.limits),
            ..self.plan.footprint(&self.cache, &self.limits)
        }
    }

    fn numerics(&self) -> Numerics {
        Numerics::F64
    }
}

/// Bytes of all values of the largest step.
pub(super) fn activation_bytes(plan: &Plan, limits: &BatchLimits) -> u64 {
    let bytes = plan.values.iter().map(|value| {
        let rows = limits.rows_of(value.shape.rows);
        let row = (value.shape.slots as u64).saturating_mul(value.shape.width as u64);
        row.saturating_mul(rows as u64).saturating_mul(8)
    });
    bytes.fold(0, u64::saturating_add)
}

/// For each sequence, the token that was drawn for it.
fn drawn(step: &Step<'_>) -> Vec<Option<u32>> {
    let sample = step.plan.nodes.iter().find_map(|node| match &node.op {
        Op::Sample(sample) => Some(sample),
        _ => None,
    });
    let sequences = step.batch.sequences.iter().enumerate();
    let token = |(sequence, asked): (usize, &crate::SequenceStep)| {
        let (sample, _) = sample.zip(asked.sample.as_ref())?;
        let row = step.layout.rows_of(step.values.shape(sample.logits).rows, sequence).end - 1;
        step.values.value(sample.output).get(row).map(|token| *token as u32)
    };
    sequences.map(token).collect()
}

/// For each sequence, the rows of logits that it asked for.
fn logits(step: &Step<'_>) -> Vec<Vec<f32>> {
    let of_sequence = |(sequence, asked): (usize, &crate::SequenceStep)| {
        let Some(logits) = step.plan.logits else { return vec![] };
        let rows = step.plan.values[logits.index()].shape.rows;
        let rows = step.layout.asked_rows(rows, sequence, asked.logits);
        rows.flat_map(|row| step.values.row(logits, row)).map(|x| *x as f32).collect()
    };
    step.batch.sequences.iter().enumerate().map(of_sequence).collect()
}

/// The tapped values.
fn taps(step: &Step<'_>) -> Vec<Tap> {
    let data = |value| step.values.value(value).iter().map(|x| *x as f32).collect();
    step.plan.taps.iter().map(|value| Tap { value: *value, data: data(*value) }).collect()
}
