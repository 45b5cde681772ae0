//! Activations as int8.

use proptest::prelude::*;

use super::*;
use crate::format::{ActivationCodes, FormatError, quantize_activations};

/// The definition once more, with the rounding that the standard library has.
fn plainly(row: &[f32], scale: ActivationScale) -> (Vec<i8>, f32) {
    let largest = row.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let (row_scale, factor) = match scale {
        ActivationScale::PerToken => (largest / 127.0, 127.0 / largest),
        ActivationScale::PerTensor(scale) => (scale, 1.0 / scale),
    };
    if !factor.is_finite() {
        return (vec![0; row.len()], 0.0);
    }
    let code = |x: &f32| (x * factor).round_ties_even().clamp(-127.0, 127.0) as i8;
    (row.iter().map(code).collect(), row_scale)
}

fn check(x: &[f32], cols: usize, scale: ActivationScale, out: &mut ActivationCodes) {
    quantize_activations(x, cols, scale, out).unwrap();
    assert_eq!((out.rows(), out.cols()), (x.len() / cols, cols));
    assert_eq!(out.stride(), cols.next_multiple_of(64));
    for (index, row) in x.chunks(cols).enumerate() {
        let (codes, row_scale) = plainly(row, scale);
        let stored = &out.codes()[index * out.stride()..][..out.stride()];
        assert_eq!(stored[..cols], codes);
        assert!(stored[cols..].iter().all(|code| *code == 0));
        assert_eq!(out.scales()[index].to_bits(), row_scale.to_bits());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn codes_are_those_of_the_definition(
        (_, cols, x) in any_matrix(),
        calibrated in 1e-4_f32..1e3,
    ) {
        let mut out = ActivationCodes::new();
        check(&x, cols, ActivationScale::PerToken, &mut out);
        check(&x, cols, ActivationScale::PerTensor(calibrated), &mut out);
    }

    /// Per token: x · (127 / max) is off from 127 x / max by three roundings, each at most 2⁻²⁴ of at
    /// most 127; and the f32 scale by one. So |x - code · scale| ≤ scale (1/2 + 127 · 4 · 2⁻²⁴) + rounding.
    #[test]
    fn activations_come_back_within_half_a_step(
        x in proptest::collection::vec(any_unit(), 1..300),
        exponent in -110_i32..100,
    ) {
        let x: Vec<f32> = x.iter().map(|x| (f64::from(*x) * f64::from(exponent).exp2()) as f32).collect();
        let mut out = ActivationCodes::new();
        quantize_activations(&x, x.len(), ActivationScale::PerToken, &mut out).unwrap();
        let scale = f64::from(out.scales()[0]);
        for (x, code) in x.iter().zip(out.codes()) {
            let error = (f64::from(*x) - f64::from(*code) * scale).abs();
            prop_assert!(error <= scale * (0.5 + 512.0 * (-24.0_f64).exp2()), "{x} as {code} * {scale}");
        }
    }
}

#[test]
fn rows_of_zeros_tiny_rows_and_broken_rows() {
    let mut x = vec![0.0_f32; 6 * 70];
    x[70] = 1e-40;
    x[140] = f32::NAN;
    x[210..280].fill(3.0);
    x[211] = f32::NEG_INFINITY;
    x[280..350].fill(f32::MAX);
    x[350..].fill(f32::MIN_POSITIVE * 512.0);
    let mut out = ActivationCodes::new();
    quantize_activations(&x, 70, ActivationScale::PerToken, &mut out).unwrap();
    let scales = out.scales();
    assert!(same_bits(&scales[..2], &[0.0, 0.0]));
    assert!(scales[2].is_nan() && scales[3].is_nan());
    assert!(scales[4].is_finite() && scales[5] > 0.0);
    assert!(out.codes()[..4 * 128].iter().all(|code| *code == 0));
    assert!(out.codes()[4 * 128..][..70].iter().all(|code| *code == 127));
    quantize_activations(&x, 70, ActivationScale::PerTensor(0.5), &mut out).unwrap();
    assert!(out.scales()[2].is_nan());
    assert_eq!(out.codes()[4 * 128], 127);
    assert!(same_bits(&out.scales()[..2], &[0.5, 0.5]));
}

#[test]
fn wrong_shapes_and_scales_are_refused() {
    let mut out = ActivationCodes::new();
    let mut quantize = |len, cols, scale| quantize_activations(&vec![1.0; len], cols, scale, &mut out);
    quantize(6, 3, ActivationScale::PerToken).unwrap();
    quantize(0, 3, ActivationScale::PerToken).unwrap();
    quantize(0, 0, ActivationScale::PerToken).unwrap();
    assert!(matches!(quantize(7, 3, ActivationScale::PerToken), Err(FormatError::PartialRow { .. })));
    assert!(quantize(7, 0, ActivationScale::PerToken).is_err());
    assert!(quantize(6, 3, ActivationScale::PerTensor(0.0)).is_err());
    assert!(matches!(out.reset(2, usize::MAX), Err(FormatError::TooLarge { .. })));
    assert!(matches!(out.reset(1 << 40, 1 << 22), Err(FormatError::Allocation { .. })));
}
