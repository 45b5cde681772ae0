//! The product of int8 activations with int8 weights, summed as integers: exact, so every instruction set and every
//! way of cutting the work gives the same bits.

#![allow(clippy::needless_range_loop, reason = "tiles are walked by their indices")]

use std::array;
use std::cell::RefCell;

use super::few::bytes_ahead;
use super::prepare::LINE_CODES;
use super::tiled::cut;
use super::{BLOCK_ROWS, Epilogue};
use crate::cpu::simd::{CodeLine, Columns, Kernel, Simd, reserve_lines};
use crate::cpu::values::grow;
use crate::format::FormatError;

/// Cache lines of a row that a tile sums before it puts the sums down: 4096 columns.
const DEPTH: usize = 4096 / LINE_CODES;
/// Rows of weights in a tile.
const TILE: usize = 4;
/// Rows of activations up to which the weights are read as a stream.
pub(super) const FEW: usize = 8;

thread_local! {
    /// Integer sums of the parts of long rows, one buffer per thread, kept.
    static PARTIAL: RefCell<Vec<[i32; TILE]>> = const { RefCell::new(Vec::new()) };
}

/// Bytes of an entry of the integer sums.
pub(super) const PARTIAL_BYTES: usize = size_of::<[i32; TILE]>();

/// Entries of the integer sums of a block for so many rows of activations, and for the corrections.
pub(super) fn partial_sums(rows: usize) -> usize {
    rows.saturating_add(1).saturating_mul(BLOCK_ROWS.div_ceil(TILE))
}

/// Lets the calling thread have room for so many.
pub(super) fn reserve_partial(entries: usize) -> Result<(), FormatError> {
    PARTIAL.with_borrow_mut(|partial| grow(partial, entries))
}

/// Some rows of a `w8a8` matrix times all rows of activations.
pub(super) struct CodeRows<'a> {
    /// All rows of the matrix, each of `row_lines`.
    pub(super) weights: &'a [[i8; LINE_CODES]],
    pub(super) weight_scales: &'a [f32],
    /// Prepared codes: `m` rows of `row_lines`.
    pub(super) x: &'a [CodeLine],
    pub(super) x_scales: &'a [f32],
    pub(super) row_lines: usize,
    /// The first of the rows of weights; there are as many as `out` has columns (with many
    /// rows of activations at most [`BLOCK_ROWS`]).
    pub(super) first: usize,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) out: Columns<'a>,
}

/// A row of weights or activations, or a part of it.
type Row<'r> = &'r [[i8; LINE_CODES]];

impl Kernel for CodeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match self.x_scales.len() {
            0 => {}
            1 => self.stream::<S, 1>(s),
            2..=FEW if S::MANY_REGISTERS => self.stream::<S, 4>(s),
            2..=FEW => self.stream::<S, 2>(s),
            _ => {
                // Taken and put back: a closure would not be compiled for the instruction set.
                let mut partial = PARTIAL.take();
                self.tiles(s, &mut partial);
                PARTIAL.set(partial);
            }
        }
    }
}

impl CodeRows<'_> {
    /// The rows of weights `n..n + 4`, lines `start..start + depth`; past the last row the last one again.
    #[inline(always)]
    fn weight_rows(&self, n: usize, start: usize, depth: usize) -> [Row<'_>; TILE] {
        let last = self.out.width() - 1;
        array::from_fn(|i| {
            &self.weights[(self.first + (n + i).min(last)) * self.row_lines + start..][..depth]
        })
    }

    /// `M` rows of activations from `m`, lines `start..start + depth`; past the last row the last one again.
    #[inline(always)]
    fn x_rows<const M: usize>(&self, m: usize, start: usize, depth: usize) -> [Row<'_>; M] {
        let x: &[[i8; LINE_CODES]] = bytemuck::cast_slice(self.x);
        let last = self.x_scales.len() - 1;
        array::from_fn(|i| &x[(m + i).min(last) * self.row_lines + start..][..depth])
    }

    /// A few rows of activations: four whole rows of weights at a time, each with all activations.
    #[inline(always)]
    fn stream<S: Simd, const M: usize>(&mut self, s: S) {
        for n in (0..self.out.width()).step_by(TILE) {
            let weights = self.weight_rows(n, 0, self.row_lines);
            let (sums, totals) = tile::<S, M, true>(s, self.x_rows(0, 0, self.row_lines), weights);
            let corrections = corrections(s, totals);
            let mut results = [[0; TILE]; FEW];
            for (result, sums) in results.iter_mut().zip(sums) {
                *result = s.reduce_sums4(sums);
            }
            for m in (M..self.x_scales.len()).step_by(M) {
                let (sums, _) = tile::<S, M, false>(s, self.x_rows(m, 0, self.row_lines), weights);
                for (result, sums) in results[m..].iter_mut().zip(sums) {
                    *result = s.reduce_sums4(sums);
                }
            }
            for (m, sums) in results.into_iter().enumerate().take(self.x_scales.len()) {
                self.write(m, n, &sums, &corrections);
            }
        }
    }

    /// Many rows of activations: tiles over a block of weights that stays in the second-level cache.
    #[inline(always)]
    fn tiles<S: Simd>(&mut self, s: S, partial: &mut Vec<[i32; TILE]>) {
        let blocks = self.out.width().div_ceil(TILE);
        let rows = self.x_scales.len();
        let partial = reserve_lines(partial, (rows + 1) * blocks);
        // What the offset of the activations adds to the sums; the memory is read here, once.
        let (corrections_of, partial) = partial.split_at_mut(blocks);
        for (block, of_block) in corrections_of.iter_mut().enumerate() {
            let (_, totals) = tile::<S, 0, true>(s, [], self.weight_rows(block * TILE, 0, self.row_lines));
            *of_block = corrections(s, totals);
        }
        let tile_rows = if S::MANY_REGISTERS { 6 } else { 3 };
        for start in (0..self.row_lines).step_by(DEPTH) {
            for m in (0..rows).step_by(tile_rows) {
                let partial = &mut partial[m * blocks..];
                let count = tile_rows.min(rows - m);
                if S::MANY_REGISTERS {
                    match count {
                        6 => self.strip::<S, 6>(s, m, start, corrections_of, partial),
                        5 => self.strip::<S, 5>(s, m, start, corrections_of, partial),
                        4 => self.strip::<S, 4>(s, m, start, corrections_of, partial),
                        3 => self.strip::<S, 3>(s, m, start, corrections_of, partial),
                        2 => self.strip::<S, 2>(s, m, start, corrections_of, partial),
                        _ => self.strip::<S, 1>(s, m, start, corrections_of, partial),
                    }
                } else {
                    match count {
                        3 => self.strip::<S, 3>(s, m, start, corrections_of, partial),
                        2 => self.strip::<S, 2>(s, m, start, corrections_of, partial),
                        _ => self.strip::<S, 1>(s, m, start, corrections_of, partial),
                    }
                }
            }
        }
    }

    /// `M` rows of activations with all rows of weights, over one part of the columns.
    #[inline(always)]
    fn strip<S: Simd, const M: usize>(
        &mut self,
        s: S,
        m: usize,
        start: usize,
        corrections: &[[i32; TILE]],
        partial: &mut [[i32; TILE]],
    ) {
        let depth = DEPTH.min(self.row_lines - start);
        let blocks = corrections.len();
        let x = self.x_rows::<M>(m, start, depth);
        let mut sums = [[[0; TILE]; BLOCK_ROWS / TILE]; M];
        for block in 0..blocks {
            let (tile, _) = tile::<S, M, false>(s, x, self.weight_rows(block * TILE, start, depth));
            for m in 0..M {
                sums[m][block] = s.reduce_sums4(tile[m]);
            }
        }
        for (i, (sums, partial)) in sums.iter_mut().zip(partial.chunks_exact_mut(blocks)).enumerate() {
            let sums = &mut sums[..blocks];
            if start > 0 {
                let earlier = partial.as_flattened().iter();
                for (sum, earlier) in sums.as_flattened_mut().iter_mut().zip(earlier) {
                    *sum = sum.wrapping_add(*earlier);
                }
            }
            if start + depth == self.row_lines {
                self.write(m + i, 0, sums.as_flattened(), corrections.as_flattened());
            } else {
                partial.copy_from_slice(sums);
            }
        }
    }

    /// Scales sums and puts them into the output, from column `n` on.
    #[inline(always)]
    fn write(&mut self, m: usize, n: usize, sums: &[i32], corrections: &[i32]) {
        let count = sums.len().min(self.out.width() - n);
        let (sums, corrections) = (&sums[..count], &corrections[..count]);
        let scales = &self.weight_scales[self.first + n..][..count];
        let x_scale = self.x_scales[m];
        let mut products = [0.0; BLOCK_ROWS];
        let products = &mut products[..count];
        for i in 0..count {
            products[i] = sums[i].wrapping_sub(corrections[i]) as f32 * x_scale * scales[i];
        }
        self.epilogue.write(self.first + n, products, &mut self.out.row(m)[n..n + count]);
    }
}

/// What the offset of the activations' codes has added to sums with these totals of weights.
#[inline(always)]
fn corrections<S: Simd>(s: S, totals: [S::Sums; TILE]) -> [i32; TILE] {
    s.reduce_sums4(totals).map(|total| total.wrapping_mul(i32::from(S::CODE_OFFSET)))
}

/// The products of `M` rows of activations with four rows of weights, and if `TOTALS` and it is needed the totals of the
/// weights. All rows have the same length.
#[inline(always)]
fn tile<S: Simd, const M: usize, const TOTALS: bool>(
    s: S,
    x: [Row<'_>; M],
    weights: [Row<'_>; TILE],
) -> ([[S::Sums; TILE]; M], [S::Sums; TILE]) {
    let depth = weights[0].len();
    let (x, w) = (cut(x, depth), cut(weights, depth));
    let ahead = bytes_ahead(TILE * depth * LINE_CODES);
    let ones = s.splat_codes(1);
    let mut sums = [[s.zero_sums(); TILE]; M];
    let mut totals = [s.zero_sums(); TILE];
    for k in 0..depth {
        if TOTALS {
            for w in w {
                s.prefetch(&w[k], ahead);
            }
        }
        for part in 0..LINE_CODES / S::CODES {
            let codes = part * S::CODES..(part + 1) * S::CODES;
            let mut weights = [ones; TILE];
            for n in 0..TILE {
                weights[n] = s.load_codes(&w[n][k][codes.clone()]);
            }
            if TOTALS && S::CODE_OFFSET != 0 {
                for n in 0..TILE {
                    totals[n] = s.dot_codes(totals[n], ones, weights[n]);
                }
            }
            for m in 0..M {
                let x = s.load_codes(&x[m][k][codes.clone()]);
                for n in 0..TILE {
                    sums[m][n] = s.dot_codes(sums[m][n], x, weights[n]);
                }
            }
        }
    }
    (sums, totals)
}
