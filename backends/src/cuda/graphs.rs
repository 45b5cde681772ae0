//! Graphs of steps: a step whose rounded counts were seen before is replayed with one call.

use std::collections::HashMap;

use super::driver::{CudaError, Graph, Stream};
use super::program::Program;
use crate::gpu::tables::StepCounts;

/// Steps of more rows keep the device busy for longer than their launches take.
const MOST_ROWS: u32 = 256;
/// Graphs that are kept.
const MOST: usize = 48;
/// A step is captured when its counts come up for this time: what comes once is not worth it.
const WORTH_IT: u32 = 2;

/// Whether a step of so much is replayed as a graph when it comes again.
pub(super) const fn worth_a_graph(counts: &StepCounts) -> bool {
    counts.rows <= MOST_ROWS
}

/// What is known of some rounded counts.
#[derive(Debug)]
struct Known {
    seen: u32,
    last: u64,
    graph: Option<Graph>,
}

/// The graphs of a runner.
#[derive(Debug, Default)]
pub(super) struct Graphs {
    known: HashMap<StepCounts, Known>,
    clock: u64,
}

impl Graphs {
    /// Puts a step into a stream, as a graph where that pays.
    pub(super) fn launch(
        &mut self,
        stream: &Stream,
        program: &Program,
        counts: &StepCounts,
    ) -> Result<(), CudaError> {
        let bucket = counts.bucket();
        if !worth_a_graph(&bucket) {
            return program.launch(stream, &bucket);
        }
        self.clock += 1;
        self.make_room(&bucket);
        let known = self.known.entry(bucket).or_insert(Known { seen: 0, last: 0, graph: None });
        known.last = self.clock;
        known.seen = known.seen.saturating_add(1);
        if known.graph.is_none() && known.seen >= WORTH_IT {
            known.graph = Some(stream.capture(|| program.launch(stream, &bucket))?);
        }
        match &known.graph {
            Some(graph) => stream.launch_graph(graph),
            None => program.launch(stream, &bucket),
        }
    }

    /// Forgets what was not asked for the longest, where there are too many.
    fn make_room(&mut self, coming: &StepCounts) {
        if self.known.len() < MOST || self.known.contains_key(coming) {
            return;
        }
        let oldest = self.known.iter().min_by_key(|(_, known)| known.last).map(|(counts, _)| *counts);
        if let Some(oldest) = oldest {
            // The driver keeps what is still running.
            self.known.remove(&oldest);
        }
    }
}
