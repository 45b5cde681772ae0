//! The product for one to about eight rows of activations: the weights are read once, straight from where they lie, and the
//! aim is to do it as fast as the memory delivers them.

#![allow(clippy::needless_range_loop, reason = "tiles are walked by their indices")]

use std::array;

use super::Epilogue;
use super::weights::{Format, for_each_vector};
use crate::cpu::simd::{Columns, Kernel, Line, Simd};

/// Bytes ahead of a block that the memory is asked for. The processor's own prefetching stops at each page's end, and this is
/// more than memory delivers in the time that it takes to answer: measured, 2 KiB are a twelfth slower for rows of 2 KiB.
const AHEAD: usize = 8192;
/// The same where rows are so long that their place in rows to come would be far beyond.
const AHEAD_IN_ROW: usize = 2048;

/// How far ahead of a block to ask for the memory when rows that together have this many bytes are read side
/// by side: at the same place in rows to come.
pub(super) const fn bytes_ahead(group_bytes: usize) -> usize {
    if group_bytes > AHEAD { AHEAD_IN_ROW } else { AHEAD.next_multiple_of(group_bytes) }
}

/// Some rows of a weight matrix times all rows of activations.
///
/// `V` is how many vectors the format's blocks have.
pub(super) struct FewRows<'a, F, const V: usize> {
    pub(super) weights: F,
    /// Prepared activations: `m` rows of as many vectors as the weights' blocks have.
    pub(super) x: &'a [Line],
    pub(super) m: usize,
    /// The first of the rows of weights; there are as many as `out` has columns.
    pub(super) first: usize,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) out: Columns<'a>,
}

impl<F: Format<V>, const V: usize> Kernel for FewRows<'_, F, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if S::MANY_REGISTERS {
            match self.m {
                0 => {}
                // Measured: codes that are decoded are read fastest as one unbroken stream, dense rows as two.
                1 if F::SCALED => self.in_turn(s),
                1 => self.all::<S, 1, 2>(s),
                2 => self.all::<S, 2, 4>(s),
                3 => self.all::<S, 3, 4>(s),
                4 => self.all::<S, 4, 4>(s),
                5 | 6 => self.all::<S, 6, 4>(s),
                _ => self.all::<S, 8, 3>(s),
            }
        } else {
            match self.m {
                0 => {}
                1 => self.all::<S, 1, 2>(s),
                2 => self.all::<S, 2, 2>(s),
                4 => self.all::<S, 4, 1>(s),
                _ => self.all::<S, 3, 2>(s),
            }
        }
    }
}

impl<F: Format<V>, const V: usize> FewRows<'_, F, V> {
    /// All rows of the task, one after the other, for one row of activations. Lanes are summed for four rows together: what comes
    /// at the end of a row takes as long as a good part of a short one.
    #[inline(always)]
    fn in_turn<S: Simd>(&mut self, s: S) {
        let width = self.out.width();
        let x = [&self.x.as_chunks().0[..self.weights.blocks()]];
        for n in (0..width).step_by(4) {
            let count = (width - n).min(4);
            let mut sums = [s.zero(); 4];
            for (i, sum) in sums.iter_mut().enumerate().take(count) {
                let row = [self.weights.row(self.first + n + i)];
                *sum = dot_rows::<S, F, V, 1, 1>(s, &self.weights, row, x)[0][0];
            }
            let out = &mut self.out.row(0)[n..n + count];
            self.epilogue.write(self.first + n, &s.reduce_sum4(sums)[..count], out);
        }
    }

    /// All rows of the task, `N` rows of weights and `M` rows of activations at once.
    #[inline(always)]
    fn all<S: Simd, const M: usize, const N: usize>(&mut self, s: S) {
        let width = self.out.width();
        let row_lines = self.weights.blocks() * V;
        for n in (0..width).step_by(N) {
            // Past the end the last row is computed again and dropped, so every row takes the same path.
            let rows: [F::Row; N] = array::from_fn(|i| self.weights.row(self.first + (n + i).min(width - 1)));
            for m in (0..self.m).step_by(M) {
                let x: [&[[Line; V]]; M] = array::from_fn(|i| {
                    let row = (m + i).min(self.m - 1);
                    self.x[row * row_lines..][..row_lines].as_chunks().0
                });
                let sums = dot_rows::<S, F, V, M, N>(s, &self.weights, rows, x);
                for (i, sums) in sums.iter().enumerate().take(self.m - m) {
                    let count = N.min(width - n);
                    let out = &mut self.out.row(m + i)[n..n + count];
                    self.epilogue.write(self.first + n, &reduce(s, sums)[..count], out);
                }
            }
        }
    }
}

/// The sums of up to four vectors' lanes.
#[inline(always)]
pub(super) fn reduce<S: Simd, const N: usize>(s: S, sums: &[S::F32; N]) -> [f32; 4] {
    let mut four = [s.zero(); 4];
    four[..N].copy_from_slice(sums);
    s.reduce_sum4(four)
}

/// The products of `M` rows of activations with `N` rows of weights, the lanes not yet summed.
#[inline(always)]
fn dot_rows<S: Simd, F: Format<V>, const V: usize, const M: usize, const N: usize>(
    s: S,
    weights: &F,
    rows: [F::Row; N],
    x: [&[[Line; V]]; M],
) -> [[S::F32; N]; M] {
    let context = F::context(s);
    let row_bytes = weights.row_bytes();
    // Rows that are read one after the other are one stream, however long they are.
    let ahead = bytes_ahead(if N == 1 { row_bytes.min(AHEAD) } else { N * row_bytes });
    let whole = weights.whole_blocks();
    let mut sums = [[s.zero(); N]; M];
    for index in 0..whole {
        let mut x_block = [&x[0][index]; M];
        for m in 1..M {
            x_block[m] = &x[m][index];
        }
        let mut blocks = [F::block(s, &rows[0], index, ahead); N];
        for n in 1..N {
            blocks[n] = F::block(s, &rows[n], index, ahead);
        }
        add_blocks::<S, F, V, M, N>(s, context, blocks, x_block, &mut sums);
    }
    if weights.has_tail() {
        let mut x_block = [&x[0][whole]; M];
        for m in 1..M {
            x_block[m] = &x[m][whole];
        }
        let tails: [F::Tail; N] = array::from_fn(|n| F::tail(&rows[n]));
        let mut blocks = [F::tail_block(s, &tails[0]); N];
        for n in 1..N {
            blocks[n] = F::tail_block(s, &tails[n]);
        }
        add_blocks::<S, F, V, M, N>(s, context, blocks, x_block, &mut sums);
    }
    sums
}

/// Adds the products with a block of each row of weights.
#[inline(always)]
fn add_blocks<S: Simd, F: Format<V>, const V: usize, const M: usize, const N: usize>(
    s: S,
    context: F::Context<S>,
    blocks: [F::Block<'_, S>; N],
    x: [&[Line; V]; M],
    sums: &mut [[S::F32; N]; M],
) {
    if M == 1 {
        for n in 0..N {
            // One multiplication by the scale per block, and chains of additions no longer than a block.
            let mut sum = s.mul(F::vector(s, context, blocks[n], 0), s.load(&x[0][0].0));
            for_each_vector!(v in V {
                if v > 0 {
                    sum = s.fma(F::vector(s, context, blocks[n], v), s.load(&x[0][v].0), sum);
                }
            });
            let scale = F::scale(s, blocks[n]);
            sums[0][n] = if F::SCALED { s.fma(sum, scale, sums[0][n]) } else { s.add(sum, sums[0][n]) };
        }
        return;
    }
    for_each_vector!(v in V {
        let mut weights = [s.zero(); N];
        for n in 0..N {
            let weight = F::vector(s, context, blocks[n], v);
            weights[n] = if F::SCALED { s.mul(weight, F::scale(s, blocks[n])) } else { weight };
        }
        for m in 0..M {
            let x = s.load(&x[m][v].0);
            for n in 0..N {
                sums[m][n] = s.fma(x, weights[n], sums[m][n]);
            }
        }
    });
}
