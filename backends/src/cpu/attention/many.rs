//! Attention of many query vectors that share a key head: a block of new rows.
//!
//! Lanes run along the *queries*: the block of queries is turned once, so that scores, weights and sums are
//! vectors of queries, softmax needs no sums across lanes, and both products are broadcasts of key and
//! value elements times vectors of queries. Keys and values are widened once per block.

#![allow(clippy::needless_range_loop, reason = "tiles are walked by their indices")]

use std::ops::Range;

use super::pages::{CacheElement, Pages, lanes_at};
use super::scratch::LINE_BYTES;
use super::{Partial, Queries};
use crate::cpu::functions::{Capped, VectorFunction};
use crate::cpu::simd::{Kernel, LANES, Line, Simd, reserve_lines};
use crate::cpu::values::grow;
use crate::format::FormatError;

/// Tokens of a block of keys and values: with heads of 128 both fill 64 KiB, part of a second-level cache.
const BLOCK: usize = 64;

/// Memory that a task needs. `V` below is the number of vectors that hold the queries.
#[derive(Default)]
pub(super) struct ManyScratch {
    /// Head × V.
    queries: Vec<Line>,
    /// Tokens × head, padded.
    keys: Vec<Line>,
    values: Vec<Line>,
    /// Tokens × V: scores, then weights.
    scores: Vec<Line>,
    /// Head × V.
    weighted: Vec<Line>,
    /// V each.
    max: Vec<Line>,
    sum: Vec<Line>,
    kept: Vec<Line>,
}

impl ManyScratch {
    /// The buffers, and how many lines each needs for up to `count` queries of this size.
    fn needs(&mut self, count: usize, head_dim: usize) -> [(&mut Vec<Line>, usize); 8] {
        let (width, lines) = (count.div_ceil(LANES), head_dim.div_ceil(LANES));
        let (turned, wide) = (head_dim.saturating_mul(width), BLOCK.saturating_mul(lines));
        [
            (&mut self.queries, turned),
            (&mut self.keys, wide),
            (&mut self.values, wide),
            (&mut self.scores, BLOCK.saturating_mul(width)),
            (&mut self.weighted, turned),
            (&mut self.max, width),
            (&mut self.sum, width),
            (&mut self.kept, width),
        ]
    }

    /// Grows it to what so many queries need.
    pub(super) fn reserve(&mut self, count: usize, head_dim: usize) -> Result<(), FormatError> {
        self.needs(count, head_dim).into_iter().try_for_each(|(buffer, lines)| grow(buffer, lines))
    }

    /// The bytes of that.
    pub(super) fn bytes(count: usize, head_dim: usize) -> u64 {
        let lines = Self::default().needs(count, head_dim).map(|(_, lines)| lines as u64);
        lines.into_iter().fold(0, u64::saturating_add).saturating_mul(LINE_BYTES)
    }
}

/// Attention of a block of queries over some positions.
pub(super) struct ManyQueries<'a, E> {
    pub(super) queries: Queries<'a>,
    pub(super) keys: Pages<'a, E>,
    pub(super) values: Pages<'a, E>,
    pub(super) positions: Range<usize>,
    pub(super) out: Partial<'a>,
    pub(super) scratch: &'a mut ManyScratch,
}

impl<E: CacheElement> Kernel for ManyQueries<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { queries, keys, values, positions, out, scratch } = self;
        let width = queries.count().div_ceil(LANES);
        let (head_dim, lines) = (queries.head_dim(), queries.head_lines());
        let buffers =
            scratch.needs(queries.count(), head_dim).map(|(buffer, lines)| reserve_lines(buffer, lines));
        let [turned, wide_keys, wide_values, scores, weighted, max, sum, kept] = buffers;
        turn_queries(&queries, turned);
        weighted.fill(Line([0.0; LANES]));
        max.fill(Line([f32::MIN; LANES]));
        sum.fill(Line([0.0; LANES]));
        for start in positions.clone().step_by(BLOCK) {
            let block = start..positions.end.min(start + BLOCK);
            let tokens = block.len();
            let scores = &mut scores[..tokens * width];
            widen(s, keys, block.clone(), lines, wide_keys);
            values.prefetch(s, block.clone());
            let rows = Rows { data: bytemuck::cast_slice(wide_keys), stride: lines * LANES };
            scores_of(s, rows, tokens, head_dim, turned, width, scores);
            if let Some(cap) = queries.softcap {
                for line in &mut *scores {
                    s.store(Capped(cap).apply(s, s.load(&line.0)), &mut line.0);
                }
            }
            mask(&queries, block.clone(), width, scores);
            soften(s, scores, width, max, sum, kept);
            keys.prefetch(s, block.end..positions.end.min(block.end + BLOCK));
            widen(s, values, block, lines, wide_values);
            let rows = Rows { data: bytemuck::cast_slice(wide_values), stride: lines * LANES };
            add_values(s, rows, head_dim, scores, width, kept, weighted);
        }
        turn_back(queries.count(), lines, weighted, out.weighted);
        let (max, sum): (&[f32], &[f32]) = (bytemuck::cast_slice(max), bytemuck::cast_slice(sum));
        out.max.copy_from_slice(&max[..out.max.len()]);
        out.sum.copy_from_slice(&sum[..out.sum.len()]);
    }
}

/// Queries, scaled, as head × queries; lanes without a query are zero.
#[inline(always)]
fn turn_queries(queries: &Queries<'_>, turned: &mut [Line]) {
    let stride = queries.count().next_multiple_of(LANES);
    let turned: &mut [f32] = bytemuck::cast_slice_mut(turned);
    turned.fill(0.0);
    for index in 0..queries.count() {
        for (element, to) in queries.vector(index).iter().zip(turned.chunks_exact_mut(stride)) {
            to[index] = element * queries.scale;
        }
    }
}

/// Sums as head × queries back to queries × head, each padded to whole lines.
#[inline(always)]
fn turn_back(count: usize, lines: usize, weighted: &[Line], out: &mut [Line]) {
    let stride = count.next_multiple_of(LANES);
    let weighted: &[f32] = bytemuck::cast_slice(weighted);
    let out: &mut [f32] = bytemuck::cast_slice_mut(out);
    for (index, out) in out.chunks_exact_mut(lines * LANES).enumerate().take(count) {
        for (from, out) in weighted.chunks_exact(stride).zip(out) {
            *out = from[index];
        }
    }
}

/// Widens a block's head vectors to f32, each padded to whole lines.
#[inline(always)]
fn widen<S: Simd, E: CacheElement>(
    s: S,
    pages: Pages<'_, E>,
    block: Range<usize>,
    lines: usize,
    to: &mut [Line],
) {
    let mut to = to.chunks_exact_mut(lines);
    for run in pages.runs(block) {
        for (token, to) in (0..run.tokens()).zip(&mut to) {
            let vector = run.vector(token);
            let scale = if E::SCALED { s.splat_f16(&run.scales()[token]) } else { s.splat(1.0) };
            for (index, to) in to.iter_mut().enumerate() {
                let x = lanes_at(s, vector, index);
                s.store(if E::SCALED { s.mul(x, scale) } else { x }, &mut to.0);
            }
        }
    }
}

/// The first `V` vectors.
#[inline(always)]
fn load_lines<S: Simd, const V: usize>(s: S, from: &[Line]) -> [S::F32; V] {
    let from = &from[..V];
    let mut vectors = [s.zero(); V];
    for v in 0..V {
        vectors[v] = s.load(&from[v].0);
    }
    vectors
}

/// A row-major matrix.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
}

/// `scores[t] = keys[t] · queries`, for all tokens.
#[inline(always)]
fn scores_of<S: Simd>(
    s: S,
    keys: Rows<'_>,
    tokens: usize,
    head_dim: usize,
    queries: &[Line],
    width: usize,
    scores: &mut [Line],
) {
    let mut at = 0;
    while at < width {
        let block = ScoreBlock { keys, head_dim, queries, width, at };
        let mut token = 0;
        at += match width - at {
            4.. if S::MANY_REGISTERS => {
                token = block.rows::<S, 4, 4>(s, token, tokens, scores);
                block.rows::<S, 1, 4>(s, token, tokens, scores);
                4
            }
            2.. if S::MANY_REGISTERS => {
                token = block.rows::<S, 8, 2>(s, token, tokens, scores);
                block.rows::<S, 1, 2>(s, token, tokens, scores);
                2
            }
            2.. => {
                token = block.rows::<S, 2, 2>(s, token, tokens, scores);
                block.rows::<S, 1, 2>(s, token, tokens, scores);
                2
            }
            _ => {
                token = block.rows::<S, 4, 1>(s, token, tokens, scores);
                block.rows::<S, 1, 1>(s, token, tokens, scores);
                1
            }
        };
    }
}

/// Some vectors of queries, from `at` on, against all keys.
struct ScoreBlock<'a> {
    keys: Rows<'a>,
    head_dim: usize,
    queries: &'a [Line],
    width: usize,
    at: usize,
}

impl ScoreBlock<'_> {
    /// `R` tokens at a time with `V` vectors of queries; returns the first token that is left.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &self,
        s: S,
        mut token: usize,
        tokens: usize,
        scores: &mut [Line],
    ) -> usize {
        while token + R <= tokens {
            let mut keys: [&[f32]; R] = [&[]; R];
            for r in 0..R {
                keys[r] = &self.keys.data[(token + r) * self.keys.stride..][..self.head_dim];
            }
            let mut sums = [[s.zero(); V]; R];
            for (k, queries) in self.queries.chunks_exact(self.width).enumerate().take(self.head_dim) {
                let queries = load_lines::<S, V>(s, &queries[self.at..]);
                for r in 0..R {
                    let key = s.splat(keys[r][k]);
                    for v in 0..V {
                        sums[r][v] = s.fma(key, queries[v], sums[r][v]);
                    }
                }
            }
            for r in 0..R {
                for v in 0..V {
                    s.store(sums[r][v], &mut scores[(token + r) * self.width + self.at + v].0);
                }
            }
            token += R;
        }
        token
    }
}

/// Rules out the positions of a block that a query does not see.
#[inline(always)]
fn mask(queries: &Queries<'_>, block: Range<usize>, width: usize, scores: &mut [Line]) {
    // Queries are in the order of their rows, so the first sees the least of what comes last.
    let (first, last) = (queries.sees(0), queries.sees(queries.count() - 1));
    if block.end <= first.end && block.start >= last.start {
        return;
    }
    for (position, row) in block.zip(scores.chunks_exact_mut(width)) {
        let row: &mut [f32] = bytemuck::cast_slice_mut(row);
        // Positions are hidden from the first rows (which come before them) and from the last (whose
        // window has passed them).
        let too_early = queries.count_of_rows_before(position);
        row[..too_early].fill(f32::NEG_INFINITY);
        row[queries.count_of_rows_reaching(position)..].fill(f32::NEG_INFINITY);
    }
}

/// Turns scores into weights relative to each query's largest score so far; `kept` becomes the factor for
/// what was added up before.
#[inline(always)]
fn soften<S: Simd>(
    s: S,
    scores: &mut [Line],
    width: usize,
    max: &mut [Line],
    sum: &mut [Line],
    kept: &mut [Line],
) {
    for v in 0..width {
        let old = s.load(&max[v].0);
        let mut largest = old;
        for row in scores.chunks_exact(width) {
            // NaN goes through here unseen, but not through the exponential.
            largest = s.max(s.load(&row[v].0), largest);
        }
        let mut total = s.zero();
        for row in scores.chunks_exact_mut(width) {
            let weight = s.exp(s.sub(s.load(&row[v].0), largest));
            total = s.add(total, weight);
            s.store(weight, &mut row[v].0);
        }
        let factor = s.exp(s.sub(old, largest));
        s.store(largest, &mut max[v].0);
        s.store(s.fma(s.load(&sum[v].0), factor, total), &mut sum[v].0);
        s.store(factor, &mut kept[v].0);
    }
}

/// `weighted[d] = weighted[d] · kept + Σ_t values[t][d] · weights[t]`, for all of the head.
#[inline(always)]
fn add_values<S: Simd>(
    s: S,
    values: Rows<'_>,
    head_dim: usize,
    weights: &[Line],
    width: usize,
    kept: &[Line],
    weighted: &mut [Line],
) {
    let mut at = 0;
    while at < width {
        let block = ValueBlock { values, head_dim, weights, width, at, kept };
        at += match width - at {
            4.. if S::MANY_REGISTERS => {
                let element = block.columns::<S, 4, 4>(s, 0, weighted);
                block.columns::<S, 1, 4>(s, element, weighted);
                4
            }
            2.. if S::MANY_REGISTERS => {
                let element = block.columns::<S, 8, 2>(s, 0, weighted);
                block.columns::<S, 1, 2>(s, element, weighted);
                2
            }
            2.. => {
                let element = block.columns::<S, 2, 2>(s, 0, weighted);
                block.columns::<S, 1, 2>(s, element, weighted);
                2
            }
            _ => {
                let element = block.columns::<S, 4, 1>(s, 0, weighted);
                block.columns::<S, 1, 1>(s, element, weighted);
                1
            }
        };
    }
}

/// Some vectors of queries, from `at` on, against all values.
struct ValueBlock<'a> {
    values: Rows<'a>,
    head_dim: usize,
    weights: &'a [Line],
    width: usize,
    at: usize,
    kept: &'a [Line],
}

impl ValueBlock<'_> {
    /// `R` elements of the head at a time with `V` vectors of queries; returns the first element that is left.
    #[inline(always)]
    fn columns<S: Simd, const R: usize, const V: usize>(
        &self,
        s: S,
        mut element: usize,
        weighted: &mut [Line],
    ) -> usize {
        let kept = load_lines::<S, V>(s, &self.kept[self.at..]);
        while element + R <= self.head_dim {
            let mut sums = [[s.zero(); V]; R];
            for r in 0..R {
                let before = &weighted[(element + r) * self.width + self.at..][..V];
                for v in 0..V {
                    sums[r][v] = s.mul(s.load(&before[v].0), kept[v]);
                }
            }
            let values = self.values.data.chunks_exact(self.values.stride);
            for (weights, values) in self.weights.chunks_exact(self.width).zip(values) {
                let weights = load_lines::<S, V>(s, &weights[self.at..]);
                let values = &values[element..][..R];
                for r in 0..R {
                    let value = s.splat(values[r]);
                    for v in 0..V {
                        sums[r][v] = s.fma(value, weights[v], sums[r][v]);
                    }
                }
            }
            for r in 0..R {
                for v in 0..V {
                    s.store(sums[r][v], &mut weighted[(element + r) * self.width + self.at + v].0);
                }
            }
            element += R;
        }
        element
    }
}
