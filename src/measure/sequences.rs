//! Sequences that are read and written while a clock runs.

use std::ops::ControlFlow;

use ingle_backends::plan::Plan;
use ingle_backends::sampling::Sampling;
use ingle_backends::{
    BackendError, Batch, LogitRows, PageCopy, Profile, Runner, STEPS_UNDER_WAY, SequenceStep, StepOutput,
    Tokens,
};

use super::Workload;

/// Asked before each step whether to go on.
pub(super) type Pulse<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// The sequences of a run: all alike, each with pages of its own.
#[derive(Debug)]
pub struct Sequences {
    pages: Vec<Vec<u32>>,
    page_tokens: usize,
    vocabulary: u32,
    /// What is read; beyond it, tokens that stand for any text.
    prompt: Vec<u32>,
    sampling: Sampling,
    done: usize,
    last: Vec<u32>,
    /// What the first sequence drew.
    written: Vec<u32>,
}

impl Sequences {
    /// Sequences of a workload, whose text does not matter.
    pub fn new(plan: &Plan, workload: &Workload, page_tokens: usize) -> Self {
        let per_sequence = workload.tokens_per_sequence().div_ceil(page_tokens) as u32;
        let pages = (0..workload.batch as u32).map(|s| (s * per_sequence..(s + 1) * per_sequence).collect());
        Self {
            pages: pages.collect(),
            page_tokens,
            vocabulary: plan.vocabulary().unwrap_or(1) as u32,
            prompt: vec![],
            sampling: Sampling::greedy(),
            done: 0,
            last: vec![0; workload.batch],
            written: vec![],
        }
    }

    /// The same with a text of their own, and drawn as asked; penalties, which need a history, are not for here.
    #[must_use]
    pub fn with_prompt(mut self, prompt: &[u32], sampling: Sampling) -> Self {
        self.prompt = prompt.to_vec();
        self.sampling = sampling;
        self
    }

    /// Gives the sequences the pages of a pool anew, each far from the one before and none twice.
    pub(super) fn scatter(&mut self, pool: usize) {
        let stride = far_stride(pool);
        let place = |page: &mut u32| *page = (*page as usize * stride % pool) as u32;
        self.pages.iter_mut().flatten().for_each(place);
    }

    /// What the first sequence drew so far.
    pub fn written(&self) -> &[u32] {
        &self.written
    }

    /// Reads `count` tokens into every sequence, `chunk` rows at a time over all of them.
    pub(super) fn read(
        &mut self,
        runner: &mut dyn Runner,
        count: usize,
        chunk: usize,
        pulse: &mut Pulse<'_>,
    ) -> Result<(), BackendError> {
        let end = self.done + count;
        let share = self.share(chunk);
        while self.done < end {
            beat(pulse)?;
            let now = share.min(end - self.done);
            let ids: Vec<u32> = (self.done..self.done + now).map(|position| self.token(position)).collect();
            let last_chunk = self.done + now == end;
            let tokens = vec![Tokens::Ids(ids); self.pages.len()];
            self.step(runner, tokens, last_chunk)?;
        }
        Ok(())
    }

    /// Tokens that each sequence reads at once.
    fn share(&self, chunk: usize) -> usize {
        (chunk / self.pages.len()).max(1)
    }

    /// Reads as [`Sequences::read`] does, and tells the times of the operators of the last step.
    pub(super) fn read_profiled(
        &mut self,
        runner: &mut dyn Runner,
        count: usize,
        chunk: usize,
        pulse: &mut Pulse<'_>,
    ) -> Result<Option<Profile>, BackendError> {
        if count == 0 {
            return Ok(None);
        }
        let share = self.share(chunk);
        let before = (count - 1) / share * share;
        self.read(runner, before, chunk, pulse)?;
        profiled(runner, |runner| self.read(runner, count - before, chunk, pulse))
    }

    /// Fills the cache of every sequence with `count` tokens, the same in all: the first reads them, the others are given copies.
    pub(super) fn fill(
        &mut self,
        runner: &mut dyn Runner,
        count: usize,
        chunk: usize,
        pulse: &mut Pulse<'_>,
    ) -> Result<(), BackendError> {
        let others = self.pages.split_off(1);
        let last = self.last.split_off(1);
        let read = self.read(runner, count, chunk, pulse);
        self.pages.extend(others);
        self.last.extend(last);
        read?;
        let filled = &self.pages[0][..self.done.div_ceil(self.page_tokens)];
        for pages in &self.pages[1..] {
            let copy = |(from, to): (&u32, &u32)| PageCopy { from: *from, to: *to };
            let copies: Vec<PageCopy> = filled.iter().zip(pages).map(copy).collect();
            beat(pulse)?;
            runner.copy_pages(&copies)?;
        }
        Ok(())
    }

    /// The token that is read at a position: that of the prompt, or tokens that differ, so that rows of the embedding do.
    fn token(&self, position: usize) -> u32 {
        let any = || (position as u32).wrapping_mul(2_654_435_761) % self.vocabulary;
        self.prompt.get(position).copied().unwrap_or_else(any)
    }

    /// Forgets all but the first `done` tokens, which are then read or written anew.
    pub(super) fn back_to(&mut self, done: usize) {
        self.done = done;
    }

    /// Writes one token in every sequence.
    pub(super) fn write(&mut self, runner: &mut dyn Runner) -> Result<(), BackendError> {
        let tokens = self.last.iter().map(|token| Tokens::Ids(vec![*token])).collect();
        self.step(runner, tokens, true)
    }

    /// Writes tokens in every sequence; where the runner queues, each step is submitted before the last one's tokens are read, as the
    /// engine does.
    pub(super) fn write_many(
        &mut self,
        runner: &mut dyn Runner,
        count: usize,
        pulse: &mut Pulse<'_>,
    ) -> Result<(), BackendError> {
        self.write_each(runner, count, pulse, |done| done)
    }

    /// Likewise, but always the token behind the same ones: each takes the place of the one before.
    pub(super) fn write_again(
        &mut self,
        runner: &mut dyn Runner,
        count: usize,
        pulse: &mut Pulse<'_>,
    ) -> Result<(), BackendError> {
        let done = self.done;
        self.write_each(runner, count, pulse, |_| done)
    }

    /// Writes tokens, each behind as many as `behind` says when so many are done.
    fn write_each(
        &mut self,
        runner: &mut dyn Runner,
        count: usize,
        pulse: &mut Pulse<'_>,
        behind: impl Fn(usize) -> usize,
    ) -> Result<(), BackendError> {
        if !runner.queues() {
            return (0..count).try_for_each(|_| {
                beat(pulse)?;
                self.done = behind(self.done);
                self.write(runner)
            });
        }
        let mut waiting = std::collections::VecDeque::new();
        for written in 0..count {
            beat(pulse)?;
            self.done = behind(self.done);
            let token = |(sequence, last): (usize, &u32)| match written {
                0 => Tokens::Ids(vec![*last]),
                _ => Tokens::Sampled(sequence as u32),
            };
            let tokens = self.last.iter().enumerate().map(token).collect();
            let batch = self.batch(tokens, true);
            waiting.push_back(runner.submit(&batch)?);
            if waiting.len() >= STEPS_UNDER_WAY {
                self.collect(runner, waiting.pop_front())?;
            }
        }
        while !waiting.is_empty() {
            self.collect(runner, waiting.pop_front())?;
        }
        Ok(())
    }

    fn collect(
        &mut self,
        runner: &mut dyn Runner,
        ticket: Option<ingle_backends::Ticket>,
    ) -> Result<(), BackendError> {
        if let Some(ticket) = ticket {
            let output = runner.collect(ticket)?;
            self.take(output);
        }
        Ok(())
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
        self.written.extend(output.tokens.first().copied().flatten());
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
            sample: sample.then(|| self.sampling.clone()),
        };
        let sequences = tokens.into_iter().zip(&self.pages).map(step).collect();
        self.done += added;
        Batch { sequences, inputs: vec![] }
    }
}

/// Makes one step with clocks for its operators, and reads them where the device has any.
pub(super) fn profiled(
    runner: &mut dyn Runner,
    step: impl FnOnce(&mut dyn Runner) -> Result<(), BackendError>,
) -> Result<Option<Profile>, BackendError> {
    runner.set_profiling(true);
    let done = step(runner);
    let profile = runner.profile();
    runner.set_profiling(false);
    done.map(|()| profile)
}

/// About 0.618 of a pool, and without a divisor in common with it: strides of this meet every page once before they meet one again, and
/// neighbours are far apart.
fn far_stride(pool: usize) -> usize {
    let coprime = |stride: &usize| {
        let (mut a, mut b) = (pool, *stride);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    let golden = (pool as f64 * 0.618).round().max(1.0) as usize;
    // The number after a pool's has no divisor in common with it, so one is found.
    (golden..pool + 2).find(coprime).unwrap_or(1)
}

/// Asks whether to go on; the error is told by who began, who knows what was stopped.
pub(super) fn beat(pulse: &mut Pulse<'_>) -> Result<(), BackendError> {
    match pulse() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(BackendError::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_pages_are_all_different_and_no_neighbours() {
        for pool in [1_usize, 2, 3, 7, 16, 33, 256, 1000] {
            let stride = far_stride(pool);
            let pages: Vec<usize> = (0..pool).map(|page| page * stride % pool).collect();
            let mut sorted = pages.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..pool), "{pool}: {pages:?}");
            let near = pages.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < pool / 4);
            assert_eq!(near.count(), 0, "{pool}: {pages:?}");
        }
    }
}
