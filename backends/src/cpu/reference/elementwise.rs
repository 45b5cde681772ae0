//! Operators that look at one element at a time, or at the same element of two inputs.

use super::quantize::quantize_rows;
use super::step::Step;
use crate::plan::{Activate, Add, Function, Gated, Scale, SelectRows, Softcap};

/// One of the elementwise functions.
pub fn apply(function: Function, x: f64) -> f64 {
    match function {
        Function::Silu => x * sigmoid(x),
        Function::Gelu => 0.5 * x * erfc(-x / std::f64::consts::SQRT_2),
        Function::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            // (1 + tanh z) / 2 is sigmoid(2z), which keeps its digits where 1 + tanh z would cancel.
            x * sigmoid(2.0 * inner)
        }
        Function::Relu => relu(x),
        Function::ReluSquared => relu(x) * relu(x),
        Function::Sigmoid => sigmoid(x),
        Function::Tanh => x.tanh(),
    }
}

/// `1 / (1 + exp(−x))`.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Not `max(x, 0)`, which would turn NaN into 0.
fn relu(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

/// `cap · tanh(x / cap)`.
pub fn softcapped(x: f64, cap: f64) -> f64 {
    cap * (x / cap).tanh()
}

/// `1 − erf(x)`, to about 15 digits even where it is tiny.
pub fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    let bell = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        // erf(x) = bell · 2x · (1 + 2x²/3 + (2x²)²/(3·5) + …), all terms positive; 60 suffice below 2.
        let (mut term, mut sum) = (2.0 * x, 2.0 * x);
        for n in 1..60 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        1.0 - bell * sum
    } else {
        // erfc(x) = bell / (x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))), from a depth at which the tail
        // no longer matters.
        let fraction = (1..=200).rev().fold(x, |tail, n| x + 0.5 * f64::from(n) / tail);
        bell / fraction
    }
}

/// `y = function(gate) · up`.
pub(super) fn gated(op: &Gated, step: &mut Step<'_>) {
    let (gate, up) = (step.values.operand(op.gate), step.values.operand(op.up));
    let mut y = gate.iter().zip(&up).map(|(gate, up)| apply(op.function, *gate) * up).collect::<Vec<_>>();
    if let Some(scale) = op.quantize {
        y = quantize_rows(&y, op.gate.width, scale);
    }
    step.values.write(op.output, y);
}

/// `y = function(x)`.
pub(super) fn activate(op: &Activate, step: &mut Step<'_>) {
    let y = step.values.operand(op.input).into_iter().map(|x| apply(op.function, x)).collect();
    step.values.write(op.output, y);
}

/// `y = a + b`.
pub(super) fn add(op: &Add, step: &mut Step<'_>) {
    let (a, b) = (step.values.operand(op.a), step.values.operand(op.b));
    step.values.write(op.output, a.iter().zip(&b).map(|(a, b)| a + b).collect());
}

/// `y = factor · x`.
pub(super) fn scale(op: &Scale, step: &mut Step<'_>) {
    let factor = f64::from(op.factor);
    let y = step.values.operand(op.input).into_iter().map(|x| factor * x).collect();
    step.values.write(op.output, y);
}

/// `y = cap · tanh(x / cap)`.
pub(super) fn softcap(op: &Softcap, step: &mut Step<'_>) {
    let cap = f64::from(op.cap);
    let y = step.values.operand(op.input).into_iter().map(|x| softcapped(x, cap)).collect();
    step.values.write(op.output, y);
}

/// Keeps the rows whose logits somebody asked for.
pub(super) fn select_rows(op: &SelectRows, step: &mut Step<'_>) {
    let len = step.values.shape(op.input).slots * op.input.width;
    let x = step.values.operand(op.input);
    let selected = step.layout.selected.iter();
    let y = selected.flat_map(|row| &x[*row as usize * len..][..len]).copied().collect();
    step.values.write(op.output, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogitRows;
    use crate::cpu::reference::quantize::quantize_row;
    use crate::cpu::reference::testing::{Bench, assert_close};
    use crate::format::ActivationScale;
    use crate::plan::{Element, Op, Rows, Shape};

    #[test]
    fn functions_have_their_known_values() {
        let e = std::f64::consts::E;
        let known = [
            (Function::Silu, 1.0, e / (e + 1.0)),
            (Function::Silu, -800.0, 0.0),
            // Φ(1) and Φ(−1) of the normal distribution, from its published tables.
            (Function::Gelu, 1.0, 0.841_344_746_068_542_9),
            (Function::Gelu, -1.0, -0.158_655_253_931_457_05),
            (Function::Gelu, 0.0, 0.0),
            // x·Φ(x) at −6, where 1 + erf would have lost half of its digits.
            (Function::Gelu, -6.0, -6.0 * 9.865_876_450_376_98e-10),
            (Function::GeluTanh, 1.0, 0.841_191_990_608_276_8),
            (Function::Relu, -2.0, 0.0),
            (Function::Relu, 2.5, 2.5),
            (Function::ReluSquared, 2.5, 6.25),
            (Function::ReluSquared, -1.0, 0.0),
            (Function::Sigmoid, 0.0, 0.5),
            (Function::Sigmoid, -2.0, 1.0 / (1.0 + e * e)),
            (Function::Tanh, 1.0, (e * e - 1.0) / (e * e + 1.0)),
        ];
        for (function, x, expected) in known {
            let y = apply(function, x);
            assert!((y - expected).abs() <= 1e-14 * expected.abs(), "{function:?}({x}) = {y}");
        }
    }

    #[test]
    fn erfc_is_accurate_on_both_sides_of_its_seam() {
        // Published to 16 digits or more.
        let known = [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_13),
            (2.0, 4.677_734_981_047_266e-3),
            (3.0, 2.209_049_699_858_544e-5),
            (5.0, 1.537_459_794_428_034_8e-12),
            (-1.0, 1.842_700_792_949_715),
        ];
        for (x, expected) in known {
            assert!((erfc(x) - expected).abs() < 2e-14 * expected, "erfc({x}) = {}", erfc(x));
        }
        assert!((erfc(2.0_f64.next_down()) - erfc(2.0)).abs() < 1e-15);
    }

    #[test]
    fn broken_numbers_are_passed_on() {
        for function in [
            Function::Silu,
            Function::Gelu,
            Function::GeluTanh,
            Function::Relu,
            Function::ReluSquared,
            Function::Sigmoid,
            Function::Tanh,
        ] {
            assert!(apply(function, f64::NAN).is_nan(), "{function:?}");
        }
        assert!(softcapped(f64::NAN, 5.0).is_nan());
    }

    #[test]
    fn elementwise_operators_by_hand() {
        let mut bench = Bench::new();
        let x = bench.input(4, &[1.0, -2.0, 3.0, 0.5]);
        let sum = bench.plan.add(x.columns(0, 2), x.columns(2, 2));
        let scaled = bench.plan.scale(x, -0.5);
        let capped = bench.plan.softcap(x, 2.0);
        let relu = bench.plan.activate(x, Function::Relu);
        let gated = bench.plan.gated(x.columns(0, 2), x.columns(2, 2), Function::Tanh);
        assert_eq!(bench.run(sum), [4.0, -1.5]);
        assert_eq!(bench.run(scaled), [-0.5, 1.0, -1.5, -0.25]);
        let tanh = [0.5_f64, -1.0, 1.5, 0.25].map(|x| 2.0 * x.tanh());
        assert_close(&bench.run(capped), &tanh, 1e-15);
        assert_eq!(bench.run(relu), [1.0, 0.0, 3.0, 0.5]);
        assert_close(&bench.run(gated), &[3.0 * 1.0_f64.tanh(), -0.5 * 2.0_f64.tanh()], 1e-15);
    }

    #[test]
    fn gating_quantises_whole_rows() {
        let mut bench = Bench::new();
        let (gate, up) = (bench.input(2, &[1.0, 2.0, 3.0, 4.0]), bench.input(2, &[5.0, 0.1, 7.0, -8.0]));
        let plain = bench.plan.silu_mul(gate, up);
        let shape = Shape { element: Element::Int8Rows, ..Shape::rows_of(Rows::Tokens, 2) };
        let codes = bench.plan.value("codes", shape);
        let quantize = Some(ActivationScale::PerTensor(0.03));
        let fused = Gated { gate, up, function: Function::Silu, quantize, output: codes.value };
        bench.plan.push("fused", Op::Gated(fused));
        let expected = bench
            .run(plain)
            .chunks(2)
            .flat_map(|row| quantize_row(row, ActivationScale::PerTensor(0.03)))
            .collect::<Vec<_>>();
        assert_eq!(bench.run(codes), expected);
    }

    #[test]
    fn selected_rows_are_kept_in_order() {
        let mut bench = Bench::new();
        let x = bench.input(2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let selected = bench.plan.select_rows(x.columns(1, 1));
        bench.plan.hand_out_logits(selected);
        bench.logits = LogitRows::Last;
        assert_eq!(bench.run(selected), [6.0]);
        bench.logits = LogitRows::All;
        assert_eq!(bench.run(selected), [2.0, 4.0, 6.0]);
        bench.logits = LogitRows::None;
        assert!(bench.run(selected).is_empty());
    }
}
