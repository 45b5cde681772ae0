//! Mixture of experts: choosing them, their products, and the sum of what they gave.

use std::cmp::Ordering;

use super::linear::{Activations, Epilogue, LinearError, LinearScratch, linear};
use super::share::{GRAIN, pieces};
use super::simd::{Isa, Kernel, Line, Simd, SimdSlices, lines, reserve_lines};
use super::values::{Values, grow, make_room, numbers_mut};
use crate::format::{FormatError, MatrixView, PackedMatrix};
use crate::plan::{ExpertCombine, ExpertLinear, Route, Scoring};

/// What the products of experts keep from one step to the next: memory.
#[derive(Default)]
pub(super) struct ExpertScratch {
    /// Where in `places` each expert begins; one more entry ends the last.
    starts: Vec<usize>,
    /// Slots of rows, grouped by the expert that they chose.
    places: Vec<u32>,
    /// The row of the input that goes with each place.
    inputs: Vec<u32>,
    /// One expert's products, before they go to their places.
    products: Vec<Line>,
}

/// The experts of each row and their weights.
pub(super) fn route(values: &mut Values, vectors: &[Vec<f32>], op: &Route, scratch: &mut Vec<f32>) {
    let rows = values.rows(op.experts);
    let mut expert_buffer = values.take(op.experts);
    let mut weight_buffer = values.take(op.weights);
    let experts = numbers_mut::<u32>(&mut expert_buffer, rows * op.top_k);
    let weights = numbers_mut::<f32>(&mut weight_buffer, rows * op.top_k);
    let logits = values.floats(op.logits);
    let bias = op.selection_bias.map(|id| vectors[id.index()].as_slice());
    let chosen = experts.chunks_exact_mut(op.top_k).zip(weights.chunks_exact_mut(op.top_k));
    for (row, (experts, weights)) in chosen.enumerate() {
        scratch.clear();
        scratch.extend_from_slice(logits.row(row));
        score(scratch, op.scoring);
        choose(scratch, bias, experts);
        for (weight, expert) in weights.iter_mut().zip(&*experts) {
            *weight = scratch[*expert as usize];
        }
        let divisor = if op.renormalize { weights.iter().sum() } else { 1.0 };
        for weight in weights {
            *weight = *weight / divisor * op.factor;
        }
    }
    values.put(op.experts, expert_buffer);
    values.put(op.weights, weight_buffer);
}

/// Turns a row's router logits into scores.
fn score(logits: &mut [f32], scoring: Scoring) {
    match scoring {
        Scoring::Sigmoid => {
            for x in logits {
                *x = 1.0 / (1.0 + (-*x).exp());
            }
        }
        Scoring::Softmax => {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut total = 0.0;
            for x in &mut *logits {
                *x = (*x - largest).exp();
                total += *x;
            }
            for x in logits {
                *x /= total;
            }
        }
    }
}

/// The best scores' indices, best first, equal ones by lower index. NaN counts as the largest, so that it shows.
fn choose(scores: &[f32], bias: Option<&[f32]>, chosen: &mut [u32]) {
    let key = |index: usize| {
        let score = scores[index] + bias.map_or(0.0, |bias| bias[index]);
        // Adding 0 makes −0 equal to 0, which it is.
        if score.is_nan() { f32::NAN.abs() } else { score + 0.0 }
    };
    let mut count = 0;
    for index in 0..scores.len() {
        let this = key(index);
        let better_than = |other: &u32| this.total_cmp(&key(*other as usize)) == Ordering::Greater;
        let place = chosen[..count].iter().position(better_than).unwrap_or(count);
        if place < chosen.len() {
            count = chosen.len().min(count + 1);
            chosen[place..count].rotate_right(1);
            chosen[place] = index as u32;
        }
    }
}

/// How many of everything products of experts need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExpertSizes {
    /// Experts of a matrix.
    pub(super) experts: usize,
    /// Slots of rows.
    pub(super) slots: usize,
    /// Floats of one expert's products.
    pub(super) products: usize,
}

impl ExpertSizes {
    /// Adds what another operator needs.
    pub(super) fn cover(&mut self, other: Self) {
        self.experts = self.experts.max(other.experts);
        self.slots = self.slots.max(other.slots);
        self.products = self.products.max(other.products);
    }

    /// Bytes of an [`ExpertScratch`].
    pub(super) fn bytes(&self) -> u64 {
        let starts = (self.experts as u64).saturating_add(1).saturating_mul(size_of::<usize>() as u64);
        let slots = (self.slots as u64).saturating_mul(2 * size_of::<u32>() as u64);
        let products = (lines(self.products) as u64).saturating_mul(size_of::<Line>() as u64);
        starts.saturating_add(slots).saturating_add(products)
    }
}

impl ExpertScratch {
    /// Lets it hold what these sizes say.
    pub(super) fn reserve(&mut self, sizes: &ExpertSizes) -> Result<(), FormatError> {
        make_room(&mut self.starts, sizes.experts.saturating_add(1))?;
        make_room(&mut self.places, sizes.slots)?;
        make_room(&mut self.inputs, sizes.slots)?;
        grow(&mut self.products, lines(sizes.products))
    }

    /// Groups the slots of all rows by expert; slots of experts that do not exist are left out.
    fn group(&mut self, chosen: &[u32], experts: usize, input_of: impl Fn(usize) -> usize) {
        self.starts.clear();
        self.starts.resize(experts + 1, 0);
        for expert in chosen {
            if let Some(start) = self.starts.get_mut(*expert as usize + 1) {
                *start += 1;
            }
        }
        for expert in 0..experts {
            self.starts[expert + 1] += self.starts[expert];
        }
        let total = self.starts[experts];
        self.places.clear();
        self.places.resize(total, 0);
        self.inputs.clear();
        self.inputs.resize(total, 0);
        // Each start moves on as its group fills, and so ends up as the next one's.
        for (place, expert) in chosen.iter().enumerate() {
            if (*expert as usize) < experts {
                let at = &mut self.starts[*expert as usize];
                self.places[*at] = place as u32;
                self.inputs[*at] = input_of(place) as u32;
                *at += 1;
            }
        }
        self.starts.rotate_right(1);
        self.starts[0] = 0;
    }
}

/// One product per slot of a row, with the matrix of the expert that the row's slot chose.
pub(super) fn expert_linear(
    isa: Isa,
    values: &mut Values,
    op: &ExpertLinear,
    (matrix, bias): (&PackedMatrix, Option<&[f32]>),
    scratch: &mut ExpertScratch,
    linear_scratch: &mut LinearScratch,
) -> Result<(), LinearError> {
    let width = matrix.rows() / op.experts;
    let mut buffer = values.take(op.output);
    let x = values.floats(op.input);
    let chosen = values.indices(op.chosen.value);
    let (top_k, input_slots) = (op.chosen.width, values.shape(op.input.value).slots);
    scratch.group(chosen, op.experts, |place| {
        let (row, slot) = (place / top_k, place % top_k);
        row * input_slots + if input_slots == 1 { 0 } else { slot }
    });
    let out = numbers_mut::<f32>(&mut buffer, chosen.len() * width);
    if scratch.places.len() < chosen.len() {
        // An expert that does not exist, which only a broken input can name, leaves NaN.
        out.fill(f32::NAN);
    }
    let ExpertScratch { starts, places, inputs, products } = scratch;
    let mut all = || {
        for expert in 0..op.experts {
            let group = starts[expert]..starts[expert + 1];
            let (places, inputs) = (&places[group.clone()], &inputs[group]);
            let rows = expert * width..(expert + 1) * width;
            let weights: MatrixView<'_> = matrix.view_rows(rows.clone())?;
            let epilogue = Epilogue { bias: bias.map(|bias| &bias[rows]), add: false };
            let x = Activations::gathered(x.span(), x.stride(), inputs);
            match places {
                [] => {}
                // A single row goes where it belongs at once.
                [place] => {
                    let out = &mut out[*place as usize * width..][..width];
                    linear(isa, x, weights, epilogue, out, linear_scratch)?;
                }
                places => {
                    let products = reserve_lines(products, lines(places.len() * width));
                    let products = numbers_mut(products, places.len() * width);
                    linear(isa, x, weights, epilogue, products, linear_scratch)?;
                    for (place, product) in places.iter().zip(products.chunks_exact(width)) {
                        out[*place as usize * width..][..width].copy_from_slice(product);
                    }
                }
            }
        }
        Ok(())
    };
    let result = all();
    values.put(op.output, buffer);
    result
}

/// `y = Σ_slot weight[slot] · x[slot] + residual`.
pub(super) fn expert_combine(isa: Isa, values: &mut Values, op: &ExpertCombine) {
    let in_place = op.residual.is_some_and(|residual| values.share(residual.value, op.output));
    let count = values.rows(op.output) * op.input.width;
    let mut buffer = values.take(op.output);
    let (x, weights) = (values.floats(op.input), values.floats(op.weights));
    let residual = op.residual.filter(|_| !in_place).map(|residual| values.floats(residual));
    pieces(numbers_mut(&mut buffer, count), op.input.width, GRAIN / 4, |row, column, out| {
        match residual {
            Some(residual) => out.copy_from_slice(&residual.row(row)[column..][..out.len()]),
            None if in_place => {}
            None => out.fill(0.0),
        }
        for (slot, weight) in weights.row(row).iter().enumerate() {
            let x = &x.row(row * weights.width() + slot)[column..][..out.len()];
            isa.run_float(AddWeighted { weight: *weight, x, out });
        }
    });
    values.put(op.output, buffer);
}

/// `out += weight · x`
struct AddWeighted<'a> {
    weight: f32,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for AddWeighted<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.axpy(self.out, self.weight, self.x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_equals_by_index() {
        let choose = |scores: &[f32], top_k: usize| {
            let mut chosen = vec![0; top_k];
            choose(scores, None, &mut chosen);
            chosen
        };
        assert_eq!(choose(&[1.0, 3.0, 2.0, 3.0, 1.0], 4), [1, 3, 2, 0]);
        assert_eq!(choose(&[1.0, 3.0, 2.0, 3.0, 1.0], 5), [1, 3, 2, 0, 4]);
        assert_eq!(choose(&[-0.0, 0.0, -0.0], 2), [0, 1]);
        assert_eq!(choose(&[1.0, f32::NAN, 2.0, -f32::NAN], 3), [1, 3, 2]);
        assert_eq!(choose(&[0.0, 1.0, 2.0, 3.0], 1), [3]);
    }

    #[test]
    fn slots_are_grouped_by_expert() {
        let mut scratch = ExpertScratch::default();
        for _ in 0..2 {
            scratch.group(&[2, 0, 9, 2, 1, 0], 3, |place| place / 2);
            assert_eq!(scratch.starts, [0, 2, 3, 5]);
            assert_eq!(scratch.places, [1, 5, 4, 0, 3]);
            assert_eq!(scratch.inputs, [0, 2, 2, 0, 1]);
        }
    }
}
