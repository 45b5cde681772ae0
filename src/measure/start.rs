//! From nothing to the first token, and what that consists of.

use std::time::{Duration, Instant};

use ingle_backends::plan::Plan;
use ingle_backends::{BackendError, CacheOptions, Progress, ProgressFn, Runner};

use super::{Sequences, Workload, go_on};

/// Where the time to the first token goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Until the first weight is asked for: finding and opening the device, and reserving memory.
    pub opening: Duration,
    /// Until all weights are on the device.
    pub weights: Duration,
    /// Until the plan is prepared: mostly compiling kernels, or reading those that were compiled before.
    pub kernels: Duration,
    /// From there to the first token: what comes before it is read.
    pub reading: Duration,
}

impl Start {
    pub fn total(&self) -> Duration {
        self.opening + self.weights + self.kernels + self.reading
    }

    /// Prepares a runner, looking at the clock; `start` is when the device began to be looked for.
    pub fn prepare(
        start: Instant,
        progress: &mut ProgressFn<'_>,
        prepare: impl FnOnce(&mut ProgressFn<'_>) -> Result<Box<dyn Runner>, BackendError>,
    ) -> Result<(Box<dyn Runner>, Self), BackendError> {
        let (mut opened, mut loaded) = (None, None);
        let mut watched = |now: &Progress<'_>| {
            opened.get_or_insert_with(Instant::now);
            if now.done_bytes >= now.total_bytes {
                loaded.get_or_insert_with(Instant::now);
            }
            progress(now)
        };
        let runner = prepare(&mut watched)?;
        let end = Instant::now();
        let opened = opened.unwrap_or(end);
        let loaded = loaded.unwrap_or(end);
        let parts = Self {
            opening: opened - start,
            weights: loaded - opened,
            kernels: end - loaded,
            reading: Duration::ZERO,
        };
        Ok((runner, parts))
    }

    /// Reads what comes before the first token, for the first time, and draws it.
    pub fn read(
        &mut self,
        runner: &mut dyn Runner,
        plan: &Plan,
        workload: &Workload,
        cache: CacheOptions,
    ) -> Result<(), BackendError> {
        let start = Instant::now();
        let mut sequences = Sequences::new(plan, workload, cache.page_tokens);
        sequences.read(runner, workload.depth + workload.prompt, workload.chunk, &mut go_on)?;
        self.reading = start.elapsed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ingle_backends::cpu::CpuBackend;
    use ingle_backends::{Backend, SyntheticWeights, no_progress};

    use super::*;
    use crate::soak::Soak;

    #[test]
    fn the_parts_are_all_there_and_add_up() {
        let soak = Soak::new(1).unwrap();
        let backend = CpuBackend::default();
        let device = backend.devices().remove(0).id;
        let workload = Workload { prompt: 20, generate: 1, depth: 0, batch: 1, repeats: 1, chunk: 16 };
        let (plan, options) = (Arc::clone(soak.plan()), soak.options(None));
        let begun = Instant::now();
        let (mut runner, mut start) = Start::prepare(begun, &mut no_progress, |progress| {
            let weights = SyntheticWeights { seed: 1 };
            backend.prepare(&device, Arc::clone(&plan), &weights, &options, progress)
        })
        .unwrap();
        start.read(&mut *runner, &plan, &workload, options.cache).unwrap();
        assert!(start.weights > Duration::ZERO && start.reading > Duration::ZERO, "{start:?}");
        assert!(start.total() <= begun.elapsed(), "{start:?}");
    }
}
