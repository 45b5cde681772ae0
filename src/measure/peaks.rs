//! What a device can do at most, as its backend reaches it: bytes per second of a plain read, and operations per second of a large
//! product.
//!
//! The second is no promise of the maker but what our kernels reach in the case that suits them best, in the same weight format and
//! with the same kernels as the model: a share of it says how much an operator loses against that case.

use std::sync::Arc;

use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{BatchLimits, Plan, PlanBuilder, PlanError, StepShape};
use ingle_backends::{
    BackendError, Batch, CacheOptions, InputRows, LogitRows, PrepareOptions, ProgressFn, SequenceStep,
    SyntheticWeights, Tokens,
};
use serde::{Deserialize, Serialize};

use crate::Device;

/// Rows and width of the products that are tried, one after another until one takes long enough for the clock: from what a
/// processor does in milliseconds to what a large GPU does.
const PRODUCTS: [(usize, usize); 4] = [(64, 1024), (256, 2048), (512, 4096), (2048, 8192)];
/// A product that takes so many seconds has reached its rate.
const LONG_ENOUGH: f64 = 0.02;
/// The best of so many counts.
const TRIALS: usize = 4;

/// What a device can do at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    pub bytes_per_second: f64,
    /// None where it could not be measured: the device has no clock for kernels, or no room.
    pub operations_per_second: Option<f64>,
}

impl Peaks {
    /// Operations per byte from which on arithmetic is the limit.
    pub fn ridge(&self) -> Option<f64> {
        self.operations_per_second.map(|rate| rate / self.bytes_per_second)
    }

    /// Measures both; takes a second or two.
    pub fn measure(
        device: &Device,
        format: WeightFormat,
        tier: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Self, BackendError> {
        let bytes_per_second = device.backend.measure_bandwidth(&device.info.id)?;
        Self::with_bandwidth(device, bytes_per_second, format, tier, progress)
    }

    /// Measures the products alone, for who knows the memory already.
    pub fn with_bandwidth(
        device: &Device,
        bytes_per_second: f64,
        format: WeightFormat,
        tier: &str,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Self, BackendError> {
        let operations_per_second = product_rate(device, format, tier, progress)?;
        Ok(Self { bytes_per_second, operations_per_second })
    }

    /// Takes the faster of two measurements of the memory: a share of a peak is not to be flattered by a disturbed one.
    #[must_use]
    pub fn at_least(self, bytes_per_second: f64) -> Self {
        Self { bytes_per_second: self.bytes_per_second.max(bytes_per_second), ..self }
    }
}

/// Operations per second of the best large product in a format; none where the device does not tell, or has no room for one.
fn product_rate(
    device: &Device,
    format: WeightFormat,
    tier: &str,
    progress: &mut ProgressFn<'_>,
) -> Result<Option<f64>, BackendError> {
    let mut best = None;
    for (rows, width) in PRODUCTS {
        let seconds = match product_seconds(device, (rows, width), format, tier, progress) {
            Ok(seconds) => seconds,
            // What is too large for a device is no use there, and those before have told enough.
            Err(BackendError::OutOfMemory { .. } | BackendError::TooLarge { .. }) => break,
            Err(error) => return Err(error),
        };
        let Some(seconds) = seconds else { break };
        let rate = 2.0 * (rows * width * width) as f64 / seconds;
        best = Some(best.map_or(rate, |best: f64| best.max(rate)));
        if seconds >= LONG_ENOUGH {
            break;
        }
    }
    Ok(best)
}

/// One product behind rows that the caller supplies.
fn product(width: usize, format: WeightFormat) -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", width);
    let w = plan.matrix("w", width, width, format);
    let y = plan.linear(x, w);
    plan.tap(y);
    plan.finish()
}

/// The shortest of a few; none where the device has no clock for kernels.
fn product_seconds(
    device: &Device,
    (rows, width): (usize, usize),
    format: WeightFormat,
    tier: &str,
    progress: &mut ProgressFn<'_>,
) -> Result<Option<f64>, BackendError> {
    let plan = Arc::new(product(width, format)?);
    let options = PrepareOptions {
        cache: CacheOptions { pages: 1, ..CacheOptions::default() },
        limits: BatchLimits { rows, selected: 1, sequences: 1 },
        tier: Some(tier.to_owned()),
    };
    let weights = SyntheticWeights { seed: 1 };
    let (id, backend) = (&device.info.id, &device.backend);
    let mut runner = backend.prepare(id, Arc::clone(&plan), &weights, &options, progress)?;
    runner.set_profiling(true);
    let Some(value) = plan.inputs().next() else { return Ok(None) };
    // Numbers of either sign and of different sizes, as activations are.
    let data = (0..rows * width).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect();
    let step = SequenceStep {
        tokens: Tokens::Ids(vec![0; rows]),
        start: 0,
        // A plan without attention has no use for any.
        pages: vec![],
        logits: LogitRows::None,
        sample: None,
    };
    let batch = Batch { sequences: vec![step], inputs: vec![InputRows { value, data }] };
    let shape = StepShape::prefill(rows, options.cache);
    let products = plan.costs(&shape).into_iter().map(|cost| cost.operations > 0.0).collect::<Vec<_>>();
    let mut best = None;
    for _ in 0..TRIALS {
        runner.step(&batch)?;
        let Some(profile) = runner.profile() else { return Ok(None) };
        let seconds: f64 =
            profile.seconds.iter().zip(&products).filter(|(_, product)| **product).map(|(s, _)| s).sum();
        if seconds > 0.0 {
            best = Some(best.map_or(seconds, |best: f64| best.min(seconds)));
        }
    }
    Ok(best)
}
