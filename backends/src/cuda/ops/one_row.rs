//! What a product of one row does along with it ([`crate::one_row`]), as far as it depends on this backend's kernels.

use super::linear::has_matrix_units;
use crate::cuda::build::Build;
use crate::format::WeightFormat;
use crate::gpu::one_row::Site;
use crate::plan::{MatrixId, Operand, Plan, ValueId};

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
}
