//! The driver's interface, as far as it is needed: all calls into CUDA but those of the compiler are in this folder.
//!
//! Everything holds on to the context that it lives in, makes it current before it calls, and lets go of itself when dropped. What a call
//! says against it is a [`CudaError`].

#![allow(unsafe_code, reason = "CUDA is an interface of C")]

mod context;
mod memory;
mod module;
mod stream;
mod tensor_map;

use std::ffi::CStr;
use std::fmt;

use cudarc::driver::sys::{self, CUresult};

pub(super) use context::{Context, DeviceFacts, driver_version, facts, is_driver_present};
pub(super) use memory::{Buffer, Pinned};
pub(super) use module::{Function, Module};
pub(super) use stream::{Event, Graph, LaunchShape, Stream};
pub(super) use tensor_map::{ByteMatrix, TensorMap};

/// What CUDA said against a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CudaError {
    call: &'static str,
    code: CUresult,
}

impl CudaError {
    pub(super) const fn is_out_of_memory(self) -> bool {
        matches!(self.code, CUresult::CUDA_ERROR_OUT_OF_MEMORY)
    }

    /// Whether the module is none for this device or driver.
    pub(super) const fn is_wrong_image(self) -> bool {
        use CUresult as R;
        matches!(
            self.code,
            R::CUDA_ERROR_INVALID_IMAGE
                | R::CUDA_ERROR_NO_BINARY_FOR_GPU
                | R::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
                | R::CUDA_ERROR_INVALID_SOURCE
                | R::CUDA_ERROR_NOT_FOUND
        )
    }

    /// Whether nothing works any more in the context: a kernel that faulted leaves it so, and so does a device that fell off.
    pub(super) const fn is_sticky(self) -> bool {
        use CUresult as R;
        matches!(
            self.code,
            R::CUDA_ERROR_DEINITIALIZED
                | R::CUDA_ERROR_DEVICE_UNAVAILABLE
                | R::CUDA_ERROR_INVALID_CONTEXT
                | R::CUDA_ERROR_ECC_UNCORRECTABLE
                | R::CUDA_ERROR_NVLINK_UNCORRECTABLE
                | R::CUDA_ERROR_CONTAINED
                | R::CUDA_ERROR_ILLEGAL_ADDRESS
                | R::CUDA_ERROR_LAUNCH_TIMEOUT
                | R::CUDA_ERROR_CONTEXT_IS_DESTROYED
                | R::CUDA_ERROR_ASSERT
                | R::CUDA_ERROR_HARDWARE_STACK_ERROR
                | R::CUDA_ERROR_ILLEGAL_INSTRUCTION
                | R::CUDA_ERROR_MISALIGNED_ADDRESS
                | R::CUDA_ERROR_INVALID_ADDRESS_SPACE
                | R::CUDA_ERROR_INVALID_PC
                | R::CUDA_ERROR_LAUNCH_FAILED
                | R::CUDA_ERROR_TENSOR_MEMORY_LEAK
                | R::CUDA_ERROR_EXTERNAL_DEVICE
                | R::CUDA_ERROR_UNKNOWN
        )
    }
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = std::ptr::null();
        // SAFETY: the driver points `text` to a string that it keeps for ever, or leaves it where it does not know the code.
        let found = unsafe { sys::cuGetErrorString(self.code, &raw mut text) };
        if found != CUresult::CUDA_SUCCESS || text.is_null() {
            return write!(f, "{}: {:?}", self.call, self.code);
        }
        // SAFETY: as above, it ends with a zero.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        write!(f, "{}: {text} ({:?})", self.call, self.code)
    }
}

/// What a call returned, as a result.
const fn check(call: &'static str, code: CUresult) -> Result<(), CudaError> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(CudaError { call, code }),
    }
}
