//! What an operator needs to become launches: where its operands lie on the device, what the device can do, and a list to put the
//! launches in. `shaders/CUDA.md` says what kernels are told and how.

use super::cache::DeviceCache;
use super::capabilities::Capabilities;
use super::gpu::Gpu;
use super::kernels::Kernel;
use super::tables::Tables;
use super::values::{DeviceValues, Region};
use super::weights::{DeviceMatrix, DeviceWeights};
use crate::gpu::tables::StepCounts;
use crate::plan::{CacheId, MatrixId, Operand, Plan, Shape, ValueId, VectorId};
use crate::{BackendError, PrepareOptions};

/// Blocks of a launch in a step of this many rows; `None` where it has nothing to do, also because another one is meant for so many rows.
///
/// It is told counts that are rounded up ([`StepCounts::bucket`]), the same for all steps that share a graph.
pub(crate) type Grid = Box<dyn Fn(&StepCounts) -> Option<[u32; 3]> + Send + Sync>;

/// One launch of a kernel.
pub(crate) struct Launch {
    pub(crate) kernel: Kernel,
    /// The bytes of `Params`.
    pub(crate) params: Vec<u8>,
    /// Threads of a block.
    pub(crate) threads: u32,
    /// Bytes of dynamic shared memory.
    pub(crate) shared: u32,
    /// Blocks of a cluster along x; 1 where there are none.
    pub(crate) cluster: u32,
    pub(crate) grid: Grid,
}

impl Launch {
    /// A launch without dynamic shared memory or clusters.
    pub(crate) fn new<P: bytemuck::NoUninit>(
        kernel: Kernel,
        params: &P,
        threads: u32,
        grid: impl Fn(&StepCounts) -> Option<[u32; 3]> + Send + Sync + 'static,
    ) -> Self {
        let params = bytemuck::bytes_of(params).to_vec();
        Self { kernel, params, threads, shared: 0, cluster: 1, grid: Box::new(grid) }
    }

    #[must_use]
    pub(crate) fn shared(self, bytes: u32) -> Self {
        Self { shared: bytes, ..self }
    }
}

/// A launch and the node it belongs to.
pub(crate) struct Planned {
    /// Index of the node, or `None` for what begins a step.
    pub(crate) node: Option<usize>,
    pub(crate) launch: Launch,
}

/// An operand on the device: rows `stride` elements apart, of which `width` from `first` on are meant.
#[derive(Clone, Debug)]
pub(crate) struct DeviceOperand {
    pub(crate) region: Region,
    pub(crate) first: u32,
    pub(crate) width: u32,
    pub(crate) stride: u32,
}

impl DeviceOperand {
    /// Whether all rows begin and end at multiples of four columns.
    pub(crate) fn in_quads(&self) -> bool {
        [self.first, self.width, self.stride].iter().all(|n| n.is_multiple_of(4))
    }

    /// Where the first column of the first row lies, for f32 rows.
    pub(crate) fn address(&self) -> u64 {
        self.region.address() + 4 * u64::from(self.first)
    }
}

/// The launches of a plan while they are being listed.
pub(crate) struct Build<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a PrepareOptions,
    pub(crate) weights: &'a DeviceWeights,
    pub(crate) caches: &'a [DeviceCache],
    pub(crate) tables: &'a Tables,
    pub(crate) values: &'a mut DeviceValues,
    pub(crate) node: Option<usize>,
    pub(crate) planned: Vec<Planned>,
}

impl Build<'_> {
    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.gpu.capabilities
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

    /// Whether two values lie in the same memory, so that one may be read only before the other is written.
    pub(crate) fn share(&self, a: ValueId, b: ValueId) -> bool {
        self.values.share(a, b)
    }

    pub(crate) fn matrix(&self, matrix: MatrixId) -> &DeviceMatrix {
        &self.weights.matrices[matrix.index()]
    }

    /// Where a vector of f32 lies.
    pub(crate) fn vector(&self, vector: VectorId) -> u64 {
        self.weights.vectors[vector.index()].address()
    }

    pub(crate) fn cache(&self, cache: CacheId) -> &DeviceCache {
        &self.caches[cache.index()]
    }

    /// Memory for what passes from one launch of an operator to its next. All operators that ask for the same `purpose` share it,
    /// so nothing in it outlives the operator. Zero when the runner is made, and as it was left afterwards.
    pub(crate) fn scratch(&mut self, purpose: &'static str, bytes: u64) -> Result<Region, BackendError> {
        self.values.scratch(self.gpu, purpose, bytes)
    }

    /// Leaves out the launches from the `first` planned one on where a step has one row of this value.
    pub(crate) fn for_several_rows(&mut self, first: usize, value: ValueId) {
        let rows = self.shape(value).rows;
        for planned in &mut self.planned[first..] {
            let grid = std::mem::replace(&mut planned.launch.grid, Box::new(|_| None));
            planned.launch.grid = Box::new(move |step| grid(step).filter(|_| step.rows_of(rows) > 1));
        }
    }

    /// Adds a launch to the node at hand.
    pub(crate) fn launch(&mut self, launch: Launch) {
        self.planned.push(Planned { node: self.node, launch });
    }

    /// That the device cannot run something.
    pub(crate) fn unsupported(&self, what: String) -> BackendError {
        BackendError::Unsupported { device: self.gpu.open.name.clone(), what }
    }
}

/// Blocks along x, none where there are none.
pub(crate) fn blocks(count: u32) -> Option<[u32; 3]> {
    (count > 0).then_some([count, 1, 1])
}
