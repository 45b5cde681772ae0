//! Devices and contexts.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use cudarc::driver::sys::{self, CUdevice_attribute as A, CUresult};

use super::{CudaError, check};

/// Whether there is a driver to be called at all. Nothing else may be called where there is none.
pub(in crate::cuda) fn is_driver_present() -> bool {
    // SAFETY: loads the library if it is there.
    unsafe { sys::is_culib_present() }
}

/// The version of CUDA that the driver speaks, such as 13000. Every driver answers.
pub(in crate::cuda) fn driver_version() -> Result<u32, CudaError> {
    let mut version = 0;
    // SAFETY: writes one number.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut version) })?;
    Ok(version as u32)
}

/// What the driver tells of a device.
#[derive(Clone, Debug)]
pub(in crate::cuda) struct DeviceFacts {
    pub(in crate::cuda) ordinal: i32,
    pub(in crate::cuda) name: String,
    /// Major and minor number of its compute capability, such as 9 and 0.
    pub(in crate::cuda) capability: (u32, u32),
    pub(in crate::cuda) multiprocessors: u32,
    /// Bytes of shared memory that a block can ask for.
    pub(in crate::cuda) shared_memory: u32,
    pub(in crate::cuda) total_memory: u64,
    /// Whether its memory is the system's.
    pub(in crate::cuda) integrated: bool,
}

/// All devices that the driver has.
pub(in crate::cuda) fn facts() -> Result<Vec<DeviceFacts>, CudaError> {
    // SAFETY: may be called any number of times.
    check("cuInit", unsafe { sys::cuInit(0) })?;
    let mut count = 0;
    // SAFETY: writes one number.
    check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&raw mut count) })?;
    (0..count).map(device_facts).collect()
}

fn device_facts(ordinal: i32) -> Result<DeviceFacts, CudaError> {
    let device = device(ordinal)?;
    let mut name = [0; 256];
    // SAFETY: writes at most 256 bytes, of which the last is zero.
    check("cuDeviceGetName", unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), 256, device) })?;
    // SAFETY: ended by a zero, as above.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    let mut total = 0_usize;
    // SAFETY: writes one number.
    check("cuDeviceTotalMem", unsafe { sys::cuDeviceTotalMem_v2(&raw mut total, device) })?;
    let attribute = |which: A| {
        let mut value = 0;
        // SAFETY: writes one number.
        check("cuDeviceGetAttribute", unsafe { sys::cuDeviceGetAttribute(&raw mut value, which, device) })?;
        Ok(value as u32)
    };
    Ok(DeviceFacts {
        ordinal,
        name,
        capability: (
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_memory: attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        total_memory: total as u64,
        integrated: attribute(A::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0,
    })
}

fn device(ordinal: i32) -> Result<sys::CUdevice, CudaError> {
    let mut device = 0;
    // SAFETY: writes one number.
    check("cuDeviceGet", unsafe { sys::cuDeviceGet(&raw mut device, ordinal) })?;
    Ok(device)
}

/// A context of its own on a device: what goes wrong in it ends with it.
#[derive(Debug)]
pub(in crate::cuda) struct Context {
    /// None once it has ended. Whoever calls into it holds on to the lock, so that it does not end meanwhile.
    raw: RwLock<Option<Handle>>,
    /// Bytes of device memory that are held in it.
    pub(super) allocated: AtomicU64,
}

#[derive(Debug)]
struct Handle(sys::CUcontext);

// SAFETY: a context may be made current on any thread, on several at once; the driver locks what has to be.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// Keeps a context from ending while it is called into.
pub(super) struct Bound<'a>(
    #[allow(dead_code, reason = "it is held, not looked at")] RwLockReadGuard<'a, Option<Handle>>,
);

impl Context {
    pub(in crate::cuda) fn new(ordinal: i32) -> Result<Arc<Self>, CudaError> {
        let device = device(ordinal)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: writes the handle, which `end` lets go of.
        check("cuCtxCreate", unsafe { sys::cuCtxCreate_v2(&raw mut raw, 0, device) })?;
        Ok(Arc::new(Self { raw: RwLock::new(Some(Handle(raw))), allocated: AtomicU64::new(0) }))
    }

    /// Makes it the current one of this thread, for as long as the answer is held. Nobody may ask again meanwhile.
    pub(super) fn bind(&self) -> Result<Bound<'_>, CudaError> {
        let raw = self.raw.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Handle(handle)) = raw.as_ref() else {
            return Err(CudaError {
                call: "cuCtxSetCurrent",
                code: CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED,
            });
        };
        // SAFETY: the context is there until the lock is let go of.
        check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(*handle) })?;
        Ok(Bound(raw))
    }

    /// Bytes that are free on the device.
    pub(in crate::cuda) fn free_memory(&self) -> Result<u64, CudaError> {
        let _bound = self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two numbers.
        check("cuMemGetInfo", unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) })?;
        Ok(free as u64)
    }

    /// Bytes of device memory that are held.
    pub(in crate::cuda) fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }

    /// Ends it, with all that lives in it, for which only letting go is left to do.
    pub(in crate::cuda) fn end(&self) {
        let ended = self.raw.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Handle(raw)) = ended {
            // SAFETY: nobody is calling into it, since the lock was free, and nobody will. What a broken context says is of no use to
            // anybody.
            let _ = unsafe { sys::cuCtxDestroy_v2(raw) };
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.end();
    }
}
