//! From a plan and its weights on the device to a runner.

use std::sync::Arc;

use super::build::Build;
use super::cache::DeviceCache;
use super::gpu::Gpu;
use super::record::Program;
use super::runner::{Parts, WgpuRunner};
use super::tables::Tables;
use super::tune::Shapes;
use super::values::DeviceValues;
use super::weights::DeviceWeights;
use crate::plan::Plan;
use crate::{BackendError, PrepareOptions};

/// All that a plan needs on the device but its weights: asked for first, so that what does not fit is known before minutes of
/// loading.
pub(super) struct Room {
    gpu: Gpu,
    plan: Arc<Plan>,
    options: PrepareOptions,
    values: DeviceValues,
    caches: Vec<DeviceCache>,
    tables: Tables,
}

impl Room {
    pub(super) fn new(gpu: &Gpu, plan: Arc<Plan>, options: PrepareOptions) -> Result<Self, BackendError> {
        let values = DeviceValues::new(gpu, &plan, &options.limits)?;
        let caches = DeviceCache::all_of(gpu, &plan, &options.cache)?;
        let tables = Tables::new(gpu, &plan, &options)?;
        Ok(Self { gpu: gpu.clone(), plan, options, values, caches, tables })
    }

    /// Lists the launches and makes everything that they need. `compiled` hears how many kernels of how many are compiled.
    pub(super) fn runner(
        self,
        weights: DeviceWeights,
        shapes: &Shapes,
        compiled: &mut dyn FnMut(usize, usize) -> Result<(), BackendError>,
    ) -> Result<WgpuRunner, BackendError> {
        let Self { gpu, plan, options, mut values, caches, tables } = self;
        let mut build = Build {
            gpu: &gpu,
            plan: &plan,
            options: &options,
            weights: &weights,
            caches: &caches,
            tables: &tables,
            values: &mut values,
            shapes,
            node: None,
            planned: vec![],
        };
        super::ops::begin(&mut build)?;
        for (index, node) in plan.nodes.iter().enumerate() {
            build.node = Some(index);
            super::ops::prepare(&mut build, &node.op)?;
        }
        let planned = build.planned;
        let program = Program::new(&gpu, &tables.step, planned, compiled)?;
        WgpuRunner::new(Parts { gpu, plan, options, weights, caches, tables, values, program })
    }
}
