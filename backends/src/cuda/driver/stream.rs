//! What a device does in order: copies, launches, graphs of launches, and events among them.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::sys::{self, CUlaunchAttributeID, CUresult};

use super::context::Context;
use super::memory::Pinned;
use super::module::Function;
use super::{CudaError, check};

/// How long waiting keeps the processor busy before it begins to sleep in between: the next token is mostly there by then.
const BUSY: Duration = Duration::from_millis(30);
const NAP: Duration = Duration::from_micros(50);

/// How many threads a launch has, and what they get.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct LaunchShape {
    pub(in crate::cuda) grid: [u32; 3],
    pub(in crate::cuda) threads: u32,
    pub(in crate::cuda) shared: u32,
    pub(in crate::cuda) cluster: u32,
    /// Whether it may begin before the launch before it has ended.
    pub(in crate::cuda) early: bool,
}

/// A stream.
#[derive(Debug)]
pub(in crate::cuda) struct Stream {
    context: Arc<Context>,
    raw: sys::CUstream,
}

// SAFETY: a handle that the driver takes from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above; calls from several threads only follow one another in some order.
unsafe impl Sync for Stream {}

impl Stream {
    pub(in crate::cuda) fn new(context: &Arc<Context>) -> Result<Self, CudaError> {
        let _bound = context.bind()?;
        let mut raw = std::ptr::null_mut();
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: writes the handle, which `drop` lets go of.
        check("cuStreamCreate", unsafe { sys::cuStreamCreate(&raw mut raw, flags) })?;
        Ok(Self { context: Arc::clone(context), raw })
    }

    /// Copies the first `bytes` of pinned memory, which stays as it is until an event after it has passed.
    pub(in crate::cuda) fn copy_pinned(&self, to: u64, from: &Pinned, bytes: usize) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        let bytes = bytes.min(from.bytes());
        // SAFETY: so many bytes are there; the caller leaves them as they are until the copy has passed, and keeps both ends.
        let code = unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.address(), bytes, self.raw) };
        check("cuMemcpyHtoDAsync", code)
    }

    /// Copies ordinary memory, which the driver has taken in when this returns.
    pub(in crate::cuda) fn copy_from(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        // SAFETY: memory that is not pinned is copied before the call returns.
        let code = unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), from.len(), self.raw) };
        check("cuMemcpyHtoDAsync", code)
    }

    /// Copies into pinned memory, which nobody may look at until an event after it has passed.
    pub(in crate::cuda) fn copy_to_host(
        &self,
        to: &Pinned,
        place: usize,
        from: u64,
        bytes: usize,
    ) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        debug_assert!(place + bytes <= to.bytes());
        // SAFETY: `place + bytes` lie within, as the caller laid them out.
        let code = unsafe { sys::cuMemcpyDtoHAsync_v2(to.address().byte_add(place), from, bytes, self.raw) };
        check("cuMemcpyDtoHAsync", code)
    }

    pub(in crate::cuda) fn copy_on_device(&self, to: u64, from: u64, bytes: u64) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        // SAFETY: both are ranges of buffers that outlive the stream's work.
        let code = unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes as usize, self.raw) };
        check("cuMemcpyDtoDAsync", code)
    }

    pub(in crate::cuda) fn zero(&self, address: u64, bytes: u64) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        // SAFETY: a range of a buffer that outlives the stream's work.
        let code = unsafe { sys::cuMemsetD8Async(address, 0, bytes as usize, self.raw) };
        check("cuMemsetD8Async", code)
    }

    /// Launches a kernel with its two arguments: the bytes of its parameters, and the address of the step.
    pub(in crate::cuda) fn launch(
        &self,
        function: &Function,
        shape: &LaunchShape,
        params: &[u8],
        step: u64,
    ) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        // SAFETY: all zeros are a value of this struct of numbers.
        let blank: sys::CUlaunchAttribute = unsafe { std::mem::zeroed() };
        let mut attributes = [blank; 2];
        let mut count = 0;
        if shape.early {
            attributes[count].id = CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
            attributes[count].value.programmaticStreamSerializationAllowed = 1;
            count += 1;
        }
        if shape.cluster > 1 {
            attributes[count].id = CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
            attributes[count].value.clusterDim =
                sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: shape.cluster, y: 1, z: 1 };
            count += 1;
        }
        let config = sys::CUlaunchConfig {
            gridDimX: shape.grid[0],
            gridDimY: shape.grid[1],
            gridDimZ: shape.grid[2],
            blockDimX: shape.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shape.shared,
            hStream: self.raw,
            attrs: attributes.as_mut_ptr(),
            numAttrs: count as u32,
        };
        let mut arguments =
            [params.as_ptr().cast_mut().cast::<c_void>(), (&raw const step).cast_mut().cast()];
        // SAFETY: every kernel takes these two arguments; the driver copies them before it returns. That the bytes are the kernel's
        // `Params` is what each file of `ops/` sees to, with a struct of the same fields.
        let code = unsafe {
            sys::cuLaunchKernelEx(
                &raw const config,
                function.raw,
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        check("cuLaunchKernelEx", code)
    }

    /// Records what `act` puts into this stream as a graph, instead of doing it.
    pub(in crate::cuda) fn capture<E: From<CudaError>>(
        &self,
        act: impl FnOnce() -> Result<(), E>,
    ) -> Result<Graph, E> {
        let bound = self.context.bind()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: ended below whatever happens.
        check("cuStreamBeginCapture", unsafe { sys::cuStreamBeginCapture_v2(self.raw, mode) })?;
        drop(bound);
        let acted = act();
        let _bound = self.context.bind()?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: writes the handle.
        let ended = check("cuStreamEndCapture", unsafe { sys::cuStreamEndCapture(self.raw, &raw mut graph) });
        let made = acted.and_then(|()| {
            ended?;
            let mut raw = std::ptr::null_mut();
            // SAFETY: writes the handle, which `Graph` lets go of.
            let code = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, graph, 0) };
            check("cuGraphInstantiate", code)?;
            Ok(Graph { context: Arc::clone(&self.context), raw })
        });
        if !graph.is_null() {
            // SAFETY: it is ours; what was instantiated no longer needs it.
            let _ = unsafe { sys::cuGraphDestroy(graph) };
        }
        made
    }

    pub(in crate::cuda) fn launch_graph(&self, graph: &Graph) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        // SAFETY: the graph is there, and it is not let go of before the stream has been waited for.
        check("cuGraphLaunch", unsafe { sys::cuGraphLaunch(graph.raw, self.raw) })
    }

    pub(in crate::cuda) fn record(&self, event: &Event) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        // SAFETY: both are there.
        check("cuEventRecord", unsafe { sys::cuEventRecord(event.raw, self.raw) })
    }

    /// Waits for all that was put into it.
    pub(in crate::cuda) fn wait(&self) -> Result<(), CudaError> {
        let _bound = self.context.bind()?;
        // SAFETY: the stream is there.
        check("cuStreamSynchronize", unsafe { sys::cuStreamSynchronize(self.raw) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Ok(_bound) = self.context.bind() {
            // SAFETY: it is ours; what is under way in it ends by itself.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
        }
    }
}

/// A place in a stream.
#[derive(Debug)]
pub(in crate::cuda) struct Event {
    context: Arc<Context>,
    raw: sys::CUevent,
}

// SAFETY: a handle that the driver takes from any thread.
unsafe impl Send for Event {}

impl Event {
    /// `timed` where it takes the time when it is passed.
    pub(in crate::cuda) fn new(context: &Arc<Context>, timed: bool) -> Result<Self, CudaError> {
        let _bound = context.bind()?;
        let mut raw = std::ptr::null_mut();
        let untimed = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        // SAFETY: writes the handle, which `drop` lets go of.
        let code = unsafe { sys::cuEventCreate(&raw mut raw, if timed { 0 } else { untimed }) };
        check("cuEventCreate", code)?;
        Ok(Self { context: Arc::clone(context), raw })
    }

    /// Waits until it is passed; false where that takes longer than `patience`.
    pub(in crate::cuda) fn wait(&self, patience: Duration) -> Result<bool, CudaError> {
        let _bound = self.context.bind()?;
        let begun = Instant::now();
        loop {
            // SAFETY: the event is there.
            match unsafe { sys::cuEventQuery(self.raw) } {
                CUresult::CUDA_SUCCESS => return Ok(true),
                CUresult::CUDA_ERROR_NOT_READY => {}
                code => return check("cuEventQuery", code).map(|()| true),
            }
            let waited = begun.elapsed();
            if waited > patience {
                return Ok(false);
            }
            if waited > BUSY {
                std::thread::sleep(NAP);
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Seconds from this event to a later one, both of which were passed and are timed.
    pub(in crate::cuda) fn seconds_until(&self, later: &Self) -> Result<f64, CudaError> {
        let _bound = self.context.bind()?;
        let mut milliseconds = 0.0;
        // SAFETY: writes one number.
        let code = unsafe { sys::cuEventElapsedTime(&raw mut milliseconds, self.raw, later.raw) };
        check("cuEventElapsedTime", code)?;
        Ok(f64::from(milliseconds) * 1e-3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(_bound) = self.context.bind() {
            // SAFETY: it is ours.
            let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
        }
    }
}

/// Launches that were captured, ready to be done again.
#[derive(Debug)]
pub(in crate::cuda) struct Graph {
    context: Arc<Context>,
    raw: sys::CUgraphExec,
}

// SAFETY: a handle that the driver takes from any thread.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Ok(_bound) = self.context.bind() {
            // SAFETY: it is ours; the driver keeps what is still running.
            let _ = unsafe { sys::cuGraphExecDestroy(self.raw) };
        }
    }
}
