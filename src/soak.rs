//! Many steps in a row with random batches: what a runner has to bear for days without its memory growing.
//!
//! A tiny model serves a handful of sequences, which grow by prompts and by single tokens, drawn and given, are cut back, branch
//! (so that pages are copied), begin anew, and ask for logits and draws of all kinds, two steps on their way where the runner queues.
//! What comes out is not looked at; that it is right is what [`conformance`](ingle_backends::conformance) is for.

use std::collections::VecDeque;
use std::sync::Arc;

use ingle_backends::conformance::Random;
use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{BatchLimits, Function, FusionSet, Plan, PlanError, RopeSpec};
use ingle_backends::sampling::Sampling;
use ingle_backends::{
    BackendError, Batch, CacheOptions, LogitRows, PageCopy, PrepareOptions, Runner, SequenceStep, Ticket,
    Tokens,
};
use ingle_models::arch::Dimensions;
use ingle_models::arch::llama::Llama;
use ingle_models::{Architecture, WeightFormats};

use crate::cache::{CachedSequence, PagePool};

const VOCABULARY: usize = 600;
/// Longer sequences are cut back.
const LONGEST: usize = 96;
const LIMITS: BatchLimits = BatchLimits { rows: 48, selected: 16, sequences: 6 };
const CACHE: CacheOptions = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 42 };

/// A sequence, and its place among the draws of the step before, if it drew.
#[derive(Debug, Default)]
struct Live {
    cached: CachedSequence,
    drew: Option<u32>,
}

/// Random steps, the same for the same seed.
#[derive(Debug)]
pub struct Soak {
    plan: Arc<Plan>,
    random: Random,
    pool: PagePool,
    live: Vec<Live>,
    waiting: VecDeque<Ticket>,
}

impl Soak {
    pub fn new(seed: u64) -> Result<Self, PlanError> {
        let model = Llama::from(Dimensions {
            hidden: 64,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            feed_forward: 96,
            activation: Function::Silu,
            vocabulary: VOCABULARY,
            context: 512,
            epsilon: 1e-5,
            rope: RopeSpec::new(16, 10_000.0).into(),
            tied: false,
        });
        let plan = model.plan(&WeightFormats::usual(WeightFormat::Nf4).into())?.fused(FusionSet::all())?;
        Ok(Self {
            plan: Arc::new(plan),
            random: Random::new(seed),
            pool: PagePool::new(CACHE.pages, CACHE.page_tokens),
            live: (0..LIMITS.sequences).map(|_| Live::default()).collect(),
            waiting: VecDeque::new(),
        })
    }

    /// What is to be prepared.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// How it is to be prepared.
    pub fn options(&self, tier: Option<String>) -> PrepareOptions {
        PrepareOptions { cache: CACHE, limits: LIMITS, tier }
    }

    /// Makes one more step.
    pub fn step(&mut self, runner: &mut dyn Runner) -> Result<(), BackendError> {
        self.change();
        let (batch, copies) = self.batch();
        if batch.sequences.is_empty() {
            return Ok(());
        }
        if !copies.is_empty() {
            runner.copy_pages(&copies)?;
        }
        self.waiting.push_back(runner.submit(&batch)?);
        // Sometimes nothing is left on its way, as when nobody asks for a while.
        let left = usize::from(runner.queues() && self.random.below(8) > 0);
        self.collect(runner, left)
    }

    /// Waits for what is on its way.
    pub fn finish(&mut self, runner: &mut dyn Runner) -> Result<(), BackendError> {
        self.collect(runner, 0)
    }

    fn collect(&mut self, runner: &mut dyn Runner, left: usize) -> Result<(), BackendError> {
        while self.waiting.len() > left {
            if let Some(ticket) = self.waiting.pop_front() {
                runner.collect(ticket)?;
            }
        }
        Ok(())
    }

    /// Cuts sequences back and lets some branch off others.
    fn change(&mut self) {
        for index in 0..self.live.len() {
            let long = self.live[index].cached.tokens().len() >= LONGEST;
            if long || self.random.below(40) == 0 {
                let keep = if self.random.below(2) == 0 { 0 } else { self.random.below(LONGEST) };
                self.live[index].cached.truncate(&mut self.pool, keep);
                self.live[index].drew = None;
            } else if self.random.below(30) == 0 {
                let other = self.random.below(self.live.len());
                let branch = self.live[other].cached.branch(&mut self.pool);
                let old = std::mem::replace(&mut self.live[index], Live { cached: branch, drew: None });
                old.cached.release(&mut self.pool);
            }
        }
    }

    /// A step for some of the sequences, in any order, and the copies that come before it.
    fn batch(&mut self) -> (Batch, Vec<PageCopy>) {
        let (mut sequences, mut copies) = (vec![], vec![]);
        let (mut rows, mut selected) = (LIMITS.rows, LIMITS.selected);
        let mut order: Vec<usize> = (0..self.live.len()).collect();
        self.random.shuffle(&mut order);
        let draws: Vec<_> = self.live.iter_mut().map(|live| live.drew.take()).collect();
        for index in order {
            if self.random.below(4) == 0 || rows == 0 || selected == 0 {
                continue;
            }
            let start = self.live[index].cached.tokens().len();
            let after = draws[index].filter(|_| start > 0 && self.random.below(2) == 0);
            let prompt = after.is_none() && (start == 0 || self.random.below(4) == 0);
            let count = if prompt { 1 + self.random.below(rows.min(24)) } else { 1 };
            let live = &mut self.live[index];
            let Ok(more) = live.cached.reserve(&mut self.pool, count) else {
                live.cached.truncate(&mut self.pool, 0);
                continue;
            };
            copies.extend(more);
            let ids: Vec<u32> = (0..count).map(|_| self.random.below(VOCABULARY) as u32).collect();
            let pages = live.cached.pages_for(&self.pool, start + count).to_vec();
            live.cached.commit(&mut self.pool, &ids);
            let logits = match self.random.below(8) {
                0 if count <= selected => LogitRows::All,
                1 => LogitRows::Last,
                _ => LogitRows::None,
            };
            let sample = (self.random.below(8) > 0).then(|| sampling(&mut self.random));
            rows -= count;
            selected -= match logits {
                LogitRows::All => count,
                LogitRows::Last => 1,
                LogitRows::None => usize::from(sample.is_some()),
            };
            self.live[index].drew = sample.is_some().then_some(sequences.len() as u32);
            let tokens = after.map_or(Tokens::Ids(ids), Tokens::Sampled);
            sequences.push(SequenceStep { tokens, start: start as u32, pages, logits, sample });
        }
        (Batch { sequences, inputs: vec![] }, copies)
    }
}

/// Any way to draw a token.
fn sampling(random: &mut Random) -> Sampling {
    let mut tokens = |most: usize| -> Vec<u32> {
        (0..random.below(most)).map(|_| random.below(VOCABULARY) as u32).collect()
    };
    let (history, biased) = (tokens(64), tokens(4));
    let mut some = |value: f32| if random.below(2) == 0 { value } else { 0.0 };
    Sampling {
        temperature: some(0.8),
        top_k: some(40.0) as u32,
        top_p: 1.0 - some(0.1),
        min_p: some(0.05),
        repetition_penalty: 1.0 + some(0.2),
        presence_penalty: some(0.3),
        frequency_penalty: some(0.1),
        seed: random.bits(),
        bias: biased.into_iter().map(|token| (token, -1.5)).collect(),
        history,
    }
}

/// Bytes of memory that this process has of its machine's, where the system says so in a file.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use ingle_backends::cpu::CpuBackend;
    use ingle_backends::{Backend, SyntheticWeights, no_progress};

    use super::*;

    #[test]
    fn no_random_batch_is_refused() {
        let mut soak = Soak::new(1).unwrap();
        let backend = CpuBackend::default();
        let device = backend.devices().remove(0).id;
        let (plan, options) = (Arc::clone(soak.plan()), soak.options(None));
        let weights = SyntheticWeights { seed: 1 };
        let mut runner = backend.prepare(&device, plan, &weights, &options, &mut no_progress).unwrap();
        for step in 0..300 {
            soak.step(&mut *runner).unwrap_or_else(|error| panic!("step {step}: {error}"));
        }
        soak.finish(&mut *runner).unwrap();
        // All of it happened: sequences are of several lengths, and pages are shared or given back.
        let lengths: std::collections::HashSet<_> =
            soak.live.iter().map(|l| l.cached.tokens().len()).collect();
        assert!(lengths.len() > 2, "{lengths:?}");
    }
}
