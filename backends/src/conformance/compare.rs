//! A step's results beside what they should be.

use super::draw::Verdict;
use super::expectation::{Content, Expected, ExpectedChoice, Numbers};
use super::tolerance::{Choice, Units};
use crate::StepOutput;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// The largest share of a tolerance that any number used; above 1 is a failure.
    pub share: f64,
    /// What the number was that used it.
    pub at: String,
    /// Discrete results that differ where the oracle could not tell either.
    pub close_calls: usize,
    /// Draws among them: a text that goes on from one is another text.
    pub draws_differ: bool,
    /// What is wrong beyond numbers: sizes, tokens, experts.
    pub faults: Vec<String>,
}

impl Comparison {
    pub(crate) fn failed(&self) -> bool {
        // A share that is not a number is no small share.
        !self.faults.is_empty() || self.share.is_nan() || self.share > 1.0
    }

    /// Takes in another comparison of the same run.
    pub(crate) fn merge(&mut self, other: Self) {
        if other.share > self.share || other.share.is_nan() {
            self.share = other.share;
            self.at = other.at;
        }
        self.close_calls += other.close_calls;
        self.draws_differ |= other.draws_differ;
        self.faults.extend(other.faults);
    }

    fn fault(&mut self, fault: String) {
        // The first few say it; a wrong kernel would fill pages.
        if self.faults.len() < 5 {
            self.faults.push(fault);
        }
    }

    /// Compares numbers; `skip` tells rows that cannot be judged.
    fn numbers(&mut self, what: &str, got: &[f32], expected: &Numbers, row: usize, skip: &[bool]) {
        if got.len() != expected.values.len() {
            self.fault(format!("{what} has {} numbers, not {}", got.len(), expected.values.len()));
            return;
        }
        let pairs = got.iter().zip(&expected.values).zip(&expected.tolerance).enumerate();
        for (index, ((got, value), tolerance)) in pairs {
            if skip.get(index / row.max(1)) == Some(&true) {
                continue;
            }
            let share = share(*got, *value, *tolerance);
            if share > self.share || share.is_nan() {
                self.share = if share.is_nan() { f64::INFINITY } else { share };
                let (row, column) = (index / row.max(1), index % row.max(1));
                self.at =
                    format!("{what}, row {row}, column {column}: {got:e}, not {value:e} ± {tolerance:.1e}");
            }
        }
    }
}

/// How much of its tolerance a number uses. What is not finite must be the same thing.
///
/// Results are f32, so the oracle's f64 is rounded before it is compared; tolerances have room for that.
fn share(got: f32, value: f64, tolerance: f64) -> f64 {
    let rounded = f64::from(value as f32);
    let got = f64::from(got);
    if !rounded.is_finite() {
        // Infinities are equal by their bits; NaN has many.
        let same = (rounded.is_nan() && got.is_nan()) || got.to_bits() == rounded.to_bits();
        return if same { 0.0 } else { f64::INFINITY };
    }
    // A tolerance that is no number, or has no bound, would let everything pass.
    let difference = (got - rounded).abs();
    if !tolerance.is_finite() || difference.is_nan() {
        f64::INFINITY
    } else if difference > 0.0 {
        // By a tolerance of 0 this is infinite, as it should be.
        difference / tolerance.max(0.0)
    } else {
        0.0
    }
}

/// Compares everything that a step handed out.
pub(crate) fn compare(got: &StepOutput, expected: &Expected, taps: &[crate::plan::ValueId]) -> Comparison {
    let mut found = Comparison::default();
    compare_taps(&mut found, got, expected, taps);
    let sequences = expected.draws.len();
    if got.logits.len() != sequences || got.tokens.len() != sequences {
        let (logits, tokens) = (got.logits.len(), got.tokens.len());
        found.fault(format!("logits of {logits} and tokens of {tokens} sequences, not {sequences}"));
        return found;
    }
    for (sequence, (got, numbers)) in got.logits.iter().zip(&expected.logits).enumerate() {
        found.numbers(&format!("logits of sequence {sequence}"), got, numbers, expected.vocabulary, &[]);
    }
    for (sequence, (got, draw)) in got.tokens.iter().zip(&expected.draws).enumerate() {
        let verdict = match draw {
            Some(draw) => draw.judge(*got),
            None if got.is_none() => Verdict::Same,
            None => Verdict::Wrong,
        };
        match verdict {
            Verdict::Same => {}
            Verdict::Close => {
                found.close_calls += 1;
                found.draws_differ = true;
            }
            Verdict::Wrong => {
                let right = draw.as_ref().and_then(|d| d.token);
                found.fault(format!("sequence {sequence} drew {got:?}, not {right:?}"));
            }
        }
    }
    found
}

fn compare_taps(
    found: &mut Comparison,
    got: &StepOutput,
    expected: &Expected,
    taps: &[crate::plan::ValueId],
) {
    let named = got.taps.iter().map(|tap| tap.value);
    if !named.eq(taps.iter().copied()) {
        found.fault(format!("{} taps or others than the plan's {}", got.taps.len(), taps.len()));
        return;
    }
    // Rows that chose other experts where nobody can tell: what follows from the choice is not judged.
    let mut skip: Vec<bool> = vec![];
    for (place, (got_tap, tap)) in got.taps.iter().zip(&expected.taps).enumerate() {
        let data = &got_tap.data;
        match &tap.content {
            Content::Numbers(numbers) => found.numbers(&tap.name, data, numbers, tap.row, &skip),
            Content::Indices(indices) => {
                let same = data.len() == indices.len()
                    && data
                        .iter()
                        .zip(indices)
                        .all(|(got, index)| (*index as f32).to_bits() == got.to_bits());
                if !same {
                    found.fault(format!("{} is {:?}…, not {:?}…", tap.name, first(data), first(indices)));
                }
            }
            Content::Experts(choice) => {
                skip = vec![false; choice.rows.len()];
                compare_experts(found, &tap.name, data, choice, &mut skip);
                if let Some(weights) = choice.weights.filter(|weights| *weights > place) {
                    compare_weights(found, data, &got.taps[weights].data, choice, &skip);
                }
            }
        }
    }
}

fn first<T: Copy>(items: &[T]) -> Vec<T> {
    items.iter().take(8).copied().collect()
}

fn experts_of(row: &[f32]) -> Vec<usize> {
    // Anything that is not a small whole number becomes an expert that does not exist.
    row.iter().map(|e| if *e >= 0.0 && e.fract() == 0.0 { *e as usize } else { usize::MAX }).collect()
}

fn compare_experts(
    found: &mut Comparison,
    name: &str,
    data: &[f32],
    choice: &ExpectedChoice,
    skip: &mut [bool],
) {
    let top_k = choice.routing.top_k;
    if data.len() != choice.rows.len() * top_k {
        found.fault(format!("{name} has {} experts, not {}", data.len(), choice.rows.len() * top_k));
        return;
    }
    for (index, (row, got)) in choice.rows.iter().zip(data.chunks(top_k)).enumerate() {
        let got = experts_of(got);
        match row.judge(&got, &choice.routing) {
            Choice::Same => {}
            Choice::Close => {
                found.close_calls += 1;
                skip[index] = true;
            }
            Choice::Wrong => {
                let right = row.chosen(top_k);
                found.fault(format!("{name}, row {index}: experts {got:?}, not {right:?}"));
            }
        }
    }
}

/// The weights of rows that chose other experts, by what those experts should weigh.
fn compare_weights(
    found: &mut Comparison,
    experts: &[f32],
    weights: &[f32],
    choice: &ExpectedChoice,
    skip: &[bool],
) {
    let top_k = choice.routing.top_k;
    let units = Units::new(&choice.numerics);
    let rows = choice.rows.iter().zip(experts.chunks(top_k)).zip(weights.chunks(top_k)).zip(skip);
    for (((row, experts), weights), _) in rows.filter(|(_, skipped)| **skipped) {
        let right = row.weights(&experts_of(experts), &choice.routing, &units);
        let numbers = Numbers {
            values: right.iter().map(|(w, _)| *w).collect(),
            tolerance: right.iter().map(|(_, t)| *t).collect(),
        };
        found.numbers("weights of other experts", weights, &numbers, top_k, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_what_is_not_finite() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert_eq!(share(1.5, 1.0, 1.0).to_bits(), 0.5f64.to_bits());
        assert!(share(nan, 1.0, 1.0).is_infinite());
        assert!(share(inf, 1.0, 1.0).is_infinite());
        assert!(share(1.0, f64::NAN, 1.0).is_infinite());
        assert!(share(1.0, 2.0, f64::NAN).is_infinite());
        assert!(share(1.0, 2.0, 0.0).is_infinite());
        assert!(share(1.0, 1.0, f64::INFINITY).is_infinite());
        for (got, value) in [(nan, f64::NAN), (inf, f64::INFINITY), (inf, 1e39), (1.0, 1.0)] {
            assert_eq!(share(got, value, 0.0).to_bits(), 0);
        }
    }
}
