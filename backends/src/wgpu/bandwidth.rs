//! How fast a device reads its memory: the floor under every step that has to read the weights.

use std::time::Instant;

use super::build::Binding;
use super::gpu::Gpu;
use super::shaders::Kernel;
use super::values::{Region, STORAGE};
use crate::BackendError;

/// Bytes that are read: beyond the caches of any GPU, and of a software one as much as it reads in a moment.
const BYTES: u64 = 1 << 30;
const SOFTWARE_BYTES: u64 = 32 << 20;
/// Workgroups: several for each multiprocessor of the largest GPUs.
const GROUPS: u32 = 2048;
/// Bytes that one workgroup reads at a time.
const RUN_BYTES: u64 = 256 * 8 * 16;
/// Reads in one submission, so that starting it does not count: on the fastest devices it takes as long as a thirtieth of a read.
const READS: usize = 16;
const SOFTWARE_READS: usize = 1;
const PASSES: usize = 3;

/// The kernel that reads.
pub(super) fn kernel() -> Kernel {
    Kernel::new("bandwidth/read")
}

/// Bytes per second of a plain read, the median of several passes.
pub(super) fn read_bandwidth(gpu: &Gpu) -> Result<f64, BackendError> {
    let wanted = if gpu.capabilities.software { SOFTWARE_BYTES } else { BYTES };
    let bytes = wanted.min(gpu.capabilities.visible()) / RUN_BYTES * RUN_BYTES;
    let source = gpu.open.buffer("memory to read", bytes, STORAGE)?;
    let reader = Reader::new(gpu, Region::whole(source), bytes)?;
    let reads = if gpu.capabilities.software { SOFTWARE_READS } else { READS };
    // Once to warm up; buffers are cleared when they are first used.
    reader.read(gpu, reads)?;
    let mut seconds = Vec::new();
    for _ in 0..PASSES {
        let start = Instant::now();
        reader.read(gpu, reads)?;
        seconds.push(start.elapsed().as_secs_f64() / reads as f64);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(bytes as f64 / seconds[PASSES / 2])
}

/// A buffer with what reads it.
pub(super) struct Reader {
    pipeline: std::sync::Arc<wgpu::ComputePipeline>,
    group: wgpu::BindGroup,
}

impl Reader {
    pub(super) fn new(gpu: &Gpu, source: Region, bytes: u64) -> Result<Self, BackendError> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let params = gpu.open.buffer("parameters", 16, uniform)?;
        let step = gpu.open.buffer("no step", 16, uniform)?;
        let sums = gpu.open.buffer("sums", 4 * u64::from(GROUPS), STORAGE)?;
        gpu.open.queue.write_buffer(&params, 0, bytemuck::bytes_of(&[(bytes / 16) as u32, 0, 0, 0]));
        let bindings = [Binding::Read(source), Binding::ReadWrite(Region::whole(sums))];
        let pipeline = gpu.open.pipeline(&kernel(), &bindings)?;
        let group = gpu.open.bind_group(&step, params.as_entire_buffer_binding(), &bindings)?;
        Ok(Self { pipeline, group })
    }

    /// Reads the buffer so many times and waits.
    pub(super) fn read(&self, gpu: &Gpu, times: usize) -> Result<(), BackendError> {
        let open = &gpu.open;
        let index = open.scoped("a plain read", 0, || {
            let mut encoder =
                open.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(&self.pipeline);
                pass.set_bind_group(0, &self.group, &[]);
                for _ in 0..times {
                    pass.dispatch_workgroups(GROUPS, 1, 1);
                }
            }
            open.queue.submit([encoder.finish()])
        })?;
        open.wait(index)
    }
}
