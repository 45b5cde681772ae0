//! Bad input: typed errors, no panic, and a runner that computes as before.
//!
//! Each check does something wrong to a runner before every step of a small conversation. The error must
//! be the one that the contract names, and the conversation must go on as the oracle says.

mod batches;
mod preparing;
mod running;

use std::sync::Arc;

use super::case::{Case, CaseError, Step};
use super::cases::small_conversation;
use super::compare::compare;
use super::expectation::{Expected, expectations};
use super::random::Random;
use super::record::Record;
use super::run::prepare;
use super::target::Target;
use crate::batch::Batch;
use crate::{BackendError, Numerics, Runner, StepOutput};

/// What is wrong, if anything.
pub(super) type Verdict = Result<(), String>;

/// A check of one target.
pub(super) type Check = Box<dyn Fn(&Target<'_>, &Victim) -> Verdict>;

/// All checks, by name.
pub(super) fn checks() -> Vec<(String, Check)> {
    let mut checks = vec![];
    checks.extend(batches::checks());
    checks.extend(preparing::checks());
    checks.extend(running::checks());
    checks
}

fn check(name: &str, check: impl Fn(&Target<'_>, &Victim) -> Verdict + 'static) -> (String, Check) {
    (name.to_owned(), Box::new(check))
}

/// A conversation and what the oracle says to it.
pub(super) struct Victim {
    case: Case,
    expected: Vec<Expected>,
}

impl Victim {
    /// For devices with these numerics.
    pub(super) fn new(numerics: &Numerics) -> Result<Self, CaseError> {
        let name = "misuse";
        let mut case = small_conversation(&mut Random::named(name))
            .map_err(|source| CaseError::Plan { case: name.to_owned(), source })?;
        for step in &mut case.steps {
            if let Step::Ahead(batch) = step {
                *step = Step::Run(std::mem::take(batch));
            }
        }
        // Room for more rows than logits, so that each limit can be broken by itself.
        case.limits.rows = 16;
        let record = Record::of(name, &case)?;
        let expected = expectations(name, &case, &record, numerics)?;
        Ok(Self { case, expected })
    }

    /// Goes through the conversation, doing `abuse` before each step.
    fn goes_on_after(
        &self,
        target: &Target<'_>,
        mut abuse: impl FnMut(&mut dyn Runner) -> Verdict,
    ) -> Verdict {
        let mut runner = prepare(target, &self.case).map_err(|error| format!("not prepared: {error}"))?;
        let mut expected = self.expected.iter();
        for (index, step) in self.case.steps.iter().enumerate() {
            abuse(&mut *runner).map_err(|fault| format!("before step {index}: {fault}"))?;
            let failed = |error: BackendError| format!("then step {index} fails: {error}");
            match step {
                Step::Copy(copies) => runner.copy_pages(copies).map_err(failed)?,
                Step::Run(batch) | Step::Ahead(batch) => {
                    let output = runner.step(batch).map_err(failed)?;
                    self.judge(index, &output, expected.next())?;
                }
            }
        }
        Ok(())
    }

    fn judge(&self, step: usize, output: &StepOutput, expected: Option<&Expected>) -> Verdict {
        let Some(expected) = expected else { return Err("the oracle made fewer steps".to_owned()) };
        let found = compare(output, expected, &self.case.plan.taps);
        if found.failed() {
            return Err(format!("then step {step} is wrong: {} {}", found.faults.join("; "), found.at));
        }
        Ok(())
    }

    /// A batch of the conversation, to be spoilt.
    fn batch(&self, index: usize) -> Batch {
        self.case.batches().nth(index).cloned().unwrap_or_default()
    }
}

/// Whether a call failed with the right error.
fn must_fail<T>(
    what: &str,
    result: Result<T, BackendError>,
    right: impl Fn(&BackendError) -> bool,
) -> Verdict {
    match result {
        Ok(_) => Err(format!("{what} is taken")),
        Err(error) if right(&error) => {
            // An error that says nothing helps nobody.
            if error.to_string().is_empty() { Err(format!("{what} fails without a word")) } else { Ok(()) }
        }
        Err(error) => Err(format!("{what} fails with another error: {error}")),
    }
}

/// A plan behind a pointer, for those who want one.
fn shared(case: &Case) -> Arc<crate::plan::Plan> {
    Arc::clone(&case.plan)
}
