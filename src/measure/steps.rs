//! One step, made again and again while a clock runs: every time with as many rows and after as many tokens.

use std::time::Instant;

use ingle_backends::plan::{BatchLimits, Plan, StepShape};
use ingle_backends::{BackendError, CacheOptions, PrepareOptions, Profile, Runner};
use serde::{Deserialize, Serialize};

use super::sequences::{Pulse, profiled};
use super::{Sequences, Workload, go_on};

/// Rows that fill the cache at once.
const FILL_ROWS: usize = 64;
/// Seconds that steps are timed for at once, where they are so short that several fit, and how many at most.
const AT_ONCE: f64 = 0.1;
const MOST_AT_ONCE: usize = 32;

/// Which kind of step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// One token for each of so many sequences.
    #[default]
    Decode,
    /// So many tokens of one sequence.
    Prefill,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) phase: Phase,
    /// Sequences that get a token each, or tokens of a prompt.
    pub(super) rows: usize,
    /// Tokens of each sequence that are in the cache before it.
    pub(super) context: usize,
}

/// How the pages of sequences lie in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PageOrder {
    /// Each behind the one before.
    #[default]
    InOrder,
    /// Each far from the one before, as they come to lie when replies of all lengths come and go.
    Scattered,
}

/// The cache that a step works on, and how it is filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    pub(super) cache: CacheOptions,
    pub(super) order: PageOrder,
    /// Rows that are read into it at once.
    pub(super) chunk: usize,
}

impl Step {
    /// What a runner must be prepared for to make any of these steps; rows that fill the cache are made no more at once than needed.
    pub(super) fn options(steps: &[Self], cache: CacheOptions, tier: Option<String>) -> PrepareOptions {
        let chunk = Self::chunk(steps);
        let mut options = PrepareOptions {
            cache: CacheOptions { pages: 0, ..cache },
            limits: BatchLimits { rows: chunk, selected: 1, sequences: 1 },
            tier,
        };
        for step in steps {
            let Workload { batch, .. } = step.workload(chunk);
            let pages = batch * (step.context + step.added()).div_ceil(cache.page_tokens);
            options.cache.pages = options.cache.pages.max(pages);
            let limits = &mut options.limits;
            (limits.selected, limits.sequences) = (limits.selected.max(batch), limits.sequences.max(batch));
        }
        options
    }

    /// Rows of the largest of these steps, and of those that fill the cache for them.
    pub(super) fn chunk(steps: &[Self]) -> usize {
        steps.iter().map(|step| step.rows).max().unwrap_or(1).max(FILL_ROWS)
    }

    /// Its shape, as the cost model sees it.
    pub(super) fn shape(&self, cache: CacheOptions) -> StepShape {
        match self.phase {
            Phase::Decode => StepShape::decode(self.rows, self.context, cache),
            Phase::Prefill => StepShape { sequences: vec![(self.rows, self.context)], selected: 1, cache },
        }
    }

    /// Tokens that it adds to each sequence.
    const fn added(&self) -> usize {
        match self.phase {
            Phase::Decode => 1,
            Phase::Prefill => self.rows,
        }
    }

    const fn workload(&self, chunk: usize) -> Workload {
        let (prompt, generate, batch) = match self.phase {
            Phase::Decode => (0, 1, self.rows),
            Phase::Prefill => (self.rows, 0, 1),
        };
        Workload { prompt, generate, depth: self.context, batch, repeats: 1, chunk }
    }
}

/// A step that is made again and again, on a runner that is prepared for it.
#[derive(Debug)]
pub(super) struct Repeated {
    step: Step,
    sequences: Sequences,
    /// Steps that are timed at once: one, until it is known how long they take.
    at_once: usize,
}

impl Repeated {
    /// Fills the cache.
    pub(super) fn begin(
        runner: &mut dyn Runner,
        plan: &Plan,
        step: Step,
        Filling { cache, order, chunk }: Filling,
        pulse: &mut Pulse<'_>,
    ) -> Result<Self, BackendError> {
        let mut sequences = Sequences::new(plan, &step.workload(chunk), cache.page_tokens);
        if order == PageOrder::Scattered {
            sequences.scatter(cache.pages);
        }
        sequences.fill(runner, step.context, chunk, pulse)?;
        Ok(Self { step, sequences, at_once: 1 })
    }

    /// Pulses that [`Repeated::begin`] asks for at least.
    pub(super) const fn pulses(step: Step, chunk: usize) -> usize {
        step.context.div_ceil(chunk) + step.workload(chunk).batch - 1
    }

    /// Makes the step, to the token that is drawn; then nothing is as if it had not been made but the cache behind the context.
    pub(super) fn once(&mut self, runner: &mut dyn Runner) -> Result<(), BackendError> {
        let Step { phase, rows, context } = self.step;
        match phase {
            Phase::Decode => self.sequences.write(runner)?,
            Phase::Prefill => self.sequences.read(runner, rows, rows, &mut go_on)?,
        }
        self.sequences.back_to(context);
        Ok(())
    }

    /// Makes it and says what it took. Steps of decoding follow one another as in a running reply: a runner that queues has the next one
    /// before it is through with this one, and what their recording takes on the processor is hidden.
    pub(super) fn timed(&mut self, runner: &mut dyn Runner) -> Result<f64, BackendError> {
        let Step { phase, context, .. } = self.step;
        let start = Instant::now();
        let count = if phase == Phase::Decode && runner.queues() {
            self.sequences.write_again(runner, self.at_once, &mut go_on)?;
            self.sequences.back_to(context);
            self.at_once
        } else {
            self.once(runner)?;
            1
        };
        let seconds = start.elapsed().as_secs_f64() / count as f64;
        self.at_once = ((AT_ONCE / seconds) as usize).clamp(1, MOST_AT_ONCE);
        Ok(seconds)
    }

    /// Makes it with clocks for its operators, where the device has any; and says what all of it took.
    pub(super) fn profiled(
        &mut self,
        runner: &mut dyn Runner,
    ) -> Result<(f64, Option<Profile>), BackendError> {
        let start = Instant::now();
        let profile = profiled(runner, |runner| self.once(runner))?;
        Ok((start.elapsed().as_secs_f64(), profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_prepared_for_the_largest_of_all_steps() {
        let decode = |rows, context| Step { phase: Phase::Decode, rows, context };
        let cache = CacheOptions { page_tokens: 16, ..CacheOptions::default() };
        let options = Step::options(&[decode(8, 15), decode(2, 100), decode(1, 16)], cache, None);
        // Two sequences of 101 tokens take 14 pages, eight of 16 take one each.
        assert_eq!(options.cache.pages, 14);
        assert_eq!(options.limits, BatchLimits { rows: FILL_ROWS, selected: 8, sequences: 8 });
        let prompt = Step { phase: Phase::Prefill, rows: 100, context: 1 };
        let options = Step::options(&[prompt], cache, None);
        assert_eq!(options.cache.pages, 7);
        assert_eq!(options.limits, BatchLimits { rows: 100, selected: 1, sequences: 1 });
        assert_eq!(prompt.shape(cache).sequences, [(100, 1)]);
        assert_eq!(decode(3, 9).shape(cache).sequences, [(1, 9); 3]);
    }

    #[test]
    fn steps_of_a_running_reply_stay_at_their_place() {
        let soak = crate::soak::Soak::new(1).unwrap();
        let step = Step { phase: Phase::Decode, rows: 2, context: 21 };
        let cache = CacheOptions { page_tokens: 16, ..CacheOptions::default() };
        let mut options = Step::options(&[step], cache, None);
        let device = crate::find_device("cpu").unwrap();
        let weights = ingle_backends::SyntheticWeights { seed: 1 };
        let plan = std::sync::Arc::clone(soak.plan());
        let (mut runner, _) = device.prepare(plan, &weights, &mut options, &mut |_| go_on()).unwrap();
        let filling = Filling { cache: options.cache, order: PageOrder::InOrder, chunk: 64 };
        let mut repeated = Repeated::begin(runner.as_mut(), soak.plan(), step, filling, &mut go_on).unwrap();
        // There is room for one token more: were each a step further, the second would find none.
        repeated.sequences.write_again(runner.as_mut(), 40, &mut go_on).unwrap();
        repeated.sequences.back_to(21);
        assert!(repeated.timed(runner.as_mut()).unwrap() > 0.0);
    }
}
