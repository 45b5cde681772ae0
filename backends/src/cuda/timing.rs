//! The time of each node: by the step's beginnings, as graphs, where it is short ([`crate::gpu::beginnings`]); else from clocks
//! between its nodes.

use super::driver::{CudaError, Event, Graph, Stream};
use super::gpu::Gpu;
use super::graphs::worth_a_graph;
use super::program::Program;
use crate::gpu::beginnings::Beginnings;
use crate::gpu::tables::StepCounts;
use crate::plan::Plan;
use crate::{BackendError, Clocks, Profile};

/// How the nodes of a runner's steps are timed.
#[derive(Debug, Default)]
pub(super) struct Timing {
    on: bool,
    events: Vec<Event>,
    captured: Option<Captured>,
}

/// The beginnings of steps with the same rounded counts.
#[derive(Debug)]
struct Captured {
    counts: StepCounts,
    beginnings: Beginnings,
    /// Of the parts, then of the step itself.
    graphs: Vec<Graph>,
}

impl Timing {
    pub(super) fn set(&mut self, on: bool) {
        self.on = on;
    }

    /// Whether steps are timed now.
    pub(super) const fn on(&self) -> bool {
        self.on
    }

    /// Puts a step into a stream with the clocks that it is to be timed by, and tells which; `counts` are its rounded counts.
    pub(super) fn launch(
        &mut self,
        gpu: &Gpu,
        stream: &Stream,
        (plan, program): (&Plan, &Program),
        counts: &StepCounts,
    ) -> Result<Clocks, BackendError> {
        let refused = |error| gpu.open.refused(error);
        let nodes = plan.nodes.len();
        while self.events.len() < 2 * Beginnings::most_made(nodes) {
            self.events.push(gpu.open.event(true)?);
        }
        let known = self.captured.take().filter(|known| known.counts == *counts);
        if worth_a_graph(counts) {
            let capture = || Captured::new(stream, (plan, program), counts);
            self.captured = Some(known.map_or_else(capture, Ok).map_err(refused)?);
        }
        if let (Some(captured), [begin, end, ..]) = (&mut self.captured, self.events.as_slice()) {
            captured.launch_longest(stream, begin, end).map_err(refused)?;
            gpu.open.wait(end)?;
            if captured.beginnings.take_turns(begin.seconds_until(end).map_err(refused)?) {
                captured.launch(stream, &self.events).map_err(refused)?;
                return Ok(Clocks::OfBeginnings);
            }
        }
        program.launch_timed(stream, counts, &self.events[..=nodes]).map_err(refused)?;
        Ok(Clocks::BetweenNodes)
    }

    /// Reads the times of the step of a plan with so many nodes that was launched last and is done.
    pub(super) fn take(&self, gpu: &Gpu, nodes: usize, clocks: Clocks) -> Result<Profile, BackendError> {
        let captured = self.captured.as_ref().filter(|_| clocks == Clocks::OfBeginnings);
        let seconds = if let Some(captured) = captured {
            captured.take(&self.events)
        } else {
            let between = self.events.windows(2).map(|pair| pair[0].seconds_until(&pair[1]));
            between.take(nodes).collect()
        };
        let seconds = seconds.map_err(|error| gpu.open.refused(error))?;
        Ok(Profile { seconds, clocks })
    }
}

impl Captured {
    fn new(
        stream: &Stream,
        (plan, program): (&Plan, &Program),
        counts: &StepCounts,
    ) -> Result<Self, CudaError> {
        let beginnings = Beginnings::new(plan, &program.launched(counts));
        let all = beginnings.parts().iter().copied().chain([beginnings.whole()]);
        let capture = |count| stream.capture(|| program.launch_first(stream, counts, count));
        let graphs = all.map(capture).collect::<Result<_, _>>()?;
        Ok(Self { counts: *counts, beginnings, graphs })
    }

    /// The longest part, where there is one.
    fn longest(&self) -> Option<&Graph> {
        self.graphs.iter().rev().nth(1)
    }

    /// Makes the longest part between two events.
    fn launch_longest(&self, stream: &Stream, begin: &Event, end: &Event) -> Result<(), CudaError> {
        stream.record(begin)?;
        if let Some(longest) = self.longest() {
            stream.launch_graph(longest)?;
        }
        stream.record(end)
    }

    /// Makes all of them, each between two events.
    fn launch(&self, stream: &Stream, events: &[Event]) -> Result<(), CudaError> {
        // Something to do, while the first ones are put behind it: a graph must not have to wait for the processor.
        if let Some(longest) = self.longest() {
            stream.launch_graph(longest)?;
        }
        for (place, [begin, end]) in self.beginnings.order().zip(events.as_chunks::<2>().0) {
            stream.record(begin)?;
            stream.launch_graph(&self.graphs[place])?;
            stream.record(end)?;
        }
        Ok(())
    }

    /// The seconds of each node.
    fn take(&self, events: &[Event]) -> Result<Vec<f64>, CudaError> {
        let made = events.as_chunks::<2>().0.iter().take(self.beginnings.order().count());
        let seconds = made.map(|[begin, end]| begin.seconds_until(end)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.beginnings.node_seconds(&seconds))
    }
}
