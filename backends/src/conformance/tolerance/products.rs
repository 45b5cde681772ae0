//! Tolerances of products: `linear`, and what it shares with the experts' products.

use super::{FLOOR, Units};
use crate::format::ActivationScale;

/// A sum of products and how far a backend may be from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Product {
    pub sum: f64,
    pub tolerance: f64,
}

/// `Σ x·w` of one row of activations and one row of decoded weights.
///
/// Two things may differ from the exact sum:
///
/// - *Accumulation.* Each of the K additions rounds a partial sum by up to `u_acc` of it. Partial sums
///   wander between 0 and the result with the step sizes |x·w|, so they stay within ‖x∘w‖₂ of the line
///   between the two. The roundings have random signs: their sum grows with √K. Six times the bound on
///   its standard deviation is never met by chance: `6·u_acc·√K·(‖x∘w‖₂ + |Σ|)`. A different order of
///   additions, a tree or several accumulators only make it smaller. Rounding each product, or a scale
///   applied afterwards, adds `u_acc` per term, which this covers many times.
/// - *Operands.* Where the activations are rounded by `u_op` each, with random sign, the sum moves with a
///   standard deviation below `u_op·‖x∘w‖₂`: four times that. f16 also loses what lies below its smallest
///   normal number, 2⁻²⁵ at most: `2·2⁻²⁵·‖w‖₂`. Rounded weights move the sum likewise, and by `2·2⁻²⁵·‖x‖₂`.
pub(crate) fn product(
    x: &[f64],
    weights: &[f32],
    units: &Units,
    operand_unit: f64,
    weight_unit: f64,
) -> Product {
    let (mut sum, mut squares, mut x_squares, mut weight_squares) = (0.0, 0.0, 0.0, 0.0);
    for (x, w) in x.iter().zip(weights) {
        let w = f64::from(*w);
        let term = x * w;
        sum += term;
        squares += term * term;
        x_squares += x * x;
        weight_squares += w * w;
    }
    let norm = squares.sqrt();
    let accumulation = 6.0 * units.accumulate * (x.len() as f64).sqrt() * (norm + sum.abs());
    let operands = 4.0 * (operand_unit + weight_unit) * norm;
    let lost = |unit: f64, squares: f64| 2.0 * lost_below_f16(unit) * squares.sqrt();
    let subnormal = lost(operand_unit, weight_squares) + lost(weight_unit, x_squares);
    Product { sum, tolerance: accumulation + operands + subnormal + FLOOR }
}

/// What rounding by `unit` may move a number by that is below the smallest normal one. bf16 has the exponents
/// of f32: only f16 pays.
pub(super) fn lost_below_f16(unit: f64) -> f64 {
    if (F16_UNIT..BF16_UNIT).contains(&unit) { (-25f64).exp2() } else { 0.0 }
}

/// Rounding of the oracle's own additions.
pub(crate) const ORACLE_UNIT: f64 = f64::EPSILON / 2.0;
pub(crate) const F16_UNIT: f64 = 1.0 / 2048.0;
const BF16_UNIT: f64 = 1.0 / 256.0;

/// A row of activations in int8, and the codes that a sound backend may find instead.
#[derive(Clone, Debug)]
pub(crate) struct QuantizedRow {
    pub codes: Vec<f64>,
    /// By how many steps each code may differ.
    pub slack: Vec<f64>,
    pub scale: f64,
    /// Relative error that the scale may have.
    pub scale_unit: f64,
}

/// Quantises a row as the format says, given how far each element may be from the exact one.
///
/// The definition computes `x · (127 / max)` in f32: two roundings, and a division that some devices
/// round to 2.5 units. So a backend's value before rounding to an integer may be `6·2⁻²⁴` of itself
/// away, besides what `x` is; where an integer's border lies within that reach, the code may be either.
pub(crate) fn quantize_row(x: &[f64], slack: impl Fn(usize) -> f64, scale: ActivationScale) -> QuantizedRow {
    let largest = x.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let largest_slack = (0..x.len()).map(&slack).fold(0.0, f64::max);
    let (factor, scale, scale_unit) = match scale {
        // The scale itself is rounded once, or 2.5 units, and moves as the largest element does.
        ActivationScale::PerToken if f64::from(127.0 / largest as f32).is_finite() && largest > 0.0 => {
            (127.0 / largest, largest / 127.0, 6.0 * F32_UNIT + largest_slack / largest)
        }
        ActivationScale::PerToken => (0.0, 0.0, 0.0),
        ActivationScale::PerTensor(scale) => (1.0 / f64::from(scale), f64::from(scale), 0.0),
    };
    let code = |value: f64| value.clamp(-127.0, 127.0).round_ties_even();
    let mut row = QuantizedRow { codes: vec![], slack: vec![], scale, scale_unit };
    for (index, x) in x.iter().enumerate() {
        let value = x * factor;
        let reach = (6.0 * F32_UNIT + scale_unit) * value.abs() + slack(index) * factor;
        let at = code(value);
        row.codes.push(at);
        row.slack.push((code(value + reach) - at).max(at - code(value - reach)));
    }
    row
}

const F32_UNIT: f64 = super::F32_UNIT;

/// The `w8a8` product of one row: the int32 sum is exact, so what may differ is which codes the
/// activations got, `scale_x · scale_w · |code_w|` for each that may, and the scaling: two products and
/// the conversion of the sum, one rounding each, doubled. The oracle adds up numbers, not codes, in f64:
/// where the codes cancel exactly, it has its own rounding left over.
pub(crate) fn w8a8_product(x: &QuantizedRow, codes: &[i8], weight_scale: f32) -> Product {
    let (mut sum, mut slack, mut magnitudes) = (0.0, 0.0, 0.0);
    for ((x, x_slack), w) in x.codes.iter().zip(&x.slack).zip(codes) {
        let w = f64::from(*w);
        sum += x * w;
        slack += x_slack * w.abs();
        magnitudes += (x * w).abs();
    }
    let scale = x.scale * f64::from(weight_scale);
    let scaled = scale * sum;
    let oracle = ORACLE_UNIT * (x.codes.len() as f64) * magnitudes * scale;
    let tolerance = slack * scale + (6.0 * F32_UNIT + x.scale_unit) * scaled.abs() + oracle + FLOOR;
    Product { sum: scaled, tolerance }
}

/// What follows a product: `factor · (product + bias) + residual`, each operation rounding once, doubled.
#[allow(clippy::float_cmp, reason = "an attribute that is off is exactly 1 or 0")]
pub(crate) fn epilogue(product: Product, factor: f64, bias: f64, residual: f64, units: &Units) -> f64 {
    let terms = (factor * product.sum).abs() + (factor * bias).abs() + residual.abs();
    let y = factor * (product.sum + bias) + residual;
    let rounds = if factor == 1.0 && bias == 0.0 && residual == 0.0 { 0.0 } else { 4.0 * units.accumulate };
    factor.abs() * product.tolerance + rounds * terms + units.input * residual.abs() + units.stored(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Numerics;

    #[test]
    fn f32_accumulation_stays_within_and_a_lost_term_does_not() {
        let mut random = crate::conformance::random::Random::new(3);
        let units = Units::new(&Numerics::F32);
        let mut largest: f64 = 0.0;
        for k in [1, 2, 7, 64, 300, 5000] {
            for _ in 0..50 {
                let x = random.activations(k);
                let w = random.normals(k, 0.1);
                let exact = x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
                let expected = product(&exact, &w, &units, 0.0, 0.0);
                let got = x.iter().zip(&w).fold(0.0f32, |sum, (x, w)| x.mul_add(*w, sum));
                largest = largest.max((f64::from(got) - expected.sum).abs() / expected.tolerance);
                let lost = f64::from(got - x[k - 1] * w[k - 1]);
                let term = f64::from(x[k - 1] * w[k - 1]).abs();
                if term > 1e-3 {
                    assert!((lost - expected.sum).abs() > expected.tolerance);
                }
            }
        }
        assert!(largest < 0.7, "{largest}");
    }

    #[test]
    fn codes_near_a_border_may_be_either_and_others_may_not() {
        let x = [127.0, 0.5, 0.5 + 1e-6, 0.4, -126.5];
        let row = quantize_row(&x, |_| 0.0, ActivationScale::PerTensor(1.0));
        assert_eq!(row.codes, [127.0, 0.0, 1.0, 0.0, -126.0]);
        assert_eq!(row.slack, [0.0, 1.0, 0.0, 0.0, 1.0]);
        let row = quantize_row(&[0.0; 3], |_| 0.0, ActivationScale::PerToken);
        assert_eq!((row.scale, &row.codes[..]), (0.0, &[0.0; 3][..]));
    }
}
