//! Pages of K and V.

use half::f16;
use proptest::prelude::*;

use super::{any_unit, same_bits};
use crate::format::{CacheFormat, CacheLayout, decode_f16, decode_int8, encode_f16, encode_int8};

const LAYOUT: CacheLayout =
    CacheLayout { format: CacheFormat::Int8, kv_heads: 3, head_dim: 20, page_tokens: 7 };

#[test]
fn every_element_has_one_place() {
    let pages = 4;
    let mut next = 0;
    for page in 0..pages {
        for kv_head in 0..LAYOUT.kv_heads {
            for token in 0..LAYOUT.page_tokens {
                assert_eq!(LAYOUT.vector_index(page, kv_head, token), next);
                assert_eq!(LAYOUT.element_index(page, kv_head, token), next * 20);
                assert_eq!(LAYOUT.code_offset(page, kv_head, token), next * 20);
                assert_eq!(LAYOUT.scale_offset(page, kv_head, token), next * 2);
                next += 1;
            }
        }
    }
    assert_eq!(next, pages * LAYOUT.vectors_per_page());
}

#[test]
fn sizes_add_up() {
    for format in [CacheFormat::F16, CacheFormat::Int8] {
        let layout = CacheLayout { format, ..LAYOUT };
        let per_pool = layout.code_bytes_per_page() + layout.scale_bytes_per_page();
        assert_eq!(layout.bytes_per_page(), 2 * per_pool);
        assert_eq!(layout.bytes_per_token() * layout.page_tokens, layout.bytes_per_page());
        assert_eq!(format.to_string().parse::<CacheFormat>().unwrap(), format);
    }
    assert_eq!(LAYOUT.bytes_per_page(), 2 * 21 * (20 + 2));
    assert_eq!(CacheLayout { format: CacheFormat::F16, ..LAYOUT }.bytes_per_page(), 2 * 21 * 40);
    assert_eq!(CacheLayout { page_tokens: usize::MAX, ..LAYOUT }.bytes_per_page(), usize::MAX);
    "fp8".parse::<CacheFormat>().unwrap_err();
}

proptest! {
    /// As for int8 weights, s / 2 · (1 + 2⁻¹⁶) bounds the rounding. But here the scale is always the nearest
    /// f16, so that where it is subnormal it may fall short of max / 127 by 2⁻²⁵, and the largest element,
    /// clamped to code 127, by 127 · 2⁻²⁵.
    #[test]
    fn int8_vectors_come_back_within_their_bound(
        units in proptest::collection::vec(any_unit(), 1..130),
        exponent in -40_i32..=22,
    ) {
        let vector: Vec<f32> = units.iter().map(|u| u * f64::from(exponent).exp2() as f32).collect();
        let mut codes = vec![1_i8; vector.len()];
        let scale = encode_int8(&vector, &mut codes).unwrap();
        let mut read = vec![f32::NAN; vector.len()];
        decode_int8(&codes, scale, &mut read).unwrap();
        let half_step = scale.to_f64() / 2.0;
        let bound = half_step.max(127.0 * (-25.0_f64).exp2()) * (1.0 + (-16.0_f64).exp2());
        for (given, read) in vector.iter().zip(read) {
            prop_assert!((f64::from(*given) - f64::from(read)).abs() <= bound, "{given} came back as {read}");
        }
    }

    #[test]
    fn f16_vectors_are_rounded_once(vector in proptest::collection::vec(-60_000.0_f32..60_000.0, 1..130)) {
        let mut codes = vec![f16::ZERO; vector.len()];
        encode_f16(&vector, &mut codes).unwrap();
        let mut read = vec![f32::NAN; vector.len()];
        decode_f16(&codes, &mut read).unwrap();
        let expected: Vec<f32> = vector.iter().map(|x| f16::from_f32(*x).to_f32()).collect();
        prop_assert!(same_bits(&read, &expected));
    }
}

#[test]
fn vectors_of_zeros_and_broken_vectors() {
    let mut codes = [9_i8; 4];
    assert_eq!(encode_int8(&[0.0, -0.0, 0.0, 0.0], &mut codes).unwrap().to_bits(), 0);
    assert_eq!(codes, [0; 4]);
    assert_eq!(encode_int8(&[1e-7, 0.0, 0.0, 0.0], &mut codes).unwrap().to_bits(), 0);
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        codes.fill(9);
        let scale = encode_int8(&[1.0, bad, 0.0, 0.0], &mut codes).unwrap();
        let mut read = [0.0; 4];
        decode_int8(&codes, scale, &mut read).unwrap();
        assert!(read.iter().all(|x| x.is_nan()), "what is broken must show");
    }
    let scale = encode_int8(&[12.7, -0.05, 0.15, -12.7], &mut codes).unwrap();
    assert_eq!(scale, f16::from_f32(0.1));
    assert_eq!((codes[0], codes[3]), (127, -127));
}

#[test]
fn wrong_lengths_are_refused() {
    encode_f16(&[0.0; 3], &mut [f16::ZERO; 4]).unwrap_err();
    decode_f16(&[f16::ZERO; 3], &mut [0.0; 4]).unwrap_err();
    encode_int8(&[0.0; 3], &mut [0; 4]).unwrap_err();
    decode_int8(&[0; 3], f16::ONE, &mut [0.0; 4]).unwrap_err();
}
