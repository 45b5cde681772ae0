//! What a product of one row does along with it ([`crate::gpu::one_row`]), as far as it depends on this backend's kernels.

use super::linear::has_matrix_units;
use crate::cuda::build::Build;
use crate::format::{CacheLayout, WeightFormat};
use crate::gpu::one_row::Site;
use crate::plan::{CacheId, MatrixId, Operand, Plan, ValueId};

impl Site for Build<'_> {
    fn plan(&self) -> &Plan {
        self.plan
    }

    fn share(&self, a: ValueId, b: ValueId) -> bool {
        Build::share(self, a, b)
    }

    fn reads_directly(&self, _: Operand, matrix: MatrixId) -> bool {
        let format = self.matrix(matrix).format;
        has_matrix_units(self.capabilities(), format) && !matches!(format, WeightFormat::W8a8(_))
    }

    fn gates(&self, _: MatrixId) -> bool {
        true
    }

    fn stores(&self, matrix: MatrixId, head_dim: usize) -> bool {
        has_matrix_units(self.capabilities(), self.matrix(matrix).format) && head_dim.is_multiple_of(16)
    }

    fn cache_layout(&self, cache: CacheId) -> CacheLayout {
        self.cache(cache).layout
    }
}
