//! NF4: 4-bit codes into a fixed codebook, one f16 absmax per group of 64, weight = codebook[code] × absmax.
//!
//! The codebook's entries are quantiles of a normal distribution scaled to ±1, so that weights that are
//! roughly normal within their group use all codes about equally often.

use half::f16;

use super::rounding::largest_magnitude;
use super::weight_format::NF4_GROUP;
use super::{FormatError, WeightFormat};

/// The numbers that NF4 codes stand for. Code 7 is zero.
#[allow(
    clippy::excessive_precision,
    clippy::unreadable_literal,
    reason = "the digits as published; each is the nearest f32"
)]
pub const NF4_CODEBOOK: [f32; 16] = [
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
];

/// Two codes of zero.
const ZERO_PAIR: u8 = 0x77;

/// Between code `i` and code `i + 1` the nearer one changes at `MIDPOINTS[i]`.
const MIDPOINTS: [f32; 15] = {
    let mut midpoints = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        midpoints[i] = f32::midpoint(NF4_CODEBOOK[i], NF4_CODEBOOK[i + 1]);
        i += 1;
    }
    midpoints
};

/// The code nearest to each number of a group; halfway between two, the lower one.
///
/// It is the number of midpoints below, which needs no branch. The midpoints are the outer loop, so that the
/// inner one runs over numbers side by side in vector registers.
fn nearest_codes(values: &[f32; NF4_GROUP]) -> [u8; NF4_GROUP] {
    let mut below = [0_i32; NF4_GROUP];
    for midpoint in MIDPOINTS {
        for (below, value) in below.iter_mut().zip(values) {
            *below = below.wrapping_add(i32::from(*value > midpoint));
        }
    }
    below.map(|code| code as u8)
}

/// Quantises a row. `codes` is the row padded to whole groups, `scales` has one entry per group.
pub(super) fn quantize_row(
    row: usize,
    weights: &[f32],
    codes: &mut [u8],
    scales: &mut [f16],
) -> Result<(), FormatError> {
    let groups = weights.chunks(NF4_GROUP).zip(codes.chunks_mut(NF4_GROUP / 2)).zip(scales);
    for (index, ((weights, codes), scale)) in groups.enumerate() {
        let largest = largest_magnitude(weights);
        if !largest.is_finite() {
            return Err(FormatError::not_finite(row, index * NF4_GROUP, weights));
        }
        *scale = f16::from_f32(largest);
        if !scale.is_finite() {
            let format = WeightFormat::Nf4;
            return Err(FormatError::ScaleOutOfRange { row, group: index, largest, format });
        }
        if largest == 0.0 {
            codes.fill(ZERO_PAIR);
            continue;
        }
        if scale.to_bits() == 0 {
            *scale = f16::MIN_POSITIVE_SUBNORMAL;
        }
        let divisor = scale.to_f32();
        // Zeros beyond the end of the row become code 7, the padding.
        let mut group = [0.0; NF4_GROUP];
        for (value, weight) in group.iter_mut().zip(weights) {
            *value = weight / divisor;
        }
        for (byte, pair) in codes.iter_mut().zip(nearest_codes(&group).as_chunks::<2>().0) {
            *byte = pair[0] | (pair[1] << 4);
        }
    }
    Ok(())
}

/// Reads a row back.
pub(super) fn dequantize_row(codes: &[u8], scales: &[f16], out: &mut [f32]) {
    for ((out, codes), scale) in out.chunks_mut(NF4_GROUP).zip(codes.chunks(NF4_GROUP / 2)).zip(scales) {
        let scale = scale.to_f32();
        let scaled = NF4_CODEBOOK.map(|entry| entry * scale);
        let (pairs, last) = out.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(codes) {
            *pair = [scaled[usize::from(byte & 15)], scaled[usize::from(byte >> 4)]];
        }
        if let ([last], Some(byte)) = (last, codes.get(pairs.len())) {
            *last = scaled[usize::from(byte & 15)];
        }
    }
}

/// The code of one element of a row.
pub(super) fn code_at(codes: &[u8], col: usize) -> Option<usize> {
    codes.get(col / 2).map(|byte| usize::from(if col.is_multiple_of(2) { byte & 15 } else { byte >> 4 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_code(value: f32) -> u8 {
        nearest_codes(&[value; NF4_GROUP])[5]
    }

    #[test]
    fn nearest_code_agrees_with_a_search() {
        for step in -1300_i32..=1300 {
            let value = step as f32 / 1000.0;
            let distance = |code: usize| (f64::from(value) - f64::from(NF4_CODEBOOK[code])).abs();
            let nearest = (0..16).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap();
            assert_eq!(usize::from(nearest_code(value)), nearest, "{value}");
        }
        for (code, entry) in NF4_CODEBOOK.into_iter().enumerate() {
            assert_eq!(usize::from(nearest_code(entry)), code);
        }
        for (code, midpoint) in MIDPOINTS.into_iter().enumerate() {
            assert_eq!(usize::from(nearest_code(midpoint)), code, "a tie goes to the lower code");
            assert_eq!(usize::from(nearest_code(midpoint.next_up())), code + 1);
        }
    }
}
