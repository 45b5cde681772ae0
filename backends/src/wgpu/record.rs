//! A plan as a list of launches, and how a step of it is recorded.

use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::build::{Groups, Planned};
use super::gpu::Gpu;
use super::tables::StepCounts;
use super::timing::Queries;
use crate::BackendError;

/// Bytes between the parameters of two dispatches: the alignment that every device accepts.
const PARAMS_ALIGNMENT: usize = 256;

/// A dispatch with everything made.
struct Launch {
    node: Option<usize>,
    pipeline: Arc<wgpu::ComputePipeline>,
    group: wgpu::BindGroup,
    groups: Groups,
}

/// All launches of a plan, in order.
pub(super) struct Program {
    launches: Vec<Launch>,
    /// Bytes of the parameters.
    pub(super) params_bytes: u64,
}

impl Program {
    /// Compiles the kernels, several at once, and makes the bind groups. `compiled` hears how many kernels of how many are done.
    pub(super) fn new(
        gpu: &Gpu,
        step: &wgpu::Buffer,
        planned: Vec<Planned>,
        compiled: &mut dyn FnMut(usize, usize) -> Result<(), BackendError>,
    ) -> Result<Self, BackendError> {
        let open = &gpu.open;
        check_bindings(gpu, &planned)?;
        let mut known = HashSet::new();
        let distinct =
            planned.iter().filter(|p| known.insert(p.dispatch.kernel.to_string())).collect::<Vec<_>>();
        // In handfuls, so that progress is heard of and a cancelled start stops soon.
        for (done, some) in distinct.chunks(16).enumerate() {
            compiled(done * 16, distinct.len())?;
            let compile = |p: &&Planned| open.pipeline(&p.dispatch.kernel, &p.dispatch.bindings).map(|_| ());
            some.par_iter().map(compile).collect::<Result<Vec<()>, _>>()?;
        }
        compiled(distinct.len(), distinct.len())?;
        open.keep_pipelines();
        let mut params = Vec::new();
        let mut places = Vec::new();
        for planned in &planned {
            params.resize(params.len().next_multiple_of(PARAMS_ALIGNMENT), 0_u8);
            places.push(params.len() as u64);
            params.extend(&planned.dispatch.params);
            params.resize(params.len().next_multiple_of(16).max(places[places.len() - 1] as usize + 16), 0);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let params_bytes = params.len() as u64;
        let buffer = open.buffer("the parameters of kernels", params_bytes, usage)?;
        if !params.is_empty() {
            open.queue.write_buffer(&buffer, 0, &params);
        }
        let launch = |(planned, offset): (Planned, u64)| {
            let dispatch = planned.dispatch;
            let size = dispatch.params.len().next_multiple_of(16).max(16) as u64;
            let params =
                wgpu::BufferBinding { buffer: &buffer, offset, size: std::num::NonZeroU64::new(size) };
            Ok(Launch {
                node: planned.node,
                pipeline: open.pipeline(&dispatch.kernel, &dispatch.bindings)?,
                group: open.bind_group(step, params, &dispatch.bindings)?,
                groups: dispatch.groups,
            })
        };
        let launches = planned.into_iter().zip(places).map(launch).collect::<Result<_, BackendError>>()?;
        Ok(Self { launches, params_bytes })
    }

    /// Records the nodes from `from` on that come before `until`, as one pass; what begins a step goes with node 0.
    pub(super) fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        counts: &StepCounts,
        (from, until): (usize, usize),
    ) {
        let place = |node: usize| self.launches.partition_point(|launch| launch.node < Some(node));
        let first = if from == 0 { 0 } else { place(from) };
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for launch in &self.launches[first..place(until)] {
            launch.record(&mut pass, counts);
        }
    }

    /// The nodes that the launches of a step with these counts belong to: what a product of one row takes along is not launched by itself.
    pub(super) fn launched(&self, counts: &StepCounts) -> Vec<Option<usize>> {
        let launched = |launch: &&Launch| (launch.groups)(counts).is_some();
        self.launches.iter().filter(launched).map(|launch| launch.node).collect()
    }

    /// Records the first so many launches of a step as one pass, at whose ends the device takes the time.
    pub(super) fn record_first(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        counts: &StepCounts,
        count: usize,
        writes: wgpu::ComputePassTimestampWrites<'_>,
    ) {
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        let launched = self.launches.iter().filter(|launch| (launch.groups)(counts).is_some());
        for launch in launched.take(count) {
            launch.record(&mut pass, counts);
        }
    }

    /// Records a step as a pass per node, between whose ends the device takes the time.
    pub(super) fn record_timed(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        counts: &StepCounts,
        queries: &Queries,
    ) {
        for launches in self.launches.chunk_by(|a, b| a.node == b.node) {
            let node = launches.first().and_then(|launch| launch.node);
            let writes = node.and_then(|node| queries.writes(node));
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: writes };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            for launch in launches {
                launch.record(&mut pass, counts);
            }
        }
    }
}

/// Refuses kernels that are told more buffers than the device lets them see.
fn check_bindings(gpu: &Gpu, planned: &[Planned]) -> Result<(), BackendError> {
    let most = gpu.capabilities.storage_buffers;
    match planned.iter().find(|planned| planned.dispatch.bindings.len() as u32 > most) {
        None => Ok(()),
        Some(Planned { dispatch, .. }) => Err(BackendError::Unsupported {
            device: gpu.open.name.clone(),
            what: format!(
                "the kernel {}, which needs {} storage buffers; it gives a kernel {most}",
                dispatch.kernel,
                dispatch.bindings.len()
            ),
        }),
    }
}

impl Launch {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>, counts: &StepCounts) {
        let Some([x, y, z]) = (self.groups)(counts) else { return };
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}
