//! What a product of one row does along with it ([`crate::one_row`]), as far as it depends on this backend's kernels.

use super::row;
use crate::format::WeightFormat;
use crate::gpu::one_row::Site;
use crate::plan::{MatrixId, Operand, Plan, ValueId};
use crate::wgpu::build::Build;

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
}
