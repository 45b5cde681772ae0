//! Attention of a few query vectors, such as the heads of one new token that share a key head.
//!
//! Keys and values are widened in registers as they come from memory, once for up to four queries. Lanes run
//! along the head.

#![allow(clippy::needless_range_loop, reason = "tiles are walked by their indices")]

use std::ops::Range;

use super::pages::{Ahead, CacheElement, Pages, Run, Runs, lanes_at};
use super::scratch::LINE_BYTES;
use super::{Partial, Queries};
use crate::cpu::functions::{Capped, VectorFunction};
use crate::cpu::simd::{Kernel, LANES, Line, Simd};
use crate::cpu::values::grow;
use crate::format::FormatError;

/// Tokens whose scores are computed before their values are added up.
const CHUNK: usize = 64;
/// Vectors of a chunk's scores.
const CHUNK_LINES: usize = CHUNK / LANES;

/// A number per token of a chunk.
type Chunk = [Line; CHUNK_LINES];

/// Memory that a task needs: padded queries, and the scores of a chunk.
#[derive(Default)]
pub(super) struct FewScratch {
    queries: Vec<Line>,
    scores: Vec<Chunk>,
}

impl FewScratch {
    /// Grows it to what `count` queries of heads of `lines` vectors need.
    pub(super) fn reserve(&mut self, count: usize, lines: usize) -> Result<(), FormatError> {
        grow(&mut self.queries, count.saturating_mul(lines))?;
        grow(&mut self.scores, count)
    }

    /// The bytes of that.
    pub(super) fn bytes(count: usize, lines: usize) -> u64 {
        (count as u64).saturating_mul((lines.saturating_add(CHUNK_LINES)) as u64).saturating_mul(LINE_BYTES)
    }
}

/// Attention of some queries over some positions.
pub(super) struct FewQueries<'a, E> {
    pub(super) queries: Queries<'a>,
    pub(super) keys: Pages<'a, E>,
    pub(super) values: Pages<'a, E>,
    pub(super) positions: Range<usize>,
    pub(super) out: Partial<'a>,
    pub(super) scratch: &'a mut FewScratch,
}

impl<E: CacheElement> Kernel for FewQueries<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { queries, keys, values, positions, out, scratch } = self;
        let (count, lines) = (queries.count(), queries.head_lines());
        let FewScratch { queries: padded, scores } = scratch;
        padded.resize(count * lines, Line([0.0; LANES]));
        let zeros = [Line([0.0; LANES]); CHUNK_LINES];
        scores.resize(count, zeros);
        let (padded, scores) = (&mut padded[..count * lines], &mut scores[..count]);
        for (index, to) in padded.chunks_exact_mut(lines).enumerate() {
            for (chunk, to) in to.iter_mut().enumerate() {
                let x = lanes_at(s, queries.vector(index), chunk);
                s.store(s.mul(x, s.splat(queries.scale)), &mut to.0);
            }
        }
        let (mut key_scales, mut value_scales) = (zeros, zeros);
        out.weighted.fill(Line([0.0; LANES]));
        out.max.fill(f32::MIN);
        out.sum.fill(0.0);
        for start in positions.clone().step_by(CHUNK) {
            let chunk = start..positions.end.min(start + CHUNK);
            let next = chunk.end..positions.end.min(chunk.end + CHUNK);
            key_scores(s, padded, keys, chunk.clone(), scores, &mut values.ahead(chunk.clone()));
            if E::SCALED {
                widen_scales(s, keys, chunk.clone(), &mut key_scales);
                widen_scales(s, values, chunk.clone(), &mut value_scales);
            }
            for index in 0..count {
                let row = &mut scores[index];
                if E::SCALED {
                    multiply(s, row, &key_scales);
                }
                if let Some(cap) = queries.softcap {
                    cap_scores(s, row, cap);
                }
                mask(row, chunk.clone(), queries.sees(index));
                let weighted = &mut out.weighted[index * lines..][..lines];
                soften(s, row, &mut out.max[index], &mut out.sum[index], weighted);
                if E::SCALED {
                    multiply(s, row, &value_scales);
                }
            }
            add_values(s, scores, values, chunk, out.weighted, &mut keys.ahead(next));
        }
    }
}

/// The products of all queries with the keys of a chunk. Meanwhile what comes next is asked for.
#[inline(always)]
fn key_scores<S: Simd, E: CacheElement>(
    s: S,
    queries: &[Line],
    keys: Pages<'_, E>,
    chunk: Range<usize>,
    scores: &mut [Chunk],
    ahead: &mut Ahead<'_, E>,
) {
    let lines = queries.len() / scores.len();
    let mut first = 0;
    for run in keys.runs(chunk) {
        let mut index = 0;
        while index < scores.len() {
            let left = scores.len() - index;
            let (queries, scores) = (&queries[index * lines..], &mut scores[index..]);
            let ahead = if index == 0 { Some(&mut *ahead) } else { None };
            index += match left {
                4.. => run_scores::<S, E, 4, 1>(s, queries, lines, run, first, scores, ahead),
                3 => run_scores::<S, E, 3, 1>(s, queries, lines, run, first, scores, ahead),
                2 => run_scores::<S, E, 2, 2>(s, queries, lines, run, first, scores, ahead),
                _ => run_scores::<S, E, 1, 4>(s, queries, lines, run, first, scores, ahead),
            };
        }
        first += run.tokens();
    }
}

/// The products of `N` queries with the keys of a run, `T` at a time; N × T is 4 at most. Returns N.
#[inline(always)]
fn run_scores<S: Simd, E: CacheElement, const N: usize, const T: usize>(
    s: S,
    queries: &[Line],
    lines: usize,
    run: Run<'_, E>,
    first: usize,
    scores: &mut [Chunk],
    mut ahead: Option<&mut Ahead<'_, E>>,
) -> usize {
    let mut rows = [&queries[..lines]; N];
    for n in 1..N {
        rows[n] = &queries[n * lines..][..lines];
    }
    let tokens = run.tokens();
    for token in (0..tokens).step_by(T) {
        if let Some(ahead) = &mut ahead {
            for _ in 0..T {
                ahead.ask(s);
            }
        }
        // Past the end the last key is multiplied again and dropped.
        let mut keys = [run.vector(token); T];
        for t in 1..T {
            keys[t] = run.vector((token + t).min(tokens - 1));
        }
        let mut sums = [s.zero(); 4];
        for chunk in 0..lines {
            let mut lanes = [s.zero(); T];
            for t in 0..T {
                lanes[t] = lanes_at(s, keys[t], chunk);
            }
            for n in 0..N {
                let query = s.load(&rows[n][chunk].0);
                for t in 0..T {
                    sums[n * T + t] = s.fma(query, lanes[t], sums[n * T + t]);
                }
            }
        }
        let sums = s.reduce_sum4(sums);
        for t in 0..T.min(tokens - token) {
            for n in 0..N {
                let row: &mut [f32] = bytemuck::cast_slice_mut(&mut scores[n]);
                row[first + token + t] = sums[n * T + t];
            }
        }
    }
    N
}

/// The scales of a chunk's head vectors.
#[inline(always)]
fn widen_scales<S: Simd, E: CacheElement>(s: S, pages: Pages<'_, E>, chunk: Range<usize>, to: &mut Chunk) {
    let mut to: &mut [f32] = bytemuck::cast_slice_mut(to);
    for run in pages.runs(chunk) {
        let (out, rest) = to.split_at_mut(run.tokens());
        for (from, out) in run.scales().chunks(LANES).zip(out.chunks_mut(LANES)) {
            s.store_partial(lanes_at(s, from, 0), out);
        }
        to = rest;
    }
}

/// Multiplies the numbers of a chunk by others.
#[inline(always)]
fn multiply<S: Simd>(s: S, numbers: &mut Chunk, by: &Chunk) {
    for (line, by) in numbers.iter_mut().zip(by) {
        s.store(s.mul(s.load(&line.0), s.load(&by.0)), &mut line.0);
    }
}

/// `cap · tanh(score / cap)` for all scores of a chunk.
#[inline(always)]
fn cap_scores<S: Simd>(s: S, scores: &mut Chunk, cap: f32) {
    for line in scores {
        s.store(Capped(cap).apply(s, s.load(&line.0)), &mut line.0);
    }
}

/// Rules out the positions of a chunk that a query does not see, and what lies after the chunk's end.
#[inline(always)]
fn mask(scores: &mut Chunk, chunk: Range<usize>, sees: Range<usize>) {
    let scores: &mut [f32] = bytemuck::cast_slice_mut(scores);
    let from = sees.start.clamp(chunk.start, chunk.end) - chunk.start;
    let to = sees.end.clamp(chunk.start, chunk.end) - chunk.start;
    scores[..from].fill(f32::NEG_INFINITY);
    scores[to.max(from)..].fill(f32::NEG_INFINITY);
}

/// Turns scores into weights relative to the largest score so far, and what was added up before along with it.
#[inline(always)]
fn soften<S: Simd>(s: S, scores: &mut Chunk, max: &mut f32, sum: &mut f32, weighted: &mut [Line]) {
    let mut largest = s.splat(*max);
    for line in &*scores {
        // NaN goes through here unseen, but not through the exponential.
        largest = s.max(s.load(&line.0), largest);
    }
    let new_max = s.reduce_max(largest);
    let shift = s.splat(new_max);
    let mut sums = s.zero();
    for line in scores {
        let weight = s.exp(s.sub(s.load(&line.0), shift));
        sums = s.add(sums, weight);
        s.store(weight, &mut line.0);
    }
    let kept = s.to_array(s.exp(s.splat(*max - new_max)))[0];
    *sum = *sum * kept + s.reduce_sum(sums);
    if new_max > *max {
        for line in weighted {
            s.store(s.mul(s.load(&line.0), s.splat(kept)), &mut line.0);
        }
        *max = new_max;
    }
}

/// Adds the values of a chunk, weighted. Meanwhile what comes next is asked for.
#[inline(always)]
fn add_values<S: Simd, E: CacheElement>(
    s: S,
    weights: &[Chunk],
    values: Pages<'_, E>,
    chunk: Range<usize>,
    out: &mut [Line],
    ahead: &mut Ahead<'_, E>,
) {
    let lines = out.len() / weights.len();
    let mut index = 0;
    while index < weights.len() {
        let left = weights.len() - index;
        let (weights, out) = (&weights[index..], &mut out[index * lines..]);
        let mut line = 0;
        while line < lines {
            let wide = S::MANY_REGISTERS && lines - line >= 4;
            let runs = values.runs(chunk.clone());
            let ahead = if index == 0 && line == 0 { Some(&mut *ahead) } else { None };
            line += match (left, wide) {
                (4.., true) => add_lines::<S, E, 4, 4>(s, weights, runs, line, lines, out, ahead),
                (4.., false) => add_lines::<S, E, 4, 1>(s, weights, runs, line, lines, out, ahead),
                (3, true) => add_lines::<S, E, 3, 4>(s, weights, runs, line, lines, out, ahead),
                (3, false) => add_lines::<S, E, 3, 1>(s, weights, runs, line, lines, out, ahead),
                (2, true) => add_lines::<S, E, 2, 4>(s, weights, runs, line, lines, out, ahead),
                (2, false) => add_lines::<S, E, 2, 1>(s, weights, runs, line, lines, out, ahead),
                (_, true) => add_lines::<S, E, 1, 4>(s, weights, runs, line, lines, out, ahead),
                (_, false) => add_lines::<S, E, 1, 1>(s, weights, runs, line, lines, out, ahead),
            };
        }
        index += left.min(4);
    }
}

/// Adds `L` vectors of the head, from `line` on, of the values of some runs for `N` queries. Returns L.
#[inline(always)]
fn add_lines<S: Simd, E: CacheElement, const N: usize, const L: usize>(
    s: S,
    weights: &[Chunk],
    runs: Runs<'_, E>,
    line: usize,
    lines: usize,
    out: &mut [Line],
    mut ahead: Option<&mut Ahead<'_, E>>,
) -> usize {
    let mut rows: [&[f32]; N] = [&[]; N];
    for n in 0..N {
        rows[n] = bytemuck::cast_slice(&weights[n]);
    }
    let mut sums = [[s.zero(); L]; N];
    for n in 0..N {
        for l in 0..L {
            sums[n][l] = s.load(&out[n * lines + line + l].0);
        }
    }
    let mut first = 0;
    for run in runs {
        for token in 0..run.tokens() {
            if let Some(ahead) = &mut ahead {
                ahead.ask(s);
            }
            let vector = run.vector(token);
            let mut lanes = [s.zero(); L];
            for l in 0..L {
                lanes[l] = lanes_at(s, vector, line + l);
            }
            for n in 0..N {
                let weight = s.splat(rows[n][first + token]);
                for l in 0..L {
                    sums[n][l] = s.fma(weight, lanes[l], sums[n][l]);
                }
            }
        }
        first += run.tokens();
    }
    for n in 0..N {
        for l in 0..L {
            s.store(sums[n][l], &mut out[n * lines + line + l].0);
        }
    }
    L
}
