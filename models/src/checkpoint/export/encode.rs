//! The bytes of the tensors that a converted matrix becomes. Each is the inverse of what reads it, in
//! [`quantized`](super::super::quantized).

use std::borrow::Cow;

use half::f16;
use ingle_backends::format::{NF4_CODEBOOK, PackedMatrix};
use rayon::prelude::*;

use super::Matrix;
use super::form::{Form, is_quantized};
use super::shards::{Part, Piece};

/// Rows that one task turns into columns at a time, so that they stay in its cache.
const ROWS_AT_ONCE: usize = 64;

/// A code, a scale or a zero point of eight rows at a time makes a word of GPTQ.
const PACKED: usize = 8;

/// The bytes of one tensor.
pub(super) fn bytes<'p>(
    piece: &Piece,
    packed: &'p PackedMatrix,
    matrix: &Matrix<'_>,
    form: Form,
) -> Cow<'p, [u8]> {
    let quantized = is_quantized(matrix.target.format);
    match (&piece.part, form) {
        (Part::Whole, _) if !quantized => without_padding(packed, packed.cols() * piece.dtype.bits() / 8),
        (Part::Whole, Form::Bitsandbytes) => {
            packed.codes().iter().map(|codes| codes.rotate_left(4)).collect()
        }
        (Part::Whole, Form::CompressedInt8(_)) => without_padding(packed, packed.cols()),
        (Part::Whole, Form::Gptq(_)) => by_input(packed).into(),
        (Part::Whole, _) => Cow::Borrowed(packed.codes()),
        (Part::Scales, Form::Gptq(_)) => scales_by_group(packed).into(),
        (Part::Scales, _) => Cow::Borrowed(packed.scales()),
        (Part::Zeros, _) => zeros(packed).into(),
        (Part::GroupOrder, _) => {
            let size = packed.cols() / pairs_of(packed, 0).len().max(1);
            words((0..packed.cols()).map(|col| (col / size.max(1)) as u32)).into()
        }
        (Part::BlockMaxima, _) => {
            let scales = packed.scales().as_chunks::<2>().0.iter();
            scales.flat_map(|scale| f16::from_le_bytes(*scale).to_f32().to_le_bytes()).collect()
        }
        (Part::CodeTable, _) => NF4_CODEBOOK.iter().flat_map(|entry| entry.to_le_bytes()).collect(),
        (Part::ActivationScale(scale), _) => scale.to_le_bytes().to_vec().into(),
        (Part::State(text), _) => text.clone().into_bytes().into(),
    }
}

/// The rows as they are without what fills them up.
fn without_padding(packed: &PackedMatrix, row_bytes: usize) -> Cow<'_, [u8]> {
    let stride = packed.format().row_bytes(packed.cols());
    if stride == row_bytes {
        return Cow::Borrowed(packed.codes());
    }
    packed
        .codes()
        .chunks(stride.max(1))
        .flat_map(|row| row.get(..row_bytes).unwrap_or_default())
        .copied()
        .collect()
}

/// Words of eight neighbouring int4 codes of a row, those of all rows side by side.
fn by_input(packed: &PackedMatrix) -> Vec<u8> {
    let stride = packed.format().row_bytes(packed.cols());
    let (rows, word_count) = (packed.rows(), packed.cols() / PACKED);
    let mut out = vec![[0u8; 4]; rows * word_count];
    let blocks = out.par_chunks_mut((rows * ROWS_AT_ONCE).max(1)).enumerate();
    blocks.for_each(|(block, out)| {
        for (row, codes) in packed.codes().chunks(stride.max(1)).enumerate() {
            let words = codes.as_chunks::<4>().0.iter().skip(block * ROWS_AT_ONCE);
            for (line, word) in out.chunks_mut(rows).zip(words) {
                if let Some(place) = line.get_mut(row) {
                    *place = *word;
                }
            }
        }
    });
    out.into_flattened()
}

/// The scales and zero points of a row, as bytes of f16, those of its padding left out.
fn pairs_of(packed: &PackedMatrix, row: usize) -> Vec<([u8; 2], [u8; 2])> {
    let format = packed.format();
    let stride = format.scale_bytes_per_row(packed.cols());
    let size = match format {
        ingle_backends::format::WeightFormat::Int4(group) => group.size(),
        _ => packed.cols().max(1),
    };
    let scales = packed.scales().get(row * stride..(row + 1) * stride).unwrap_or_default();
    let pairs = scales.as_chunks::<4>().0.iter().map(|[a, b, c, d]| ([*a, *b], [*c, *d]));
    pairs.take(packed.cols().div_ceil(size)).collect()
}

/// Scales, a line for each group.
fn scales_by_group(packed: &PackedMatrix) -> Vec<u8> {
    let mut lines = vec![Vec::with_capacity(packed.rows()); pairs_of(packed, 0).len()];
    for row in 0..packed.rows() {
        for (line, (scale, _)) in lines.iter_mut().zip(pairs_of(packed, row)) {
            line.push(scale);
        }
    }
    lines.into_iter().flatten().flatten().collect()
}

/// Zero points of eight neighbouring rows in a word, a line for each group.
fn zeros(packed: &PackedMatrix) -> Vec<u8> {
    let groups = pairs_of(packed, 0).len();
    let mut lines = vec![vec![0u32; packed.rows() / PACKED]; groups];
    for row in 0..packed.rows() {
        for (line, (_, zero)) in lines.iter_mut().zip(pairs_of(packed, row)) {
            // Packing makes zero points from 0 to 15.
            let zero = f16::from_le_bytes(zero).to_f32() as u32 & 15;
            if let Some(word) = line.get_mut(row / PACKED) {
                *word |= zero << (4 * (row % PACKED));
            }
        }
    }
    words(lines.into_iter().flatten())
}

fn words(words: impl Iterator<Item = u32>) -> Vec<u8> {
    words.flat_map(u32::to_le_bytes).collect()
}
