//! What a product of one row does along with it ([`crate::gpu::one_row`]), as far as it depends on this backend's kernels.

use super::row;
use crate::format::{CacheLayout, WeightFormat};
use crate::gpu::one_row::Site;
use crate::plan::{CacheId, MatrixId, Operand, Plan, ValueId};
use crate::wgpu::build::Build;

/// Storage buffers of a product that normalises before and stores after.
const STORING_BUFFERS: u32 = 11;

impl Site for Build<'_> {
    fn plan(&self) -> &Plan {
        self.plan
    }

    fn share(&self, a: ValueId, b: ValueId) -> bool {
        Build::share(self, a, b)
    }

    fn reads_directly(&self, operand: Operand, matrix: MatrixId) -> bool {
        let format = self.matrix(matrix).format;
        let x = self.operand(operand);
        !matches!(format, WeightFormat::W8a8(_))
            && x.first.is_multiple_of(4)
            && x.stride.is_multiple_of(4)
            && x.width.is_multiple_of(row::width(format))
    }

    fn normalizes(&self, matrix: MatrixId) -> bool {
        row::takes_norm(self, self.matrix(matrix))
    }

    fn gates(&self, matrix: MatrixId) -> bool {
        self.matrix(matrix).shards.len() == 1
    }

    fn stores(&self, matrix: MatrixId, head_dim: usize) -> bool {
        let matrix = self.matrix(matrix);
        matrix.shards.len() == 1
            && row::has_kernel(matrix.format)
            && head_dim.is_multiple_of(8)
            && self.capabilities().storage_buffers >= STORING_BUFFERS
    }

    fn cache_layout(&self, cache: CacheId) -> CacheLayout {
        self.cache(cache).layout
    }
}
