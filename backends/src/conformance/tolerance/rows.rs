//! Tolerances of operators that work on whole rows: normalisation, rotation, quantised results.

use super::products::{QuantizedRow, quantize_row};
use super::{F32_UNIT, FLOOR, Units};
use crate::format::ActivationScale;
use crate::plan::{NormKind, RopeSpec};

/// The attributes of a normalisation that matter here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormShape<'a> {
    pub kind: NormKind,
    pub weight: Option<&'a [f32]>,
    pub bias: Option<&'a [f32]>,
    pub offset: f64,
    pub epsilon: f64,
}

/// Normalisation of one group: the exact results and how far a backend may be from each.
///
/// With n elements and `a` one rounding in a sum:
/// - The mean of squares is a sum of positive terms: relative error `6a·√n`, of which the root takes half;
///   the root itself has the relative error of an elementary function; the two products that follow round
///   once each, doubled.
/// - Layer normalisation subtracts a mean known to `δ = 6a·(‖x‖₂ + |Σx|/√n)/√n` and rounds the difference;
///   both are scaled by the root. The variance is that of the differences, so an error of the mean changes
///   it only in second order: `δ²`. A backend that subtracts squares of large numbers instead (mean of
///   squares less square of the mean) is not within this, and should not be.
/// - `x` itself may be a sum that was rounded: `x_unit` of it.
pub(crate) fn norm_group(
    x: &[f64],
    x_unit: f64,
    shape: &NormShape<'_>,
    units: &Units,
) -> (Vec<f64>, Vec<f64>) {
    let n = x.len() as f64;
    let a = units.accumulate;
    let sum = x.iter().sum::<f64>();
    let square_sum = x.iter().map(|x| x * x).sum::<f64>();
    let (mean, mean_error) = match shape.kind {
        NormKind::Rms => (0.0, 0.0),
        NormKind::Layer => {
            (sum / n, 6.0 * (a + x_unit) * (square_sum.sqrt() + sum.abs() / n.sqrt()) / n.sqrt())
        }
    };
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    let denominator = variance + shape.epsilon;
    let inverse = if denominator > 0.0 { 1.0 / denominator.sqrt() } else { f64::INFINITY };
    let variance_error = (6.0 * a * n.sqrt() + 2.0 * x_unit) * variance + mean_error * mean_error;
    let inverse_unit = if denominator > 0.0 { 0.5 * variance_error / denominator } else { 0.0 };
    let relative = inverse_unit + units.function + 4.0 * a;
    let at = |vector: Option<&[f32]>, i: usize| vector.and_then(|v| v.get(i)).map(|w| f64::from(*w));
    let mut results = (Vec::with_capacity(x.len()), Vec::with_capacity(x.len()));
    for (i, x) in x.iter().enumerate() {
        let weight =
            shape.offset + at(shape.weight, i).unwrap_or(if shape.offset == 0.0 { 1.0 } else { 0.0 });
        let bias = at(shape.bias, i).unwrap_or(0.0);
        let scaled = (x - mean) * inverse * weight;
        let y = scaled + bias;
        let difference = match shape.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => mean_error + a * (x - mean).abs(),
        };
        let shift = (difference + x_unit * x.abs()) * (inverse * weight).abs();
        let last = if bias == 0.0 { 0.0 } else { 2.0 * a * (scaled.abs() + bias.abs()) };
        results.0.push(y);
        results.1.push(relative * scaled.abs() + shift + last + units.stored(y) + FLOOR);
    }
    results
}

/// Rotation of one row of heads by its position: cosine and sine are rounded to f32 (or computed by the
/// device from exact angles), the two products and their sum round once each. What passes is exact.
pub(crate) fn rotate_row(x: &[f64], spec: &RopeSpec, position: u32, units: &Units) -> (Vec<f64>, Vec<f64>) {
    let frequencies = spec.inverse_frequencies();
    let magnitude = spec.magnitude();
    let mut y = x.to_vec();
    let mut tolerance =
        x.iter().map(|x| units.single_operation(*x, units.input * x.abs())).collect::<Vec<_>>();
    for head in (0..x.len()).step_by(spec.head_dim.max(1)) {
        for (i, frequency) in frequencies.iter().enumerate() {
            let (sine, cosine) = (f64::from(position) * frequency).sin_cos();
            let (sine, cosine) = (sine * magnitude, cosine * magnitude);
            let (first, second) = spec.pair(i);
            let (first, second) = (head + first, head + second);
            if second >= x.len() {
                break;
            }
            let (a, b) = (x[first], x[second]);
            let pairs = [(first, a * cosine, -b * sine), (second, b * cosine, a * sine)];
            for (at, left, right) in pairs {
                let unit = units.function + F32_UNIT + 3.0 * units.accumulate + units.input;
                // A device's own sine may have an error relative to 1 rather than to a small sine.
                let angles = units.function * magnitude.abs() * (a.abs() + b.abs());
                y[at] = left + right;
                tolerance[at] = unit * (left.abs() + right.abs()) + angles + units.stored(y[at]) + FLOOR;
            }
        }
    }
    (y, tolerance)
}

/// Rows that are quantised as they are written, and read back as numbers: what each may differ by, from
/// what it may differ by before.
///
/// Two bounds hold, and the smaller counts. By codes: those that may shift, and the scale. By rounding:
/// either number is within half a step of what it stands for, and so are both of one another within the
/// two halves and the difference before. The second is what counts in rows that are hardly more than
/// their own rounding, where any scale may come out.
pub(crate) fn quantized_output(y: &[f64], tolerance: &[f64], scale: ActivationScale) -> Vec<f64> {
    let largest = |numbers: &[f64]| numbers.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    let other_scale = match scale {
        ActivationScale::PerToken => (largest(y) + largest(tolerance)) / 127.0,
        ActivationScale::PerTensor(scale) => f64::from(scale),
    };
    let QuantizedRow { codes, slack, scale: step, scale_unit } = quantize_row(y, |i| tolerance[i], scale);
    let numbers = codes.iter().zip(&slack).zip(y.iter().zip(tolerance));
    let moved = numbers.map(|((code, slack), (y, tolerance))| {
        let by_codes = step * slack + (scale_unit + 2.0 * F32_UNIT) * step * (code.abs() + slack);
        let by_rounding = match scale {
            ActivationScale::PerToken => {
                tolerance + 0.5 * (step + other_scale) + 8.0 * F32_UNIT * (y.abs() + tolerance)
            }
            // What is clamped is further away than half a step.
            ActivationScale::PerTensor(_) => f64::INFINITY,
        };
        // Nothing is known of codes where even the largest number may be zero.
        let by_codes = if step == 0.0 { f64::INFINITY } else { by_codes };
        by_codes.min(by_rounding) + FLOOR
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Numerics;
    use crate::conformance::random::Random;

    #[test]
    fn two_pass_layer_norm_is_within_and_one_pass_is_not() {
        let units = Units::new(&Numerics::F32);
        let x = Random::new(1).normals(256, 1.0).iter().map(|x| x + 300.0).collect::<Vec<_>>();
        let exact = x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let shape = NormShape { kind: NormKind::Layer, weight: None, bias: None, offset: 0.0, epsilon: 1e-5 };
        let (y, tolerance) = norm_group(&exact, 0.0, &shape, &units);
        let share = |got: &[f32]| {
            let shares = got.iter().zip(&y).zip(&tolerance).map(|((g, y), t)| (f64::from(*g) - y).abs() / t);
            shares.fold(0.0, f64::max)
        };
        let n = x.len() as f32;
        let mean = x.iter().sum::<f32>() / n;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
        let two_pass = x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt()).collect::<Vec<_>>();
        let one = x.iter().map(|x| x * x).sum::<f32>() / n - mean * mean;
        let one_pass = x.iter().map(|x| (x - mean) / (one + 1e-5).sqrt()).collect::<Vec<_>>();
        assert!(share(&two_pass) < 0.8, "{}", share(&two_pass));
        assert!(share(&one_pass) > 1.0, "{}", share(&one_pass));
    }

    #[test]
    fn what_a_rotation_passes_is_exact() {
        let spec = RopeSpec { rotary_dim: 2, ..RopeSpec::new(4, 1e4) };
        let (y, tolerance) = rotate_row(&[1.0, 2.0, 3.0, 4.0], &spec, 3, &Units::new(&Numerics::F32));
        assert_eq!(y[2..], [3.0, 4.0]);
        assert_eq!(tolerance[2..], [0.0, 0.0]);
        assert!(tolerance[0] > 0.0 && tolerance[0] < 1e-5);
    }
}
