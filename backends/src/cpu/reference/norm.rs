//! Normalisation, with the fused sum before it and the fused quantisation behind it.

use super::quantize::quantize_rows;
use super::step::Step;
use crate::plan::{Norm, NormKind};

/// `norm(x)` of one group of columns, without weights.
pub fn normalize(x: &[f64], kind: NormKind, epsilon: f64) -> Vec<f64> {
    let mean_of = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>() / x.len() as f64;
    let center = match kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => mean_of(&mut x.iter().copied()),
    };
    let variance = mean_of(&mut x.iter().map(|x| (x - center) * (x - center)));
    let divisor = (variance + epsilon).sqrt();
    x.iter().map(|x| (x - center) / divisor).collect()
}

/// `y = norm(input + add) · (offset + weight) + bias`; without a weight, nothing is multiplied.
pub(super) fn norm(op: &Norm, step: &mut Step<'_>) {
    let mut x = step.values.operand(op.input);
    if let Some(add) = op.add {
        for (x, add) in x.iter_mut().zip(step.values.operand(add)) {
            *x += add;
        }
    }
    let weight = op.weight.map(|id| &step.weights.vectors[id.index()]);
    let bias = op.bias.map(|id| &step.weights.vectors[id.index()]);
    let mut y = Vec::with_capacity(x.len());
    for group in x.chunks_exact(op.group) {
        for (i, x) in normalize(group, op.kind, f64::from(op.epsilon)).into_iter().enumerate() {
            let weight = weight.map_or(1.0, |w| f64::from(op.weight_offset) + f64::from(w[i]));
            let bias = bias.map_or(0.0, |b| f64::from(b[i]));
            y.push(x * weight + bias);
        }
    }
    if let Some(scale) = op.quantize {
        y = quantize_rows(&y, op.input.width, scale);
    }
    if let Some(sum) = op.sum {
        step.values.write(sum, x);
    }
    step.values.write(op.output, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::quantize::quantize_row;
    use crate::cpu::reference::testing::{Bench, assert_close};
    use crate::format::ActivationScale;
    use crate::plan::{Element, Op, Operand, Rows, Shape};

    /// RMS normalisation of rows of `width` without anything else.
    fn plain(input: Operand, output: Operand) -> Norm {
        Norm {
            input,
            kind: NormKind::Rms,
            group: input.width,
            weight: None,
            bias: None,
            weight_offset: 0.0,
            epsilon: 0.0,
            add: None,
            sum: None,
            quantize: None,
            output: output.value,
        }
    }

    #[test]
    fn rms_by_hand() {
        // mean(x²) = (9 + 16) / 2 = 12.5; with ε = 3.5 the root is 4.
        assert_eq!(normalize(&[3.0, 4.0], NormKind::Rms, 3.5), [0.75, 1.0]);
    }

    #[test]
    fn layer_by_hand() {
        // Mean 3, variance 4; with ε = 0 the divisor is 2.
        assert_eq!(normalize(&[1.0, 5.0, 1.0, 5.0], NormKind::Layer, 0.0), [-1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn weights_offsets_and_biases() {
        let mut bench = Bench::new();
        let x = bench.input(2, &[3.0, 4.0]);
        let (weight, bias) = (bench.vector(&[2.0, -1.0]), bench.vector(&[10.0, 20.0]));
        let y = bench.plan.value("y", Shape::rows_of(Rows::Tokens, 2));
        let norm =
            Norm { weight: Some(weight), bias: Some(bias), weight_offset: 1.0, epsilon: 3.5, ..plain(x, y) };
        bench.plan.push("norm", Op::Norm(norm));
        let bare = bench.plan.value("bare", Shape::rows_of(Rows::Tokens, 2));
        bench.plan.push("bare", Op::Norm(Norm { epsilon: 3.5, ..plain(x, bare) }));
        assert_eq!(bench.run(bare), [0.75, 1.0]);
        assert_eq!(bench.run(y), [0.75 * 3.0 + 10.0, 20.0]);
    }

    #[test]
    fn heads_are_normalised_apart_with_the_same_weights() {
        let mut bench = Bench::new();
        let x = bench.input(4, &[3.0, 4.0, 30.0, -40.0]);
        let weight = bench.vector(&[1.0, 2.0]);
        let y = bench.plan.head_norm(x, 2, weight, 0.0, 0.0);
        let root = 12.5_f64.sqrt();
        assert_close(&bench.run(y), &[3.0 / root, 8.0 / root, 3.0 / root, -8.0 / root], 1e-15);
    }

    #[test]
    fn the_fused_form_adds_keeps_the_sum_and_quantises() {
        let mut bench = Bench::new();
        let (a, b) = (bench.input(3, &[1.0, 2.0, 3.0]), bench.input(3, &[0.5, -7.0, 1.0]));
        let weight = bench.vector(&[1.0, 2.0, 3.0]);
        let shape = Shape::rows_of(Rows::Tokens, 3);
        let sum = bench.plan.value("sum", shape);
        let codes = bench.plan.value("codes", Shape { element: Element::Int8Rows, ..shape });
        let fused = Norm {
            weight: Some(weight),
            epsilon: 1e-6,
            add: Some(b),
            sum: Some(sum.value),
            quantize: Some(ActivationScale::PerToken),
            ..plain(a, codes)
        };
        bench.plan.push("fused", Op::Norm(fused));
        let added = bench.plan.add(a, b);
        let normed = bench.plan.rms_norm(added, weight, 1e-6);
        assert_eq!(bench.run(sum), [1.5, -5.0, 4.0]);
        assert_eq!(bench.run(codes), quantize_row(&bench.run(normed), ActivationScale::PerToken));
    }
}
