//! The steps of a runner that were submitted and not collected yet, and which tokens a next one may go on from.

use std::collections::VecDeque;

use super::tables::check_faults;
use crate::plan::Plan;
use crate::{BackendError, Batch, BatchLayout, PrepareOptions, STEPS_UNDER_WAY, StepOutput, Ticket, Tokens};

/// `W` is what a backend keeps of a submitted step until its results are asked for.
#[derive(Debug)]
pub(crate) struct UnderWay<W> {
    next: u64,
    steps: VecDeque<Step<W>>,
    /// For each sequence of the step submitted last, whether it draws a token.
    draws: Vec<bool>,
    /// What the step collected last drew.
    drawn: Vec<Option<u32>>,
}

/// A step that was submitted.
#[derive(Debug)]
struct Step<W> {
    number: u64,
    kept: W,
    sampled: Sampled,
}

/// For each sequence of a step, whether its token came from the step before: what a fault of its token means.
#[derive(Debug)]
pub(crate) struct Sampled(Vec<bool>);

impl<W> Default for UnderWay<W> {
    fn default() -> Self {
        Self { next: 0, steps: VecDeque::new(), draws: vec![], drawn: vec![] }
    }
}

impl<W> UnderWay<W> {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Checks the batch of a step that is to be submitted next.
    pub(crate) fn check(
        &self,
        batch: &Batch,
        plan: &Plan,
        options: &PrepareOptions,
    ) -> Result<BatchLayout, BackendError> {
        if self.steps.len() >= STEPS_UNDER_WAY {
            return Err(BackendError::TooFarAhead);
        }
        Ok(batch.check(plan, &options.limits, &options.cache, &self.draws)?)
    }

    /// Notes that a step was submitted.
    pub(crate) fn submitted(&mut self, batch: &Batch, kept: W) -> Ticket {
        let sampled = batch.sequences.iter().map(|s| matches!(s.tokens, Tokens::Sampled(_))).collect();
        self.draws = batch.sequences.iter().map(|sequence| sequence.sample.is_some()).collect();
        let number = self.next;
        self.next += 1;
        self.steps.push_back(Step { number, kept, sampled: Sampled(sampled) });
        Ticket::new(number)
    }

    /// The oldest step, which is the one that may be collected.
    pub(crate) fn collect(&mut self, ticket: &Ticket) -> Result<(W, Sampled), BackendError> {
        let is_next = self.steps.front().is_some_and(|first| first.number == ticket.number());
        let step = is_next.then(|| self.steps.pop_front()).flatten();
        step.map(|step| (step.kept, step.sampled)).ok_or(BackendError::WrongTicket(ticket.number()))
    }

    /// Looks at what a collected step brought, and remembers what it drew.
    ///
    /// With a fault the step counts as not done: where no other is under way, what was drawn before it can be gone on from, and
    /// `restore` has to tell the device so.
    pub(crate) fn collected(
        &mut self,
        (output, faults, sampled): (&StepOutput, &[u32], &Sampled),
        vocabulary: usize,
        restore: impl FnOnce(&[Option<u32>]) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        let checked = check_faults(faults, &sampled.0, &self.drawn, &output.tokens, vocabulary);
        if let Err(error) = checked {
            if self.steps.is_empty() {
                self.draws = self.drawn.iter().map(Option::is_some).collect();
                restore(&self.drawn)?;
            }
            return Err(error);
        }
        self.drawn.clone_from(&output.tokens);
        Ok(())
    }
}
