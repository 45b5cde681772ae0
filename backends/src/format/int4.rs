//! Groupwise int4 with zero points: weight = (code − zero) × scale, codes from 0 to 15.
//!
//! This is what GPTQ and AWQ make, so that their checkpoints can be repacked number by number; packing makes
//! it too. Each group has a pair of f16 numbers, its scale and its zero point (a whole number from 0 to 16),
//! so that a GPU reads both with one 32-bit load. Rows are padded to 128 weights, whatever the group, so
//! that kernels can take whole blocks; padding weighs nothing.

use half::f16;

use super::rounding::round_to_code;
use super::{FormatError, Int4Group, WeightFormat};

/// Rows are padded to a multiple of this many weights.
pub(super) const INT4_BLOCK: usize = 128;

/// The largest zero point: GPTQ stores it less one, in four bits.
const LARGEST_ZERO: f32 = 16.0;

/// Quantises a row. `codes` is the row padded to whole blocks, `scales` has a scale and a zero per group.
pub(super) fn quantize_row(
    row: usize,
    weights: &[f32],
    group: Int4Group,
    codes: &mut [u8],
    scales: &mut [f16],
) -> Result<(), FormatError> {
    let size = group.size();
    codes.fill(0);
    scales.fill(f16::ZERO);
    let groups = weights.chunks(size).zip(codes.chunks_mut(size / 2)).zip(scales.as_chunks_mut::<2>().0);
    for (index, ((weights, codes), pair)) in groups.enumerate() {
        if !weights.iter().all(|weight| weight.is_finite()) {
            return Err(FormatError::not_finite(row, index * size, weights));
        }
        // Zero is always among the numbers that the codes reach.
        let (low, high) = weights.iter().fold((0.0_f32, 0.0_f32), |(l, h), w| (l.min(*w), h.max(*w)));
        let scale = scale_for(low, high);
        if !scale.is_finite() {
            let (largest, format) = (high.max(-low), WeightFormat::Int4(group));
            return Err(FormatError::ScaleOutOfRange { row, group: index, largest, format });
        }
        let divisor = scale.to_f32();
        if divisor == 0.0 {
            continue;
        }
        let zero = round_to_code(-low / divisor);
        *pair = [scale, f16::from_f32(zero.into())];
        // Beyond the end of the row the weight is zero.
        let code = |at: usize| {
            let offset = weights.get(at).map_or(0, |weight| round_to_code(weight / divisor));
            (offset.saturating_add(zero)).clamp(0, 15) as u8
        };
        for (byte, at) in codes.iter_mut().zip((0..size).step_by(2)) {
            *byte = code(at) | (code(at + 1) << 4);
        }
    }
    Ok(())
}

/// (high − low) / 15, or the next number up where the nearest would not reach from end to end.
fn scale_for(low: f32, high: f32) -> f16 {
    let range = f64::from(high) - f64::from(low);
    let nearest = f16::from_f64(range / 15.0);
    if 15.0 * nearest.to_f64() < range { f16::from_bits(nearest.to_bits() + 1) } else { nearest }
}

/// Reads a row back.
pub(super) fn dequantize_row(codes: &[u8], scales: &[f16], group: usize, out: &mut [f32]) {
    let groups = out.chunks_mut(group).zip(codes.chunks(group / 2)).zip(scales.as_chunks::<2>().0);
    for ((out, codes), [scale, zero]) in groups {
        let (scale, zero) = (scale.to_f32(), zero.to_f32());
        for (pair, byte) in out.chunks_mut(2).zip(codes) {
            for (out, code) in pair.iter_mut().zip([byte & 15, byte >> 4]) {
                *out = (f32::from(code) - zero) * scale;
            }
        }
    }
}

/// What in a row is not as it must be.
pub(super) fn fault(codes: &[u8], scales: &[f16], group: usize, cols: usize) -> Option<&'static str> {
    for [scale, zero] in scales.as_chunks::<2>().0 {
        if !scale.is_finite() {
            return Some("a scale that is not finite");
        }
        let zero = zero.to_f32();
        if !(0.0..=LARGEST_ZERO).contains(&zero) || zero.fract() != 0.0 || zero.is_sign_negative() {
            return Some("a zero point that is no whole number from 0 to 16");
        }
    }
    let weighs = |col| weight(codes, scales, group, col).is_none_or(|weight| weight != 0.0);
    (cols..codes.len() * 2).any(weighs).then_some("padding that is not zero")
}

/// One weight of a row.
pub(super) fn weight(codes: &[u8], scales: &[f16], group: usize, col: usize) -> Option<f64> {
    let [scale, zero] = scales.as_chunks::<2>().0.get(col.checked_div(group)?)?;
    let code = f64::from(super::nf4::code_at(codes, col)? as u8);
    Some((code - zero.to_f64()) * scale.to_f64())
}
