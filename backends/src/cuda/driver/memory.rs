//! Memory of devices, and memory of the host that devices copy to and from by themselves.

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cudarc::driver::sys::{self, CUresult};

use super::context::Context;
use super::{CudaError, check};

/// Memory on a device. What is in it at first is anything.
#[derive(Debug)]
pub(in crate::cuda) struct Buffer {
    context: Arc<Context>,
    address: u64,
    bytes: u64,
}

impl Buffer {
    pub(in crate::cuda) fn new(context: &Arc<Context>, bytes: u64) -> Result<Self, CudaError> {
        let _bound = context.bind()?;
        let mut address = 0;
        // SAFETY: writes the address; the memory is let go of when `self` is dropped.
        check("cuMemAlloc", unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes as usize) })?;
        context.allocated.fetch_add(bytes, Ordering::Relaxed);
        Ok(Self { context: Arc::clone(context), address, bytes })
    }

    pub(in crate::cuda) const fn address(&self) -> u64 {
        self.address
    }

    pub(in crate::cuda) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.context.allocated.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Ok(_bound) = self.context.bind() {
            // SAFETY: it is ours, and the call waits for what still uses it. A broken context frees it when it ends.
            let _ = unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

/// Memory of the host that stays where it is, so that a device can copy while the host goes on. It is the host's own, which the driver is
/// told of, so that it is there even after its context has ended.
#[derive(Debug)]
pub(in crate::cuda) struct Pinned {
    context: Arc<Context>,
    start: *mut u8,
    layout: Layout,
}

/// What it begins at a multiple of.
const PAGE: usize = 4096;

// SAFETY: it is memory and nothing else; only `&mut self` writes to it on the host.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Zeros.
    pub(in crate::cuda) fn new(context: &Arc<Context>, bytes: usize) -> Result<Self, CudaError> {
        const CALL: &str = "cuMemHostRegister";
        let full = CudaError { call: CALL, code: CUresult::CUDA_ERROR_OUT_OF_MEMORY };
        let bytes = bytes.max(1).checked_next_multiple_of(PAGE).ok_or(full)?;
        let layout = Layout::from_size_align(bytes, PAGE).map_err(|_| full)?;
        let bound = context.bind()?;
        // SAFETY: there are bytes in it.
        let start = unsafe { alloc::alloc_zeroed(layout) };
        if start.is_null() {
            return Err(full);
        }
        // SAFETY: so many bytes were just given, and are given back when `self` is dropped.
        let registered = unsafe { sys::cuMemHostRegister_v2(start.cast(), bytes, 0) };
        drop(bound);
        if let Err(error) = check(CALL, registered) {
            // SAFETY: given by the same allocator, and nobody knows of it.
            unsafe { alloc::dealloc(start, layout) };
            return Err(error);
        }
        Ok(Self { context: Arc::clone(context), start, layout })
    }

    pub(in crate::cuda) const fn bytes(&self) -> usize {
        self.layout.size()
    }

    pub(super) const fn address(&self) -> *mut c_void {
        self.start.cast()
    }

    /// What is in it. A copy into it has to have been waited for.
    pub(in crate::cuda) fn get(&self) -> &[u8] {
        // SAFETY: so many bytes are there and were zero when it was made. Copies into it are waited for before anybody looks, as
        // `Stream::copy_to_host` demands.
        unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) }
    }

    /// Likewise, to be changed. Copies out of it have to have been waited for.
    pub(in crate::cuda) fn get_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `&mut self` keeps others of the host away.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.layout.size()) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Ok(_bound) = self.context.bind() {
            // SAFETY: it was registered in this context. Copies that use it have passed, or end with an error in a broken one.
            let _ = unsafe { sys::cuMemHostUnregister(self.start.cast()) };
        }
        // SAFETY: given by the same allocator with this layout.
        unsafe { alloc::dealloc(self.start, self.layout) };
    }
}
