//! What a model takes and how fast it can be on a device that need not be here: arithmetic from its configuration and a table of
//! devices.
//!
//! A step moves and does what the plan's cost model says; a device moves and does so much per second of what its makers state, times an
//! [`Efficiency`] that kernels reach. The longer of both times is that of the step, and what several devices tell each other comes on
//! top: two sums over all of them in every layer, each of a row per sequence.

mod devices;
pub mod feed_forward;
pub mod published;
#[cfg(test)]
mod tests;

use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{BatchLimits, Footprint, Op, Plan, StepShape};
use serde::{Deserialize, Serialize};

pub use devices::{DeviceSpec, DeviceTable, DeviceTableError};

use crate::fit::cache_for;
use crate::measure::Table;
use crate::measure::table::number;

/// What kernels reach of what makers state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Efficiency {
    pub memory: f64,
    pub compute: f64,
    pub link: f64,
}

impl Default for Efficiency {
    fn default() -> Self {
        Self { memory: 0.8, compute: 0.8, link: 0.8 }
    }
}

impl Efficiency {
    /// For what was measured.
    pub const MEASURED: Self = Self { memory: 1.0, compute: 1.0, link: 1.0 };
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub plan: &'a Plan,
    /// That of most weights, which decides what the device computes with.
    pub weights: WeightFormat,
    pub cache: CacheFormat,
    pub device: &'a DeviceSpec,
    /// Devices that share the work of every layer.
    pub devices: usize,
    /// Tokens of each sequence that are in the cache.
    pub context: usize,
    /// Sequences; the most that fit where nobody asks for so many.
    pub batch: Option<usize>,
    pub efficiency: Efficiency,
}

/// What takes the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Memory,
    Compute,
    Communication,
    /// It does not fit at all.
    Capacity,
}

impl Bound {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Compute => "compute",
            Self::Communication => "communication",
            Self::Capacity => "does not fit",
        }
    }
}

/// What is answered. Bytes are those of all devices together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub device: String,
    pub devices: usize,
    pub batch: usize,
    pub fits: bool,
    pub weight_bytes: u64,
    pub cache_bytes: u64,
    pub activation_bytes: u64,
    pub available_bytes: u64,
    pub cache_bytes_per_token: u64,
    pub compute_seconds: f64,
    pub memory_seconds: f64,
    pub communication_seconds: f64,
    /// Over all sequences.
    pub tokens_per_second: f64,
    pub bound: Bound,
}

impl Question<'_> {
    /// What a batch holds on all devices together.
    pub fn footprint(&self, batch: usize) -> Footprint {
        let one = cache_for(self.context, self.cache);
        let cache = ingle_backends::CacheOptions { pages: one.pages.saturating_mul(batch), ..one };
        let limits = BatchLimits { rows: batch, selected: batch, sequences: batch };
        self.plan.footprint(&cache, &limits)
    }

    /// Whether a batch fits.
    pub fn fits(&self, batch: usize) -> bool {
        self.footprint(batch).total() <= self.available()
    }

    fn available(&self) -> u64 {
        self.device.memory_bytes.saturating_mul(self.devices as u64)
    }

    /// The most sequences that fit; 0 where not even one does.
    pub fn largest_batch(&self) -> usize {
        if !self.fits(1) {
            return 0;
        }
        let (mut fits, mut too_many) = (1, 2);
        while self.fits(too_many) && too_many < 1 << 20 {
            (fits, too_many) = (too_many, too_many * 2);
        }
        while too_many - fits > 1 {
            let middle = usize::midpoint(fits, too_many);
            if self.fits(middle) {
                fits = middle;
            } else {
                too_many = middle;
            }
        }
        fits
    }

    pub fn answer(&self) -> Estimate {
        let batch = self.batch.unwrap_or_else(|| self.largest_batch());
        let footprint = self.footprint(batch.max(1));
        let fits = batch > 0 && footprint.total() <= self.available();
        let cache = cache_for(self.context, self.cache);
        let cost = self.plan.total_cost(&StepShape::decode(batch, self.context, cache));
        let of_each = 1.0 / self.devices.max(1) as f64;
        let Efficiency { memory, compute, link } = self.efficiency;
        let operations = self.device.operations_per_second(self.weights);
        let memory_seconds = cost.bytes() * of_each / (self.device.bytes_per_second * memory);
        let compute_seconds = cost.operations * of_each / (operations * compute);
        let communication_seconds = self.told_bytes(batch) / (self.device.link_bytes_per_second * link);
        let seconds = memory_seconds.max(compute_seconds) + communication_seconds;
        let bound = if !fits {
            Bound::Capacity
        } else if communication_seconds > memory_seconds.max(compute_seconds) {
            Bound::Communication
        } else if compute_seconds > memory_seconds {
            Bound::Compute
        } else {
            Bound::Memory
        };
        Estimate {
            device: self.device.name.clone(),
            devices: self.devices,
            batch,
            fits,
            weight_bytes: footprint.weights,
            cache_bytes: footprint.cache,
            activation_bytes: footprint.activations,
            available_bytes: self.available(),
            cache_bytes_per_token: cache_bytes_per_token(self.plan, self.cache),
            compute_seconds,
            memory_seconds,
            communication_seconds,
            tokens_per_second: if fits { batch as f64 / seconds } else { 0.0 },
            bound,
        }
    }

    /// Bytes that each device sends in a step: in every layer two sums over all devices, each of a row in f16 per sequence, around the
    /// ring and back.
    fn told_bytes(&self, batch: usize) -> f64 {
        if self.devices < 2 {
            return 0.0;
        }
        let embed = self.plan.nodes.iter().find_map(|node| match &node.op {
            Op::Embed(embed) => Some(self.plan.matrices[embed.table.index()].cols),
            _ => None,
        });
        let row = 2.0 * embed.unwrap_or(0) as f64;
        let around = 2.0 * (self.devices - 1) as f64 / self.devices as f64;
        2.0 * self.plan.caches.len() as f64 * row * around * batch as f64
    }
}

/// Bytes of keys and values of one token in all layers.
pub fn cache_bytes_per_token(plan: &Plan, format: CacheFormat) -> u64 {
    let cache = cache_for(1, format);
    plan.caches.iter().map(|of_layer| of_layer.layout(&cache).bytes_per_token() as u64).sum()
}

/// Answers as a table.
pub fn table(title: &str, answers: &[Estimate]) -> Table {
    let header = [
        "device",
        "memory, GB",
        "weights, GB",
        "batch",
        "cache, GB",
        "compute, ms",
        "memory, ms",
        "communication, ms",
        "tokens/s",
        "limit",
    ];
    let mut table = Table::new(title, &header);
    for answer in answers {
        let gigabytes = |bytes: u64| number(bytes as f64 / 1e9);
        let milliseconds = |seconds: f64| number(seconds * 1e3);
        let name = match answer.devices {
            1 => answer.device.clone(),
            devices => format!("{devices} × {}", answer.device),
        };
        let speed = [
            milliseconds(answer.compute_seconds),
            milliseconds(answer.memory_seconds),
            milliseconds(answer.communication_seconds),
            number(answer.tokens_per_second),
        ];
        let speed = if answer.fits { speed } else { std::array::from_fn(|_| "–".to_owned()) };
        let mut row = vec![
            name,
            gigabytes(answer.available_bytes),
            gigabytes(answer.weight_bytes),
            answer.batch.to_string(),
            gigabytes(answer.cache_bytes),
        ];
        row.extend(speed);
        row.push(answer.bound.name().to_owned());
        table.push(row);
    }
    table
}

/// Gibibytes of cache by length and number of sequences.
pub fn cache_table(plan: &Plan, format: CacheFormat) -> Table {
    let batches = [1, 2, 4, 8, 16, 32];
    let header: Vec<String> = batches.iter().map(|batch| format!("batch {batch}")).collect();
    let header: Vec<&str> = std::iter::once("tokens").chain(header.iter().map(String::as_str)).collect();
    let per_token = cache_bytes_per_token(plan, format);
    let title = format!("GiB of {format} cache, {per_token} bytes per token");
    let mut table = Table::new(title, &header);
    for length in [128, 256, 512, 1024, 2048, 4096] {
        let of = |batch: &u64| format!("{:.2}", (per_token * length * batch) as f64 / f64::from(1 << 30));
        table.push(std::iter::once(length.to_string()).chain(batches.iter().map(of)).collect());
    }
    table
}

/// Bytes of the weights in each format.
pub fn weight_table(
    architecture: &dyn ingle_models::Architecture,
    formats: &[WeightFormat],
) -> Result<Table, ingle_backends::plan::PlanError> {
    let mut table = Table::new("Weights", &["format", "GB", "bits/weight"]);
    for format in formats {
        let plan = architecture.plan(&ingle_models::WeightFormats::usual(*format).into())?;
        let weights: usize = plan.matrices.iter().map(|matrix| matrix.rows * matrix.cols).sum();
        let bytes = plan.weight_bytes();
        table.push(vec![
            format.to_string(),
            format!("{:.2}", bytes as f64 / 1e9),
            format!("{:.2}", 8.0 * bytes as f64 / weights as f64),
        ]);
    }
    Ok(table)
}
