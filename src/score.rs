//! Scoring text instead of writing it: the logits at every position, and perplexity.
//!
//! **Protocol of perplexity.** The text is encoded without a beginning token and cut into windows of one
//! token less than the context, which do not overlap. Each window is read after a beginning token, so that
//! every token of the text is scored, and the logarithms are taken in f64. A model without a beginning
//! token reads windows of the whole context, whose first tokens are not scored.

use ingle_backends::plan::Plan;
use ingle_backends::{
    BackendError, Batch, CacheOptions, LogitRows, Runner, SequenceStep, StepOutput, Tokens,
};

/// Logits of one step at most, in bytes; more rows would only cost memory.
const STEP_BYTES: usize = 64 << 20;

/// Rows of a step whose logits are all handed out, where `most` would be read at once.
pub fn rows_per_step(vocabulary: usize, most: usize) -> usize {
    (STEP_BYTES / (vocabulary.max(1) * size_of::<f32>())).clamp(1, most.max(1))
}

/// Reads tokens from an empty cache on, `rows` in a step, asks for these logits of each, and hands out what each step gave with the
/// place of its first token. `rows` and the context are those the runner was prepared for.
pub fn steps_of<E: From<BackendError>>(
    runner: &mut dyn Runner,
    cache: CacheOptions,
    rows: usize,
    tokens: &[u32],
    logits: LogitRows,
    mut each: impl FnMut(usize, StepOutput) -> Result<(), E>,
) -> Result<(), E> {
    let mut done = 0;
    for chunk in tokens.chunks(rows.max(1)) {
        let end = done + chunk.len();
        let step = SequenceStep {
            tokens: Tokens::Ids(chunk.to_vec()),
            start: done as u32,
            pages: (0..end.div_ceil(cache.page_tokens) as u32).collect(),
            logits,
            sample: None,
        };
        each(done, runner.step(&Batch { sequences: vec![step], inputs: vec![] })?)?;
        done = end;
    }
    Ok(())
}

/// Reads tokens from an empty cache on, `rows` in a step, and hands out the logits of every position in order:
/// those after the first token first. `rows` and the context are those the runner was prepared for.
pub fn logits_of<E: From<BackendError>>(
    runner: &mut dyn Runner,
    cache: CacheOptions,
    rows: usize,
    tokens: &[u32],
    mut each: impl FnMut(usize, &[f32]) -> Result<(), E>,
) -> Result<(), E> {
    steps_of(runner, cache, rows, tokens, LogitRows::All, |first, output| {
        let logits = output.logits.first().map(Vec::as_slice).unwrap_or_default();
        let width = logits.len() / rows.max(1).min(tokens.len() - first);
        for (row, logits) in logits.chunks_exact(width.max(1)).enumerate() {
            each(first + row, logits)?;
        }
        Ok(())
    })
}

/// The numbers of one row of logits; none where the plan gives no logits.
pub fn width(plan: &Plan) -> Option<usize> {
    plan.logits.map(|logits| plan.values[logits.index()].shape.width)
}

/// What a text was scored with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Tokens that were scored.
    pub tokens: usize,
    /// Sum of the negative logarithms of their probabilities.
    pub surprise: f64,
    /// Sum of the squares of these.
    squares: f64,
}

impl Score {
    /// Adds a token that was told with this negative logarithm of its probability.
    pub fn add(&mut self, surprise: f64) {
        self.tokens += 1;
        self.surprise += surprise;
        self.squares += surprise * surprise;
    }

    /// `exp` of the mean.
    pub fn perplexity(&self) -> f64 {
        (self.surprise / self.tokens as f64).exp()
    }

    /// The standard error of the perplexity, if tokens were independent.
    pub fn standard_error(&self) -> f64 {
        let count = self.tokens as f64;
        let mean = self.surprise / count;
        let variance = (self.squares / count - mean * mean).max(0.0);
        self.perplexity() * (variance / count).sqrt()
    }
}

/// How a text is cut into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The token that each begins with.
    pub begin: Option<u32>,
    /// Tokens of a window, the beginning one included; at least 2.
    pub len: usize,
}

impl Windows {
    /// The windows of a text, without their beginning token.
    pub fn of<'t>(&self, tokens: &'t [u32]) -> impl Iterator<Item = &'t [u32]> + use<'t> {
        let len = if self.begin.is_some() { self.len.saturating_sub(1) } else { self.len };
        tokens.chunks(len.max(1))
    }
}

/// Reads one window and hands out, for each of its tokens that can be told, that token and the logits that tell it.
pub fn told_by<E: From<BackendError>>(
    runner: &mut dyn Runner,
    cache: CacheOptions,
    rows: usize,
    begin: Option<u32>,
    window: &[u32],
    mut each: impl FnMut(u32, &[f32]) -> Result<(), E>,
) -> Result<(), E> {
    // The token at a place is told by the logits of the one before it.
    let (input, told): (Vec<u32>, &[u32]) = match (begin, window) {
        (_, []) => return Ok(()),
        (Some(begin), [before @ .., _]) => ([&[begin], before].concat(), window),
        (None, [before @ .., _]) => (before.to_vec(), &window[1..]),
    };
    logits_of(runner, cache, rows, &input, |position, logits| match told.get(position) {
        Some(token) => each(*token, logits),
        None => Ok(()),
    })
}

/// Adds the tokens of one window to a score.
pub fn score_window(
    runner: &mut dyn Runner,
    cache: CacheOptions,
    rows: usize,
    begin: Option<u32>,
    window: &[u32],
    score: &mut Score,
) -> Result<(), BackendError> {
    told_by(runner, cache, rows, begin, window, |token, logits| {
        score.add(surprise(logits, token as usize));
        Ok(())
    })
}

/// `−ln p(token)`, in f64.
pub fn surprise(logits: &[f32], token: usize) -> f64 {
    let Some(logit) = logits.get(token) else { return f64::INFINITY };
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let max = f64::from(max);
    let sum: f64 = logits.iter().map(|l| (f64::from(*l) - max).exp()).sum();
    max + sum.ln() - f64::from(*logit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprises_are_logarithms_of_probabilities() {
        let logits = [0.0, 1.0, -2.0, 1000.0];
        assert!(surprise(&logits, 3).abs() < 1e-12);
        assert!((surprise(&logits, 1) - 999.0).abs() < 1e-9);
        let sum: f64 = (0..3).map(|token| (-surprise(&logits[..3], token)).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert!(surprise(&logits, 9).is_infinite());
    }

    #[test]
    fn every_token_is_in_one_window() {
        let tokens: Vec<u32> = (0..10).collect();
        let lens = |begin, len| Windows { begin, len }.of(&tokens).map(<[u32]>::len).collect::<Vec<_>>();
        assert_eq!(lens(Some(1), 5), [4, 4, 2]);
        assert_eq!(lens(None, 5), [5, 5]);
        assert_eq!(lens(Some(1), 100), [10]);
    }

    #[test]
    fn a_uniform_guess_among_four_has_a_perplexity_of_four() {
        let mut score = Score::default();
        for token in 0..4 {
            score.add(surprise(&[0.5; 4], token));
        }
        assert!((score.perplexity() - 4.0).abs() < 1e-12 && score.standard_error() < 1e-6);
    }

    #[test]
    fn steps_are_bounded_in_bytes() {
        assert_eq!(rows_per_step(512, 512), 512);
        assert_eq!(rows_per_step(128_256, 512), 130);
        assert_eq!(rows_per_step(usize::MAX / 8, 512), 1);
    }
}
