//! Mixture of experts: choosing them, their products, and the sum of what they gave.

use super::elementwise::sigmoid;
use super::linear::product_of_activations;
use super::step::Step;
use crate::BackendError;
use crate::plan::{ExpertCombine, ExpertLinear, Route, Scoring};

/// The scores of a row's router logits.
pub fn scores(logits: &[f64], scoring: Scoring) -> Vec<f64> {
    match scoring {
        Scoring::Sigmoid => logits.iter().map(|x| sigmoid(*x)).collect(),
        Scoring::Softmax => {
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shares = logits.iter().map(|x| (x - largest).exp()).collect::<Vec<_>>();
            let total = shares.iter().sum::<f64>();
            shares.iter().map(|share| share / total).collect()
        }
    }
}

/// The `top_k` largest, best first, equal ones by lower index. NaN counts as the largest, so that it
/// shows in the result.
pub fn best(scores: &[f64], top_k: usize) -> Vec<usize> {
    let mut order = (0..scores.len()).collect::<Vec<_>>();
    // The sort is stable, so equals stay in the order of their indices; adding 0 makes −0 equal to 0.
    let key = |i: usize| if scores[i].is_nan() { scores[i].abs() } else { scores[i] + 0.0 };
    order.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
    order.truncate(top_k);
    order
}

/// The experts of each row and their weights.
pub(super) fn route(op: &Route, step: &mut Step<'_>) {
    let logits = step.values.operand(op.logits);
    let bias = op.selection_bias.map(|id| &step.weights.vectors[id.index()]);
    let (mut experts, mut weights) = (vec![], vec![]);
    for logits in logits.chunks_exact(op.logits.width) {
        let scores = scores(logits, op.scoring);
        let biased = scores.iter().enumerate().map(|(i, s)| s + bias.map_or(0.0, |b| f64::from(b[i])));
        let chosen = best(&biased.collect::<Vec<_>>(), op.top_k);
        let total = chosen.iter().map(|expert| scores[*expert]).sum::<f64>();
        let divisor = if op.renormalize { total } else { 1.0 };
        weights.extend(chosen.iter().map(|expert| scores[*expert] / divisor * f64::from(op.factor)));
        experts.extend(chosen.iter().map(|expert| *expert as f64));
    }
    step.values.write(op.experts, experts);
    step.values.write(op.weights, weights);
}

/// One product per slot of a row, with the matrix of the expert that the row's slot chose.
#[allow(clippy::float_cmp, reason = "indices are whole numbers")]
pub(super) fn expert_linear(op: &ExpertLinear, step: &mut Step<'_>) -> Result<(), BackendError> {
    let matrix = &step.weights.matrices[op.matrix.index()];
    let (cols, width) = (op.input.width, matrix.rows() / op.experts);
    let (input, chosen) = (step.values.operand(op.input), step.values.operand(op.chosen));
    let (top_k, input_slots) = (op.chosen.width, step.values.shape(op.input).slots);
    let bias = op.bias.map(|id| &step.weights.vectors[id.index()]);
    // An expert that does not exist, which only a broken plan input can name, leaves NaN.
    let mut output = vec![f64::NAN; chosen.len() * width];
    for expert in 0..op.experts {
        let places = (0..chosen.len()).filter(|place| chosen[*place] == expert as f64).collect::<Vec<_>>();
        let input_of = |place: usize| {
            let (row, slot) = (place / top_k, place % top_k);
            let vector = row * input_slots + if input_slots == 1 { 0 } else { slot };
            &input[vector * cols..(vector + 1) * cols]
        };
        let x = places.iter().flat_map(|place| input_of(*place)).copied().collect::<Vec<_>>();
        let of_expert = expert * width..(expert + 1) * width;
        let y = product_of_activations(&x, &matrix.view_rows(of_expert.clone())?);
        for (place, y) in places.iter().zip(y.chunks_exact(width)) {
            for (i, y) in y.iter().enumerate() {
                output[place * width + i] = y + bias.map_or(0.0, |b| f64::from(b[of_expert.start + i]));
            }
        }
    }
    step.values.write(op.output, output);
    Ok(())
}

/// `y = Σ_slot weight[slot] · x[slot] + residual`.
pub(super) fn expert_combine(op: &ExpertCombine, step: &mut Step<'_>) {
    let (x, weights) = (step.values.operand(op.input), step.values.operand(op.weights));
    let width = op.input.width;
    let mut y = match op.residual {
        Some(residual) => step.values.operand(residual),
        None => vec![0.0; x.len() / op.weights.width],
    };
    for (place, (vector, weight)) in x.chunks_exact(width).zip(&weights).enumerate() {
        let row = place / op.weights.width;
        for (y, x) in y[row * width..].iter_mut().zip(vector) {
            *y += weight * x;
        }
    }
    step.values.write(op.output, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::testing::{Bench, assert_close};
    use crate::format::{ActivationScale, WeightFormat};
    use crate::plan::{ExpertOutput, LinearWeights, Op, Routed, Rows, Shape};

    fn how(top_k: usize, scoring: Scoring) -> ExpertOutput {
        ExpertOutput { top_k, scoring, selection_bias: None, renormalize: false, factor: 1.0 }
    }

    #[test]
    fn equal_scores_go_to_the_lower_index() {
        assert_eq!(best(&[1.0, 3.0, 2.0, 3.0, 1.0], 4), [1, 3, 2, 0]);
        assert_eq!(best(&[-0.0, 0.0, -0.0], 2), [0, 1]);
        assert_eq!(best(&[1.0, f64::NAN, 2.0, -f64::NAN], 3), [1, 3, 2]);
    }

    #[test]
    fn softmax_routing_by_hand() {
        let mut bench = Bench::new();
        let logits = bench.input(4, &[0.0, 2.0_f32.ln(), 0.0, 4.0_f32.ln()]);
        let plain = bench.plan.route(logits, how(2, Scoring::Softmax));
        let scaled = ExpertOutput { renormalize: true, factor: 3.0, ..how(2, Scoring::Softmax) };
        let scaled = bench.plan.route(logits, scaled);
        assert_eq!(bench.run(plain.experts), [3.0, 1.0]);
        assert_close(&bench.run(plain.weights), &[0.5, 0.25], 1e-7);
        assert_close(&bench.run(scaled.weights), &[2.0, 1.0], 1e-7);
    }

    #[test]
    fn a_selection_bias_chooses_but_does_not_weigh() {
        let mut bench = Bench::new();
        let logits = bench.input(3, &[0.0, 1.0, 2.0]);
        let bias = bench.vector(&[1.0, 0.0, 0.0]);
        let how = ExpertOutput { selection_bias: Some(bias), ..how(2, Scoring::Sigmoid) };
        let routed = bench.plan.route(logits, how);
        assert_eq!(bench.run(routed.experts), [0.0, 2.0]);
        assert_close(&bench.run(routed.weights), &[0.5, sigmoid(2.0)], 1e-15);
    }

    /// Two rows of one column; experts multiply by 1, 10 and 100.
    fn experts(bench: &mut Bench) -> (Routed, LinearWeights) {
        let logits = bench.input(3, &[2.0, 0.0, 1.0, 0.0, 2.0, 1.0]);
        let routed = bench.plan.route(logits, how(2, Scoring::Sigmoid));
        let matrix = bench.matrix(6, 1, WeightFormat::F32, &[1.0, -1.0, 10.0, -10.0, 100.0, -100.0]);
        let bias = bench.vector(&[0.0, 0.0, 0.5, 0.0, 0.25, 0.0]);
        (routed, LinearWeights { matrix, bias: Some(bias) })
    }

    #[test]
    fn each_slot_is_multiplied_by_its_expert() {
        let mut bench = Bench::new();
        let x = bench.input(1, &[3.0, 7.0]);
        let (routed, weights) = experts(&mut bench);
        let y = bench.plan.expert_linear(x, routed, 3, weights);
        assert_eq!(bench.run(routed.experts), [0.0, 2.0, 1.0, 2.0]);
        assert_eq!(bench.run(y), [3.0, -3.0, 300.25, -300.0, 70.5, -70.0, 700.25, -700.0]);
    }

    #[test]
    fn slots_go_on_through_their_own_experts() {
        let mut bench = Bench::new();
        let x = bench.input(1, &[3.0, 7.0]);
        let (routed, weights) = experts(&mut bench);
        let up = bench.plan.expert_linear(x, routed, 3, weights);
        let down = bench.matrix(3, 2, WeightFormat::F32, &[1.0, 0.0, 2.0, 0.0, 0.0, 4.0]);
        let y = bench.plan.expert_linear(up, routed, 3, down);
        // Expert 0 keeps the first of the two, expert 1 doubles it, expert 2 takes 4 of the second.
        assert_eq!(bench.run(y), [3.0, -1200.0, 141.0, -2800.0]);
    }

    #[test]
    fn combining_weighs_the_slots_and_adds_the_residual() {
        let mut bench = Bench::new();
        let x = bench.input(1, &[3.0, 7.0]);
        let residual = bench.input(2, &[1000.0, 0.0, 2000.0, 1.0]);
        let (routed, weights) = experts(&mut bench);
        let slots = bench.plan.expert_linear(x, routed, 3, weights);
        let plain = bench.plan.expert_combine(slots, routed);
        let output = bench.plan.value("fused", Shape::rows_of(Rows::Tokens, 2));
        let fused = ExpertCombine {
            input: slots,
            weights: routed.weights,
            residual: Some(residual),
            output: output.value,
        };
        bench.plan.push("fused", Op::ExpertCombine(fused));
        let (w2, w1) = (sigmoid(2.0), sigmoid(1.0));
        let expected = [
            w2 * 3.0 + w1 * 300.25,
            w2 * -3.0 + w1 * -300.0,
            w2 * 70.5 + w1 * 700.25,
            w2 * -70.0 + w1 * -700.0,
        ];
        assert_close(&bench.run(plain), &expected, 1e-15);
        let with_residual =
            [1000.0, 0.0, 2000.0, 1.0].iter().zip(expected).map(|(r, y)| r + y).collect::<Vec<_>>();
        assert_close(&bench.run(output), &with_residual, 1e-15);
    }

    #[test]
    fn w8a8_experts_quantise_what_they_read() {
        let mut bench = Bench::new();
        // A code is worth 2: 3.9 becomes 4.
        let x = bench.input(2, &[254.0, 3.9]);
        let logits = bench.input(1, &[0.0]);
        let routed = bench.plan.route(logits, how(1, Scoring::Softmax));
        let format = WeightFormat::W8a8(ActivationScale::PerToken);
        let matrix = bench.matrix(1, 2, format, &[1.0, 127.0]);
        let y = bench.plan.expert_linear(x, routed, 1, matrix);
        assert_close(&bench.run(y), &[254.0 + 4.0 * 127.0], 1e-15);
    }
}
