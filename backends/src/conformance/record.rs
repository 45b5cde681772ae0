//! What the oracle computed in a run, node by node, and runs of it with noise.

use std::sync::Arc;

use super::case::{Case, CaseError, Step};
use super::random::Random;
use crate::batch::{Batch, BatchLayout, InputRows};
use crate::cpu::LoadedWeights;
use crate::cpu::reference::{NodeEvent, Observer, ReferenceBackend, ReferenceRunner};
use crate::plan::{Element, Operand, Plan, ValueId};
use crate::{BackendError, PageCopy, Runner, StepOutput, Tokens, no_progress};

/// One step of the oracle: every value, in f64.
#[derive(Clone, Debug)]
pub(crate) struct StepRecord {
    pub batch: Batch,
    pub layout: BatchLayout,
    /// The token of each row.
    pub tokens: Vec<u32>,
    pub output: StepOutput,
    values: Vec<Vec<f64>>,
    widths: Vec<usize>,
}

impl StepRecord {
    /// All numbers of a value.
    pub(crate) fn value(&self, value: ValueId) -> &[f64] {
        self.values.get(value.index()).map_or(&[], Vec::as_slice)
    }

    /// The numbers of an operand, without the columns between.
    pub(crate) fn operand(&self, operand: Operand) -> Vec<f64> {
        let width = self.widths[operand.value.index()].max(1);
        let vectors = self.value(operand.value).chunks_exact(width);
        vectors.flat_map(|vector| &vector[operand.first..][..operand.width]).copied().collect()
    }

    /// Two operands, element by element.
    pub(crate) fn pairs(&self, a: Operand, b: Operand) -> impl Iterator<Item = (f64, f64)> {
        self.operand(a).into_iter().zip(self.operand(b))
    }
}

/// What happened in a run, in order.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Step(Box<StepRecord>),
    Copy(Vec<PageCopy>),
}

/// A run of the oracle.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub plan: Arc<Plan>,
    pub weights: LoadedWeights,
    pub events: Vec<Event>,
}

impl Record {
    /// Runs a case on the oracle and keeps everything.
    pub(crate) fn of(name: &str, case: &Case) -> Result<Self, CaseError> {
        let mut events = vec![];
        let runner = run_oracle(name, case, |runner, step, _| match step {
            Step::Run(batch) | Step::Ahead(batch) => {
                let batch = translated(batch, &case.plan, case.reference());
                let mut recorder = Recorder::default();
                let output = runner.step_observed(&batch, &mut recorder)?;
                // A plan has nodes, so there was something to see.
                let Some((layout, tokens, values)) = recorder.seen else { return Ok(false) };
                let widths = case.reference().values.iter().map(|v| v.shape.width).collect();
                let record = StepRecord { batch, layout, tokens, output, values, widths };
                events.push(Event::Step(Box::new(record)));
                Ok(true)
            }
            Step::Copy(copies) => {
                runner.copy_pages(copies)?;
                events.push(Event::Copy(copies.clone()));
                Ok(true)
            }
        })?;
        Ok(Self { plan: Arc::clone(case.reference()), weights: runner.weights().clone(), events })
    }

    /// The steps, without the copies.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &StepRecord> {
        self.events.iter().filter_map(|event| match event {
            Event::Step(step) => Some(&**step),
            Event::Copy(_) => None,
        })
    }

    /// Runs the case again, with every element that a node writes moved by up to `slack` of it, and hands
    /// each step's values to `see`. `slack` has, per step and value, one number per element.
    ///
    /// A run ends where a draw is not the recorded one and a later step goes on from it: from there on
    /// it is another text.
    pub(crate) fn with_noise(
        &self,
        name: &str,
        case: &Case,
        slack: &[Vec<Vec<f64>>],
        seed: u64,
        mut see: impl FnMut(usize, &StepRecord, &[Vec<f64>]),
    ) -> Result<(), CaseError> {
        let mut random = Random::new(seed);
        let mut steps = self.steps().zip(slack).enumerate();
        run_oracle(name, case, |runner, step, _| {
            let batch = match step {
                Step::Copy(copies) => return runner.copy_pages(copies).map(|()| true),
                Step::Run(batch) | Step::Ahead(batch) => translated(batch, &case.plan, case.reference()),
            };
            let Some((index, (recorded, slack))) = steps.next() else { return Ok(false) };
            let mut noise = Noise { slack, random: &mut random, values: vec![] };
            let output = runner.step_observed(&batch, &mut noise)?;
            see(index, recorded, &noise.values);
            Ok(output.tokens == recorded.output.tokens || !goes_on_from_draws(case, index))
        })?;
        Ok(())
    }
}

/// Whether the step after this one reads a token that this one drew.
pub(crate) fn goes_on_from_draws(case: &Case, step: usize) -> bool {
    let next = case.batches().nth(step + 1);
    next.is_some_and(|batch| batch.sequences.iter().any(|s| matches!(s.tokens, Tokens::Sampled(_))))
}

/// Runs the steps of a case on a fresh oracle until `act` answers no.
fn run_oracle(
    name: &str,
    case: &Case,
    mut act: impl FnMut(&mut ReferenceRunner, &Step, usize) -> Result<bool, BackendError>,
) -> Result<ReferenceRunner, CaseError> {
    let failed = |step| move |source| CaseError::Oracle { case: name.to_owned(), step, source };
    let options = case.prepare_options(None);
    let plan = Arc::clone(case.reference());
    let mut runner = ReferenceBackend
        .prepare_reference(plan, &case.weights, &options, &mut no_progress)
        .map_err(failed(0))?;
    for (index, step) in case.steps.iter().enumerate() {
        if !act(&mut runner, step, index).map_err(failed(index))? {
            break;
        }
    }
    Ok(runner)
}

/// A batch for one plan as a batch for another with the same inputs in the same order.
pub(crate) fn translated(batch: &Batch, from: &Plan, to: &Plan) -> Batch {
    let ids = from.inputs().zip(to.inputs()).collect::<Vec<_>>();
    let inputs = batch.inputs.iter().map(|rows| {
        let value = ids.iter().find(|(id, _)| *id == rows.value).map_or(rows.value, |(_, id)| *id);
        InputRows { value, data: rows.data.clone() }
    });
    Batch { sequences: batch.sequences.clone(), inputs: inputs.collect() }
}

/// Copies what each node wrote.
#[derive(Default)]
struct Recorder {
    seen: Option<(BatchLayout, Vec<u32>, Vec<Vec<f64>>)>,
}

impl Observer for Recorder {
    fn after(&mut self, event: NodeEvent<'_>) {
        let (.., values) = self.seen.get_or_insert_with(|| {
            (event.layout.clone(), event.tokens.to_vec(), vec![vec![]; event.plan.values.len()])
        });
        for output in event.node().op.outputs() {
            values[output.index()] = event.value(output).to_vec();
        }
    }
}

/// Moves what each node wrote.
struct Noise<'a> {
    slack: &'a [Vec<f64>],
    random: &'a mut Random,
    values: Vec<Vec<f64>>,
}

impl Observer for Noise<'_> {
    fn after(&mut self, mut event: NodeEvent<'_>) {
        self.values.resize(event.plan.values.len(), vec![]);
        for output in event.node().op.outputs() {
            let floats = event.plan.values[output.index()].shape.element == Element::F32;
            if let Some(numbers) = event.output_mut(output).filter(|_| floats) {
                for (x, slack) in numbers.iter_mut().zip(&self.slack[output.index()]) {
                    *x += self.random.symmetric(*slack);
                }
            }
            self.values[output.index()] = event.value(output).to_vec();
        }
    }
}
