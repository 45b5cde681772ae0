//! What `chat` and `run` have in common: how a reply is asked for, and how its end is told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inglenook::backend::BackendError;
use inglenook::backend::sampling::Sampling;
use inglenook::chat::Ending;
use inglenook::engine::{Request, Timings};
use inglenook::model::Model;

use crate::cli::SamplingArguments;

/// How freely tokens are drawn where neither the user nor the model's makers say.
const TEMPERATURE: f32 = 0.7;
const TOP_P: f32 = 0.95;

impl SamplingArguments {
    /// How tokens are drawn: as asked, else as the model's makers suggest, else as is usual.
    pub(crate) fn sampling(&self, model: &Model) -> Sampling {
        let makers = &model.config.generation;
        let usual = if makers.sample == Some(false) { 0.0 } else { TEMPERATURE };
        Sampling {
            temperature: self.temperature.or(makers.temperature).unwrap_or(usual),
            top_k: self.top_k.or(makers.top_k).unwrap_or(0),
            top_p: self.top_p.or(makers.top_p).unwrap_or(TOP_P),
            min_p: self.min_p.or(makers.min_p).unwrap_or(0.0),
            repetition_penalty: self.repeat_penalty.or(makers.repetition_penalty).unwrap_or(1.0),
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed.unwrap_or_else(any_seed),
            ..Sampling::greedy()
        }
    }

    /// What is asked of the engine.
    pub(crate) fn request(&self, tokens: Vec<u32>, sampling: Sampling, end_tokens: &[u32]) -> Request {
        Request {
            sampling,
            penalty_window: self.penalty_window,
            max_tokens: self.max_tokens.unwrap_or(usize::MAX),
            stop_tokens: [end_tokens, &self.stop_token].concat(),
            ..Request::new(tokens)
        }
    }
}

/// A seed from the clock; small enough to be typed again.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| (time.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

/// What is told when a device is lost in the middle of a reply.
pub(crate) fn lost(error: &BackendError) -> String {
    format!("[{error}; the model is being loaded again, and the reply will go on]")
}

/// What is told when it goes on.
pub(crate) fn restored(loading: Duration) -> String {
    format!("[loaded again in {:.1} s]", loading.as_secs_f64())
}

/// The line after a reply.
pub(crate) fn summary(ending: &Ending, timings: &Timings) -> String {
    let mut line = format!(
        "{} tokens at {:.1} tokens/s; prompt of {} tokens",
        timings.generated_tokens,
        timings.decode_rate(),
        timings.prompt_tokens
    );
    if timings.reused_tokens > 0 {
        line += &format!(", {} of them from the cache", timings.reused_tokens);
    }
    line += &format!(", {:.2} s at {:.0} tokens/s", timings.reading.as_secs_f64(), timings.prefill_rate());
    line += match ending {
        Ending::StopToken(_) | Ending::StopText => "",
        Ending::MaxTokens => "; cut at --max-tokens",
        Ending::ContextFull => "; the context is full",
        Ending::Cancelled => "; stopped",
    };
    line
}
