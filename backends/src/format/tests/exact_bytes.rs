//! The stored bytes themselves, worked out by hand: what kernels on other devices rely on.

use half::f16;

use super::*;

fn f16s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
}

#[test]
fn dense_rows_are_padded_to_four_bytes() {
    let weights = [1.0, -2.0, 0.5, 4.0, -0.25, 8.0];
    let half = PackedMatrix::quantize(WeightFormat::F16, 2, 3, &weights).unwrap();
    assert_eq!(f16s(half.codes()), [1.0, -2.0, 0.5, 0.0, 4.0, -0.25, 8.0, 0.0]);
    let brain = PackedMatrix::quantize(WeightFormat::Bf16, 2, 3, &weights).unwrap();
    assert_eq!(brain.codes()[..8], [0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f, 0, 0]);
    let full = PackedMatrix::quantize(WeightFormat::F32, 2, 3, &weights).unwrap();
    assert_eq!(full.codes().len(), 24);
    assert!(half.scales().is_empty() && brain.scales().is_empty() && full.scales().is_empty());
}

#[test]
fn int8_rounds_ties_to_even_and_pads_with_zeros() {
    // Scale 2: the largest weight of the first group is 254.
    let mut weights = vec![0.0; 34];
    weights[..6].copy_from_slice(&[254.0, 1.0, 3.0, -5.0, -254.0, 2.9]);
    weights[32..].copy_from_slice(&[-12.7, 0.1]);
    let matrix = PackedMatrix::quantize(WeightFormat::Int8(Int8Group::G32), 1, 34, &weights).unwrap();
    assert_eq!(matrix.codes().len(), 64);
    let codes: &[i8] = bytemuck::cast_slice(matrix.codes());
    assert_eq!(codes[..7], [127, 0, 2, -2, -127, 1, 0]);
    assert_eq!(codes[32..34], [-127, 1]);
    assert!(codes[34..].iter().all(|code| *code == 0));
    assert_eq!(f16s(matrix.scales()), [2.0, f16::from_f32(0.1).to_f32()]);
}

#[test]
fn nf4_puts_the_even_element_into_the_low_nibble() {
    let weights = [2.0, -2.0, 0.0, 0.33 * 2.0, -0.4 * 2.0];
    let matrix = PackedMatrix::quantize(WeightFormat::Nf4, 1, 5, &weights).unwrap();
    assert_eq!(matrix.codes().len(), 32);
    assert_eq!(matrix.codes()[..4], [0x0f, 0xb7, 0x73, 0x77]);
    assert!(matrix.codes()[3..].iter().all(|byte| *byte == 0x77));
    assert_eq!(f16s(matrix.scales()), [2.0]);
    let zeros = PackedMatrix::quantize(WeightFormat::Nf4, 1, 5, &[0.0; 5]).unwrap();
    assert!(zeros.codes().iter().all(|byte| *byte == 0x77));
    assert_eq!(f16s(zeros.scales()), [0.0]);
}

#[test]
fn w8a8_has_one_scale_per_row_and_rows_of_64() {
    let weights = [127.0, -1.5, 0.5, 0.25, -0.25, 0.0];
    let format = WeightFormat::W8a8(ActivationScale::PerToken);
    let matrix = PackedMatrix::quantize(format, 2, 3, &weights).unwrap();
    let codes: &[i8] = bytemuck::cast_slice(matrix.codes());
    assert_eq!(codes.len(), 128);
    assert_eq!(codes[..4], [127, -2, 0, 0]);
    assert_eq!(codes[64..68], [127, -127, 0, 0]);
    let scales: Vec<f32> =
        matrix.scales().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert!(same_bits(&scales, &[1.0, 0.25 / 127.0]));
}

#[test]
fn int4_is_stored_as_the_format_page_says() {
    let mut weights = [0.0; 33];
    weights[..4].copy_from_slice(&[-0.5, 1.0, 0.5, 0.24]);
    weights[32] = -3.0;
    let matrix = PackedMatrix::quantize(WeightFormat::Int4(Int4Group::G32), 1, 33, &weights).unwrap();
    let scales: Vec<f32> =
        matrix.scales().as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect();
    let (first, second) = (0.100_036_62, 0.200_073_24);
    assert!(same_bits(&scales, &[first, 5.0, second, 15.0, 0.0, 0.0, 0.0, 0.0]), "{scales:?}");
    assert_eq!(matrix.codes()[..4], [0xf0, 0x7a, 0x55, 0x55]);
    // The tail of the second group weighs zero, groups beyond are empty.
    assert_eq!(matrix.codes()[16..18], [0xf0, 0xff]);
    assert_eq!(matrix.codes()[32..], [0; 32]);
}

#[test]
fn sizes_are_those_of_the_format_page() {
    let shape = |format: WeightFormat, cols| (format.row_bytes(cols), format.scale_bytes_per_row(cols));
    assert_eq!(shape(WeightFormat::F32, 3), (12, 0));
    assert_eq!(shape(WeightFormat::F16, 3), (8, 0));
    assert_eq!(shape(WeightFormat::Bf16, 4), (8, 0));
    assert_eq!(shape(WeightFormat::Int8(Int8Group::G32), 65), (96, 6));
    assert_eq!(shape(WeightFormat::Int8(Int8Group::G64), 65), (128, 4));
    assert_eq!(shape(WeightFormat::Int8(Int8Group::G128), 65), (128, 2));
    assert_eq!(shape(WeightFormat::Nf4, 65), (64, 4));
    assert_eq!(shape(WeightFormat::W8a8(ActivationScale::PerToken), 65), (128, 4));
    assert_eq!(shape(WeightFormat::Int4(Int4Group::G32), 65), (64, 16));
    assert_eq!(shape(WeightFormat::Int4(Int4Group::G128), 129), (128, 8));
    assert_eq!(WeightFormat::Nf4.bytes(3, 65), 204);
    assert_eq!(WeightFormat::F32.bytes(usize::MAX, 2), usize::MAX);
    for format in FORMATS {
        // In rows of whole groups only the w8a8 scale stands between the nominal and the real size.
        let bits = format.bytes(10, 1 << 20) as f64 * 8.0 / (10.0 * f64::from(1 << 20));
        assert!((bits - format.bits_per_weight()).abs() < 1e-4, "{format}");
    }
}
