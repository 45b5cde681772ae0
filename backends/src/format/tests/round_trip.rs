//! How far a weight that is read back may lie from the weight that was given.

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::format::NF4_CODEBOOK;

/// Half the distance between neighbours at `value` in a float type with `digits` significant bits and
/// a smallest subnormal of 2^`lowest`.
fn half_ulp(value: f64, digits: i32, lowest: i32) -> f64 {
    let binade = if value == 0.0 { lowest } else { value.abs().log2().floor() as i32 };
    f64::from((binade - digits + 1).max(lowest)).exp2() / 2.0
}

/// The largest magnitude among the weights that share a scale with the weight in `col`.
fn largest_sharing(row: &[f32], col: usize, group: usize) -> f64 {
    let first = col / group * group;
    row[first..(first + group).min(row.len())].iter().map(|w| f64::from(w.abs())).fold(0.0, f64::max)
}

/// Symmetric int8: half a step, and what rounding the quotient adds.
///
/// Code = round(q) with q = fl(w / s) = w / s · (1 + δ), |δ| ≤ 2⁻²⁴. The scale is chosen so that
/// |w| ≤ 127.5 s, so |q - w / s| ≤ 127.5 · 2⁻²⁴ < 2⁻¹⁷. Rounding or clamping q moves it by at most a half
/// more: |w - code · s| ≤ s (1/2 + 2⁻¹⁷) = s / 2 · (1 + 2⁻¹⁶). (A quotient that underflows is below the
/// half step by far.) Where all weights are zero the scale and the bound are zero.
fn int8_bound(scale: f64) -> f64 {
    scale / 2.0 * (1.0 + (-16.0_f64).exp2())
}

/// NF4: half of the codebook's gap that the weight lies in, and what rounding the absmax adds.
///
/// With s the stored absmax and x = w / s: if |x| ≤ 1, x lies between two entries and goes to the nearer
/// one. The midpoint is off by at most 2⁻²⁵ (it is an f32 below 1), and the quotient by 2⁻²⁴; so the
/// error is at most s (gap / 2 + 2⁻²³). If |x| > 1, the code is an end of the codebook and the error is
/// |w| - s ≤ absmax - s. The rounding of the absmax to f16 thus enters only there, with at most 2⁻¹¹ of it,
/// or 2⁻²⁴ where it is subnormal (half a unit there is 2⁻²⁵; the smallest is never rounded down to zero).
fn nf4_bound(weight: f64, scale: f64, absmax: f64) -> f64 {
    let rounding_of_scale = (absmax * (-11.0_f64).exp2()).max((-24.0_f64).exp2());
    assert!((absmax - scale).abs() <= rounding_of_scale, "absmax {absmax} stored as {scale}");
    if scale == 0.0 {
        return 0.0;
    }
    let x = weight / scale;
    if x.abs() > 1.0 {
        return (absmax - scale).abs() + scale * (-23.0_f64).exp2();
    }
    let gap = NF4_CODEBOOK
        .windows(2)
        .map(|pair| (f64::from(pair[0]), f64::from(pair[1])))
        .find(|(low, high)| (*low..=*high).contains(&x))
        .map(|(low, high)| high - low);
    scale * (gap.unwrap() / 2.0 + (-23.0_f64).exp2())
}

/// The largest error that the format allows a weight.
fn bound(matrix: &PackedMatrix, row: &[f32], row_index: usize, col: usize) -> f64 {
    let weight = f64::from(row[col]);
    let scale_bytes = &matrix.scales()[row_index * matrix.format().scale_bytes_per_row(row.len())..];
    let f16_scale = |group: usize| {
        let at = col / group * 2;
        f16::from_le_bytes([scale_bytes[at], scale_bytes[at + 1]]).to_f64()
    };
    match matrix.format() {
        WeightFormat::F32 => 0.0,
        WeightFormat::F16 => half_ulp(weight, 11, -24),
        WeightFormat::Bf16 => half_ulp(weight, 8, -133),
        WeightFormat::Int8(group) => int8_bound(f16_scale(group.size())),
        WeightFormat::Nf4 => nf4_bound(weight, f16_scale(64), largest_sharing(row, col, 64)),
        // A pair for each group, the scale first.
        WeightFormat::Int4(group) => {
            let at = col / group.size() * 4;
            int8_bound(f16::from_le_bytes([scale_bytes[at], scale_bytes[at + 1]]).to_f64())
        }
        WeightFormat::W8a8(_) => {
            int8_bound(f64::from(f32::from_le_bytes(scale_bytes[..4].try_into().unwrap())))
        }
    }
}

fn check_round_trip(format: WeightFormat, rows: usize, cols: usize, weights: &[f32]) {
    let matrix = PackedMatrix::quantize(format, rows, cols, weights).unwrap();
    assert_eq!(matrix.bytes(), format.bytes(rows, cols));
    matrix.check_contents().unwrap();
    let view = matrix.view();
    view.check().unwrap();
    let read = dequantized(&matrix);
    for (row_index, row) in weights.chunks(cols).enumerate() {
        for (col, weight) in row.iter().enumerate() {
            let exact = view.weight(row_index, col);
            let error = (exact - f64::from(*weight)).abs();
            let bound = bound(&matrix, row, row_index, col);
            assert!(
                error <= bound,
                "{format} [{row_index}][{col}]: {weight} became {exact}: {error} > {bound}"
            );
            // Read as f32, the product of code and scale is rounded once more.
            let read = f64::from(read[row_index * cols + col]);
            assert!((read - exact).abs() <= half_ulp(exact, 24, -149), "{format}: {exact} read as {read}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_weight_comes_back_within_its_bound(format in any_format(), (rows, cols, weights) in any_matrix()) {
        check_round_trip(format, rows, cols, &weights);
    }
}

#[test]
fn odd_shapes_come_back_within_their_bounds() {
    for format in FORMATS {
        for (rows, cols) in SHAPES {
            check_round_trip(format, rows, cols, &plain_weights(rows, cols));
        }
    }
}

#[test]
fn zeros_stay_zero_even_beside_other_rows_and_groups() {
    let (rows, cols) = (4, 200);
    for format in FORMATS {
        let mut weights = plain_weights(rows, cols);
        weights[cols..2 * cols].fill(0.0);
        weights[3 * cols..3 * cols + 128].fill(-0.0);
        let matrix = PackedMatrix::quantize(format, rows, cols, &weights).unwrap();
        for (weight, read) in weights.iter().zip(dequantized(&matrix)) {
            assert!(*weight != 0.0 || read == 0.0, "{format}");
        }
        check_round_trip(format, rows, cols, &weights);
    }
}

#[test]
fn the_smallest_weights_keep_their_bound() {
    // Groups that need a subnormal scale, each a little larger than the last, through the point at which
    // rounding to the nearest would start to lose the largest weight.
    for format in FORMATS {
        for step in 0..600 {
            let largest = f64::from(step) / 2.0 * (-24.0_f64).exp2();
            let weights: Vec<f32> = (0..64).map(|i| (largest * f64::from(i - 31) / 32.0) as f32).collect();
            check_round_trip(format, 1, 64, &weights);
            let bits: Vec<f32> = (0..64).map(|i| f32::from_bits(step * i / 63)).collect();
            check_round_trip(format, 1, 64, &bits);
        }
    }
}

#[test]
fn the_largest_weights_keep_their_bound() {
    let limit = |format| match format {
        WeightFormat::F32 => f32::MAX,
        // The largest bf16; f32::MAX would round to infinity.
        WeightFormat::Bf16 => f32::from_bits(0x7f7f_0000),
        // 127 times this is still a finite f32.
        WeightFormat::W8a8(_) => f32::MAX * (1.0 - f32::EPSILON),
        WeightFormat::F16 | WeightFormat::Nf4 => 65_504.0,
        WeightFormat::Int8(_) => 65_504.0 * 127.0,
        // From end to end fifteen steps.
        WeightFormat::Int4(_) => 65_504.0 * 7.5,
    };
    for format in FORMATS {
        let weights: Vec<f32> =
            plain_weights(2, 65).iter().map(|w| w.clamp(-0.07, 0.07) / 0.07 * limit(format)).collect();
        check_round_trip(format, 2, 65, &weights);
    }
}

/// The mean square error of weights that are distributed as those of models about are, relative to their own square.
fn normal_error(format: WeightFormat) -> f64 {
    const COLS: usize = 4096;
    let mut state = 1_u64;
    // Twelve uniform numbers make a normal one.
    let mut normal = || {
        let uniform = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..12).map(uniform).sum::<f32>() - 6.0
    };
    let weights = (0..16 * COLS).map(|_| normal()).collect::<Vec<_>>();
    let matrix = PackedMatrix::quantize(format, 16, COLS, &weights).unwrap();
    let view = matrix.view();
    let error = |(index, w): (usize, &f32)| (view.weight(index / COLS, index % COLS) - f64::from(*w)).powi(2);
    weights.iter().enumerate().map(error).sum::<f64>()
        / weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>()
}

#[test]
fn smaller_formats_are_listed_from_the_most_exact_on() {
    use crate::format::Int4Group;
    for pair in WeightFormat::SMALLER.windows(2) {
        let (errors, bits) =
            ([0, 1].map(|i| normal_error(pair[i])), [0, 1].map(|i| pair[i].bits_per_weight()));
        assert!(errors[0] < errors[1] && bits[0] > bits[1], "{pair:?}: {errors:?}, {bits:?}");
    }
    let (left_out, nf4) = (WeightFormat::Int4(Int4Group::G128), WeightFormat::Nf4);
    assert!(left_out.bits_per_weight() >= nf4.bits_per_weight());
    assert!(normal_error(left_out) > normal_error(nf4));
}
