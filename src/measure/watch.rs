//! How far a measurement is, and whether it is to go on.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::MeasureError;
use ingle_backends::{Progress, ProgressFn};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The model goes onto the device; counted in bytes.
    Loading,
    /// The device's memory and arithmetic are measured.
    Peaks,
    /// A run that is not counted.
    WarmingUp,
    /// A run that counts, from 1.
    Run(usize),
    /// A run in which each operator is timed.
    Profiling,
    /// The logits along the reference are computed.
    Agreement,
    /// A text is scored; counted in tokens.
    Scoring,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status<'a> {
    /// Which of several subjects is being measured.
    pub subject: usize,
    pub subjects: usize,
    pub stage: Stage,
    /// In steps, where the stage names nothing else.
    pub done: u64,
    pub total: u64,
    /// More about it, such as the tensor that is being loaded; may be empty.
    pub detail: &'a str,
}

/// Receives what is going on, and says whether to go on: called before every step.
pub type Watch<'a> = dyn FnMut(&Status<'_>) -> ControlFlow<()> + 'a;

/// Goes on whatever happens.
pub fn unwatched(_: &Status<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A watch together with what it is told.
pub(crate) struct Watcher<'a, 'w> {
    watch: &'a mut Watch<'w>,
    subject: usize,
    subjects: usize,
    stage: Stage,
    done: u64,
    total: u64,
}

impl<'a, 'w> Watcher<'a, 'w> {
    pub(crate) fn new(watch: &'a mut Watch<'w>, subjects: usize) -> Self {
        Self { watch, subject: 0, subjects, stage: Stage::Loading, done: 0, total: 0 }
    }

    pub(crate) fn subject(&mut self, subject: usize) {
        self.subject = subject;
    }

    /// Begins a stage of so many steps.
    pub(crate) fn stage(&mut self, stage: Stage, total: usize) -> Result<(), MeasureError> {
        (self.stage, self.done, self.total) = (stage, 0, total as u64);
        match self.tell("") {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MeasureError::Cancelled),
        }
    }

    /// So much more of the stage is done.
    pub(crate) fn advance(&mut self, count: usize) -> ControlFlow<()> {
        self.done = (self.done + count as u64).min(self.total);
        self.tell("")
    }

    /// The same where an error is wanted.
    pub(crate) fn beat(&mut self, count: usize) -> Result<(), MeasureError> {
        match self.advance(count) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MeasureError::Cancelled),
        }
    }

    /// Runs something that reports its progress in bytes.
    pub(crate) fn loading<T>(&mut self, load: impl FnOnce(&mut ProgressFn<'_>) -> T) -> T {
        self.stage = Stage::Loading;
        let mut progress = |progress: &Progress<'_>| {
            (self.done, self.total) = (progress.done_bytes, progress.total_bytes);
            self.tell(progress.doing)
        };
        load(&mut progress)
    }

    fn tell(&mut self, detail: &str) -> ControlFlow<()> {
        let Self { subject, subjects, stage, done, total, .. } = *self;
        (self.watch)(&Status { subject, subjects, stage, done, total, detail })
    }
}
