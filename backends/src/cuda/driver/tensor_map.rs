//! Maps of matrices, by which the tensor copies of `sm_90` find their way.

use bytemuck::{Pod, Zeroable};
use cudarc::driver::sys;

use super::{CudaError, check};

/// A `CUtensorMap`, as kernels take it among their parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(in crate::cuda) struct TensorMap {
    opaque: [u64; 16],
}

/// A matrix of bytes in memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct ByteMatrix {
    /// A multiple of 16.
    pub(in crate::cuda) address: u64,
    pub(in crate::cuda) rows: u32,
    pub(in crate::cuda) row_bytes: u32,
    /// Bytes from row to row, a multiple of 16.
    pub(in crate::cuda) stride: u32,
}

/// Bytes of a row in a box: as many as the swizzle turns about.
const BOX_BYTES: u32 = 128;

impl TensorMap {
    /// For boxes of 128 bytes of so many rows (at most 256), which lie swizzled in shared memory, with zeros for what is outside the matrix.
    pub(in crate::cuda) fn new(matrix: &ByteMatrix, box_rows: u32) -> Result<Self, CudaError> {
        let mut map = sys::CUtensorMap { opaque: [0; 16] };
        let sizes = [u64::from(matrix.row_bytes), u64::from(matrix.rows)];
        let strides = [u64::from(matrix.stride)];
        let (box_sizes, steps) = ([BOX_BYTES, box_rows], [1_u32; 2]);
        // SAFETY: all pointers are to as many numbers as a map of two dimensions has; the address is only noted.
        let code = unsafe {
            sys::cuTensorMapEncodeTiled(
                &raw mut map,
                sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8,
                2,
                matrix.address as *mut _,
                sizes.as_ptr(),
                strides.as_ptr(),
                box_sizes.as_ptr(),
                steps.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        check("cuTensorMapEncodeTiled", code)?;
        Ok(Self { opaque: map.opaque })
    }
}
