//! Which experts a backend may choose, and what it may say of their weights.

use super::{FLOOR, Units};
use crate::plan::Scoring;

/// The attributes of routing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Routing {
    pub top_k: usize,
    pub scoring: Scoring,
    pub bias: Option<Vec<f32>>,
    pub renormalize: bool,
    pub factor: f64,
}

/// One row's choice, with what a backend needs to be judged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoutedRow {
    logits: Vec<f64>,
    scores: Vec<f64>,
    /// What experts are ordered by.
    keys: Vec<f64>,
    key_tolerance: Vec<f64>,
    score_unit: Vec<f64>,
}

/// What was found of a backend's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Same,
    /// Another expert, whose score is too near to tell.
    Close,
    Wrong,
}

impl RoutedRow {
    /// Scores of one row of logits, which may be off by `logit_tolerance` each.
    ///
    /// Softmax: exp sees the difference to the largest logit (two roundings relative to the logits, as
    /// for every exp), its own error, and divides by a sum of positive terms, `6a·√n`. Sigmoid has no sum.
    pub(crate) fn new(logits: &[f64], logit_tolerance: f64, routing: &Routing, units: &Units) -> Self {
        let (a, f) = (units.accumulate, units.function);
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = logits.iter().map(|l| (l - largest).exp()).sum::<f64>();
        let mut row = Self {
            logits: logits.to_vec(),
            scores: vec![],
            keys: vec![],
            key_tolerance: vec![],
            score_unit: vec![],
        };
        for (expert, logit) in logits.iter().enumerate() {
            let (score, unit) = match routing.scoring {
                Scoring::Softmax => {
                    let own =
                        2.0 * a * (logit.abs() + largest.abs()) + 6.0 * a * (logits.len() as f64).sqrt();
                    ((logit - largest).exp() / total, 2.0 * f + own + 2.0 * logit_tolerance)
                }
                Scoring::Sigmoid => {
                    (1.0 / (1.0 + (-logit).exp()), f + 4.0 * a + 2.0 * a * logit.abs() + logit_tolerance)
                }
            };
            let unit = unit + 2.0 * units.input * logit.abs();
            let bias = routing.bias.as_ref().and_then(|b| b.get(expert)).map(|b| f64::from(*b));
            row.scores.push(score);
            row.score_unit.push(unit);
            row.keys.push(score + bias.unwrap_or(0.0));
            let rounded = bias.map_or(0.0, |bias| a * (score + bias).abs());
            row.key_tolerance.push(score * unit + rounded + FLOOR);
        }
        row
    }

    /// The experts in the order of choice.
    pub(crate) fn chosen(&self, top_k: usize) -> Vec<usize> {
        let mut order = (0..self.keys.len()).collect::<Vec<_>>();
        order.sort_by(|a, b| self.keys[*b].total_cmp(&self.keys[*a]).then(a.cmp(b)));
        order.truncate(top_k);
        order
    }

    /// Judges a backend's list of experts.
    ///
    /// Each place may hold any expert whose key lies within both tolerances of the right one's. Experts
    /// with the same logit and no bias have the same score in any arithmetic: among them the lower index
    /// comes first, without excuse.
    pub(crate) fn judge(&self, got: &[usize], routing: &Routing) -> Choice {
        let chosen = self.chosen(routing.top_k);
        if got == chosen {
            return Choice::Same;
        }
        let distinct = got.iter().enumerate().all(|(i, e)| !got[..i].contains(e));
        let near = |got: usize, right: usize| {
            got < self.keys.len()
                && (self.keys[got] - self.keys[right]).abs()
                    <= self.key_tolerance[got] + self.key_tolerance[right]
        };
        let equal = |a: usize, b: usize| {
            routing.bias.is_none() && self.logits[a].to_bits() == self.logits[b].to_bits()
        };
        let ordered = |place: usize, got: &[usize]| {
            // Nothing equal with a lower index may come later or be left out.
            (0..got[place]).all(|lower| !equal(lower, got[place]) || got[..place].contains(&lower))
        };
        let sound = got.len() == chosen.len()
            && distinct
            && got.iter().zip(&chosen).all(|(got, right)| near(*got, *right))
            && (0..got.len()).all(|place| ordered(place, got));
        if sound { Choice::Close } else { Choice::Wrong }
    }

    /// The weights of these experts and what each may differ by. Renormalising divides by a sum of
    /// `top_k` positive numbers with errors of their own; then come two products.
    pub(crate) fn weights(&self, experts: &[usize], routing: &Routing, units: &Units) -> Vec<(f64, f64)> {
        let a = units.accumulate;
        let score = |e: &usize| self.scores.get(*e).copied().unwrap_or(f64::NAN);
        let total = experts.iter().map(score).sum::<f64>();
        let total_error = experts.iter().map(|e| score(e) * self.score_unit.get(*e).copied().unwrap_or(0.0));
        let total_unit = total_error.sum::<f64>() / total + 6.0 * a * (experts.len() as f64).sqrt();
        let weight = |e: &usize| {
            let unit = self.score_unit.get(*e).copied().unwrap_or(0.0) + 4.0 * a;
            let (weight, unit) =
                if routing.renormalize { (score(e) / total, unit + total_unit) } else { (score(e), unit) };
            let weight = routing.factor * weight;
            (weight, unit * weight.abs() + units.stored(weight) + FLOOR)
        };
        experts.iter().map(weight).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Numerics;

    #[test]
    fn near_scores_may_swap_and_equal_ones_may_not() {
        let units = Units::new(&Numerics::F32);
        let routing =
            Routing { top_k: 2, scoring: Scoring::Softmax, bias: None, renormalize: true, factor: 1.0 };
        let row = RoutedRow::new(&[1.0, 2.0, 2.0 + 1e-8, -1.0], 0.0, &routing, &units);
        assert_eq!(row.judge(&[2, 1], &routing), Choice::Same);
        assert_eq!(row.judge(&[1, 2], &routing), Choice::Close);
        assert_eq!(row.judge(&[1, 0], &routing), Choice::Wrong);
        assert_eq!(row.judge(&[1, 1], &routing), Choice::Wrong);
        assert_eq!(row.judge(&[1], &routing), Choice::Wrong);
        assert_eq!(row.judge(&[9, 1], &routing), Choice::Wrong);
        let tied = RoutedRow::new(&[1.0, 2.0, 2.0, 2.0], 0.0, &routing, &units);
        assert_eq!(tied.judge(&[1, 2], &routing), Choice::Same);
        assert_eq!(tied.judge(&[2, 1], &routing), Choice::Wrong);
        assert_eq!(tied.judge(&[1, 3], &routing), Choice::Wrong);
        let weights = tied.weights(&[1, 2], &routing, &units);
        assert!(weights.iter().all(|(w, t)| (w - 0.5).abs() < 1e-12 && *t < 1e-5));
    }
}
