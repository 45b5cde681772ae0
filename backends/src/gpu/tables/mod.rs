//! What a step tells a GPU: counts, tokens, positions, page tables, and how tokens are drawn. The same for every GPU backend;
//! where the tables lie on the device is each one's own affair.

mod samples;
pub(crate) mod spans;

use bytemuck::{Pod, Zeroable};

pub(crate) use samples::Pair;

use crate::plan::{Plan, Rows};
use crate::{BackendError, Batch, BatchError, BatchLayout, PrepareOptions, Tokens};

/// How many of everything a step has. The beginning of `Step` in `shaders/lib/step.wesl` and `step.cuh`, and what the host derives
/// numbers of workgroups from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct StepCounts {
    pub(crate) rows: u32,
    pub(crate) selected: u32,
    pub(crate) sequences: u32,
    pub(crate) longest: u32,
    pub(crate) singles: u32,
    pub(crate) tiles16: u32,
    pub(crate) tiles32: u32,
    pub(crate) tiles64: u32,
    /// Sequences whose draw is not greedy.
    pub(crate) warm: u32,
    pub(crate) padding: [u32; 3],
}

impl StepCounts {
    /// Rows of this kind in the step.
    pub(crate) const fn rows_of(&self, rows: Rows) -> u32 {
        match rows {
            Rows::Tokens => self.rows,
            Rows::Selected => self.selected,
        }
    }

    /// The counts rounded up to powers of two: steps that agree in them may share what was recorded for the largest of them.
    pub(crate) fn bucket(&self) -> Self {
        let up = |count: u32| if count == 0 { 0 } else { count.next_power_of_two() };
        Self {
            rows: up(self.rows),
            selected: up(self.selected),
            sequences: up(self.sequences),
            longest: up(self.longest.max(64)),
            singles: up(self.singles),
            tiles16: up(self.tiles16),
            tiles32: up(self.tiles32),
            tiles64: up(self.tiles64),
            warm: u32::from(self.warm > 0),
            padding: [0; 3],
        }
    }
}

/// What is told of one sequence's draw; `shaders/sample/record.wesl` and `shaders/lib/step.cuh` have the same fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct SampleRecord {
    /// The row of logits among those that somebody asked for, or `u32::MAX` where nothing is drawn.
    pub(crate) row: u32,
    /// The token row whose token belongs to the history although the host does not know it, or `u32::MAX`.
    pub(crate) sampled_row: u32,
    pub(crate) temperature: f32,
    pub(crate) top_k: u32,
    pub(crate) top_p: f32,
    pub(crate) min_p: f32,
    pub(crate) repetition: f32,
    pub(crate) presence: f32,
    pub(crate) frequency: f32,
    /// The uniform number in [0, 1).
    pub(crate) uniform: f32,
    /// Where the biases (token, f32) begin in the lists, in pairs, and how many there are; each token occurs once.
    pub(crate) first_bias: u32,
    pub(crate) biases: u32,
    /// Likewise the history: (token, count).
    pub(crate) first_history: u32,
    pub(crate) histories: u32,
    /// The row of logits where each token row has its own.
    pub(crate) token_row: u32,
    pub(crate) padding: u32,
}

/// Marks an entry of [`StepTables::row_token`] as the number of a draw.
pub(crate) const DRAWN: u32 = 1 << 31;
/// A fault of a sequence: its largest logit is no finite number.
pub(crate) const NOT_FINITE: u32 = 1;
/// A fault of a sequence: the drawn token that the step goes on from has no embedding.
pub(crate) const NOT_IN_VOCABULARY: u32 = 2;

/// Pairs that the lists of biased and counted tokens have room for.
pub(crate) fn list_pairs(plan: &Plan, options: &PrepareOptions) -> usize {
    plan.sampled_width().map_or(0, |width| 2 * width + 4096 * options.limits.sequences)
}

/// The tables of a step that are not in its [`BatchLayout`] already. Kept from step to step, so that a step allocates little.
#[derive(Debug, Default)]
pub(crate) struct StepTables {
    pub(crate) counts: StepCounts,
    /// For each row its token, or [`DRAWN`] plus the sequence of the step before that drew it.
    pub(crate) row_token: Vec<u32>,
    /// For each row, where its key and value go: page × tokens per page + place in the page.
    pub(crate) row_slot: Vec<u32>,
    /// How attention goes about the rows, and the pages of all sequences; see [`spans`].
    pub(crate) attention: Vec<u32>,
    /// For each sequence how its token is drawn.
    pub(crate) samples: Vec<SampleRecord>,
    /// Biases and counted histories of all sequences.
    pub(crate) lists: Vec<Pair>,
}

impl StepTables {
    /// Makes the tables of a checked step; `list_pairs` is how many pairs the lists have room for.
    pub(crate) fn fill(
        &mut self,
        batch: &Batch,
        layout: &BatchLayout,
        page_tokens: usize,
        list_pairs: usize,
    ) -> Result<(), BackendError> {
        self.row_token.clear();
        for sequence in &batch.sequences {
            match &sequence.tokens {
                Tokens::Ids(ids) => self.row_token.extend(ids),
                Tokens::Sampled(draw) => self.row_token.push(DRAWN | draw),
            }
        }
        self.row_slot.clear();
        let page_tokens = page_tokens as u32;
        let rows = layout.position.iter().zip(&layout.sequence);
        self.row_slot.extend(rows.filter_map(|(position, sequence)| {
            let page = batch.sequences[*sequence as usize].pages.get((position / page_tokens) as usize)?;
            Some(page * page_tokens + position % page_tokens)
        }));
        let spans = spans::write(batch, layout, &mut self.attention);
        (self.samples, self.lists) = samples::tables(batch, layout, list_pairs)?;
        self.counts = StepCounts {
            rows: layout.rows() as u32,
            selected: layout.selected.len() as u32,
            sequences: batch.sequences.len() as u32,
            longest: (0..batch.sequences.len()).map(|s| layout.context(s)).max().unwrap_or(0) as u32,
            warm: self.samples.iter().filter(|record| record.temperature > 0.0).count() as u32,
            padding: [0; 3],
            ..spans
        };
        Ok(())
    }
}

/// Turns the faults that a device noted for each sequence into an error. `sampled` tells which sequences went on from a draw, `before`
/// and `drawn` what the step before and this one drew.
pub(crate) fn check_faults(
    faults: &[u32],
    sampled: &[bool],
    before: &[Option<u32>],
    drawn: &[Option<u32>],
    vocabulary: usize,
) -> Result<(), BackendError> {
    for (sequence, fault) in faults.iter().enumerate().filter(|(_, fault)| **fault != 0) {
        if *fault & NOT_FINITE != 0 {
            return Err(BackendError::NotFinite { sequence });
        }
        if *fault & NOT_IN_VOCABULARY != 0 && sampled.get(sequence).copied().unwrap_or(false) {
            let token = before.get(sequence).copied().flatten().or_else(|| drawn[sequence]);
            let token = token.unwrap_or(u32::MAX);
            return Err(BatchError::TokenOutOfRange { sequence, token, vocabulary }.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_counts_and_is_its_own_bucket() {
        let counts = StepCounts {
            rows: 3,
            selected: 1,
            sequences: 5,
            longest: 700,
            singles: 9,
            warm: 2,
            ..StepCounts::default()
        };
        let bucket = counts.bucket();
        let expected = StepCounts {
            rows: 4,
            selected: 1,
            sequences: 8,
            longest: 1024,
            singles: 16,
            warm: 1,
            ..StepCounts::default()
        };
        assert_eq!(bucket, expected);
        assert_eq!(bucket.bucket(), bucket);
        assert_eq!(StepCounts::default().bucket().rows, 0);
    }
}
