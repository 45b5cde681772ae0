//! What happens when a device is lost: another runner is prepared, and every reply goes on from its tokens.
//!
//! Nothing that a reply needs is on the device alone. Its tokens are here; the cache is computed again from them, as it is for a
//! reply that had to make room; and random numbers are counted by positions, so that draws go on where they were. What was
//! on its way when the device was lost had been told to nobody, and is drawn again.
//!
//! A prompt may itself be what the device cannot bear. So a reply that takes part in a second loss without having got a token
//! in between is given up, with an error that names the device. The engine itself is not: the next reply that is asked for
//! prepares anew.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ingle_backends::{BackendError, Progress};

use super::super::flight::Part;
use super::super::request::{EngineError, Event};
use super::Worker;
use crate::cache::{CachedSequence, PagePool};

/// Losses that a reply bears without a token between them.
const BEARABLE: usize = 1;

impl Worker {
    /// The device is lost, and with it the step that these parts were of, the one after it, and the cache.
    pub(super) fn lose(&mut self, parts: &[Part], error: &Arc<BackendError>) {
        let ahead = self.flight.take().map_or_else(Vec::new, |flight| flight.parts);
        self.machine.lose(error);
        self.pool = PagePool::new(self.pool.len(), self.pool.page_tokens());
        for conversation in self.conversations.values_mut() {
            conversation.cached = CachedSequence::default();
        }
        for active in &mut self.active {
            active.resumed = false;
            active.losses += usize::from(parts.iter().chain(&ahead).any(|part| part.reply == active.number));
        }
        for index in (0..self.active.len()).rev() {
            if !self.machine.can_be_restored() {
                self.refuse(index, EngineError::Backend(Arc::clone(error)));
            } else if self.active[index].losses > BEARABLE {
                self.refuse(index, EngineError::LostAgain(Arc::clone(error)));
            } else {
                let _ = self.active[index].job.events.send(Event::DeviceLost(Arc::clone(error)));
            }
        }
    }

    /// Prepares another runner if the last is gone and somebody needs one; says whether there is one to go on with.
    pub(super) fn restore(&mut self) -> bool {
        if self.machine.is_ready() || self.active.is_empty() {
            return self.machine.is_ready();
        }
        let start = Instant::now();
        let replies: Vec<_> = self.active.iter().map(|active| Arc::clone(&active.job.cancelled)).collect();
        let nobody_waits = || replies.iter().all(|cancelled| cancelled.load(Ordering::Relaxed));
        let mut progress = |_: &Progress<'_>| {
            if nobody_waits() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match self.machine.restore(&mut progress) {
            Ok(()) => {
                for active in &self.active {
                    let _ = active.job.events.send(Event::DeviceRestored { loading: start.elapsed() });
                }
                true
            }
            // Those who waited are told that they were cancelled, as always.
            Err(error) if matches!(*error, BackendError::Cancelled) && nobody_waits() => false,
            Err(error) => {
                for index in (0..self.active.len()).rev() {
                    self.refuse(index, EngineError::Backend(Arc::clone(&error)));
                }
                false
            }
        }
    }
}
