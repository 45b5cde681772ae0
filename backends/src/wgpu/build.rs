//! What an operator needs to become dispatches: where its operands lie on the device, what the device can do, and a list to
//! put the dispatches in.
//!
//! # The interface of all kernels
//!
//! | binding | what |
//! |---|---|
//! | 0 | `Step`, a uniform: how many rows, selected rows and sequences this step has (`shaders/lib/step.wesl`) |
//! | 1 | `Params`, a uniform of the kernel's own: what is fixed when the plan is prepared |
//! | 2, 3, … | the dispatch's [`Binding`]s in their order: storage buffers, at most eight |
//!
//! Everything is in bind group 0, made once. Between steps only the number of workgroups changes, and the tables that the host
//! writes ([`Table`](super::tables::Table)).
//!
//! One dispatch must not bind the same buffer for reading and for writing. Values that share a buffer because an operator works
//! in place ([`Build::share`]) are bound once, as [`Binding::ReadWrite`], and the kernel has a feature for it.

use super::cache::DeviceCache;
use super::capabilities::Capabilities;
use super::gpu::Gpu;
use super::ops::MatvecShape;
use super::shaders::Kernel;
use super::tables::{StepCounts, Table, Tables};
use super::tune::{Shapes, Subject};
use super::values::{DeviceValues, Region};
use super::weights::{DeviceMatrix, DeviceWeights};
use crate::format::WeightFormat;
use crate::plan::{CacheId, MatrixId, Operand, Plan, Shape, ValueId, VectorId};
use crate::{BackendError, PrepareOptions};

/// How a dispatch uses a region.
#[derive(Clone, Debug)]
pub(crate) enum Binding {
    Read(Region),
    ReadWrite(Region),
}

/// Workgroups of a dispatch in a step of this many rows; `None` where the dispatch has nothing to do, also because another
/// one is meant for so many rows.
pub(crate) type Groups = Box<dyn Fn(&StepCounts) -> Option<[u32; 3]> + Send + Sync>;

/// One launch of a kernel.
pub(crate) struct Dispatch {
    pub(crate) kernel: Kernel,
    /// The bytes of `Params`.
    pub(crate) params: Vec<u8>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) groups: Groups,
}

/// A dispatch and the node it belongs to.
pub(crate) struct Planned {
    /// Index of the node, or `None` for what begins a step.
    pub(crate) node: Option<usize>,
    pub(crate) dispatch: Dispatch,
}

/// An operand on the device: rows `stride` elements apart, of which `width` from `first` on are meant.
#[derive(Clone, Debug)]
pub(crate) struct DeviceOperand {
    pub(crate) region: Region,
    pub(crate) first: u32,
    pub(crate) width: u32,
    pub(crate) stride: u32,
}

/// The dispatches of a plan while they are being listed.
pub(crate) struct Build<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a PrepareOptions,
    pub(crate) weights: &'a DeviceWeights,
    pub(crate) caches: &'a [DeviceCache],
    pub(crate) tables: &'a Tables,
    pub(crate) values: &'a mut DeviceValues,
    pub(crate) shapes: &'a Shapes,
    pub(crate) node: Option<usize>,
    pub(crate) planned: Vec<Planned>,
}

impl Build<'_> {
    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.gpu.capabilities
    }

    /// The shape of the streaming kernel for `at_once` rows of activations and so many rows and columns of a matrix: the fastest of
    /// those that were measured, else the usual one.
    pub(crate) fn matvec_shape(
        &self,
        format: WeightFormat,
        at_once: u32,
        rows: u32,
        cols: u32,
    ) -> MatvecShape {
        let subject = Subject::new(format, at_once, rows, cols);
        let measured = self.shapes.of(self.node, &subject).filter(|shape| shape.suits(format, at_once));
        measured.unwrap_or_else(|| MatvecShape::usual(self.capabilities(), format, at_once, rows))
    }

    /// The shape of a value. Slots count as rows of their own in all kernels that work row by row.
    pub(crate) fn shape(&self, value: ValueId) -> Shape {
        self.plan.values[value.index()].shape
    }

    /// Where a value lies.
    pub(crate) fn value(&self, value: ValueId) -> Region {
        self.values.region(value)
    }

    /// Where an operand lies.
    pub(crate) fn operand(&self, operand: Operand) -> DeviceOperand {
        DeviceOperand {
            region: self.values.region(operand.value),
            first: operand.first as u32,
            width: operand.width as u32,
            stride: self.shape(operand.value).width as u32,
        }
    }

    /// Whether two values lie in the same buffer, so that only one of them may be bound.
    pub(crate) fn share(&self, a: ValueId, b: ValueId) -> bool {
        self.values.share(a, b)
    }

    pub(crate) fn matrix(&self, matrix: MatrixId) -> &DeviceMatrix {
        &self.weights.matrices[matrix.index()]
    }

    pub(crate) fn vector(&self, vector: VectorId) -> Region {
        self.weights.vectors[vector.index()].clone()
    }

    pub(crate) fn cache(&self, cache: CacheId) -> &DeviceCache {
        &self.caches[cache.index()]
    }

    pub(crate) fn table(&self, table: Table) -> Region {
        self.tables.region(table)
    }

    /// Memory for what passes from one dispatch of an operator to its next. All operators that ask for the same `purpose`
    /// share it, so nothing in it outlives the operator.
    pub(crate) fn scratch(&mut self, purpose: &'static str, bytes: u64) -> Result<Region, BackendError> {
        self.values.scratch(self.gpu, purpose, bytes)
    }

    /// Leaves out the launches from the `first` planned one on where a step has one row of this value.
    pub(crate) fn for_several_rows(&mut self, first: usize, value: ValueId) {
        let rows = self.shape(value).rows;
        for planned in &mut self.planned[first..] {
            let groups = std::mem::replace(&mut planned.dispatch.groups, Box::new(|_| None));
            planned.dispatch.groups = Box::new(move |step| groups(step).filter(|_| step.rows_of(rows) > 1));
        }
    }

    /// Adds a launch to the node at hand.
    pub(crate) fn dispatch(&mut self, dispatch: Dispatch) {
        self.planned.push(Planned { node: self.node, dispatch });
    }
}

/// Cuts a number of workgroups into the two dimensions that a device takes; kernels put them together again with
/// `group_index` of `shaders/lib/groups.wesl`, and return where it is beyond what there is to do.
pub(crate) fn spread(groups: u32) -> Option<[u32; 3]> {
    /// What every device takes.
    const LIMIT: u32 = 65535;
    if groups == 0 {
        return None;
    }
    let height = groups.div_ceil(LIMIT);
    Some([groups.div_ceil(height), height, 1])
}
