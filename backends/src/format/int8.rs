//! Groupwise int8: each group of a row has one f16 scale, weight = code × scale.

use half::f16;

use super::rounding::{largest_magnitude, round_to_code};
use super::{FormatError, Int8Group, WeightFormat};

/// Quantises a row. `codes` is the row padded to whole groups, `scales` has one entry per group.
pub(super) fn quantize_row(
    row: usize,
    weights: &[f32],
    group: Int8Group,
    codes: &mut [i8],
    scales: &mut [f16],
) -> Result<(), FormatError> {
    let size = group.size();
    let groups = weights.chunks(size).zip(codes.chunks_mut(size)).zip(scales);
    for (index, ((weights, codes), scale)) in groups.enumerate() {
        let largest = largest_magnitude(weights);
        if !largest.is_finite() {
            return Err(FormatError::not_finite(row, index * size, weights));
        }
        *scale = scale_for(largest);
        if !scale.is_finite() {
            let format = WeightFormat::Int8(group);
            return Err(FormatError::ScaleOutOfRange { row, group: index, largest, format });
        }
        let (codes, padding) = codes.split_at_mut(weights.len());
        padding.fill(0);
        let divisor = scale.to_f32();
        if divisor == 0.0 {
            codes.fill(0);
        } else {
            for (code, weight) in codes.iter_mut().zip(weights) {
                *code = round_to_code(weight / divisor);
            }
        }
    }
    Ok(())
}

/// The scale of a group: max|w| / 127 as f16, infinite if beyond its range.
///
/// Among f16's subnormals (groups whose weights are all below 0.008) rounding to the nearest can fall so
/// far short that the largest weight would be clamped by more than half a step, and below that it falls
/// to zero. There the next scale up is taken, so that half a step bounds the error of every weight.
fn scale_for(largest: f32) -> f16 {
    let nearest = f16::from_f32(largest / 127.0);
    if f64::from(largest) > 127.5 * nearest.to_f64() {
        f16::from_bits(nearest.to_bits() + 1)
    } else {
        nearest
    }
}

/// Reads a row back; the product of a 7-bit code and an 11-bit scale is exact in f32.
pub(super) fn dequantize_row(codes: &[i8], scales: &[f16], group: usize, out: &mut [f32]) {
    for ((out, codes), scale) in out.chunks_mut(group).zip(codes.chunks(group)).zip(scales) {
        let scale = scale.to_f32();
        for (out, code) in out.iter_mut().zip(codes) {
            *out = f32::from(*code) * scale;
        }
    }
}
