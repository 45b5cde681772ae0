//! From a plan and its weights on the device to a runner.

use std::sync::Arc;

use super::build::Build;
use super::cache::DeviceCache;
use super::driver::Stream;
use super::gpu::Gpu;
use super::program::Program;
use super::runner::{CudaRunner, Parts};
use super::tables::Tables;
use super::values::DeviceValues;
use super::weights::DeviceWeights;
use crate::plan::Plan;
use crate::{BackendError, PrepareOptions};

/// All that a plan needs on the device but its weights: asked for first, so that what does not fit is known before minutes of
/// loading.
pub(super) struct Room {
    gpu: Gpu,
    stream: Stream,
    plan: Arc<Plan>,
    options: PrepareOptions,
    values: DeviceValues,
    caches: Vec<DeviceCache>,
    tables: Tables,
}

impl Room {
    pub(super) fn new(gpu: &Gpu, plan: Arc<Plan>, options: PrepareOptions) -> Result<Self, BackendError> {
        let stream = gpu.open.stream()?;
        let values = DeviceValues::new(gpu, &stream, &plan, &options.limits)?;
        let caches = DeviceCache::all_of(gpu, &stream, &plan, &options.cache)?;
        let tables = Tables::new(gpu, &stream, &plan, &options)?;
        Ok(Self { gpu: gpu.clone(), stream, plan, options, values, caches, tables })
    }

    /// The stream in which everything of the runner happens.
    pub(super) const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Lists the launches and compiles their kernels. `told` hears how many kernels of how many are compiled.
    pub(super) fn runner(
        self,
        weights: DeviceWeights,
        told: &mut dyn FnMut(usize, usize) -> Result<(), BackendError>,
    ) -> Result<CudaRunner, BackendError> {
        let Self { gpu, stream, plan, options, mut values, caches, tables } = self;
        let mut build = Build {
            gpu: &gpu,
            plan: &plan,
            options: &options,
            weights: &weights,
            caches: &caches,
            tables: &tables,
            values: &mut values,
            node: None,
            planned: vec![],
        };
        super::ops::begin(&mut build)?;
        for (index, node) in plan.nodes.iter().enumerate() {
            build.node = Some(index);
            super::ops::prepare(&mut build, &node.op)?;
        }
        let planned = build.planned;
        let program = Program::new(&gpu, tables.step(), planned, told)?;
        CudaRunner::new(Parts { gpu, stream, plan, options, weights, caches, tables, values, program })
    }
}
