//! A runner that queues, as one on a GPU does: nothing is computed before it is collected.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use inglenook::backend::plan::Footprint;
use inglenook::backend::{
    BackendError, Batch, Numerics, PageCopy, Profile, Runner, StepOutput, Ticket, Tokens,
};

/// What a [`Queue`] has been asked to do.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) steps: AtomicUsize,
    /// Steps that were submitted while another was on its way.
    pub(crate) ahead: AtomicUsize,
    /// Of the sequences, those that go on from a token which nobody had read.
    pub(crate) after_unread: AtomicUsize,
    /// Collecting this step, counted from 1, fails.
    pub(crate) fail_at: AtomicUsize,
}

enum Work {
    Step(u64, Batch),
    Copies(Vec<PageCopy>),
}

/// Puts off the work of another runner until it is collected.
pub(crate) struct Queue {
    inner: Box<dyn Runner>,
    waiting: VecDeque<Work>,
    submitted: u64,
    seen: Arc<Seen>,
}

impl Queue {
    pub(crate) fn new(inner: Box<dyn Runner>) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        (Self { inner, waiting: VecDeque::new(), submitted: 0, seen: Arc::clone(&seen) }, seen)
    }

    fn on_their_way(&self) -> usize {
        self.waiting.iter().filter(|work| matches!(work, Work::Step(..))).count()
    }
}

impl Runner for Queue {
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError> {
        match self.on_their_way() {
            0 => {}
            1 => drop(self.seen.ahead.fetch_add(1, Ordering::Relaxed)),
            _ => return Err(BackendError::TooFarAhead),
        }
        let unread = batch.sequences.iter().filter(|s| matches!(s.tokens, Tokens::Sampled(_))).count();
        self.seen.after_unread.fetch_add(unread, Ordering::Relaxed);
        self.seen.steps.fetch_add(1, Ordering::Relaxed);
        self.submitted += 1;
        self.waiting.push_back(Work::Step(self.submitted, batch.clone()));
        Ok(Ticket::new(self.submitted))
    }

    fn queues(&self) -> bool {
        true
    }

    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError> {
        while let Some(work) = self.waiting.pop_front() {
            match work {
                Work::Copies(copies) => self.inner.copy_pages(&copies)?,
                Work::Step(number, batch) => {
                    assert_eq!(number, ticket.number(), "tickets are collected in order");
                    let output = self.inner.step(&batch)?;
                    if self.seen.fail_at.load(Ordering::Relaxed) == number as usize {
                        return Err(BackendError::NotFinite { sequence: 0 });
                    }
                    return Ok(output);
                }
            }
        }
        Err(BackendError::WrongTicket(ticket.number()))
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError> {
        self.waiting.push_back(Work::Copies(copies.to_vec()));
        Ok(())
    }

    fn set_profiling(&mut self, on: bool) {
        self.inner.set_profiling(on);
    }

    fn profile(&self) -> Option<Profile> {
        self.inner.profile()
    }

    fn memory(&self) -> Footprint {
        self.inner.memory()
    }

    fn numerics(&self) -> Numerics {
        self.inner.numerics()
    }
}
