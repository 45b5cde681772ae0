//! What is refused, and that the refusal names the place.

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::format::{Bytes, FormatError, MatrixView, PackedBuilder, ViewData};

#[test]
fn what_is_not_finite_is_named_by_row_and_column() {
    let (rows, cols) = (900, 130);
    for format in FORMATS {
        for (row, col, bad) in
            [(0, 0, f32::NAN), (2, 129, f32::INFINITY), (899, 64, f32::NEG_INFINITY), (450, 63, -f32::NAN)]
        {
            let mut weights = plain_weights(rows, cols);
            weights[row * cols + col] = bad;
            // Another one behind it must not be named in its stead, however the work is divided.
            weights[rows * cols - 1] = f32::NAN;
            match PackedMatrix::quantize(format, rows, cols, &weights) {
                Err(FormatError::NotFinite { row: r, col: c, value }) => {
                    assert_eq!((r, c), (row, col), "{format}");
                    assert_eq!(value.is_nan(), bad.is_nan());
                }
                other => panic!("{format}: {other:?}"),
            }
        }
    }
}

#[test]
fn rows_are_named_as_rows_of_the_whole_matrix() {
    for format in FORMATS {
        let mut builder = PackedBuilder::new(format, 5, 3).unwrap();
        builder.append_f16(&[f16::ONE; 6]).unwrap();
        let mut piece = [bf16::ONE; 9];
        piece[7] = bf16::INFINITY;
        let error = builder.append_bf16(&piece).unwrap_err();
        assert!(matches!(error, FormatError::NotFinite { row: 4, col: 1, .. }), "{format}: {error}");
        let error = builder.append_f16(&[f16::NAN; 3]).unwrap_err();
        assert!(matches!(error, FormatError::NotFinite { row: 2, col: 0, .. }), "{format}: {error}");
    }
}

#[test]
fn weights_beyond_the_range_of_the_format_are_refused() {
    let mut weights = plain_weights(2, 200);
    weights[200 + 150] = -f32::MAX;
    for format in FORMATS {
        let result = PackedMatrix::quantize(format, 2, 200, &weights);
        match format {
            WeightFormat::F32 => drop(result.unwrap()),
            WeightFormat::F16 | WeightFormat::Bf16 => {
                let error = result.unwrap_err();
                assert!(matches!(error, FormatError::OutOfRange { row: 1, col: 150, .. }), "{error}");
            }
            WeightFormat::Int8(_) | WeightFormat::Int4(_) | WeightFormat::Nf4 => {
                let size = match format {
                    WeightFormat::Int8(group) => group.size(),
                    WeightFormat::Int4(group) => group.size(),
                    _ => 64,
                };
                let error = result.unwrap_err();
                match error {
                    FormatError::ScaleOutOfRange { row: 1, group, .. } => assert_eq!(group, 150 / size),
                    _ => panic!("{error}"),
                }
            }
            // Whichever way max / 127 is rounded, the result must not be infinite.
            WeightFormat::W8a8(_) => {
                if let Ok(matrix) = result {
                    assert!(dequantized(&matrix).iter().all(|w| w.is_finite()));
                }
            }
        }
    }
    // The borders: the largest magnitudes that round into f16, and the next above.
    let one = |format, weight: f32| PackedMatrix::quantize(format, 1, 1, &[weight]);
    one(WeightFormat::F16, 65_520.0_f32.next_down()).unwrap();
    one(WeightFormat::F16, 65_520.0).unwrap_err();
    one(WeightFormat::Nf4, 65_520.0_f32.next_down()).unwrap();
    one(WeightFormat::Nf4, 65_520.0).unwrap_err();
    one(WeightFormat::Int8(Int8Group::G64), 65_519.0 * 127.0).unwrap();
    one(WeightFormat::Int8(Int8Group::G64), 65_521.0 * 127.0).unwrap_err();
}

#[test]
fn lengths_and_shapes_are_checked() {
    for format in FORMATS {
        let quantize = |rows, cols, len| PackedMatrix::quantize(format, rows, cols, &vec![0.5; len]);
        assert!(matches!(quantize(2, 3, 5), Err(FormatError::Length { expected: 6, found: 5, .. })));
        assert!(matches!(quantize(0, 3, 0), Err(FormatError::EmptyMatrix { .. })));
        assert!(matches!(quantize(3, 0, 0), Err(FormatError::EmptyMatrix { .. })));
        assert!(matches!(quantize(usize::MAX, 2, 4), Err(FormatError::Length { .. })));
        for (rows, cols) in [(usize::MAX, 2), (2, usize::MAX), (1 << 40, 1 << 40), (1, usize::MAX - 3)] {
            let error = PackedBuilder::new(format, rows, cols).err().unwrap();
            assert!(matches!(error, FormatError::TooLarge { .. }), "{format}: {error}");
        }
        // Addressable, but more than any address space holds: the system refuses, and says so.
        let error = PackedBuilder::new(format, 1 << 30, 1 << 31).err().unwrap();
        assert!(matches!(error, FormatError::Allocation { .. }), "{format}: {error}");

        let matrix = quantize(3, 65, 195).unwrap();
        let mut out = vec![0.0; 195];
        assert!(matrix.dequantize_rows(0..3, &mut out[1..]).is_err());
        assert!(matrix.dequantize_rows(1..4, &mut out).is_err());
        assert!(matrix.view_rows(3..4).is_err());
        #[allow(clippy::reversed_empty_ranges, reason = "a mistake to be refused")]
        let reversed = matrix.view_rows(2..1);
        assert!(reversed.is_err());
        assert_eq!(matrix.view_rows(3..3).unwrap().rows, 0);
        assert!(matrix.view().row_f32(3, &mut out[..65]).is_err());
        assert!(matrix.view().row_f32(usize::MAX, &mut out[..65]).is_err());
        assert!(matrix.view().row_f32(0, &mut out[..64]).is_err());
        assert!(matrix.view().weight(3, 0).is_nan() && matrix.view().weight(0, 65).is_nan());
    }
}

#[test]
fn a_builder_takes_whole_rows_and_all_of_them() {
    for format in FORMATS {
        let mut builder = PackedBuilder::new(format, 3, 10).unwrap();
        assert!(matches!(builder.append_f32(&[0.0; 9]), Err(FormatError::PartialRow { len: 9, cols: 10 })));
        builder.append_f32(&[]).unwrap();
        builder.append_f32(&[0.25; 20]).unwrap();
        let error = builder.append_f32(&[0.0; 20]).unwrap_err();
        assert!(matches!(error, FormatError::TooManyRows { rows: 3, done: 2, extra: 2 }), "{error}");
        let narrow = PackedMatrix::quantize(format, 1, 9, &[0.0; 9]).unwrap();
        assert!(matches!(builder.append(&narrow), Err(FormatError::PieceMismatch { .. })));
        let other = if format == WeightFormat::F32 { WeightFormat::F16 } else { WeightFormat::F32 };
        let other = PackedMatrix::quantize(other, 1, 10, &[0.0; 10]).unwrap();
        assert!(matches!(builder.append(&other), Err(FormatError::PieceMismatch { .. })));
        let two = PackedMatrix::quantize(format, 2, 10, &[0.0; 20]).unwrap();
        assert!(matches!(builder.append(&two), Err(FormatError::TooManyRows { .. })));
        assert_eq!(builder.rows_done(), 2);
        assert!(matches!(builder.finish(), Err(FormatError::MissingRows { rows: 3, done: 2 })));
    }
}

#[test]
fn parts_of_the_wrong_size_are_refused() {
    for format in FORMATS {
        let made = PackedMatrix::quantize(format, 2, 65, &plain_weights(2, 65)).unwrap();
        let longer = Bytes::copy_of(&[&made.codes()[..], &[0; 4]].concat()).unwrap();
        let parts = |codes: &Bytes, scales: &Bytes| {
            PackedMatrix::from_parts(format, 2, 65, codes.clone(), scales.clone())
        };
        parts(made.codes(), made.scales()).unwrap();
        parts(&longer, made.scales()).unwrap_err();
        parts(&made.codes().slice(0..made.codes().len() - 2).unwrap(), made.scales()).unwrap_err();
        parts(made.codes(), &longer).unwrap_err();
        PackedMatrix::from_parts(format, 0, 65, Bytes::empty(), Bytes::empty()).unwrap_err();
    }
}

#[test]
fn contents_that_packing_never_makes_are_found() {
    let faulty = |format: WeightFormat, fault: &dyn Fn(&mut [u8], &mut [u8])| {
        let made = PackedMatrix::quantize(format, 3, 65, &plain_weights(3, 65)).unwrap();
        let (mut codes, mut scales) = (made.codes().to_vec(), made.scales().to_vec());
        fault(&mut codes, &mut scales);
        let [codes, scales] = [codes, scales].map(|bytes| Bytes::copy_of(&bytes).unwrap());
        match PackedMatrix::from_parts(format, 3, 65, codes, scales).unwrap().check_contents() {
            Err(FormatError::InvalidContents { row: 2, .. }) => {}
            other => panic!("{format}: {other:?}"),
        }
    };
    for format in FORMATS {
        let (stride, scale_stride) = (format.row_bytes(65), format.scale_bytes_per_row(65));
        match format {
            WeightFormat::F32 => faulty(format, &|codes, _| codes[2 * stride + 4..][..4].fill(0xff)),
            WeightFormat::F16 | WeightFormat::Bf16 => {
                faulty(format, &|codes, _| codes[2 * stride + 4..][..2].fill(0xff));
                faulty(format, &|codes, _| codes[3 * stride - 1] = 1);
            }
            WeightFormat::Int8(_) | WeightFormat::W8a8(_) => {
                faulty(format, &|codes, _| codes[2 * stride] = 0x80);
                faulty(format, &|codes, _| codes[2 * stride + 65] = 1);
            }
            WeightFormat::Nf4 => {
                faulty(format, &|codes, _| codes[3 * stride - 1] = 0x78);
                faulty(format, &|codes, _| codes[2 * stride + 32] ^= 0x10);
            }
            WeightFormat::Int4(group) => {
                let last_used = 2 * scale_stride + 64 / group.size() * 4;
                faulty(format, &|codes, _| codes[2 * stride + 32] ^= 0x10);
                faulty(format, &|_, scales| scales[last_used..][..2].fill(0xff));
                for zero in [-1.0, 0.5, 17.0] {
                    let zero = f16::from_f32(zero).to_le_bytes();
                    faulty(format, &|_, scales| scales[last_used + 2..][..2].copy_from_slice(&zero));
                }
            }
        }
        if scale_stride > 0 {
            faulty(format, &|_, scales| scales[3 * scale_stride - 1] |= 0x80);
            faulty(format, &|_, scales| scales[3 * scale_stride - 2..].fill(0xff));
        }
    }
}

#[test]
fn views_made_by_hand_are_checked() {
    let codes = [0_i8; 128];
    let scales = [f16::ONE; 2];
    let view = |rows, cols, group| MatrixView {
        rows,
        cols,
        data: ViewData::Int8 { codes: &codes, scales: &scales, group },
    };
    view(2, 33, 64).check().unwrap();
    view(2, 65, 64).check().unwrap_err();
    view(3, 33, 64).check().unwrap_err();
    view(2, 33, 48).check().unwrap_err();
    view(usize::MAX, usize::MAX, 64).check().unwrap_err();
    let mut out = [0.0; 33];
    view(2, 33, 0).row_f32(0, &mut out).unwrap_err();
    view(9, 33, 64).row_f32(8, &mut out).unwrap_err();
    assert!(view(2, 33, 0).weight(0, 0).is_nan());
    assert!(view(9, usize::MAX, 64).weight(8, usize::MAX - 1).is_nan());
}

#[test]
fn names_are_read_back() {
    for format in FORMATS {
        assert_eq!(format.to_string().parse::<WeightFormat>().unwrap(), format);
        assert_eq!(format.to_string(), format.name());
    }
    assert_eq!("int4".parse::<WeightFormat>().unwrap(), WeightFormat::Int4(Int4Group::G128));
    assert_eq!("int8".parse::<WeightFormat>().unwrap(), WeightFormat::Int8(Int8Group::G64));
    for text in ["", "int5", "F16", "w8a8-static", "w8a8-static:", "w8a8-static:x", "int8-g65"] {
        assert!(matches!(text.parse::<WeightFormat>(), Err(FormatError::UnknownName { .. })), "{text}");
    }
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        let text = format!("w8a8-static:{scale}");
        assert!(matches!(text.parse::<WeightFormat>(), Err(FormatError::ActivationScale(_))), "{text}");
        let format = WeightFormat::W8a8(ActivationScale::PerTensor(scale));
        assert!(PackedMatrix::quantize(format, 1, 1, &[1.0]).is_err());
    }
}

proptest! {
    #[test]
    fn a_calibrated_scale_survives_its_name(scale in proptest::num::f32::POSITIVE | proptest::num::f32::NORMAL) {
        let scale = scale.abs();
        let format = WeightFormat::W8a8(ActivationScale::PerTensor(scale));
        prop_assume!(format.check().is_ok());
        prop_assert_eq!(format.to_string().parse::<WeightFormat>().unwrap(), format);
    }
}
