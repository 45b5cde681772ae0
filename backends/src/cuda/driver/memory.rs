//! Memory of devices, and memory of the host that devices copy to and from by themselves.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cudarc::driver::sys;

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
        context.bind()?;
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
        if self.context.bind().is_ok() {
            // SAFETY: it is ours, and the call waits for what still uses it. A broken context frees it when it ends.
            let _ = unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

/// Memory of the host that stays where it is, so that a device can copy while the host goes on.
#[derive(Debug)]
pub(in crate::cuda) struct Pinned {
    context: Arc<Context>,
    start: *mut u8,
    bytes: usize,
}

// SAFETY: it is memory and nothing else; only `&mut self` writes to it on the host.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Zeros.
    pub(in crate::cuda) fn new(context: &Arc<Context>, bytes: usize) -> Result<Self, CudaError> {
        context.bind()?;
        let bytes = bytes.max(16);
        let mut start: *mut c_void = std::ptr::null_mut();
        // SAFETY: writes the address; the memory is let go of when `self` is dropped.
        check("cuMemHostAlloc", unsafe { sys::cuMemHostAlloc(&raw mut start, bytes, 0) })?;
        let start = start.cast::<u8>();
        // SAFETY: so many bytes were just given.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { context: Arc::clone(context), start, bytes })
    }

    pub(in crate::cuda) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn address(&self) -> *mut c_void {
        self.start.cast()
    }

    /// What is in it. A copy into it has to have been waited for.
    pub(in crate::cuda) fn get(&self) -> &[u8] {
        // SAFETY: so many bytes are there and were written when it was made. Copies into it are waited for before anybody looks, as
        // `Stream::copy_to_host` demands.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    /// Likewise, to be changed. Copies out of it have to have been waited for.
    pub(in crate::cuda) fn get_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `&mut self` keeps others of the host away.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: it is ours, and the call waits for copies that still use it.
            let _ = unsafe { sys::cuMemFreeHost(self.start.cast()) };
        }
    }
}
