//! How fast a prepared plan is: prompts read and tokens written per second, as a user would feel them.

mod parallel;
mod start;

use std::time::Instant;

use ingle_backends::plan::{BatchLimits, Plan, StepShape};
use ingle_backends::sampling::Sampling;
use ingle_backends::{
    BackendError, Batch, CacheOptions, LogitRows, Profile, Runner, SequenceStep, StepOutput, Tokens,
};

use crate::fit::cache_for;

pub use parallel::{Parallel, Replies, parallel};
pub use start::Start;

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
#[derive(Clone, Debug, PartialEq)]
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
        sequences.read(runner, workload.depth, workload.chunk)?;
        let start = Instant::now();
        sequences.read(runner, workload.prompt, workload.chunk)?;
        let read = start.elapsed().as_secs_f64();
        let start = Instant::now();
        sequences.write_many(runner, workload.generate)?;
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

/// Times per node, in a run of their own so that looking does not disturb what is measured.
fn profiles(
    runner: &mut dyn Runner,
    plan: &Plan,
    workload: &Workload,
    page_tokens: usize,
) -> Result<(Option<Profile>, Option<Profile>), BackendError> {
    let mut sequences = Sequences::new(plan, workload, page_tokens);
    sequences.read(runner, workload.depth, workload.chunk)?;
    runner.set_profiling(true);
    sequences.read(runner, workload.prompt, workload.chunk)?;
    let prefill = runner.profile().filter(|_| workload.prompt > 0);
    let mut decode = None;
    for _ in 0..workload.generate.min(4) {
        sequences.write(runner)?;
        decode = runner.profile();
    }
    runner.set_profiling(false);
    Ok((prefill, decode))
}

/// The sequences of a run: all alike, each with pages of its own.
struct Sequences {
    pages: Vec<Vec<u32>>,
    page_tokens: usize,
    vocabulary: u32,
    done: usize,
    last: Vec<u32>,
}

impl Sequences {
    fn new(plan: &Plan, workload: &Workload, page_tokens: usize) -> Self {
        let per_sequence = workload.tokens_per_sequence().div_ceil(page_tokens) as u32;
        let pages = (0..workload.batch as u32).map(|s| (s * per_sequence..(s + 1) * per_sequence).collect());
        Self {
            pages: pages.collect(),
            page_tokens,
            vocabulary: plan.vocabulary().unwrap_or(1) as u32,
            done: 0,
            last: vec![0; workload.batch],
        }
    }

    /// Reads `count` tokens into every sequence, `chunk` rows at a time over all of them.
    fn read(&mut self, runner: &mut dyn Runner, count: usize, chunk: usize) -> Result<(), BackendError> {
        let end = self.done + count;
        let share = (chunk / self.pages.len()).max(1);
        while self.done < end {
            let now = share.min(end - self.done);
            // Tokens that differ, so that rows of the embedding do.
            let token = |position: usize| (position as u32).wrapping_mul(2_654_435_761) % self.vocabulary;
            let ids: Vec<u32> = (self.done..self.done + now).map(token).collect();
            let last_chunk = self.done + now == end;
            let tokens = vec![Tokens::Ids(ids); self.pages.len()];
            self.step(runner, tokens, last_chunk)?;
        }
        Ok(())
    }

    /// Writes one token in every sequence.
    fn write(&mut self, runner: &mut dyn Runner) -> Result<(), BackendError> {
        let tokens = self.last.iter().map(|token| Tokens::Ids(vec![*token])).collect();
        self.step(runner, tokens, true)
    }

    /// Writes tokens in every sequence; where the runner queues, each step is submitted before the last one's tokens are read, as the
    /// engine does.
    fn write_many(&mut self, runner: &mut dyn Runner, count: usize) -> Result<(), BackendError> {
        if !runner.queues() {
            return (0..count).try_for_each(|_| self.write(runner));
        }
        let mut ahead = None;
        for written in 0..count {
            let token = |(sequence, last): (usize, &u32)| match written {
                0 => Tokens::Ids(vec![*last]),
                _ => Tokens::Sampled(sequence as u32),
            };
            let tokens = self.last.iter().enumerate().map(token).collect();
            let batch = self.batch(tokens, true);
            let submitted = runner.submit(&batch)?;
            if let Some(ticket) = ahead.replace(submitted) {
                runner.collect(ticket)?;
            }
        }
        match ahead {
            Some(ticket) => {
                let output = runner.collect(ticket)?;
                self.take(output);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn step(
        &mut self,
        runner: &mut dyn Runner,
        tokens: Vec<Tokens>,
        sample: bool,
    ) -> Result<(), BackendError> {
        let batch = self.batch(tokens, sample);
        let output = runner.step(&batch)?;
        self.take(output);
        Ok(())
    }

    /// Keeps the tokens that were drawn.
    fn take(&mut self, output: StepOutput) {
        for (last, token) in self.last.iter_mut().zip(output.tokens) {
            *last = token.unwrap_or(*last);
        }
    }

    /// A step that adds these tokens, which then count as done.
    fn batch(&mut self, tokens: Vec<Tokens>, sample: bool) -> Batch {
        let added = tokens.first().map_or(0, Tokens::len);
        let needed = (self.done + added).div_ceil(self.page_tokens);
        let step = |(tokens, pages): (Tokens, &Vec<u32>)| SequenceStep {
            tokens,
            start: self.done as u32,
            pages: pages[..needed].to_vec(),
            logits: LogitRows::None,
            sample: sample.then(Sampling::greedy),
        };
        let sequences = tokens.into_iter().zip(&self.pages).map(step).collect();
        self.done += added;
        Batch { sequences, inputs: vec![] }
    }
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
