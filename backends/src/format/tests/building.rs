//! Matrices built in pieces, cut in pieces, and laid over bytes that exist already.

use std::sync::Arc;

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::format::{Bytes, PackedBuilder};

fn same(a: &PackedMatrix, b: &PackedMatrix) {
    assert_eq!(a.format(), b.format());
    assert_eq!((a.rows(), a.cols()), (b.rows(), b.cols()));
    assert_eq!(&a.codes()[..], &b.codes()[..]);
    assert_eq!(&a.scales()[..], &b.scales()[..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pieces_make_the_same_matrix_as_the_whole(
        format in any_format(),
        (rows, cols, weights) in any_matrix(),
        cuts in proptest::collection::vec((0_usize..4, any::<bool>()), 12),
    ) {
        let whole = PackedMatrix::quantize(format, rows, cols, &weights).unwrap();
        let mut builder = PackedBuilder::new(format, rows, cols).unwrap();
        for (piece_rows, packed) in cuts.into_iter().chain([(rows, false)]) {
            let done = builder.rows_done();
            let end = (done + piece_rows).min(rows);
            let piece = &weights[done * cols..end * cols];
            if packed && end > done {
                builder.append(&PackedMatrix::quantize(format, end - done, cols, piece).unwrap()).unwrap();
            } else {
                builder.append_f32(piece).unwrap();
            }
        }
        same(&builder.finish().unwrap(), &whole);
    }

    #[test]
    fn rows_cut_out_equal_the_same_rows_of_the_whole(
        format in any_format(),
        (rows, cols, weights) in any_matrix(),
        start in 0_usize..6,
        len in 0_usize..6,
    ) {
        let range = start.min(rows)..(start + len).min(rows);
        let range = range.start..range.end.max(range.start);
        let matrix = PackedMatrix::quantize(format, rows, cols, &weights).unwrap();
        let whole = dequantized(&matrix);
        let expected = &whole[range.start * cols..range.end * cols];
        let mut read = vec![f32::NAN; range.len() * cols];
        matrix.dequantize_rows(range.clone(), &mut read).unwrap();
        prop_assert!(same_bits(&read, expected));
        let view = matrix.view_rows(range.clone()).unwrap();
        view.check().unwrap();
        let mut row = vec![f32::NAN; cols];
        for index in 0..range.len() {
            view.row_f32(index, &mut row).unwrap();
            prop_assert!(same_bits(&row, &expected[index * cols..][..cols]));
            for col in 0..cols {
                let whole = matrix.view().weight(range.start + index, col);
                prop_assert_eq!(view.weight(index, col).to_bits(), whole.to_bits());
            }
        }
    }

    #[test]
    fn half_precision_weights_pack_like_the_same_weights_in_f32(
        format in any_format(),
        (rows, cols, weights) in any_matrix(),
    ) {
        let halves: Vec<f16> = weights.iter().copied().map(f16::from_f32).collect();
        let widened: Vec<f32> = halves.iter().map(|h| h.to_f32()).collect();
        let mut builder = PackedBuilder::new(format, rows, cols).unwrap();
        builder.append_f16(&halves).unwrap();
        same(&builder.finish().unwrap(), &PackedMatrix::quantize(format, rows, cols, &widened).unwrap());

        let brains: Vec<bf16> = weights.iter().copied().map(bf16::from_f32).collect();
        let widened: Vec<f32> = brains.iter().map(|b| b.to_f32()).collect();
        let mut builder = PackedBuilder::new(format, rows, cols).unwrap();
        builder.append_bf16(&brains).unwrap();
        same(&builder.finish().unwrap(), &PackedMatrix::quantize(format, rows, cols, &widened).unwrap());
    }
}

#[test]
fn many_blocks_are_packed_in_their_places() {
    // More rows than one parallel task takes, with a last block that is short.
    let (rows, cols) = (1003, 70);
    let weights = plain_weights(rows, cols);
    for format in FORMATS {
        let whole = PackedMatrix::quantize(format, rows, cols, &weights).unwrap();
        for row in [0, 467, 468, 469, 1002] {
            let alone = PackedMatrix::quantize(format, 1, cols, &weights[row * cols..][..cols]).unwrap();
            let mut read = vec![0.0; cols];
            whole.view().row_f32(row, &mut read).unwrap();
            assert!(same_bits(&read, &dequantized(&alone)), "{format}, row {row}");
        }
    }
}

#[test]
fn a_failed_piece_can_be_given_again() {
    let weights = plain_weights(4, 65);
    for format in FORMATS {
        let mut builder = PackedBuilder::new(format, 4, 65).unwrap();
        builder.append_f32(&weights[..65]).unwrap();
        let mut broken = weights[65..].to_vec();
        broken[100] = f32::NAN;
        builder.append_f32(&broken).unwrap_err();
        assert_eq!(builder.rows_done(), 1);
        builder.append_f32(&weights[65..]).unwrap();
        same(&builder.finish().unwrap(), &PackedMatrix::quantize(format, 4, 65, &weights).unwrap());
    }
}

#[test]
fn parts_make_the_matrix_that_they_came_from() {
    let weights = plain_weights(3, 65);
    for format in FORMATS {
        let made = PackedMatrix::quantize(format, 3, 65, &weights).unwrap();
        // As from a file: codes and scales one after the other, at an offset that may or may not fit.
        for offset in 0..8 {
            let mut file = vec![0xaa_u8; offset];
            file.extend_from_slice(made.codes());
            file.extend_from_slice(made.scales());
            let file: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(file);
            let codes_end = offset + made.codes().len();
            let codes = Bytes::shared(Arc::clone(&file), offset..codes_end).unwrap();
            let whole = Bytes::shared(Arc::clone(&file), 0..codes_end + made.scales().len()).unwrap();
            let scales = whole.slice(codes_end..whole.len()).unwrap();
            let parts = PackedMatrix::from_parts(format, 3, 65, codes, scales).unwrap();
            parts.check_contents().unwrap();
            assert!(same_bits(&dequantized(&parts), &dequantized(&made)), "{format} at {offset}");
        }
    }
}

/// Bytes whose alignment is known, unlike a `Vec<u8>`'s.
struct Words(Arc<Vec<u32>>);

impl AsRef<[u8]> for Words {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[test]
fn aligned_bytes_are_shared_and_others_copied() {
    let owner: Arc<Vec<u32>> = Arc::new(vec![0x0403_0201; 8]);
    let address = owner.as_ptr().addr();
    let shared: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::new(Words(owner));
    for start in 0..8 {
        let bytes = Bytes::shared(Arc::clone(&shared), start..20).unwrap();
        assert_eq!(&bytes[..2], &[(start % 4) as u8 + 1, ((start + 1) % 4) as u8 + 1]);
        assert_eq!(bytes.as_ptr().addr() % Bytes::ALIGNMENT, 0);
        assert_eq!(bytes.as_ptr().addr() == address + start, start % 4 == 0);
        assert_eq!(bytes.clone().as_ptr(), bytes.as_ptr());
    }
    assert!(Bytes::shared(Arc::clone(&shared), 32..32).unwrap().is_empty());
    Bytes::shared(Arc::clone(&shared), 32..33).unwrap_err();
    let bytes = Bytes::shared(shared, 4..16).unwrap();
    bytes.slice(0..13).unwrap_err();
    bytes.slice(13..13).unwrap_err();
    assert_eq!(&bytes.slice(4..12).unwrap()[..], &bytes[4..12]);
}

#[test]
fn owned_bytes_are_page_aligned_copies() {
    for len in [0, 1, 4096, 5 << 20] {
        let original: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let bytes = Bytes::copy_of(&original).unwrap();
        assert_eq!(bytes.len(), len);
        assert_eq!(&bytes[..], &original[..]);
        assert!(len == 0 || bytes.as_ptr().addr().is_multiple_of(4096));
    }
}
