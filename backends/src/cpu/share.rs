//! Sharing an operator's work among threads, where it is worth it.
//!
//! A decoding step of a small model is over a hundred operators of which most touch a few thousand numbers.
//! Waking a thread for one of those takes longer than doing it, so work below a grain stays on the calling
//! thread. How work is cut depends on its size alone, never on how many threads are free.

use std::cell::RefCell;

use rayon::prelude::*;

use super::simd::{Line, lines, reserve_lines};
use super::values::{RowsMut, grow};
use crate::format::FormatError;

/// Numbers per task of an operator that does little with each: about ten microseconds of work.
pub(super) const GRAIN: usize = 1 << 15;

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with scratch memory that the thread keeps, holding whatever was left in it.
///
/// `work` must not share work itself: the thread could be given a task that wants the same memory.
pub(super) fn with_scratch<R>(floats: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        let scratch = reserve_lines(scratch, lines(floats));
        work(&mut bytemuck::cast_slice_mut(scratch)[..floats])
    })
}

/// Lets the calling thread have memory for [`with_scratch`].
pub(super) fn reserve_scratch(floats: usize) -> Result<(), FormatError> {
    SCRATCH.with_borrow_mut(|scratch| grow(scratch, lines(floats)))
}

/// Calls `work` with each piece of rows that together make up `out`, and the row and column that the piece begins at.
/// No piece crosses the end of a row.
pub(super) fn pieces(
    out: &mut [f32],
    width: usize,
    grain: usize,
    work: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let task = |first: usize, mut out: &mut [f32]| {
        let mut at = first;
        while !out.is_empty() {
            let (row, column) = (at / width, at % width);
            let (piece, rest) = out.split_at_mut((width - column).min(out.len()));
            at += piece.len();
            work(row, column, piece);
            out = rest;
        }
    };
    if out.len() <= grain {
        task(0, out);
    } else {
        out.par_chunks_mut(grain).enumerate().for_each(|(index, out)| task(index * grain, out));
    }
}

/// Rows of up to two outputs that are written together.
pub(super) struct RowBlock<'a> {
    /// The first of the rows.
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
    /// A second output, f32, of the same width.
    pub(super) beside: Option<&'a mut [f32]>,
    pub(super) out: RowsMut<'a>,
}

impl RowBlock<'_> {
    /// Calls `work` with blocks of whole rows of about a grain.
    pub(super) fn share(self, work: &(impl Fn(RowBlock<'_>) + Sync)) {
        if self.rows * self.width <= GRAIN || self.rows < 2 {
            return work(self);
        }
        let RowBlock { first, rows, width, beside, out } = self;
        let half = rows / 2;
        let (out_a, out_b) = out.split_at(half, width);
        let (a, b) = match beside.map(|beside| beside.split_at_mut(half * width)) {
            Some((a, b)) => (Some(a), Some(b)),
            None => (None, None),
        };
        let a = RowBlock { first, rows: half, width, beside: a, out: out_a };
        let b = RowBlock { first: first + half, rows: rows - half, width, beside: b, out: out_b };
        rayon::join(|| a.share(work), || b.share(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_all_rows_and_cross_none() {
        for (rows, width, grain) in [(1, 10, 3), (7, 5, 3), (3, 64, 1000), (4, 1, 2), (0, 3, 2)] {
            let mut out = vec![0.0; rows * width];
            pieces(&mut out, width, grain, |row, column, piece| {
                assert!(column + piece.len() <= width);
                for (i, out) in piece.iter_mut().enumerate() {
                    *out += (row * width + column + i) as f32;
                }
            });
            assert!(out.iter().enumerate().all(|(i, x)| x.to_bits() == (i as f32).to_bits()));
        }
    }

    #[test]
    fn blocks_of_rows_cover_both_outputs() {
        let (rows, width) = (5, GRAIN / 2);
        let (mut beside, mut out) = (vec![0.0; rows * width], vec![0.0; rows * width]);
        let block =
            RowBlock { first: 0, rows, width, beside: Some(&mut beside), out: RowsMut::Floats(&mut out) };
        block.share(&|block| {
            let RowsMut::Floats(out) = block.out else { unreachable!() };
            let beside = block.beside.unwrap();
            for row in 0..block.rows {
                out[row * width..][..width].fill((block.first + row) as f32);
                beside[row * width..][..width].fill(1.0);
            }
        });
        assert!(beside.iter().all(|x| x.to_bits() == 1.0_f32.to_bits()));
        assert!(
            out.chunks(width).enumerate().all(|(row, x)| x[width - 1].to_bits() == (row as f32).to_bits())
        );
    }
}
