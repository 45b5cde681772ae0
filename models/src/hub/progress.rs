//! How a download reports, and how it is stopped.

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use super::HubError;

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    pub stage: Stage<'a>,
    /// Bytes that are here, with those of files that were here before.
    pub done: u64,
    /// Bytes of all files.
    pub total: u64,
    /// Bytes of these that were there when the download began.
    pub before: u64,
}

/// What a download is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage<'a> {
    /// Asking the server which files there are.
    Listing,
    /// Receiving a file.
    Receiving { file: &'a str },
    /// Reading what an earlier attempt has left of a file.
    Checking { file: &'a str },
    /// Pausing before the next attempt, since the connection dropped.
    Pausing { file: &'a str, attempt: u32, fault: &'a str },
    /// Another program is downloading the same file.
    Another { file: &'a str },
}

/// Told how far a download is, many times a second; [`ControlFlow::Break`] cancels it.
pub type Watcher<'w> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + 'w;

/// How often a pause looks whether it should end.
const BLINK: Duration = Duration::from_millis(50);

/// Counts, and passes on.
pub(super) struct Report<'w, 'f> {
    watcher: &'w mut Watcher<'f>,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) before: u64,
}

impl<'w, 'f> Report<'w, 'f> {
    pub(super) fn new(watcher: &'w mut Watcher<'f>) -> Self {
        Self { watcher, done: 0, total: 0, before: 0 }
    }

    /// Tells the watcher, and hears whether to go on.
    pub(super) fn tell(&mut self, stage: Stage<'_>) -> Result<(), HubError> {
        let progress = Progress { stage, done: self.done, total: self.total, before: self.before };
        match (self.watcher)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(HubError::Cancelled),
        }
    }

    /// Counts again from here, since what came after it has to come once more.
    pub(super) fn back_to(&mut self, done: u64) {
        self.done = done;
        self.before = self.before.min(done);
    }

    pub(super) fn pause(&mut self, duration: Duration, stage: Stage<'_>) -> Result<(), HubError> {
        let end = Instant::now() + duration;
        loop {
            self.tell(stage)?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(BLINK));
        }
    }
}
