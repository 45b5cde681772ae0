//! A bench for trying operators on hand-made rows.

use std::sync::Arc;

use super::observe::{NodeEvent, Observer};
use super::{ReferenceBackend, ReferenceRunner};
use crate::format::WeightFormat;
use crate::plan::{BatchLimits, Columns, Plan, PlanBuilder, ValueId, Weight, WeightVector};
use crate::{
    Batch, CacheOptions, InputRows, LogitRows, PrepareOptions, SequenceStep, Tokens, WeightMap, no_progress,
};

/// Fails unless all numbers are within a relative error.
#[track_caller]
pub(super) fn assert_close(got: &[f64], expected: &[f64], relative: f64) {
    assert_eq!(got.len(), expected.len(), "{got:?} {expected:?}");
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= relative * e.abs().max(1.0), "{got:?} is not {expected:?}");
    }
}

/// Keeps all numbers of one value.
struct Keep {
    value: ValueId,
    numbers: Vec<f64>,
}

impl Observer for Keep {
    fn after(&mut self, event: NodeEvent<'_>) {
        self.numbers = event.value(self.value).to_vec();
    }
}

/// A plan in the making, with its weights and one batch of one sequence.
pub(super) struct Bench {
    pub(super) plan: PlanBuilder,
    pub(super) tokens: Vec<u32>,
    pub(super) start: u32,
    pub(super) logits: LogitRows,
    weights: WeightMap,
    inputs: Vec<InputRows>,
    named: usize,
    finished: Option<Arc<Plan>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            plan: PlanBuilder::new(),
            tokens: vec![],
            start: 0,
            logits: LogitRows::None,
            weights: WeightMap::default(),
            inputs: vec![],
            named: 0,
            finished: None,
        }
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("t{}", self.named)
    }

    /// Rows that the batch supplies; they decide how many tokens the batch has.
    pub(super) fn input(&mut self, width: usize, rows: &[f32]) -> Columns {
        let name = self.name();
        let columns = self.plan.input(&name, width);
        self.inputs.push(InputRows { value: columns.value, data: rows.to_vec() });
        self.tokens = vec![0; rows.len() / width];
        columns
    }

    pub(super) fn matrix(
        &mut self,
        rows: usize,
        cols: usize,
        format: WeightFormat,
        weights: &[f32],
    ) -> Weight {
        let name = self.name();
        self.weights.insert(name.clone(), cols, weights.to_vec());
        self.plan.matrix(name, rows, cols, format)
    }

    pub(super) fn vector(&mut self, weights: &[f32]) -> WeightVector {
        let name = self.name();
        self.weights.insert(name.clone(), 1, weights.to_vec());
        self.plan.vector(name, weights.len())
    }

    /// The numbers of a value at the end of a step.
    #[track_caller]
    pub(super) fn run(&mut self, columns: Columns) -> Vec<f64> {
        let builder = &mut self.plan;
        let plan = self.finished.get_or_insert_with(|| Arc::new(std::mem::take(builder).finish().unwrap()));
        let mut runner = prepare(plan, &self.weights, CacheOptions::default());
        let sequence = SequenceStep {
            tokens: Tokens::Ids(self.tokens.clone()),
            start: self.start,
            pages: vec![],
            logits: self.logits,
            sample: None,
        };
        let batch = Batch { sequences: vec![sequence], inputs: self.inputs.clone() };
        let mut keep = Keep { value: columns.value, numbers: vec![] };
        runner.step_observed(&batch, &mut keep).unwrap();
        keep.numbers
    }
}

#[track_caller]
pub(super) fn prepare(plan: &Arc<Plan>, weights: &WeightMap, cache: CacheOptions) -> ReferenceRunner {
    let options = PrepareOptions { cache, limits: BatchLimits::default(), tier: None };
    ReferenceBackend.prepare_reference(Arc::clone(plan), weights, &options, &mut no_progress).unwrap()
}
