//! A reply on its way: what it has, how its next token is drawn, and what becomes of one that was.

use std::time::Instant;

use ingle_backends::sampling::Sampling;

use super::Job;
use crate::engine::request::{Candidate, Event, FinishReason, GeneratedToken, Timings};

/// A reply that is being read for or written.
pub(super) struct Active {
    /// Tells it from all other replies.
    pub(super) number: u64,
    pub(super) job: Job,
    /// The conversation with what was written so far.
    pub(super) tokens: Vec<u32>,
    pub(super) prompt: usize,
    /// Whether its conversation was brought to begin with these tokens.
    pub(super) resumed: bool,
    pub(super) timings: Timings,
    pub(super) asked: Instant,
    pub(super) begun: Option<Instant>,
    pub(super) first_token: Option<Instant>,
    /// How often its device was lost since its last token, while a step worked on it.
    pub(super) losses: usize,
}

impl Active {
    /// A reply that is lined up.
    pub(super) fn new(number: u64, job: Job) -> Self {
        let tokens = job.request.tokens.clone();
        Self {
            number,
            prompt: tokens.len(),
            timings: Timings { prompt_tokens: tokens.len(), ..Timings::default() },
            tokens,
            job,
            resumed: false,
            asked: Instant::now(),
            begun: None,
            first_token: None,
            losses: 0,
        }
    }

    /// How its next token is drawn; with `ahead`, the backend adds the token before it to the history.
    pub(super) fn sampling(&self, ahead: bool) -> Sampling {
        let request = &self.job.request;
        let mut sampling = request.sampling.clone();
        if request.penalty_window == 0 {
            // No token counts, not even the one that the backend would add.
            sampling.repetition_penalty = 1.0;
            (sampling.presence_penalty, sampling.frequency_penalty) = (0.0, 0.0);
        } else if sampling.penalizes() {
            let known = request.penalty_window - usize::from(ahead);
            sampling.history = self.tokens[self.tokens.len().saturating_sub(known)..].to_vec();
        }
        sampling
    }

    /// Adds a drawn token to the reply; says whether that ended it.
    pub(super) fn take_token(&mut self, token: u32, logits: &[f32]) -> Option<FinishReason> {
        self.first_token.get_or_insert_with(Instant::now);
        self.losses = 0;
        if self.job.request.stop_tokens.contains(&token) {
            return Some(FinishReason::StopToken(token));
        }
        self.tokens.push(token);
        self.timings.generated_tokens += 1;
        let normalizer = log_sum_exp(logits);
        let candidates = best(logits, self.job.request.top_candidates, normalizer);
        let log_probability = logits.get(token as usize).map(|l| l - normalizer);
        let _ = self.job.events.send(Event::Token(GeneratedToken { id: token, log_probability, candidates }));
        (self.timings.generated_tokens >= self.job.request.max_tokens).then_some(FinishReason::MaxTokens)
    }

    pub(super) fn timings(&self) -> Timings {
        let now = Instant::now();
        let begun = self.begun.unwrap_or(now);
        let first = self.first_token.unwrap_or(now);
        Timings {
            waiting: begun.saturating_duration_since(self.asked),
            reading: first.saturating_duration_since(begun),
            writing: now.saturating_duration_since(first),
            ..self.timings
        }
    }
}

/// `ln Σ exp(l)`, in f64 and without overflow.
fn log_sum_exp(logits: &[f32]) -> f32 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - max).exp()).sum();
    max + sum.ln() as f32
}

/// The `count` most likely tokens, the lower one first among equals.
fn best(logits: &[f32], count: usize, normalizer: f32) -> Vec<Candidate> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let order = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if count < ids.len() {
        if count == 0 {
            return vec![];
        }
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    ids.into_iter().map(|id| Candidate { id, log_probability: logits[id as usize] - normalizer }).collect()
}
