//! A case: a tiny plan, its weights, and what it is asked to do step by step.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::random::Random;
use crate::batch::{Batch, InputRows, LogitRows, SequenceStep, Tokens};
use crate::format::CacheFormat;
use crate::plan::{BatchLimits, Plan, PlanError};
use crate::sampling::Sampling;
use crate::weights::WeightMap;
use crate::{BackendError, CacheOptions, PageCopy, PrepareOptions};

/// What a case is about: the lines of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    Embed,
    Norm,
    Linear,
    Rope,
    Attention,
    Elementwise,
    Experts,
    Rows,
    Sample,
    Pages,
    Sequences,
    Random,
    Misuse,
}

impl Group {
    pub const ALL: [Self; 13] = [
        Self::Embed,
        Self::Norm,
        Self::Linear,
        Self::Rope,
        Self::Attention,
        Self::Elementwise,
        Self::Experts,
        Self::Rows,
        Self::Sample,
        Self::Pages,
        Self::Sequences,
        Self::Random,
        Self::Misuse,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Norm => "norm",
            Self::Linear => "linear",
            Self::Rope => "rope",
            Self::Attention => "attention",
            Self::Elementwise => "elementwise",
            Self::Experts => "experts",
            Self::Rows => "rows",
            Self::Sample => "sample",
            Self::Pages => "pages",
            Self::Sequences => "sequences",
            Self::Random => "random",
            Self::Misuse => "misuse",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a case itself is broken: a fault of the harness, not of a backend.
#[derive(Debug, Error)]
pub enum CaseError {
    #[error("case {case}: its plan is not sound: {source}")]
    Plan { case: String, source: PlanError },
    #[error("case {case}, step {step}: the oracle refuses: {source}")]
    Oracle { case: String, step: usize, source: BackendError },
    #[error("case {case}: {fault}")]
    Broken { case: String, fault: String },
}

/// Makes a case when it is run, so that a catalogue of hundreds weighs nothing.
pub type BuildCase = Box<dyn Fn(&mut Random) -> Result<Case, PlanError> + Send + Sync>;

/// A case in the catalogue.
pub struct CaseSpec {
    pub group: Group,
    /// `group/what it varies`, unique.
    pub name: String,
    pub build: BuildCase,
}

impl CaseSpec {
    pub fn new(
        group: Group,
        name: impl fmt::Display,
        build: impl Fn(&mut Random) -> Result<Case, PlanError> + Send + Sync + 'static,
    ) -> Self {
        Self { group, name: format!("{group}/{name}"), build: Box::new(build) }
    }

    /// The case, from numbers that its name determines.
    pub fn case(&self) -> Result<Case, CaseError> {
        (self.build)(&mut Random::named(&self.name))
            .map_err(|source| CaseError::Plan { case: self.name.clone(), source })
    }
}

impl fmt::Debug for CaseSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// One thing that a runner is told to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Submit and collect.
    Run(Batch),
    /// Submit, and collect only once the next batch is submitted too.
    Ahead(Batch),
    Copy(Vec<PageCopy>),
}

/// A plan, its weights and its steps.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the backend under test runs.
    pub plan: Arc<Plan>,
    /// What the oracle runs, where that is not the same: the unfused form. Its inputs have the same ids
    /// and its taps are the same values in the same order.
    pub reference: Option<Arc<Plan>>,
    pub weights: WeightMap,
    pub cache: CacheOptions,
    pub limits: BatchLimits,
    pub steps: Vec<Step>,
}

impl Case {
    /// A case with limits that its steps just fit, and a cache that is hardly larger than they need.
    pub fn new(plan: Plan, weights: WeightMap, cache: CacheOptions, steps: Vec<Step>) -> Self {
        let mut limits = BatchLimits { rows: 1, selected: 1, sequences: 1 };
        for step in &steps {
            if let Step::Run(batch) | Step::Ahead(batch) = step {
                let rows = batch.sequences.iter().map(|s| s.tokens.len()).sum();
                let selected = batch.sequences.iter().map(SequenceStep::selected_rows).sum();
                limits.rows = limits.rows.max(rows);
                limits.selected = limits.selected.max(selected);
                limits.sequences = limits.sequences.max(batch.sequences.len());
            }
        }
        Self { plan: Arc::new(plan), reference: None, weights, cache, limits, steps }
    }

    /// The same with the unfused form that the oracle runs.
    #[must_use]
    pub fn with_reference(mut self, reference: Plan) -> Self {
        self.reference = Some(Arc::new(reference));
        self
    }

    /// What the oracle runs.
    pub fn reference(&self) -> &Arc<Plan> {
        self.reference.as_ref().unwrap_or(&self.plan)
    }

    pub fn prepare_options(&self, tier: Option<&str>) -> PrepareOptions {
        PrepareOptions { cache: self.cache, limits: self.limits, tier: tier.map(str::to_owned) }
    }

    /// The batches in order, copies left out.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run(batch) | Step::Ahead(batch) => Some(batch),
            Step::Copy(_) => None,
        })
    }
}

impl SequenceStep {
    /// How many rows of logits it needs.
    fn selected_rows(&self) -> usize {
        match self.logits {
            LogitRows::All => self.tokens.len(),
            LogitRows::Last => 1,
            LogitRows::None => usize::from(self.sample.is_some()),
        }
    }
}

/// A cache for plans that have none.
pub(crate) const NO_CACHE: CacheOptions =
    CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 1 };

/// One sequence of `rows` tokens that mean nothing, for plans without a cache.
pub(crate) fn plain_rows(rows: usize) -> SequenceStep {
    SequenceStep {
        tokens: Tokens::Ids(vec![0; rows]),
        start: 0,
        pages: vec![],
        logits: LogitRows::None,
        sample: None,
    }
}

/// A batch of one plain sequence with rows for every input of the plan.
pub(crate) fn input_batch(plan: &Plan, rows: usize, mut numbers: impl FnMut(usize) -> Vec<f32>) -> Batch {
    Batch { sequences: vec![plain_rows(rows)], inputs: input_rows(plan, rows, &mut numbers) }
}

/// Rows for every input of the plan.
pub(crate) fn input_rows(
    plan: &Plan,
    rows: usize,
    numbers: &mut impl FnMut(usize) -> Vec<f32>,
) -> Vec<InputRows> {
    plan.inputs()
        .map(|value| InputRows { value, data: numbers(rows * plan.values[value.index()].shape.width) })
        .collect()
}

/// Hands out pages in random order, so that nothing works by pages lying side by side.
#[derive(Clone, Debug)]
pub(crate) struct PageShuffle {
    free: Vec<u32>,
    page_tokens: usize,
}

impl PageShuffle {
    pub(crate) fn new(cache: &CacheOptions, random: &mut Random) -> Self {
        let mut free = (0..cache.pages as u32).collect::<Vec<_>>();
        random.shuffle(&mut free);
        Self { free, page_tokens: cache.page_tokens }
    }

    /// A page that nobody has.
    pub(crate) fn page(&mut self) -> Option<u32> {
        self.free.pop()
    }
}

/// A sequence that grows step by step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growing {
    pub length: u32,
    pub pages: Vec<u32>,
}

impl Growing {
    /// A sequence that begins with full pages of another, which both go on reading.
    pub(crate) fn sharing(other: &Self, pages: usize, page_tokens: usize) -> Self {
        let pages = other.pages.iter().take(pages).copied().collect::<Vec<_>>();
        Self { length: (pages.len() * page_tokens) as u32, pages }
    }

    /// The step that adds these tokens. Where the pool is empty the table stays short, and the check of
    /// the batch says so.
    pub(crate) fn add(&mut self, tokens: Tokens, pool: &mut PageShuffle) -> SequenceStep {
        let start = self.length;
        self.length += tokens.len() as u32;
        while self.pages.len() * pool.page_tokens < self.length as usize {
            match pool.page() {
                Some(page) => self.pages.push(page),
                None => break,
            }
        }
        SequenceStep { tokens, start, pages: self.pages.clone(), logits: LogitRows::None, sample: None }
    }

    /// The step that adds random tokens.
    pub(crate) fn add_random(
        &mut self,
        count: usize,
        vocabulary: usize,
        pool: &mut PageShuffle,
        random: &mut Random,
    ) -> SequenceStep {
        let ids = (0..count).map(|_| random.below(vocabulary) as u32).collect();
        self.add(Tokens::Ids(ids), pool)
    }
}

/// Greedy sampling for every sequence of a batch, and the last row's logits.
pub(crate) fn greedily(mut sequences: Vec<SequenceStep>) -> Vec<SequenceStep> {
    for sequence in &mut sequences {
        sequence.logits = LogitRows::Last;
        sequence.sample = Some(Sampling::greedy());
    }
    sequences
}

/// How large the weights of a tensor are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    /// Around 0, up to this.
    Zero(f64),
    /// Around 1, up to this.
    One(f64),
}

/// Random weights for everything that a plan names.
///
/// Matrices have a variance of 1/cols on average, so that products keep the size of their inputs; each
/// run of 32 columns has a size of its own, so that a scale of a wrong group shows. `spread` says what
/// vectors look like by their name.
pub(crate) fn random_weights(plan: &Plan, random: &mut Random, spread: impl Fn(&str) -> Spread) -> WeightMap {
    let mut weights = WeightMap::default();
    for (tensor, rows, cols) in matrix_tensors(plan) {
        let bound = (3.0 / cols as f64).sqrt();
        let mut values = Vec::with_capacity(rows * cols);
        for _ in 0..rows {
            for first in (0..cols).step_by(32) {
                let size = bound * (random.symmetric(1.5)).exp2();
                values.extend((first..cols.min(first + 32)).map(|_| random.symmetric(size) as f32));
            }
        }
        weights.insert(tensor, cols, values);
    }
    for vector in &plan.vectors {
        for (tensor, len) in &vector.parts {
            let values = (0..*len).map(|_| match spread(tensor) {
                Spread::Zero(bound) => random.symmetric(bound) as f32,
                Spread::One(bound) => (1.0 + random.symmetric(bound)) as f32,
            });
            weights.insert(tensor.clone(), *len, values.collect());
        }
    }
    weights
}

/// Biases lie around 0, everything else around 1.
pub(crate) fn usual_spread(tensor: &str) -> Spread {
    if tensor.contains("bias") { Spread::Zero(0.5) } else { Spread::One(0.5) }
}

/// Every tensor that matrices take rows from, with as many rows as they take.
fn matrix_tensors(plan: &Plan) -> Vec<(String, usize, usize)> {
    let mut tensors: Vec<(String, usize, usize)> = vec![];
    for matrix in &plan.matrices {
        for part in &matrix.parts {
            let rows = part.first_row + part.rows;
            match tensors.iter_mut().find(|(name, ..)| *name == part.tensor) {
                Some(known) => known.1 = known.1.max(rows),
                None => tensors.push((part.tensor.clone(), rows, matrix.cols)),
            }
        }
    }
    tensors
}
