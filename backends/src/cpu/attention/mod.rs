//! Attention over the paged cache.
//!
//! The work is cut into tasks: one key head, a block of a sequence's new rows with all query heads that
//! share the key head, and a range of positions. A task goes over its positions once with an online softmax
//! and leaves, for each query, the largest score, the sum of the weights and the weighted sum of the values;
//! the tasks of a row are put together at the end. Positions are cut only where there would be too few
//! tasks for the threads and the context is long. How work is cut depends on the batch and on the number of threads
//! of the pool, and on nothing else, so that results do not depend on timing.

mod few;
mod many;
mod pages;

use std::cell::RefCell;
use std::ops::Range;

use half::f16;
use rayon::prelude::*;

use self::few::{FewQueries, FewScratch};
use self::many::{ManyQueries, ManyScratch};
use self::pages::{CacheElement, Pages};
use super::cache::LayerCache;
use super::share::{GRAIN, pieces};
use super::simd::{Isa, Kernel, LANES, Line, Simd, lines, reserve_lines};
use super::values::{FloatRows, Values, numbers_mut};
use crate::format::CacheFormat;
use crate::plan::Attention;
use crate::{Batch, BatchLayout};

/// Query vectors of a task: four vectors of lanes.
const TASK_QUERIES: usize = 64;
/// Query vectors from which lanes run along the queries.
const MANY: usize = 12;
/// Positions that a part of a long context has at least.
const PART_POSITIONS: usize = 512;
/// Products of elements below which waking threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 16;

thread_local! {
    static SCRATCH: RefCell<(FewScratch, ManyScratch)> = RefCell::default();
}

/// What attention keeps from one step to the next: memory.
#[derive(Default)]
pub(super) struct AttentionScratch {
    blocks: Vec<RowBlock>,
    tasks: Vec<Task>,
    partials: Vec<Line>,
}

/// A block of a sequence's new rows.
struct RowBlock {
    sequence: usize,
    rows: Range<usize>,
    positions: Range<usize>,
    first_task: usize,
    parts: usize,
}

/// A key head of a block and a part of its positions.
struct Task {
    block: usize,
    kv_head: usize,
    positions: Range<usize>,
}

/// What all tasks of an operator have in common.
struct Shape<'a> {
    op: &'a Attention,
    query: FloatRows<'a>,
    positions: &'a [u32],
    /// Query heads per key head.
    group: usize,
    head_dim: usize,
    /// Queries that a partial result has room for.
    slot_queries: usize,
}

/// The query vectors of a task: the rows' heads that share a key head, row by row.
#[derive(Clone, Copy)]
struct Queries<'a> {
    shape: &'a Shape<'a>,
    first_row: usize,
    rows: usize,
    kv_head: usize,
    scale: f32,
    softcap: Option<f32>,
}

/// Where a task leaves its result.
struct Partial<'a> {
    /// One per query.
    max: &'a mut [f32],
    sum: &'a mut [f32],
    /// Queries × head, padded to whole lines.
    weighted: &'a mut [Line],
}

impl<'a> Queries<'a> {
    fn count(&self) -> usize {
        self.rows * self.shape.group
    }

    fn head_dim(&self) -> usize {
        self.shape.head_dim
    }

    /// Vectors that hold a head.
    fn head_lines(&self) -> usize {
        lines(self.shape.head_dim)
    }

    fn vector(&self, index: usize) -> &'a [f32] {
        let Shape { query, group, head_dim, .. } = *self.shape;
        let head = self.kv_head * group + index % group;
        &query.row(self.first_row + index / group)[head * head_dim..][..head_dim]
    }

    /// The positions that a query sees.
    fn sees(&self, index: usize) -> Range<usize> {
        let end = self.shape.positions[self.first_row + index / self.shape.group] as usize + 1;
        window_start(self.shape.op, end)..end
    }

    /// Queries of rows that come before a position.
    fn count_of_rows_before(&self, position: usize) -> usize {
        let first = self.shape.positions[self.first_row] as usize;
        position.saturating_sub(first).min(self.rows) * self.shape.group
    }

    /// Queries of rows up to the last whose window reaches back to a position.
    fn count_of_rows_reaching(&self, position: usize) -> usize {
        let first = self.shape.positions[self.first_row] as usize;
        let last_seeing = self.shape.op.window.map_or(usize::MAX, |w| position.saturating_add(w as usize));
        last_seeing.saturating_sub(first).min(self.rows) * self.shape.group
    }
}

/// The first position that a row sees which sees positions before `end`.
fn window_start(op: &Attention, end: usize) -> usize {
    op.window.map_or(0, |window| end.saturating_sub(window as usize))
}

impl AttentionScratch {
    /// Cuts the work into tasks.
    fn cut(
        &mut self,
        op: &Attention,
        layout: &BatchLayout,
        kv_heads: usize,
        rows_per_block: usize,
        unit: usize,
    ) {
        self.blocks.clear();
        self.tasks.clear();
        for sequence in 0..layout.first_row.len() - 1 {
            let (first, end) = (layout.first_row[sequence] as usize, layout.first_row[sequence + 1] as usize);
            for first in (first..end).step_by(rows_per_block) {
                let rows = first..end.min(first + rows_per_block);
                let start = window_start(op, layout.position[rows.start] as usize + 1);
                let positions = start..layout.position[rows.end - 1] as usize + 1;
                self.blocks.push(RowBlock { sequence, rows, positions, first_task: 0, parts: 1 });
            }
        }
        let whole_tasks = self.blocks.len() * kv_heads;
        let wanted = 2 * rayon::current_num_threads();
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let length = block.positions.len();
            let parts = wanted.div_ceil(whole_tasks).min(length.div_ceil(PART_POSITIONS)).max(1);
            let part = length.div_ceil(parts).next_multiple_of(unit);
            block.parts = length.div_ceil(part);
            block.first_task = self.tasks.len();
            for kv_head in 0..kv_heads {
                for start in block.positions.clone().step_by(part) {
                    let positions = start..block.positions.end.min(start + part);
                    self.tasks.push(Task { block: index, kv_head, positions });
                }
            }
        }
    }
}

/// Carries out an [`Attention`]; `sinks` are its vector's.
pub(super) fn attention(
    isa: Isa,
    values: &mut Values,
    op: &Attention,
    cache: &LayerCache,
    sinks: Option<&[f32]>,
    (batch, layout): (&Batch, &BatchLayout),
    scratch: &mut AttentionScratch,
) {
    let (kv_heads, head_dim) = (cache.layout.kv_heads, cache.layout.head_dim);
    let group = op.heads / kv_heads;
    let rows_per_block = (TASK_QUERIES / group).max(1);
    scratch.cut(op, layout, kv_heads, rows_per_block, cache.layout.page_tokens);
    let slot_queries = scratch.blocks.iter().map(|block| block.rows.len()).max().unwrap_or(0) * group;
    let mut buffer = values.take(op.output);
    let query = values.floats(op.query);
    let shape = Shape { op, query, positions: &layout.position, group, head_dim, slot_queries };
    let AttentionScratch { blocks, tasks, partials } = scratch;
    let partials = reserve_lines(partials, tasks.len() * shape.slot_lines());
    let run = |(task, slot): (&Task, &mut [Line])| {
        let pages = &batch.sequences[blocks[task.block].sequence].pages;
        run_task(isa, &shape, blocks, task, cache, pages, slot);
    };
    let work = |task: &Task| task.positions.len() * blocks[task.block].rows.len() * group * head_dim;
    if tasks.iter().map(work).sum::<usize>() < WORTH_SHARING {
        tasks.iter().zip(partials.chunks_exact_mut(shape.slot_lines())).for_each(run);
    } else {
        tasks.par_iter().zip(partials.par_chunks_exact_mut(shape.slot_lines())).with_max_len(1).for_each(run);
    }
    let width = op.heads * head_dim;
    let out = numbers_mut(&mut buffer, query.count() * width);
    // Heads begin at multiples of their size, so a piece of a whole number of heads is safe to cut there.
    pieces(out, head_dim, (GRAIN / head_dim).max(1) * head_dim, |vector, _, out| {
        let (row, head) = (vector / op.heads, vector % op.heads);
        combine(isa, &shape, blocks, partials, (row, head), sinks, out);
    });
    values.put(op.output, buffer);
}

impl Shape<'_> {
    /// Lines of a partial result: sums, then the largest score and the sum of the weights of each query.
    fn slot_lines(&self) -> usize {
        self.slot_queries * lines(self.head_dim) + 2 * lines(self.slot_queries)
    }

    /// The parts of a partial result.
    fn partial<'p>(&self, slot: &'p mut [Line], queries: usize) -> Partial<'p> {
        let (weighted, rest) = slot.split_at_mut(self.slot_queries * lines(self.head_dim));
        let (max, sum) = rest.split_at_mut(lines(self.slot_queries));
        Partial {
            max: numbers_mut(max, queries),
            sum: numbers_mut(sum, queries),
            weighted: &mut weighted[..queries * lines(self.head_dim)],
        }
    }
}

fn run_task(
    isa: Isa,
    shape: &Shape<'_>,
    blocks: &[RowBlock],
    task: &Task,
    cache: &LayerCache,
    pages: &[u32],
    slot: &mut [Line],
) {
    let rows = &blocks[task.block].rows;
    let queries = Queries {
        shape,
        first_row: rows.start,
        rows: rows.len(),
        kv_head: task.kv_head,
        scale: shape.op.scale,
        softcap: shape.op.softcap,
    };
    let out = shape.partial(slot, queries.count());
    match cache.layout.format {
        CacheFormat::F16 => run_with(isa, queries, Pages::<f16>::of(cache, pages, task.kv_head), task, out),
        CacheFormat::Int8 => run_with(isa, queries, Pages::<i8>::of(cache, pages, task.kv_head), task, out),
    }
}

fn run_with<E: CacheElement>(
    isa: Isa,
    queries: Queries<'_>,
    (keys, values): (Pages<'_, E>, Pages<'_, E>),
    task: &Task,
    out: Partial<'_>,
) {
    let positions = task.positions.clone();
    SCRATCH.with_borrow_mut(|(few, many)| {
        if queries.count() < MANY {
            isa.run_float(FewQueries { queries, keys, values, positions, out, scratch: few });
        } else {
            isa.run_float(ManyQueries { queries, keys, values, positions, out, scratch: many });
        }
    });
}

/// Puts the parts of one row's head together.
fn combine(
    isa: Isa,
    shape: &Shape<'_>,
    blocks: &[RowBlock],
    partials: &[Line],
    (row, head): (usize, usize),
    sinks: Option<&[f32]>,
    out: &mut [f32],
) {
    let block = &blocks[blocks.partition_point(|block| block.rows.end <= row)];
    let query = (row - block.rows.start) * shape.group + head % shape.group;
    let lines_of_head = lines(shape.head_dim);
    let first = block.first_task + head / shape.group * block.parts;
    let parts = partials[first * shape.slot_lines()..][..block.parts * shape.slot_lines()]
        .chunks_exact(shape.slot_lines())
        .map(|slot| {
            let (weighted, rest) = slot.split_at(shape.slot_queries * lines_of_head);
            let (max, sum) = rest.split_at(lines(shape.slot_queries));
            let lane = |of: &[Line]| of[query / LANES].0[query % LANES];
            (lane(max), lane(sum), &weighted[query * lines_of_head..][..lines_of_head])
        });
    let sink = sinks.map(|sinks| sinks[head]);
    let max = parts.clone().map(|(max, ..)| max).chain(sink).fold(f32::MIN, f32::max);
    let weight = |part_max: f32| (part_max - max).exp();
    let sum = parts.clone().map(|(part_max, sum, _)| sum * weight(part_max)).sum::<f32>()
        + sink.map_or(0.0, weight);
    out.fill(0.0);
    for (part_max, _, weighted) in parts {
        isa.run_float(AddScaled { factor: weight(part_max) / sum, x: weighted, out });
    }
}

/// `out += factor · x`
struct AddScaled<'a> {
    factor: f32,
    x: &'a [Line],
    out: &'a mut [f32],
}

impl Kernel for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let factor = s.splat(self.factor);
        for (x, out) in self.x.iter().zip(self.out.chunks_mut(LANES)) {
            if let Some(whole) = out.first_chunk_mut() {
                s.store(s.fma(factor, s.load(&x.0), s.load(whole)), whole);
            } else {
                let sum = s.fma(factor, s.load(&x.0), s.load_partial(out));
                s.store_partial(sum, out);
            }
        }
    }
}
