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
mod scratch;

use std::cell::RefCell;
use std::ops::Range;

use half::f16;

use self::few::{FewQueries, FewScratch};
use self::many::{ManyQueries, ManyScratch};
use self::pages::{CacheElement, Pages};
pub(super) use self::scratch::{AttentionScratch, AttentionSizes};
use self::scratch::{RowBlock, Task};
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

/// New rows of a task, where so many query heads share a key head.
fn rows_per_block(group: usize) -> usize {
    (TASK_QUERIES / group).max(1)
}

/// What all tasks of an operator have in common.
struct Shape<'a> {
    op: &'a Attention,
    query: FloatRows<'a>,
    positions: &'a [u32],
    /// Query heads per key head.
    group: usize,
    head_dim: usize,
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
    let lines = scratch.cut(op, layout, &cache.layout);
    let mut buffer = values.take(op.output);
    let query = values.floats(op.query);
    let shape = Shape { op, query, positions: &layout.position, group, head_dim };
    let AttentionScratch { blocks, tasks, partials } = scratch;
    let partials = reserve_lines(partials, lines);
    let run = |task: &Task, slot: &mut [Line]| {
        let pages = &batch.sequences[blocks[task.block].sequence].pages;
        run_task(isa, &shape, blocks, task, cache, pages, slot);
    };
    let work = |task: &Task| task.positions.len() * blocks[task.block].rows.len() * group * head_dim;
    let is_shared = tasks.iter().map(work).sum::<usize>() >= WORTH_SHARING;
    run_all(tasks, partials, is_shared, &run);
    let partials = &*partials;
    let width = op.heads * head_dim;
    let out = numbers_mut(&mut buffer, query.count() * width);
    // Heads begin at multiples of their size, so a piece of a whole number of heads is safe to cut there.
    pieces(out, head_dim, (GRAIN / head_dim).max(1) * head_dim, |vector, _, out| {
        let (row, head) = (vector / op.heads, vector % op.heads);
        combine(isa, &shape, blocks, partials, (row, head), sinks, out);
    });
    values.put(op.output, buffer);
}

/// Lines of a task's partial result: sums, then the largest score and the sum of the weights of each query.
fn slot_lines(queries: usize, head_dim: usize) -> usize {
    queries.saturating_mul(lines(head_dim)).saturating_add(2 * lines(queries))
}

/// Runs tasks, each with its part of the partial results, which are in their order.
fn run_all(
    tasks: &[Task],
    partials: &mut [Line],
    is_shared: bool,
    run: &(impl Fn(&Task, &mut [Line]) + Sync),
) {
    match tasks {
        [] => {}
        [task] => run(task, partials),
        tasks => {
            let (left, right) = tasks.split_at(tasks.len() / 2);
            let (a, b) = partials.split_at_mut(right[0].first_line - left[0].first_line);
            if is_shared {
                rayon::join(|| run_all(left, a, true, run), || run_all(right, b, true, run));
            } else {
                run_all(left, a, false, run);
                run_all(right, b, false, run);
            }
        }
    }
}

/// The parts of a partial result.
fn parts_of(slot: &mut [Line], queries: usize, head_dim: usize) -> Partial<'_> {
    let (weighted, rest) = slot.split_at_mut(queries * lines(head_dim));
    let (max, sum) = rest.split_at_mut(lines(queries));
    Partial { max: numbers_mut(max, queries), sum: numbers_mut(sum, queries), weighted }
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
    let out = parts_of(slot, queries.count(), shape.head_dim);
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
    let queries = block.rows.len() * shape.group;
    let slot = slot_lines(queries, shape.head_dim);
    let first = head / shape.group * block.parts;
    let parts =
        partials[block.first_line + first * slot..][..block.parts * slot].chunks_exact(slot).map(|slot| {
            let (weighted, rest) = slot.split_at(queries * lines_of_head);
            let (max, sum) = rest.split_at(lines(queries));
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
