//! The oracle: plain Rust on the CPU with f64 throughout, written for reading.
//!
//! It carries out every operator of [`plan`](crate::plan) as the text of the operator defines it, one
//! file per family. Between operators there is no rounding at all, so that a whole plan is exact
//! mathematics on the declared formats; what a *format* rounds stays rounded: weights are what
//! [`MatrixView::weight`](crate::format::MatrixView::weight) says, activations of `w8a8` products are
//! codes times a scale, keys and values are rounded as they enter the cache. All other backends are
//! compared with it, operator by operator ([`Observer`]) and as a whole.
//!
//! The functions on plain slices are public: each is the definition of its operator for one row.

mod attention;
mod cache;
mod elementwise;
mod linear;
mod moe;
mod norm;
mod observe;
mod quantize;
mod rope;
mod runner;
mod sample;
mod step;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

pub use attention::{HeadOptions, attend};
pub use cache::{LayerCache, Pool};
pub use elementwise::{apply, erfc, sigmoid, softcapped};
pub use linear::{dot, product, product_of_activations, weight_row};
pub use moe::{best, scores};
pub use norm::normalize;
pub use observe::{NodeEvent, Observer};
pub use quantize::{quantize_row, quantize_rows};
pub use rope::rotate_row;
pub use runner::ReferenceRunner;
pub use sample::draw;
pub use values::Values;

use super::load::load_weights;
use crate::format::FormatError;
use crate::pages::usable_cache;
use crate::plan::{Plan, check};
use crate::{
    Backend, BackendError, DeviceId, DeviceInfo, DeviceKind, DeviceLimits, DeviceMemory, Numerics,
    PrepareOptions, ProgressFn, Runner, Tier, Unavailable, WeightSource,
};

const NAME: &str = "reference";
/// What is read to measure the bandwidth: well beyond any cache.
const BANDWIDTH_BYTES: u64 = 256 << 20;

/// The oracle as a backend: one device, one tier.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceBackend;

impl ReferenceBackend {
    /// Like [`Backend::prepare`], but gives the runner itself, whose steps can be observed.
    pub fn prepare_reference(
        &self,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<ReferenceRunner, BackendError> {
        if let Some(tier) = options.tier.as_ref().filter(|tier| *tier != NAME) {
            let device = format!("{NAME}:0");
            return Err(BackendError::UnknownTier { device, tier: tier.clone(), available: NAME.to_owned() });
        }
        check::check(&plan)?;
        let cache = usable_cache(&plan, &options.cache)?;
        check_memory(runner::activation_bytes(&plan, &options.limits))?;
        let weights = load_weights(&plan, weights, progress)?;
        ReferenceRunner::new(plan, weights, cache, options.limits)
    }
}

/// Asks the system whether it would grant the memory that the largest step takes, so that an absurd
/// limit fails here and with an error, not later and with the end of the process.
fn check_memory(bytes: u64) -> Result<(), FormatError> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let refused = |_| FormatError::Allocation { bytes, source: std::io::ErrorKind::OutOfMemory.into() };
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(refused)
}

fn check_device(device: &DeviceId) -> Result<(), BackendError> {
    if device.backend == NAME && device.index == 0 {
        Ok(())
    } else {
        Err(BackendError::UnknownDevice(device.to_string()))
    }
}

impl Backend for ReferenceBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        vec![DeviceInfo {
            id: DeviceId { backend: NAME, index: 0 },
            name: "CPU in f64".to_owned(),
            vendor: String::new(),
            driver: String::new(),
            kind: DeviceKind::Cpu,
            memory: DeviceMemory { total: None, available: None, shared_with_cpu: true },
            tiers: vec![Tier { name: NAME.to_owned(), numerics: Numerics::F64 }],
            features: vec![],
            limits: DeviceLimits::default(),
            parallel_units: std::thread::available_parallelism().ok().map(usize::from),
            bandwidth: None,
        }]
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        vec![]
    }

    /// The oracle is no measure of speed: this is what summing integers on all threads reaches.
    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
        check_device(device)?;
        check_memory(BANDWIDTH_BYTES)?;
        let numbers = vec![1_u64; BANDWIDTH_BYTES as usize / size_of::<u64>()];
        let pass = || {
            let start = Instant::now();
            std::hint::black_box(numbers.par_iter().sum::<u64>());
            BANDWIDTH_BYTES as f64 / start.elapsed().as_secs_f64()
        };
        Ok((0..5).map(|_| pass()).fold(0.0, f64::max))
    }

    /// Nothing is ever found out about the oracle: it is what others are compared with.
    fn revision(&self) -> String {
        NAME.to_owned()
    }

    fn prepare(
        &self,
        device: &DeviceId,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError> {
        check_device(device)?;
        Ok(Box::new(self.prepare_reference(plan, weights, options, progress)?))
    }
}
