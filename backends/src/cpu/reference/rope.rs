//! Rotary position embedding, with angles in f64.

use super::step::Step;
use crate::plan::{Operand, Rope, RopeId, RopeSpec};

/// Rotates each head of one row: pair (a, b) becomes (a·cos − b·sin, a·sin + b·cos) · magnitude.
pub fn rotate_row(spec: &RopeSpec, position: u32, row: &mut [f64]) {
    let (frequencies, magnitude) = (spec.inverse_frequencies(), spec.magnitude());
    for head in row.chunks_exact_mut(spec.head_dim) {
        for (i, frequency) in frequencies.iter().enumerate() {
            let (sin, cos) = (f64::from(position) * frequency).sin_cos();
            let (first, second) = spec.pair(i);
            let (a, b) = (head[first], head[second]);
            head[first] = (a * cos - b * sin) * magnitude;
            head[second] = (a * sin + b * cos) * magnitude;
        }
    }
}

/// The rows of an operand, rotated by their positions.
pub(super) fn rotated(operand: Operand, rope: RopeId, step: &Step<'_>) -> Vec<f64> {
    let spec = &step.plan.ropes[rope.index()];
    let mut x = step.values.operand(operand);
    for (row, position) in x.chunks_exact_mut(operand.width).zip(&step.layout.position) {
        rotate_row(spec, *position, row);
    }
    x
}

/// Rotates each head of the input by its row's position.
pub(super) fn rope(op: &Rope, step: &mut Step<'_>) {
    let y = rotated(op.input, op.rope, step);
    step.values.write(op.output, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::testing::{Bench, assert_close};
    use crate::plan::{RopeLayout, RopeScaling};

    /// Frequencies 1 and 1/100.
    fn spec(layout: RopeLayout) -> RopeSpec {
        RopeSpec { layout, ..RopeSpec::new(4, 10_000.0) }
    }

    #[test]
    fn halves_and_interleaved_pair_different_elements() {
        let (s, c) = 2.0_f64.sin_cos();
        let (s2, c2) = 0.02_f64.sin_cos();
        let mut row = [1.0, 2.0, 3.0, 4.0];
        rotate_row(&spec(RopeLayout::Halves), 2, &mut row);
        assert_close(&row, &[c - 3.0 * s, 2.0 * c2 - 4.0 * s2, s + 3.0 * c, 2.0 * s2 + 4.0 * c2], 1e-15);
        let mut row = [1.0, 2.0, 3.0, 4.0];
        rotate_row(&spec(RopeLayout::Interleaved), 2, &mut row);
        assert_close(&row, &[c - 2.0 * s, s + 2.0 * c, 3.0 * c2 - 4.0 * s2, 3.0 * s2 + 4.0 * c2], 1e-15);
    }

    #[test]
    fn the_rest_of_a_partly_rotated_head_passes_unscaled() {
        let scaling = RopeScaling::PerFrequency { divisors: vec![1.0], magnitude: 3.0 };
        let spec = RopeSpec { rotary_dim: 2, scaling, ..spec(RopeLayout::Halves) };
        let mut row = [1.0, 0.0, 5.0, 6.0, 0.0, 1.0, 7.0, 8.0];
        rotate_row(&spec, 1, &mut row);
        let (s, c) = 1.0_f64.sin_cos();
        assert_close(&row, &[3.0 * c, 3.0 * s, 5.0, 6.0, -3.0 * s, 3.0 * c, 7.0, 8.0], 1e-15);
    }

    #[test]
    fn rows_turn_by_their_positions() {
        let mut bench = Bench::new();
        let x = bench.input(2, &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let rope = bench.plan.rope_spec(RopeSpec::new(2, 10_000.0));
        let y = bench.plan.rope(x, rope);
        bench.start = 7;
        let expected = [7.0_f64, 8.0, 9.0].map(|angle| [angle.cos(), angle.sin()]).concat();
        assert_close(&bench.run(y), &expected, 1e-15);
    }
}
