//! Compiled kernels.

use std::ffi::CString;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUfunction_attribute};

use super::context::Context;
use super::{CudaError, check};

/// A cubin on a device.
#[derive(Debug)]
pub(in crate::cuda) struct Module {
    context: Arc<Context>,
    raw: sys::CUmodule,
}

// SAFETY: a handle that the driver takes from any thread.
unsafe impl Send for Module {}
// SAFETY: as above; nothing changes it.
unsafe impl Sync for Module {}

impl Module {
    pub(in crate::cuda) fn new(context: &Arc<Context>, cubin: &[u8]) -> Result<Arc<Self>, CudaError> {
        let _bound = context.bind()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: a cubin says itself how long it is; that it is whole is known from NVRTC, or from its checksum where it was kept.
        check("cuModuleLoadData", unsafe { sys::cuModuleLoadData(&raw mut raw, cubin.as_ptr().cast()) })?;
        Ok(Arc::new(Self { context: Arc::clone(context), raw }))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Ok(_bound) = self.context.bind() {
            // SAFETY: all functions of it hold on to it, and the streams that ran them were waited for.
            let _ = unsafe { sys::cuModuleUnload(self.raw) };
        }
    }
}

/// A kernel.
#[derive(Clone, Debug)]
pub(in crate::cuda) struct Function {
    /// Keeps the code where it is.
    module: Arc<Module>,
    pub(super) raw: sys::CUfunction,
}

// SAFETY: a handle that the driver takes from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Function {
    pub(in crate::cuda) fn new(module: &Arc<Module>, entry: &str) -> Result<Self, CudaError> {
        let _bound = module.context.bind()?;
        let name = CString::new(entry).unwrap_or_default();
        let mut raw = std::ptr::null_mut();
        // SAFETY: writes the handle, which is good for as long as the module is.
        let found = unsafe { sys::cuModuleGetFunction(&raw mut raw, module.raw, name.as_ptr()) };
        check("cuModuleGetFunction", found)?;
        Ok(Self { module: Arc::clone(module), raw })
    }

    /// Lets blocks ask for so many bytes of dynamic shared memory. Who asked for more before keeps that: all who launch an entry of a module
    /// have the same function.
    pub(in crate::cuda) fn allow_shared(&self, bytes: u32) -> Result<(), CudaError> {
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let _bound = self.module.context.bind()?;
        let mut allowed = 0;
        // SAFETY: writes a number.
        check("cuFuncGetAttribute", unsafe {
            sys::cuFuncGetAttribute(&raw mut allowed, attribute, self.raw)
        })?;
        if allowed >= bytes as i32 {
            return Ok(());
        }
        // SAFETY: a number of a function that is there.
        check("cuFuncSetAttribute", unsafe { sys::cuFuncSetAttribute(self.raw, attribute, bytes as i32) })
    }
}
