//! The arithmetic that all quantised formats share: the largest magnitude and the rounding to a code.

/// Largest magnitude among `values`; 0 for none. NaN or infinite if one of them is.
///
/// The bits of a float without its sign grow with its magnitude, and those of infinity and NaN lie above
/// all others. So one integer maximum finds the scale and the check for non-finite numbers at once, and
/// runs in vector registers, which a float maximum with its rule for NaN does not.
pub(super) fn largest_magnitude(values: &[f32]) -> f32 {
    let bits = values.iter().fold(0_i32, |max, value| max.max((value.to_bits() & 0x7fff_ffff) as i32));
    f32::from_bits(bits as u32)
}

/// The nearest integer (ties to even) within ±127 of a number that is not NaN.
///
/// Adding 1.5 × 2²³ moves the unit to the last bit of the significand, so the addition itself rounds, by
/// the rule of ties to even, and the low byte is the code in two's complement. Unlike
/// [`f32::round_ties_even`], it needs no instruction newer than SSE2. Clamping first changes nothing, as
/// the limits are integers.
#[inline(always)]
pub(super) fn round_to_code(value: f32) -> i8 {
    const UNIT_IN_LAST_BIT: f32 = 12_582_912.0;
    (value.clamp(-127.0, 127.0) + UNIT_IN_LAST_BIT).to_bits() as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_to_the_nearest_with_ties_to_even() {
        let mut tried = 0_u32;
        for step in -2100_i32..=2100 {
            let value = step as f32 / 16.0;
            for value in [value, value.next_up(), value.next_down()] {
                let plain = value.round_ties_even().clamp(-127.0, 127.0) as i8;
                assert_eq!(round_to_code(value), plain, "{value}");
                tried += 1;
            }
        }
        assert!(tried > 12_000);
        assert_eq!(round_to_code(f32::MAX), 127);
        assert_eq!(round_to_code(f32::NEG_INFINITY), -127);
        assert_eq!(round_to_code(-0.0), 0);
    }

    #[test]
    fn largest_magnitude_sees_signs_subnormals_and_what_is_not_finite() {
        let tiny = f32::from_bits(1);
        assert_eq!(largest_magnitude(&[]).to_bits(), 0);
        assert_eq!(largest_magnitude(&[-0.0, tiny, -tiny]).to_bits(), tiny.to_bits());
        assert_eq!(largest_magnitude(&[1.0, -3.5, 2.0]).to_bits(), 3.5_f32.to_bits());
        assert!(largest_magnitude(&[1.0, f32::NEG_INFINITY, 2.0]).is_infinite());
        assert!(largest_magnitude(&[f32::INFINITY, -f32::NAN, 2.0]).is_nan());
    }
}
