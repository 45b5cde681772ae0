//! The launches of a plan, in order.

use super::build::{Grid, Planned};
use super::driver::{CudaError, Event, Function, LaunchShape, Stream};
use super::gpu::Gpu;
use crate::BackendError;
use crate::gpu::tables::StepCounts;

/// A launch with everything made.
struct Ready {
    node: Option<usize>,
    function: Function,
    params: Vec<u8>,
    threads: u32,
    shared: u32,
    cluster: u32,
    grid: Grid,
}

/// All launches of a plan.
pub(super) struct Program {
    launches: Vec<Ready>,
    /// Where `Step` lies.
    step: u64,
    early: bool,
}

impl Program {
    /// Compiles the kernels. `told` hears how many of how many are done.
    pub(super) fn new(
        gpu: &Gpu,
        step: u64,
        planned: Vec<Planned>,
        told: &mut dyn FnMut(usize, usize) -> Result<(), BackendError>,
    ) -> Result<Self, BackendError> {
        let target = gpu.capabilities.target;
        let kernels = planned.iter().map(|planned| &planned.launch.kernel).collect::<Vec<_>>();
        gpu.open.compile(&kernels, target, told)?;
        let ready = |planned: Planned| {
            let launch = planned.launch;
            Ok::<_, BackendError>(Ready {
                node: planned.node,
                function: gpu.open.function(&launch.kernel, target, launch.shared)?,
                params: launch.params,
                threads: launch.threads,
                shared: launch.shared,
                cluster: launch.cluster,
                grid: launch.grid,
            })
        };
        let launches = planned.into_iter().map(ready).collect::<Result<_, _>>()?;
        Ok(Self { launches, step, early: gpu.capabilities.early_launches })
    }

    /// The nodes that the launches of a step with these counts belong to.
    pub(super) fn launched(&self, counts: &StepCounts) -> Vec<Option<usize>> {
        let launched = |ready: &&Ready| (ready.grid)(counts).is_some();
        self.launches.iter().filter(launched).map(|ready| ready.node).collect()
    }

    /// Puts all launches of a step into a stream; `counts` are its rounded counts.
    pub(super) fn launch(&self, stream: &Stream, counts: &StepCounts) -> Result<(), CudaError> {
        self.launch_first(stream, counts, self.launches.len())
    }

    /// Likewise, but no more than the first so many.
    pub(super) fn launch_first(
        &self,
        stream: &Stream,
        counts: &StepCounts,
        count: usize,
    ) -> Result<(), CudaError> {
        // The first has to wait for the copy of the tables, for which all wait that come after it.
        let mut early = false;
        let mut launched = 0;
        for ready in &self.launches {
            if launched == count {
                break;
            }
            if ready.launch(stream, counts, self.step, early)? {
                early = self.early;
                launched += 1;
            }
        }
        Ok(())
    }

    /// All, with an event before each node and one behind the last; none begins before the one before it has ended.
    pub(super) fn launch_timed(
        &self,
        stream: &Stream,
        counts: &StepCounts,
        events: &[Event],
    ) -> Result<(), CudaError> {
        let mut launches = self.launches.iter().peekable();
        for (node, event) in events.iter().enumerate() {
            while let Some(ready) = launches.next_if(|ready| ready.node < Some(node)) {
                ready.launch(stream, counts, self.step, false)?;
            }
            stream.record(event)?;
        }
        Ok(())
    }
}

impl Ready {
    /// Whether there was anything to launch.
    fn launch(
        &self,
        stream: &Stream,
        counts: &StepCounts,
        step: u64,
        early: bool,
    ) -> Result<bool, CudaError> {
        let Some(grid) = (self.grid)(counts) else { return Ok(false) };
        let shape =
            LaunchShape { grid, threads: self.threads, shared: self.shared, cluster: self.cluster, early };
        stream.launch(&self.function, &shape, &self.params, step)?;
        Ok(true)
    }
}
