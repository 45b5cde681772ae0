//! Drawing tokens, step by step as [`sampling`](crate::sampling) defines it.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::step::Step;
use crate::plan::Sample;
use crate::sampling::{Sampling, uniform};
use crate::{BackendError, Tokens};

/// Draws a token for `position`; `None` where the largest logit, after bias and penalties, is not a
/// finite number (NaN counts as the largest).
///
/// `sampled` is a token that belongs to the history and that its maker could not know yet.
pub fn draw(logits: &[f64], options: &Sampling, sampled: Option<u32>, position: u32) -> Option<u32> {
    let mut logits = logits.to_vec();
    add_bias(&mut logits, &options.bias);
    penalize(&mut logits, options, sampled);
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() || logits.iter().any(|l| l.is_nan()) {
        return None;
    }
    let order = ordered(&logits);
    if options.temperature == 0.0 {
        return order.first().copied();
    }
    let kept = match options.top_k {
        0 => &order[..],
        top_k => &order[..order.len().min(top_k as usize)],
    };
    let temperature = f64::from(options.temperature);
    let weights =
        kept.iter().map(|t| ((logits[*t as usize] - largest) / temperature).exp()).collect::<Vec<_>>();
    let weights = min_p(top_p(&weights, options.top_p), options.min_p);
    pick(weights, uniform(options.seed, position)).map(|index| kept[index])
}

/// `l[t] += bias`.
fn add_bias(logits: &mut [f64], bias: &[(u32, f32)]) {
    for (token, bias) in bias {
        if let Some(logit) = logits.get_mut(*token as usize) {
            *logit += f64::from(*bias);
        }
    }
}

/// Makes tokens that have occurred less likely.
fn penalize(logits: &mut [f64], options: &Sampling, sampled: Option<u32>) {
    let mut counts = HashMap::<u32, u32>::new();
    for token in options.history.iter().copied().chain(sampled) {
        *counts.entry(token).or_default() += 1;
    }
    let repetition = f64::from(options.repetition_penalty);
    for (token, count) in counts {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
            *logit -= f64::from(options.presence_penalty);
            *logit -= f64::from(count) * f64::from(options.frequency_penalty);
        }
    }
}

/// The tokens by their logits, largest first, lower token first among equals.
fn ordered(logits: &[f64]) -> Vec<u32> {
    let mut order = (0..logits.len() as u32).collect::<Vec<_>>();
    // The sort is stable; adding 0 makes −0 equal to 0, which it is.
    let logit = |token: u32| logits[token as usize] + 0.0;
    order.sort_by(|a, b| -> Ordering { logit(*b).total_cmp(&logit(*a)) });
    order
}

/// The shortest prefix whose share reaches `top_p`. It is never empty.
fn top_p(weights: &[f64], top_p: f32) -> &[f64] {
    if top_p >= 1.0 {
        return weights;
    }
    let enough = f64::from(top_p) * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let reached = weights.iter().position(|weight| {
        sum += weight;
        sum >= enough
    });
    reached.map_or(weights, |last| &weights[..=last])
}

/// Those of at least `min_p` times the first, which is the largest; they are a prefix.
fn min_p(weights: &[f64], min_p: f32) -> &[f64] {
    let Some(largest) = weights.first() else { return weights };
    let least = f64::from(min_p) * largest;
    &weights[..weights.iter().take_while(|weight| **weight >= least).count()]
}

/// The first at which the running sum exceeds `u` times the whole.
fn pick(weights: &[f64], u: f32) -> Option<usize> {
    let bar = f64::from(u) * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    weights.iter().position(|weight| {
        sum += weight;
        sum > bar
    })
}

/// Draws one token per sequence that asked for one; rows that draw nothing hold 0.
pub(super) fn sample(op: &Sample, step: &mut Step<'_>) -> Result<(), BackendError> {
    let rows = step.values.shape(op.logits).rows;
    let logits = step.values.operand(op.logits);
    let mut drawn = vec![0.0; step.values.rows(rows)];
    for (sequence, asked) in step.batch.sequences.iter().enumerate() {
        let Some(options) = &asked.sample else { continue };
        let first_token_row = step.layout.first_row[sequence] as usize;
        let last_token_row = step.layout.first_row[sequence + 1] as usize - 1;
        let sampled = match asked.tokens {
            Tokens::Sampled(_) => step.tokens.get(first_token_row).copied(),
            Tokens::Ids(_) => None,
        };
        let row = step.layout.rows_of(rows, sequence).end - 1;
        let logits = &logits[row * op.logits.width..(row + 1) * op.logits.width];
        let position = step.layout.position[last_token_row] + 1;
        let token = draw(logits, options, sampled, position).ok_or(BackendError::NotFinite { sequence })?;
        drawn[row] = f64::from(token);
    }
    step.values.write(op.output, drawn);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greedy(logits: &[f64], options: &Sampling) -> Option<u32> {
        draw(logits, &Sampling { temperature: 0.0, ..options.clone() }, None, 0)
    }

    /// The tokens that are ever drawn, with how often, over many positions.
    fn drawn(logits: &[f64], options: &Sampling) -> Vec<(u32, u32)> {
        let mut counts = std::collections::BTreeMap::new();
        for position in 0..4000 {
            *counts.entry(draw(logits, options, None, position).unwrap()).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    fn tokens(logits: &[f64], options: &Sampling) -> Vec<u32> {
        drawn(logits, options).into_iter().map(|(token, _)| token).collect()
    }

    fn warm() -> Sampling {
        Sampling { temperature: 1.0, seed: 11, ..Sampling::greedy() }
    }

    /// Probabilities 1/2, 1/4, 1/8, 1/8 of tokens 2, 0, 1 and 3: exact in f64 up to the rounding of ln.
    fn halves() -> Vec<f64> {
        [0.25_f64, 0.125, 0.5, 0.125].map(f64::ln).to_vec()
    }

    #[test]
    fn greedy_takes_the_lowest_of_the_largest() {
        let options = Sampling::greedy();
        assert_eq!(greedy(&[1.0, 5.0, 5.0, 2.0], &options), Some(1));
        assert_eq!(greedy(&[-0.0, 0.0, -1.0], &options), Some(0));
        assert_eq!(greedy(&[f64::NEG_INFINITY, -3.0], &options), Some(1));
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for options in [Sampling::greedy(), warm()] {
            let none = |logits: &[f64]| draw(logits, &options, None, 0).is_none();
            assert!(none(&[1.0, f64::NAN]));
            assert!(none(&[1.0, f64::INFINITY]));
            assert!(none(&[f64::NEG_INFINITY; 2]));
            assert!(none(&[]));
        }
    }

    #[test]
    fn a_bias_shifts_adds_up_and_forbids() {
        let forbid = f32::NEG_INFINITY;
        let biased = |bias: &[(u32, f32)]| Sampling { bias: bias.to_vec(), ..Sampling::greedy() };
        assert_eq!(greedy(&[1.0, 2.0, 0.0], &biased(&[(2, 1.5), (2, 1.0)])), Some(2));
        assert_eq!(greedy(&[1.0, 2.0, 0.0], &biased(&[(1, forbid)])), Some(0));
        assert_eq!(greedy(&[1.0, 2.0], &biased(&[(0, forbid), (1, forbid)])), None);
        let warm = Sampling { bias: vec![(2, forbid)], ..warm() };
        assert_eq!(tokens(&halves(), &warm), [0, 1, 3]);
    }

    #[test]
    fn penalties_count_the_history() {
        let logits = [4.0, 3.0, -1.0, -1.5];
        let history = vec![0, 0, 0];
        let with = |change: fn(&mut Sampling)| {
            let mut options = Sampling { history: history.clone(), ..Sampling::greedy() };
            change(&mut options);
            greedy(&logits, &options)
        };
        assert_eq!(with(|_| ()), Some(0));
        // 4 / 1.3 = 3.08 stays the largest, 4 / 1.4 = 2.86 does not: the count plays no part.
        assert_eq!(with(|o| o.repetition_penalty = 1.3), Some(0));
        assert_eq!(with(|o| o.repetition_penalty = 1.4), Some(1));
        assert_eq!(with(|o| o.presence_penalty = 0.9), Some(0));
        assert_eq!(with(|o| o.presence_penalty = 1.1), Some(1));
        // Three times.
        assert_eq!(with(|o| o.frequency_penalty = 0.3), Some(0));
        assert_eq!(with(|o| o.frequency_penalty = 0.4), Some(1));
        // A negative logit is multiplied: −1 becomes −2, below −1.5.
        let options = Sampling { repetition_penalty: 2.0, history: vec![0], ..Sampling::greedy() };
        assert_eq!(greedy(&[-1.0, -1.5], &options), Some(1));
        assert_eq!(greedy(&[0.0, -1.5], &options), Some(0));
    }

    #[test]
    fn a_token_drawn_a_step_ago_joins_the_history() {
        let options = Sampling { presence_penalty: 1.1, ..Sampling::greedy() };
        assert_eq!(draw(&[4.0, 3.0], &options, Some(0), 0), Some(1));
        assert_eq!(draw(&[4.0, 3.0], &options, Some(1), 0), Some(0));
    }

    #[test]
    fn the_bias_comes_before_the_penalties() {
        // (1 + 3) / 2 = 2 < 2.5, while 1 / 2 + 3 = 3.5 would win.
        let options = Sampling {
            repetition_penalty: 2.0,
            bias: vec![(0, 3.0)],
            history: vec![0],
            ..Sampling::greedy()
        };
        assert_eq!(greedy(&[1.0, 2.5], &options), Some(1));
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        for (token, count) in drawn(&halves(), &warm()) {
            let p: f64 = [0.25, 0.125, 0.5, 0.125][token as usize];
            let spread = (4000.0 * p * (1.0 - p)).sqrt();
            assert!((f64::from(count) - 4000.0 * p).abs() < 5.0 * spread, "{token}: {count}");
        }
        // At temperature 1/2 probabilities are squared: 4/16, 1/16, 16/16 and 1/16 parts.
        let colder = Sampling { temperature: 0.5, ..warm() };
        let best = drawn(&halves(), &colder)[2].1;
        assert!((f64::from(best) / 4000.0 - 16.0 / 22.0).abs() < 0.04, "{best}");
    }

    #[test]
    fn top_k_keeps_the_lower_of_equals() {
        let top_k = |top_k| tokens(&halves(), &Sampling { top_k, ..warm() });
        assert_eq!(top_k(1), [2]);
        assert_eq!(top_k(2), [0, 2]);
        assert_eq!(top_k(3), [0, 1, 2]);
        assert_eq!(top_k(4), [0, 1, 2, 3]);
        assert_eq!(top_k(400), [0, 1, 2, 3]);
        assert_eq!(top_k(0), [0, 1, 2, 3]);
    }

    #[test]
    fn top_p_stops_where_the_sum_reaches_it() {
        let top_p = |top_p| tokens(&halves(), &Sampling { top_p, ..warm() });
        assert_eq!(top_p(1e-6), [2]);
        assert_eq!(top_p(0.499), [2]);
        assert_eq!(top_p(0.501), [0, 2]);
        assert_eq!(top_p(0.749), [0, 2]);
        assert_eq!(top_p(0.751), [0, 1, 2]);
        assert_eq!(top_p(1.0), [0, 1, 2, 3]);
        // It counts the share of those that top-k left: of 1/2 and 1/4, the first has 2/3.
        let both = |top_p| tokens(&halves(), &Sampling { top_k: 2, top_p, ..warm() });
        assert_eq!(both(0.66), [2]);
        assert_eq!(both(0.67), [0, 2]);
    }

    #[test]
    fn sums_that_reach_top_p_exactly_are_enough() {
        // Two equal logits: each share is 1/2 with no rounding at all.
        assert_eq!(tokens(&[1.0, 1.0], &Sampling { top_p: 0.5, ..warm() }), [0]);
    }

    #[test]
    fn min_p_is_relative_to_the_best() {
        let min_p = |min_p| tokens(&halves(), &Sampling { min_p, ..warm() });
        assert_eq!(min_p(0.0), [0, 1, 2, 3]);
        assert_eq!(min_p(0.249), [0, 1, 2, 3]);
        assert_eq!(min_p(0.251), [0, 2]);
        assert_eq!(min_p(0.501), [2]);
        assert_eq!(min_p(1.0), [2]);
        // Equals of the best stay even at 1.
        assert_eq!(tokens(&[1.0, 0.0, 1.0], &Sampling { min_p: 1.0, ..warm() }), [0, 2]);
    }

    #[test]
    fn the_draw_is_where_the_running_sum_exceeds_u() {
        let options = warm();
        for position in 0..200 {
            let u = f64::from(uniform(options.seed, position));
            // In the order of the candidates: 2, 0, 1, 3.
            let expected = match u {
                u if u < 0.5 => 2,
                u if u < 0.75 => 0,
                u if u < 0.875 => 1,
                _ => 3,
            };
            assert_eq!(draw(&halves(), &options, None, position), Some(expected), "{u}");
        }
        assert_eq!(pick(&[1.0, 1.0], 0.0), Some(0));
        assert_eq!(pick(&[1.0, 1.0], 0.5), Some(1), "it must exceed, not reach");
    }

    #[test]
    fn tiny_temperatures_are_greedy_among_equals() {
        let options = Sampling { temperature: f32::from_bits(1), ..warm() };
        assert_eq!(tokens(&[1.0, 3.0, 3.0, 2.0], &options), [1, 2]);
    }
}
