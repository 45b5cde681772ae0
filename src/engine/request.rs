//! What is asked of the engine, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use ingle_backends::BackendError;
use ingle_backends::sampling::Sampling;
use thiserror::Error;

/// A reply that is wanted.
#[derive(Clone, Debug)]
pub struct Request {
    /// The whole conversation so far, as tokens.
    pub tokens: Vec<u32>,
    /// How tokens are drawn. The history is filled in by the engine where penalties need it: the last
    /// [`Request::penalty_window`] tokens of the conversation.
    pub sampling: Sampling,
    pub penalty_window: usize,
    /// Writing stops after so many.
    pub max_tokens: usize,
    /// Writing stops at any of these, which are not part of the reply.
    pub stop_tokens: Vec<u32>,
    /// Alternatives that are reported with each token, the most likely first.
    pub top_candidates: usize,
}

impl Request {
    /// A greedy reply with nothing special.
    pub const fn new(tokens: Vec<u32>) -> Self {
        Self {
            tokens,
            sampling: Sampling::greedy(),
            penalty_window: 64,
            max_tokens: usize::MAX,
            stop_tokens: vec![],
            top_candidates: 0,
        }
    }
}

/// What happens to a reply, in order: any number of `Reading`, any number of `Token`, then one of the
/// last two. Losses of the device may come in between, and change nothing in the tokens.
#[derive(Clone, Debug)]
pub enum Event {
    /// So many tokens of the prompt are read; those that were in the cache count as read.
    Reading {
        done: usize,
        total: usize,
        reused: usize,
    },
    Token(GeneratedToken),
    /// The device was lost, for this reason. The model is being loaded again, and the reply will go on.
    DeviceLost(Arc<BackendError>),
    /// The model is loaded again, which took so long; the reply goes on.
    DeviceRestored {
        loading: Duration,
    },
    Finished(Finished),
    Failed(EngineError),
}

/// A token of the reply.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedToken {
    pub id: u32,
    /// The logarithm of its probability before temperature and filters, where candidates were asked for.
    pub log_probability: Option<f32>,
    pub candidates: Vec<Candidate>,
}

/// A token that might have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub id: u32,
    pub log_probability: f32,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said that it was done, by this token.
    StopToken(u32),
    MaxTokens,
    /// The conversation is as long as the cache.
    ContextFull,
    Cancelled,
}

/// The end of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    pub reason: FinishReason,
    pub timings: Timings,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    pub prompt_tokens: usize,
    /// Of these, those that did not have to be computed.
    pub reused_tokens: usize,
    pub generated_tokens: usize,
    /// From the request to the first step that worked on it.
    pub waiting: Duration,
    /// From there to the first token.
    pub reading: Duration,
    /// From the first token to the last.
    pub writing: Duration,
}

impl Timings {
    /// Prompt tokens that were computed, per second.
    pub fn prefill_rate(&self) -> f64 {
        rate(self.prompt_tokens - self.reused_tokens, self.reading)
    }

    /// Tokens after the first, per second.
    pub fn decode_rate(&self) -> f64 {
        rate(self.generated_tokens.saturating_sub(1), self.writing)
    }
}

fn rate(count: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// Why a reply failed.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    #[error("the conversation has {tokens} tokens; the cache holds {context}")]
    TooLong { tokens: usize, context: usize },
    #[error("there is nothing to reply to")]
    Empty,
    #[error("the conversation is already being replied to")]
    Busy,
    #[error("the engine has ended")]
    Ended,
    #[error("the engine's thread could not be started: {0}")]
    Thread(String),
    #[error(transparent)]
    Backend(Arc<BackendError>),
    #[error(
        "{0}, for the second time without a token in between; the conversation is kept, so ask again, or on another device"
    )]
    LostAgain(Arc<BackendError>),
}
