//! Activations as int8, for `w8a8` products.
//!
//! The rounding to a code is part of the format, so it is done here too, on the exact number. What is
//! passed on is code × scale in f64.

use crate::format::ActivationScale;

/// Rows of `cols` activations, each replaced by the number that its code stands for.
pub fn quantize_rows(x: &[f64], cols: usize, scale: ActivationScale) -> Vec<f64> {
    x.chunks_exact(cols).flat_map(|row| quantize_row(row, scale)).collect()
}

/// One row of activations, each replaced by the number that its code stands for.
///
/// A row with an element that f32 cannot hold as a finite number becomes NaN; a row so small that
/// 127 / max|x| is beyond f32 becomes zero.
pub fn quantize_row(x: &[f64], scale: ActivationScale) -> Vec<f64> {
    if x.iter().any(|x| !(*x as f32).is_finite()) {
        return vec![f64::NAN; x.len()];
    }
    let largest = x.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    // 127 / max is computed first and its reciprocal never, so that the largest element is 127 exactly.
    let (scale, codes_per_unit) = match scale {
        ActivationScale::PerToken => (largest / 127.0, 127.0 / largest),
        ActivationScale::PerTensor(scale) => (f64::from(scale), 1.0 / f64::from(scale)),
    };
    if !(codes_per_unit as f32).is_finite() {
        return vec![0.0; x.len()];
    }
    let code = |x: f64| (x * codes_per_unit).round_ties_even().clamp(-127.0, 127.0);
    x.iter().map(|x| code(*x) * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{ActivationCodes, quantize_activations};

    #[test]
    fn per_token_the_largest_is_127_and_ties_go_to_even() {
        // max = 254, so a code is worth 2: 5 is 2.5 codes and 7 is 3.5.
        let row = quantize_row(&[-254.0, 5.0, 7.0, 0.9, 0.0], ActivationScale::PerToken);
        assert_eq!(row, [-254.0, 4.0, 8.0, 0.0, 0.0]);
        assert_eq!(quantize_row(&[0.0, -0.0], ActivationScale::PerToken), [0.0, 0.0]);
        assert_eq!(quantize_row(&[1e-38, 0.0], ActivationScale::PerToken), [0.0, 0.0]);
    }

    #[test]
    fn per_tensor_the_given_scale_clamps() {
        let row = quantize_row(&[1000.0, -1000.0, 0.25, 0.75], ActivationScale::PerTensor(0.5));
        assert_eq!(row, [63.5, -63.5, 0.0, 1.0]);
    }

    #[test]
    fn a_broken_row_shows() {
        for scale in [ActivationScale::PerToken, ActivationScale::PerTensor(1.0)] {
            for broken in [f64::NAN, f64::INFINITY, 1e39] {
                assert!(quantize_row(&[1.0, broken], scale).iter().all(|x| x.is_nan()));
            }
        }
    }

    #[test]
    fn codes_are_those_of_the_format() {
        // Numbers far from ties, where f32 and f64 must agree.
        let x = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.3) * 0.11).collect::<Vec<_>>();
        let wide = x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        for scale in [ActivationScale::PerToken, ActivationScale::PerTensor(0.031)] {
            let mut codes = ActivationCodes::new();
            quantize_activations(&x, 16, scale, &mut codes).unwrap();
            let decoded = quantize_rows(&wide, 16, scale);
            for (row, decoded) in decoded.chunks_exact(16).enumerate() {
                let codes = codes.codes()[row * codes.stride()..].iter().zip([codes.scales()[row]; 16]);
                for (decoded, (code, scale)) in decoded.iter().zip(codes) {
                    assert!((decoded - f64::from(*code) * f64::from(scale)).abs() < 1e-6);
                }
            }
        }
    }
}
