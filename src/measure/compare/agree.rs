//! Agreement: what several contestants think of the same tokens.

use ingle_backends::{BackendError, Batch, CacheOptions, LogitRows, Runner, SequenceStep, Tokens};
use ingle_models::text::Tokenizer;

use super::types::{Agreement, RankedToken, TokenAgreement};
use crate::measure::Distribution;
use crate::measure::sequences::{Pulse, beat};

/// Alternatives that are kept for each token.
const TOP: usize = 5;

/// The place of the first token that differs; a text that ends where the other goes on differs there.
pub fn first_difference(one: &[u32], other: &[u32]) -> Option<usize> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    (same < one.len().max(other.len())).then_some(same)
}

/// The logits in each place of a text that follows a prompt: those that tell its first token first.
///
/// The text is read token by token, so with the kernels that write replies.
pub(super) fn logits_along(
    runner: &mut dyn Runner,
    cache: CacheOptions,
    (prompt, chunk): (&[u32], usize),
    text: &[u32],
    pulse: &mut Pulse<'_>,
) -> Result<Vec<Vec<f32>>, BackendError> {
    let mut done = 0;
    let mut step = |tokens: &[u32], logits: LogitRows| {
        beat(pulse)?;
        let end = done + tokens.len();
        let step = SequenceStep {
            tokens: Tokens::Ids(tokens.to_vec()),
            start: done as u32,
            pages: (0..end.div_ceil(cache.page_tokens) as u32).collect(),
            logits,
            sample: None,
        };
        done = end;
        let output = runner.step(&Batch { sequences: vec![step], inputs: vec![] })?;
        Ok::<_, BackendError>(output.logits.into_iter().next().unwrap_or_default())
    };
    let mut found = vec![];
    let chunks = prompt.chunks(chunk.max(1));
    let last = chunks.len();
    for (index, tokens) in chunks.enumerate() {
        if index + 1 == last {
            found.push(step(tokens, LogitRows::Last)?);
        } else {
            step(tokens, LogitRows::None)?;
        }
    }
    let before_last = text.len().saturating_sub(1);
    for token in &text[..before_last] {
        found.push(step(std::slice::from_ref(token), LogitRows::Last)?);
    }
    Ok(found)
}

/// Sets the logits of a contestant beside those of the reference, for each token of the text.
pub(super) fn agreement(
    reference: &[Vec<f32>],
    own: &[Vec<f32>],
    text: &[u32],
    tokenizer: &Tokenizer,
) -> Agreement {
    let text_of = |token: u32| tokenizer.token_text(token).unwrap_or_default();
    let places = text.iter().zip(reference.iter().zip(own));
    let tokens = places.map(|(token, (reference, own))| of_token(*token, reference, own, &text_of)).collect();
    summary(tokens)
}

fn of_token(token: u32, reference: &[f32], own: &[f32], text_of: &dyn Fn(u32) -> String) -> TokenAgreement {
    let (reference, own) = (Distribution::of(reference), Distribution::of(own));
    let ranked = own.top(TOP).into_iter().map(|ranked| RankedToken {
        token: ranked.token,
        text: text_of(ranked.token),
        log_probability: ranked.log_probability,
    });
    TokenAgreement {
        token,
        text: text_of(token),
        log_probability: own.log_probability(token),
        difference: own.log_probability(token) - reference.log_probability(token),
        divergence: reference.divergence_to(&own),
        same_top: reference.best() == own.best(),
        top: ranked.collect(),
    }
}

/// The means over all tokens.
pub fn summary(tokens: Vec<TokenAgreement>) -> Agreement {
    let count = tokens.len().max(1) as f64;
    let mean = |value: &dyn Fn(&TokenAgreement) -> f64| tokens.iter().map(value).sum::<f64>() / count;
    let in_probability = |token: &TokenAgreement| {
        let reference = (token.log_probability - token.difference).exp();
        token.log_probability.exp() - reference
    };
    Agreement {
        same_top: mean(&|token| f64::from(u8::from(token.same_top))),
        mean_divergence: mean(&|token| token.divergence),
        largest_divergence: tokens.iter().map(|token| token.divergence).fold(0.0, f64::max),
        rms_probability_difference: mean(&|token| in_probability(token).powi(2)).sqrt(),
        tokens,
    }
}
