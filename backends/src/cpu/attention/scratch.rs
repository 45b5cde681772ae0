//! How attention's work is cut into tasks, and the memory that takes: known beforehand, and reserved.

use std::ops::Range;

use super::few::FewScratch;
use super::many::ManyScratch;
use super::{MANY, PART_POSITIONS, SCRATCH, rows_per_block, slot_lines, window_start};
use crate::BatchLayout;
use crate::cpu::simd::{LANES, Line, lines};
use crate::cpu::values::{grow, make_room};
use crate::format::{CacheLayout, FormatError};
use crate::plan::{Attention, BatchLimits};

pub(super) const LINE_BYTES: u64 = size_of::<Line>() as u64;

/// What attention keeps from one step to the next: memory.
#[derive(Default)]
pub(in crate::cpu) struct AttentionScratch {
    pub(super) blocks: Vec<RowBlock>,
    pub(super) tasks: Vec<Task>,
    /// The tasks' results, in their order.
    pub(super) partials: Vec<Line>,
}

/// A block of a sequence's new rows.
pub(super) struct RowBlock {
    pub(super) sequence: usize,
    pub(super) rows: Range<usize>,
    pub(super) positions: Range<usize>,
    /// How many tasks share the positions. The tasks of a block are those of its first key head, then of the next.
    pub(super) parts: usize,
    /// Where the results of its tasks begin, all of which are of one size.
    pub(super) first_line: usize,
}

/// A key head of a block and a part of its positions.
pub(super) struct Task {
    pub(super) block: usize,
    pub(super) kv_head: usize,
    pub(super) positions: Range<usize>,
    /// Where its result begins.
    pub(super) first_line: usize,
}

/// Tasks that a step is cut into at least, where it is long enough.
fn wanted_tasks(threads: usize) -> usize {
    2 * threads
}

impl AttentionScratch {
    /// Cuts the work into tasks; returns the lines that their results take.
    pub(super) fn cut(&mut self, op: &Attention, layout: &BatchLayout, cache: &CacheLayout) -> usize {
        let group = op.heads / cache.kv_heads;
        let rows_per_block = rows_per_block(group);
        self.blocks.clear();
        self.tasks.clear();
        for sequence in 0..layout.first_row.len() - 1 {
            let (first, end) = (layout.first_row[sequence] as usize, layout.first_row[sequence + 1] as usize);
            for first in (first..end).step_by(rows_per_block) {
                let rows = first..end.min(first + rows_per_block);
                let start = window_start(op, layout.position[rows.start] as usize + 1);
                let positions = start..layout.position[rows.end - 1] as usize + 1;
                self.blocks.push(RowBlock { sequence, rows, positions, parts: 1, first_line: 0 });
            }
        }
        let whole_tasks = self.blocks.len() * cache.kv_heads;
        let wanted = wanted_tasks(rayon::current_num_threads());
        let mut line = 0;
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let length = block.positions.len();
            let parts = wanted.div_ceil(whole_tasks).min(length.div_ceil(PART_POSITIONS)).max(1);
            let part = length.div_ceil(parts).next_multiple_of(cache.page_tokens);
            block.parts = length.div_ceil(part);
            block.first_line = line;
            let slot = slot_lines(block.rows.len() * group, cache.head_dim);
            for kv_head in 0..cache.kv_heads {
                for start in block.positions.clone().step_by(part) {
                    let positions = start..block.positions.end.min(start + part);
                    self.tasks.push(Task { block: index, kv_head, positions, first_line: line });
                    line += slot;
                }
            }
        }
        line
    }

    /// Lets it hold what these sizes say.
    pub(in crate::cpu) fn reserve(&mut self, sizes: &AttentionSizes) -> Result<(), FormatError> {
        make_room(&mut self.blocks, sizes.blocks)?;
        make_room(&mut self.tasks, sizes.tasks)?;
        grow(&mut self.partials, sizes.lines)
    }
}

/// What attention needs: entries of each list of an [`AttentionScratch`], and the largest task.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cpu) struct AttentionSizes {
    blocks: usize,
    tasks: usize,
    lines: usize,
    /// Query vectors of a task, and the largest head.
    queries: usize,
    head_dim: usize,
}

impl AttentionSizes {
    /// Adds what an operator needs in the largest step.
    pub(in crate::cpu) fn cover(
        &mut self,
        op: &Attention,
        cache: &CacheLayout,
        limits: &BatchLimits,
        threads: usize,
    ) {
        let group = op.heads / cache.kv_heads;
        let rows_per_block = rows_per_block(group);
        let BatchLimits { rows, sequences, .. } = *limits;
        // A sequence's last block may be a small one, but no block is empty.
        let blocks = (rows / rows_per_block).saturating_add(sequences).min(rows);
        let whole_tasks = blocks.saturating_mul(cache.kv_heads);
        // Positions are shared out only until there are as many tasks as wanted, by rounding up: one more for each at most.
        let more_tasks = wanted_tasks(threads);
        let queries = rows_per_block.min(rows).saturating_mul(group);
        // Every row's heads have a place in some task, and once more in those that share its positions.
        let heads = rows.saturating_mul(op.heads);
        let sums = heads.saturating_mul(lines(cache.head_dim));
        let scores = (heads / LANES).saturating_add(whole_tasks).saturating_mul(2);
        let more = more_tasks.saturating_mul(slot_lines(queries, cache.head_dim));
        self.blocks = self.blocks.max(blocks);
        self.tasks = self.tasks.max(whole_tasks.saturating_add(more_tasks));
        self.lines = self.lines.max(sums.saturating_add(scores).saturating_add(more));
        self.queries = self.queries.max(queries);
        self.head_dim = self.head_dim.max(cache.head_dim);
    }

    /// Query vectors of the largest task of each of the two kinds.
    fn few_and_many(&self) -> (usize, usize) {
        (self.queries.min(MANY - 1), if self.queries < MANY { 0 } else { self.queries })
    }

    /// Bytes of an [`AttentionScratch`].
    pub(in crate::cpu) fn bytes(&self) -> u64 {
        let list = |entries: usize, bytes: usize| (entries as u64).saturating_mul(bytes as u64);
        list(self.blocks, size_of::<RowBlock>())
            .saturating_add(list(self.tasks, size_of::<Task>()))
            .saturating_add(list(self.lines, size_of::<Line>()))
    }

    /// Bytes that each thread keeps.
    pub(in crate::cpu) fn thread_bytes(&self) -> u64 {
        let (few, many) = self.few_and_many();
        let many = if many == 0 { 0 } else { ManyScratch::bytes(many, self.head_dim) };
        FewScratch::bytes(few, lines(self.head_dim)).saturating_add(many)
    }

    /// Lets the calling thread have what it will keep.
    pub(in crate::cpu) fn reserve_on_thread(&self) -> Result<(), FormatError> {
        let (few_queries, many_queries) = self.few_and_many();
        SCRATCH.with_borrow_mut(|(few, many)| {
            few.reserve(few_queries, lines(self.head_dim))?;
            if many_queries == 0 { Ok(()) } else { many.reserve(many_queries, self.head_dim) }
        })
    }
}
