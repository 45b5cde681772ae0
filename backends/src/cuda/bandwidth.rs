//! How fast a device reads its memory: the floor under every step that has to read the weights.

use std::time::Instant;

use bytemuck::{Pod, Zeroable};

use super::driver::{CudaError, LaunchShape, Stream};
use super::gpu::Gpu;
use super::kernels::Kernel;
use crate::BackendError;

/// Bytes that are read: beyond the caches of any GPU.
const BYTES: u64 = 2 << 30;
/// Blocks and threads: several of each for each multiprocessor of the largest GPUs.
const BLOCKS: u32 = 2048;
const THREADS: u32 = 512;
/// Reads in a row, so that starting them does not count.
const READS: usize = 16;
const PASSES: usize = 3;

/// `Params` of `shaders/bandwidth/read.cu`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Params {
    source: u64,
    sums: u64,
    quads: u64,
}

/// The kernel that reads.
fn kernel() -> Kernel {
    Kernel::new("bandwidth/read", "read")
}

#[cfg(test)]
pub(super) fn variants() -> Vec<Kernel> {
    vec![kernel()]
}

/// Bytes per second of a plain read, the median of several passes.
pub(super) fn read_bandwidth(gpu: &Gpu) -> Result<f64, BackendError> {
    let open = &gpu.open;
    let stream = open.stream()?;
    let bytes = BYTES.min(open.free_memory()? / 2) & !0xffff;
    let source = open.zeroed(&stream, "memory to read", bytes)?;
    let sums = open.zeroed(&stream, "sums", 4 * u64::from(BLOCKS))?;
    let params = Params { source: source.address(), sums: sums.address(), quads: bytes / 16 };
    let function = open.function(&kernel(), gpu.capabilities.target, 0)?;
    let read = |times: usize| -> Result<(), CudaError> {
        for _ in 0..times {
            stream.launch(&function, &SHAPE, bytemuck::bytes_of(&params), 0)?;
        }
        stream.wait()
    };
    let read = |times: usize| read(times).map_err(|error| open.refused(error));
    read(2)?;
    let mut seconds = Vec::new();
    for _ in 0..PASSES {
        let start = Instant::now();
        read(READS)?;
        seconds.push(start.elapsed().as_secs_f64() / READS as f64);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(bytes as f64 / seconds[PASSES / 2])
}

const SHAPE: LaunchShape =
    LaunchShape { grid: [BLOCKS, 1, 1], threads: THREADS, shared: 0, cluster: 1, early: false };

/// Runs a kernel that faults, so that nothing works any more in the context.
pub(super) fn fault(gpu: &Gpu) -> Result<(), BackendError> {
    let open = &gpu.open;
    let function = open.function(&Kernel::new("bandwidth/read", "fault"), gpu.capabilities.target, 0)?;
    let params = Params { source: 0, sums: 0, quads: 0 };
    let stream: Stream = open.stream()?;
    let launched = stream.launch(&function, &SHAPE, bytemuck::bytes_of(&params), 0);
    launched.and_then(|()| stream.wait()).map_err(|error| open.refused(error))
}
