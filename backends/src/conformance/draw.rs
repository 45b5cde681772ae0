//! Whether a drawn token is right.
//!
//! A token is a discrete result of numbers that may differ a little, so it must be the oracle's own unless
//! the oracle itself stood at a border: two logits nearer to each other than their tolerance, or a running
//! sum nearer to its bar than probabilities are known. Then the token on the other side of that border is
//! accepted too, and counted as a close call.

use std::collections::HashMap;

use super::expectation::Numbers;
use super::tolerance::Units;
use crate::Numerics;
use crate::sampling::{Sampling, uniform};

/// What was found of a discrete result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// Not the oracle's, but on the other side of a border that the oracle all but touched.
    Close,
    Wrong,
}

/// One draw of the oracle, with what is needed to judge another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draw {
    /// After bias and penalties.
    logits: Numbers,
    options: Sampling,
    position: u32,
    pub token: Option<u32>,
    units: Units,
}

impl Draw {
    /// `options.history` holds the tokens that the backend adds itself, too.
    pub(crate) fn new(
        mut logits: Numbers,
        options: Sampling,
        position: u32,
        token: Option<u32>,
        numerics: &Numerics,
    ) -> Self {
        let units = Units::new(numerics);
        adjust(&mut logits, &options, units.accumulate.max(units.value));
        Self { logits, options, position, token, units }
    }

    pub(crate) fn judge(&self, got: Option<u32>) -> Verdict {
        match (self.token, got) {
            (right, got) if right == got => Verdict::Same,
            (Some(right), Some(got)) if (got as usize) < self.logits.values.len() => {
                let close = if self.options.temperature == 0.0 {
                    self.near(right as usize, got as usize)
                } else {
                    self.may_be_drawn(got as usize)
                };
                if close { Verdict::Close } else { Verdict::Wrong }
            }
            _ => Verdict::Wrong,
        }
    }

    /// Whether two logits cannot be told apart. Equal ones with no tolerance can: the lower token wins.
    fn near(&self, a: usize, b: usize) -> bool {
        let Numbers { values, tolerance } = &self.logits;
        let room = tolerance[a] + tolerance[b];
        room > 0.0 && (values[a] - values[b]).abs() <= room
    }

    /// Whether the draw falls on a token for some order of near candidates, some number of kept ones that
    /// a border leaves open, and some running sum within its tolerance.
    ///
    /// The error of a probability, relative: the logits' tolerance over the temperature, twice (the
    /// largest has one as well); the division and the difference, `2a` of each; that of exp, twice. Sums
    /// of n positive terms add `6a·√n`, and those of a tree or of blocks no more.
    fn may_be_drawn(&self, got: usize) -> bool {
        let Numbers { values, tolerance } = &self.logits;
        let mut order = (0..values.len()).filter(|t| values[*t] > f64::NEG_INFINITY).collect::<Vec<_>>();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
        let Some(&best) = order.first() else { return false };
        let temperature = f64::from(self.options.temperature);
        let kept_by_k = match self.options.top_k as usize {
            0 => order.len(),
            k => k.min(order.len()),
        };
        let Units { accumulate: a, function: f, .. } = self.units;
        let largest_tolerance = order.iter().map(|t| tolerance[*t]).fold(0.0, f64::max);
        let exponent_unit = |t: usize| {
            let scale = (values[t].abs() + values[best].abs()) / temperature;
            2.0 * (largest_tolerance / temperature) + 2.0 * a * scale + 2.0 * f
        };
        let error =
            order.iter().take(kept_by_k).filter(|t| (values[**t] - values[best]) / temperature > -60.0);
        let error =
            error.map(|t| exponent_unit(*t)).fold(0.0, f64::max) + 6.0 * a * (kept_by_k as f64).sqrt();
        let weight = |t: &usize| ((values[*t] - values[best]) / temperature).exp();
        let weights = order.iter().take(kept_by_k).map(weight).collect::<Vec<_>>();
        let running = weights.iter().scan(0.0, |sum, w| {
            *sum += w;
            Some(*sum)
        });
        let running = running.collect::<Vec<f64>>();
        let total = running.last().copied().unwrap_or(0.0);
        let fewest = self.kept(&weights, &running, total, -error);
        let most = self.kept(&weights, &running, total, error);
        let u = f64::from(uniform(self.options.seed, self.position));
        let begin = |i: usize| if i == 0 { 0.0 } else { running[i - 1] };
        (fewest..=most).any(|kept| {
            let sum = running[kept - 1];
            let (bar, room) = (u * sum, 2.0 * error * sum);
            (0..kept).any(|i| {
                let falls_here = running[i] + room > bar && begin(i) - room <= bar;
                falls_here && (order[i] == got || self.near(order[i], got))
            })
        })
    }

    /// How many candidates stay, with every border moved by `error` towards fewer or more.
    fn kept(&self, weights: &[f64], running: &[f64], total: f64, error: f64) -> usize {
        let top_p = f64::from(self.options.top_p);
        let by_p = if top_p < 1.0 {
            let reached = running.iter().position(|sum| *sum >= (top_p + error) * total);
            reached.map_or(weights.len(), |last| last + 1)
        } else {
            weights.len()
        };
        let least = f64::from(self.options.min_p) * (1.0 - error);
        let by_min = weights.iter().take_while(|w| **w >= least).count();
        by_p.min(by_min).max(1)
    }
}

/// Bias, then penalties, as [`sampling`](crate::sampling) says; each operation rounds once.
fn adjust(logits: &mut Numbers, options: &Sampling, unit: f64) {
    let mut counts = HashMap::<u32, u32>::new();
    for token in &options.history {
        *counts.entry(*token).or_default() += 1;
    }
    let mut touched = HashMap::<usize, f64>::new();
    for (token, bias) in &options.bias {
        if let Some(logit) = logits.values.get_mut(*token as usize) {
            *touched.entry(*token as usize).or_default() += unit * (logit.abs() + f64::from(bias.abs()));
            *logit += f64::from(*bias);
        }
    }
    if options.penalizes() {
        let repetition = f64::from(options.repetition_penalty);
        for (token, count) in counts {
            let token = token as usize;
            let Some(logit) = logits.values.get_mut(token) else { continue };
            let before = *logit;
            let scaled = if before > 0.0 { before / repetition } else { before * repetition };
            let frequency = f64::from(count) * f64::from(options.frequency_penalty);
            let presence = f64::from(options.presence_penalty);
            *logit = scaled - presence - frequency;
            // The tolerance so far is scaled as well; a quotient may be off by 2.5 units.
            let growth = repetition.max(1.0 / repetition);
            let rounded = 4.0 * unit * scaled.abs() + 2.0 * unit * (presence.abs() + frequency.abs());
            *touched.entry(token).or_default() += rounded;
            logits.tolerance[token] *= growth;
        }
    }
    for (token, rounded) in touched {
        if rounded.is_finite() {
            logits.tolerance[token] += rounded;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::random::Random;
    use crate::cpu::reference::draw;

    fn exact(values: &[f64]) -> Numbers {
        Numbers { values: values.to_vec(), tolerance: vec![0.0; values.len()] }
    }

    #[test]
    fn greedy_borders_are_those_of_the_tolerance() {
        let logits = Numbers { values: vec![1.0, 2.0, 2.0 - 1e-6], tolerance: vec![1e-6; 3] };
        let draw = Draw::new(logits, Sampling::greedy(), 0, Some(1), &Numerics::F32);
        assert_eq!(draw.judge(Some(1)), Verdict::Same);
        assert_eq!(draw.judge(Some(2)), Verdict::Close);
        assert_eq!(draw.judge(Some(0)), Verdict::Wrong);
        assert_eq!(draw.judge(Some(3)), Verdict::Wrong);
        assert_eq!(draw.judge(None), Verdict::Wrong);
        let tied = Draw::new(exact(&[2.0, 2.0]), Sampling::greedy(), 0, Some(0), &Numerics::F32);
        assert_eq!(tied.judge(Some(1)), Verdict::Wrong);
    }

    #[test]
    fn only_the_neighbours_of_a_border_are_accepted() {
        let mut random = Random::new(5);
        let logits = (0..50).map(|_| random.normal() * 2.0).collect::<Vec<_>>();
        let (mut close, mut checked) = (0, 0);
        for position in 0..300 {
            let options = Sampling {
                temperature: 0.8,
                top_k: 20,
                top_p: 0.9,
                min_p: 0.02,
                seed: 3,
                ..Sampling::greedy()
            };
            let token = draw(&logits, &options, None, position);
            assert!(token.is_some());
            let judge = Draw::new(exact(&logits), options, position, token, &Numerics::F32);
            let accepted = (0..50).filter(|t| judge.judge(Some(*t)) != Verdict::Wrong).count();
            close += usize::from(accepted > 1);
            checked += 1;
            // The tokens that it accepts contain the oracle's own.
            assert!(judge.may_be_drawn(token.unwrap_or(0) as usize));
        }
        assert!(checked == 300 && close <= 2, "{close}");
    }

    #[test]
    fn a_draw_at_a_border_may_go_either_way() {
        // u just in front of the border between two candidates, by less than f32 can tell.
        let position = (0..100).find(|p| uniform(9, *p) > 0.6).unwrap();
        let u = f64::from(uniform(9, position));
        let weights = [u * (1.0 + 1e-9), 1.0 - u * (1.0 + 1e-9)];
        let mut logits = weights.map(f64::ln).to_vec();
        logits.push(-1.0e3);
        let options = Sampling { temperature: 1.0, seed: 9, ..Sampling::greedy() };
        let token = draw(&logits, &options, None, position);
        let judge = Draw::new(exact(&logits), options, position, token, &Numerics::F32);
        assert_eq!([0, 1, 2].map(|t| judge.judge(Some(t)) != Verdict::Wrong), [true, true, false]);
    }
}
