//! What kernels that work row by row have in common: how many rows, how large a workgroup, and whether rows can be read four
//! columns at a time.

use crate::plan::{Rows, Shape};
use crate::wgpu::build::{DeviceOperand, Groups, spread};
use crate::wgpu::capabilities::Capabilities;
use crate::wgpu::shaders::Kernel;

/// Columns that an invocation of a row's workgroup keeps in registers: `KEPT` quads in the kernels.
const KEPT_COLUMNS: u32 = 16;
/// What every device takes.
const USUAL_TEAM: u32 = 256;
/// What the results of a workgroup's invocations have room for in workgroup memory.
const LARGEST_TEAM: u32 = 512;
/// Invocations of the kernels in which each does four columns by itself.
const ALONE: u32 = 64;

/// Which rows, for a kernel's parameters: 1 where rows are those whose logits are wanted.
pub(super) fn is_selected(rows: Rows) -> u32 {
    u32::from(rows == Rows::Selected)
}

/// Whether all rows of these operands begin and end at multiples of four columns.
pub(super) fn in_quads(operands: &[&DeviceOperand]) -> bool {
    operands.iter().all(|o| [o.first, o.width, o.stride].iter().all(|n| n.is_multiple_of(4)))
}

/// A workgroup that works on one row at a time.
pub(super) struct Team {
    size: u32,
    /// Whether a row fits into its registers.
    resident: bool,
    subgroups: bool,
}

impl Team {
    /// A workgroup for rows of so many columns.
    ///
    /// One quad per invocation waits least for memory; beyond 256 invocations several quads each are as good, until they no longer
    /// fit into registers.
    pub(super) fn new(columns: u32, capabilities: &Capabilities) -> Self {
        let most = capabilities.invocations.min(LARGEST_TEAM);
        let mut size = columns.div_ceil(4).next_power_of_two().clamp(32, USUAL_TEAM);
        while size * KEPT_COLUMNS < columns && 2 * size <= most {
            size *= 2;
        }
        let resident = size * KEPT_COLUMNS >= columns;
        Self { size, resident, subgroups: capabilities.subgroups.is_some() }
    }

    /// A kernel for this workgroup.
    pub(super) fn kernel(&self, module: &'static str) -> Kernel {
        Kernel::new(module)
            .constant("SIZE", self.size)
            .with_if(self.resident, "resident")
            .with_if(self.subgroups, "subgroup")
    }
}

/// A workgroup for each of `parts` parts of each slot of each row.
pub(super) fn per_row(shape: Shape, parts: u32) -> Groups {
    Box::new(move |counts| spread(counts.rows_of(shape.rows) * shape.slots as u32 * parts))
}

/// An invocation for each of `items` items of each slot of each row.
pub(super) fn per_item(shape: Shape, items: u32) -> Groups {
    Box::new(move |counts| spread((counts.rows_of(shape.rows) * shape.slots as u32 * items).div_ceil(ALONE)))
}

/// Words of a row of int8 codes.
pub(super) fn code_words(width: u32) -> u32 {
    width.next_multiple_of(64) / 4
}

/// The variants of a kernel with some of these features.
pub(super) fn with_any(kernel: &Kernel, features: &[&'static str]) -> Vec<Kernel> {
    features.iter().fold(vec![kernel.clone()], |variants, feature| {
        variants.into_iter().flat_map(|v| [v.clone(), v.with(feature)]).collect()
    })
}
