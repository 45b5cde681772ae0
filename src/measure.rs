//! How fast a prepared plan is: prompts read and tokens written per second, as a user would feel them.
//!
//! What looks closer is built on that: [`compare`] puts several devices and formats side by side on one prompt, [`profile`] tells
//! where the time of a step goes, [`quality`] what a format costs, and an [`experiment`] whether what is expected of a design holds here
//! (and [`plot`]s it). All of them return plain data and print nothing; they tell a
//! [`Watch`] how far they are and ask it whether to go on, and what they found can be written as [`Table`]s.

pub mod compare;
mod distribution;
mod error;
pub mod experiment;
mod machine;
pub mod operators;
pub mod peaks;
pub mod plot;
pub mod power;
pub mod profile;
pub mod quality;
mod sequences;
mod start;
mod steps;
pub(crate) mod table;
mod watch;

mod parallel;

use std::ops::ControlFlow;
use std::time::Instant;

use ingle_backends::plan::{BatchLimits, Plan, StepShape};
use ingle_backends::{BackendError, CacheOptions, Profile, Runner};
use serde::{Deserialize, Serialize};

use crate::fit::cache_for;

pub use distribution::{Distribution, Ranked};
pub use error::MeasureError;
pub use machine::Machine;
pub use parallel::{Parallel, Replies, parallel};
pub use sequences::Sequences;
use sequences::profiled;
pub use start::Start;
pub use table::Table;
pub(crate) use watch::Watcher;
pub use watch::{Stage, Status, Watch, unwatched};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens written after it.
    pub generate: usize,
    /// Tokens that are in the cache before the prompt.
    pub depth: usize,
    /// Sequences that do this side by side.
    pub batch: usize,
    /// Measured runs; one more goes before them to warm up.
    pub repeats: usize,
    /// Token rows of one step: longer prompts are read in several.
    pub chunk: usize,
}

impl Workload {
    /// The cache that it needs.
    pub fn cache(&self, format: ingle_backends::format::CacheFormat) -> CacheOptions {
        let one = cache_for(self.tokens_per_sequence(), format);
        CacheOptions { pages: one.pages * self.batch, ..one }
    }

    /// The largest step that it makes.
    pub const fn limits(&self) -> BatchLimits {
        let rows = if self.chunk > self.batch { self.chunk } else { self.batch };
        BatchLimits { rows, selected: self.batch, sequences: self.batch }
    }

    const fn tokens_per_sequence(&self) -> usize {
        self.depth + self.prompt + self.generate
    }
}

/// A series of measurements of the same thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// In the order in which they were made.
    pub samples: Vec<f64>,
}

impl Series {
    /// The middle one, or the mean of the middle two.
    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// The same in another unit.
    pub(crate) fn times(&self, factor: f64) -> Self {
        Self { samples: self.samples.iter().map(|sample| sample * factor).collect() }
    }

    /// The median, and half of the spread beside it.
    pub(crate) fn with_spread(&self) -> String {
        format!("{} ± {}", table::number(self.median()), table::number(self.spread() / 2.0))
    }

    /// Largest minus smallest.
    pub fn spread(&self) -> f64 {
        let max = self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        (max - min).max(0.0)
    }
}

/// What was measured, in tokens per second over all sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Speed {
    pub prefill: Option<Series>,
    pub decode: Option<Series>,
    /// Bytes that one decode step must move, in the middle of the generation.
    pub decode_step_bytes: f64,
    /// Seconds per node of the last decode step.
    pub decode_profile: Option<Profile>,
    /// Seconds per node of the last step of the prompt.
    pub prefill_profile: Option<Profile>,
}

/// Measures a prepared plan.
pub fn speed(
    runner: &mut dyn Runner,
    plan: &Plan,
    workload: &Workload,
    cache: CacheOptions,
) -> Result<Speed, BackendError> {
    let mut prefill = vec![];
    let mut decode = vec![];
    for run in 0..=workload.repeats {
        let mut sequences = Sequences::new(plan, workload, cache.page_tokens);
        sequences.read(runner, workload.depth, workload.chunk, &mut go_on)?;
        let start = Instant::now();
        sequences.read(runner, workload.prompt, workload.chunk, &mut go_on)?;
        let read = start.elapsed().as_secs_f64();
        let start = Instant::now();
        sequences.write_many(runner, workload.generate, &mut go_on)?;
        let written = start.elapsed().as_secs_f64();
        if run > 0 {
            prefill.push((workload.prompt * workload.batch) as f64 / read);
            decode.push((workload.generate * workload.batch) as f64 / written);
        }
    }
    let (prefill_profile, decode_profile) = profiles(runner, plan, workload, cache.page_tokens)?;
    let series = |tokens: usize, samples| (tokens > 0).then_some(Series { samples });
    let middle = workload.depth + workload.prompt + workload.generate / 2;
    let step = StepShape::decode(workload.batch, middle, cache);
    Ok(Speed {
        prefill: series(workload.prompt, prefill),
        decode: series(workload.generate, decode),
        decode_step_bytes: plan.total_cost(&step).bytes(),
        decode_profile,
        prefill_profile,
    })
}

/// For who cannot be stopped.
fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Times per node, in a run of their own so that looking does not disturb what is measured.
fn profiles(
    runner: &mut dyn Runner,
    plan: &Plan,
    workload: &Workload,
    page_tokens: usize,
) -> Result<(Option<Profile>, Option<Profile>), BackendError> {
    let mut sequences = Sequences::new(plan, workload, page_tokens);
    sequences.read(runner, workload.depth, workload.chunk, &mut go_on)?;
    let prefill = sequences.read_profiled(runner, workload.prompt, workload.chunk, &mut go_on)?;
    if workload.generate == 0 {
        return Ok((prefill, None));
    }
    sequences.write_many(runner, workload.generate.min(4) - 1, &mut go_on)?;
    let decode = profiled(runner, |runner| sequences.write(runner))?;
    Ok((prefill, decode))
}

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    #[allow(clippy::float_cmp, reason = "small integers are exact")]
    fn medians_of_odd_and_even_series() {
        let series = |samples: &[f64]| Series { samples: samples.to_vec() };
        assert_eq!(series(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(series(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(series(&[4.0, 1.0]).spread(), 3.0);
        assert!(series(&[]).median().is_nan());
    }
}
