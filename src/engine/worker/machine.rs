//! The runner of an engine, and how to get another where its device was lost.

use std::fmt;
use std::sync::Arc;

use ingle_backends::{BackendError, Batch, PageCopy, ProgressFn, Runner, StepOutput, Ticket};

/// What prepares the same plan again, with the same options, after a device was lost.
type Prepare = dyn FnMut(&mut ProgressFn<'_>) -> Result<Box<dyn Runner>, BackendError> + Send;

/// Prepares another runner like the one that an engine was started with: the same plan, weights and options.
pub struct PrepareAgain(Box<Prepare>);

impl PrepareAgain {
    pub fn new(
        prepare: impl FnMut(&mut ProgressFn<'_>) -> Result<Box<dyn Runner>, BackendError> + Send + 'static,
    ) -> Self {
        Self(Box::new(prepare))
    }
}

impl fmt::Debug for PrepareAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrepareAgain")
    }
}

/// A runner while there is one.
pub(in crate::engine) struct Machine {
    /// The runner, or why it is gone.
    runner: Result<Box<dyn Runner>, Arc<BackendError>>,
    again: Option<PrepareAgain>,
}

impl Machine {
    pub(in crate::engine) const fn new(runner: Box<dyn Runner>, again: Option<PrepareAgain>) -> Self {
        Self { runner: Ok(runner), again }
    }

    pub(super) const fn is_ready(&self) -> bool {
        self.runner.is_ok()
    }

    /// Whether there can be another runner.
    pub(super) const fn can_be_restored(&self) -> bool {
        self.again.is_some()
    }

    /// Lets go of the runner, whose memory the next one needs.
    pub(super) fn lose(&mut self, error: &Arc<BackendError>) {
        self.runner = Err(Arc::clone(error));
    }

    /// Prepares another runner.
    pub(super) fn restore(&mut self, progress: &mut ProgressFn<'_>) -> Result<(), Arc<BackendError>> {
        if self.runner.is_err()
            && let Some(PrepareAgain(prepare)) = &mut self.again
        {
            self.runner = Ok(prepare(progress).map_err(Arc::new)?);
        }
        self.runner.as_ref().map(|_| ()).map_err(Arc::clone)
    }

    pub(super) fn queues(&self) -> bool {
        self.runner.as_ref().is_ok_and(|runner| runner.queues())
    }

    pub(super) fn submit(&mut self, batch: &Batch) -> Result<Ticket, Arc<BackendError>> {
        self.there()?.submit(batch).map_err(Arc::new)
    }

    pub(super) fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, Arc<BackendError>> {
        self.there()?.collect(ticket).map_err(Arc::new)
    }

    pub(super) fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), Arc<BackendError>> {
        self.there()?.copy_pages(copies).map_err(Arc::new)
    }

    fn there(&mut self) -> Result<&mut Box<dyn Runner>, Arc<BackendError>> {
        self.runner.as_mut().map_err(|error| Arc::clone(error))
    }
}
