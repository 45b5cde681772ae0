//! The product for many rows of activations: a block of weights is turned into floats once, and then multiplied
//! with all rows, a tile of rows × rows at a time.
//!
//! Activations and weights both run along the columns, so a tile's products are summed in vectors along the
//! columns and the lanes at the end. A tile's operands are a few rows of up to [`DEPTH`] columns, which stay in
//! the first-level cache, the block of weights in the second.

#![allow(clippy::needless_range_loop, reason = "tiles are walked by their indices")]

use std::array;
use std::cell::RefCell;

use super::few::{bytes_ahead, reduce};
use super::weights::{Format, for_each_vector};
use super::{BLOCK_ROWS, Epilogue};
use crate::cpu::simd::{Columns, Isa, Kernel, LANES, Line, Simd, reserve_lines};
use crate::cpu::values::grow;
use crate::format::FormatError;

/// Vectors of a row that a tile sums before it puts the sums down: 1024 columns.
const DEPTH: usize = 1024 / LANES;
/// Rows of weights in a tile.
const TILE_COLUMNS: usize = 4;

thread_local! {
    /// The block of weights as floats, one per thread, kept.
    static DECODED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Lines of decoded weights of a block, where a row has `row_lines`.
pub(super) fn decoded_lines(row_lines: usize) -> usize {
    BLOCK_ROWS.next_multiple_of(TILE_COLUMNS) * DEPTH.min(row_lines)
}

/// Lets the calling thread have room for so many.
pub(super) fn reserve_decoded(lines: usize) -> Result<(), FormatError> {
    DECODED.with_borrow_mut(|decoded| grow(decoded, lines))
}

/// Some rows of a weight matrix times all rows of activations.
///
/// `V` is how many vectors the format's blocks have.
pub(super) struct ManyRows<'a, F, const V: usize> {
    pub(super) weights: F,
    /// Prepared activations: `m` rows of as many vectors as the weights' blocks have.
    pub(super) x: &'a [Line],
    pub(super) m: usize,
    /// The first of the rows of weights; there are as many as `out` has columns, at most [`BLOCK_ROWS`].
    pub(super) first: usize,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) out: Columns<'a>,
}

impl<F: Format<V>, const V: usize> ManyRows<'_, F, V> {
    pub(super) fn run(mut self, isa: Isa) {
        let width = self.out.width();
        let row_lines = self.weights.blocks() * V;
        DECODED.with_borrow_mut(|decoded| {
            for start in (0..row_lines).step_by(DEPTH) {
                let depth = DEPTH.min(row_lines - start);
                let rows = width.next_multiple_of(TILE_COLUMNS);
                let decoded = reserve_lines(decoded, rows * depth);
                let (weights, first) = (self.weights, self.first);
                let used = &mut decoded[..width * depth];
                isa.run_float(Decode::<F, V> { weights, first, start, depth, decoded: used });
                isa.run_float(Multiply {
                    x: self.x,
                    m: self.m,
                    row_lines,
                    start,
                    depth,
                    weights: decoded,
                    first,
                    epilogue: self.epilogue,
                    out: &mut self.out,
                });
            }
        });
    }
}

/// Turns columns `start..start + depth`, in vectors, of some rows of weights into floats.
struct Decode<'a, F, const V: usize> {
    weights: F,
    first: usize,
    start: usize,
    depth: usize,
    /// Rows of `depth`.
    decoded: &'a mut [Line],
}

impl<F: Format<V>, const V: usize> Kernel for Decode<'_, F, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Decode { weights, first, start, depth, decoded } = self;
        let context = F::context(s);
        let ahead = bytes_ahead(weights.row_bytes());
        let whole = weights.whole_blocks();
        for (row, lines) in decoded.chunks_exact_mut(depth).enumerate() {
            let row = weights.row(first + row);
            for (index, lines) in lines.as_chunks_mut::<V>().0.iter_mut().enumerate() {
                let index = start / V + index;
                let tail;
                let block = if index < whole {
                    F::block(s, &row, index, ahead)
                } else {
                    tail = F::tail(&row);
                    F::tail_block(s, &tail)
                };
                let scale = F::scale(s, block);
                for_each_vector!(v in V {
                    let weight = F::vector(s, context, block, v);
                    s.store(if F::SCALED { s.mul(weight, scale) } else { weight }, &mut lines[v].0);
                });
            }
        }
    }
}

/// Multiplies a decoded block of weights with all rows of activations, and adds it up in the output.
struct Multiply<'a, 'o> {
    x: &'a [Line],
    m: usize,
    row_lines: usize,
    start: usize,
    depth: usize,
    /// Rows of `depth`, as many as `out` has columns, and up to three more with anything in them.
    weights: &'a [Line],
    first: usize,
    epilogue: Epilogue<'a>,
    out: &'a mut Columns<'o>,
}

impl Kernel for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let tile_rows = if S::MANY_REGISTERS { 6 } else { 3 };
        for m in (0..self.m).step_by(tile_rows) {
            let rows = tile_rows.min(self.m - m);
            if S::MANY_REGISTERS {
                match rows {
                    6 => self.strip::<S, 6, 4>(s, m),
                    5 => self.strip::<S, 5, 4>(s, m),
                    4 => self.strip::<S, 4, 4>(s, m),
                    3 => self.strip::<S, 3, 4>(s, m),
                    2 => self.strip::<S, 2, 4>(s, m),
                    _ => self.strip::<S, 1, 4>(s, m),
                }
            } else {
                match rows {
                    3 => self.strip::<S, 3, 2>(s, m),
                    2 => self.strip::<S, 2, 2>(s, m),
                    _ => self.strip::<S, 1, 4>(s, m),
                }
            }
        }
    }
}

impl Multiply<'_, '_> {
    /// `M` rows of activations with all rows of weights, `N` at a time.
    #[inline(always)]
    fn strip<S: Simd, const M: usize, const N: usize>(&mut self, s: S, m: usize) {
        let width = self.out.width();
        let x: [&[Line]; M] =
            array::from_fn(|i| &self.x[(m + i) * self.row_lines + self.start..][..self.depth]);
        let mut products = [[0.0; BLOCK_ROWS]; M];
        for n in (0..width).step_by(N) {
            let weights: [&[Line]; N] =
                array::from_fn(|i| &self.weights[(n + i) * self.depth..][..self.depth]);
            let sums = tile(s, x, weights);
            for m in 0..M {
                let four = reduce(s, &sums[m]);
                products[m][n..n + N].copy_from_slice(&four[..N]);
            }
        }
        for (i, products) in products.iter().enumerate() {
            let out = self.out.row(m + i);
            if self.start == 0 {
                self.epilogue.write(self.first, &products[..width], out);
            } else {
                for (out, product) in out.iter_mut().zip(products) {
                    *out += product;
                }
            }
        }
    }
}

/// The products of `M` rows with `N` rows of the same length, the lanes not yet summed.
#[inline(always)]
fn tile<S: Simd, const M: usize, const N: usize>(s: S, x: [&[Line]; M], w: [&[Line]; N]) -> [[S::F32; N]; M] {
    // Equal lengths, which spares the loop its bounds checks.
    let depth = x[0].len();
    let (x, w) = (cut(x, depth), cut(w, depth));
    let mut sums = [[s.zero(); N]; M];
    for k in 0..depth {
        let mut weights = [s.zero(); N];
        for n in 0..N {
            weights[n] = s.load(&w[n][k].0);
        }
        for m in 0..M {
            let x = s.load(&x[m][k].0);
            for n in 0..N {
                sums[m][n] = s.fma(x, weights[n], sums[m][n]);
            }
        }
    }
    sums
}

/// The first `len` entries of each row.
#[inline(always)]
pub(super) fn cut<T, const N: usize>(mut rows: [&[T]; N], len: usize) -> [&[T]; N] {
    for row in &mut rows {
        *row = &row[..len];
    }
    rows
}
