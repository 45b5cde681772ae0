//! The time of each node, from events between them.

use super::driver::Event;
use super::gpu::Gpu;
use crate::{BackendError, Profile};

/// Events of a runner's nodes: one before each, and one behind the last.
#[derive(Debug, Default)]
pub(super) struct Timing {
    on: bool,
    events: Vec<Event>,
}

impl Timing {
    pub(super) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// Whether steps are timed now.
    pub(super) const fn on(&self) -> bool {
        self.on
    }

    /// The events for so many nodes, made when they are first needed.
    pub(super) fn events(&mut self, gpu: &Gpu, nodes: usize) -> Result<&[Event], BackendError> {
        while self.events.len() < nodes + 1 {
            self.events.push(gpu.open.event(true)?);
        }
        Ok(&self.events)
    }

    /// Reads the times of a step that is done.
    pub(super) fn take(&self, gpu: &Gpu) -> Result<Profile, BackendError> {
        let seconds = self.events.windows(2).map(|pair| pair[0].seconds_until(&pair[1]));
        let seconds = seconds.collect::<Result<_, _>>().map_err(|error| gpu.open.refused(error))?;
        Ok(Profile { seconds })
    }
}
