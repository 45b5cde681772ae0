//! What a step is asked to do, and the check that every batch passes before anything runs.

use std::ops::Range;

use thiserror::Error;

use crate::CacheOptions;
use crate::plan::{BatchLimits, Plan, Rows, ValueId};
use crate::sampling::Sampling;

/// The work of one step: any mixture of prompts being read and replies being written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub sequences: Vec<SequenceStep>,
    /// Rows for the plan's inputs; the rows of all sequences behind one another.
    pub inputs: Vec<InputRows>,
}

/// One sequence's part of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceStep {
    pub tokens: Tokens,
    /// The position of the first of them: how many tokens of the sequence the cache holds already.
    pub start: u32,
    /// The cache pages of the positions from 0 to the last token of this step.
    pub pages: Vec<u32>,
    pub logits: LogitRows,
    /// Draws a token from the last row's logits.
    pub sample: Option<Sampling>,
}

/// The tokens that a sequence adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    Ids(Vec<u32>),
    /// The one that was drawn for this sequence (by its place in the batch) of the step submitted before.
    Sampled(u32),
}

impl Tokens {
    /// How many rows they make.
    pub const fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Sampled(_) => 1,
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which rows' logits are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogitRows {
    #[default]
    None,
    Last,
    All,
}

/// The rows of one of the plan's inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct InputRows {
    pub value: ValueId,
    pub data: Vec<f32>,
}

/// Why a batch cannot be run.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    #[error("the batch has no sequences")]
    Empty,
    #[error("sequence {0} adds no tokens")]
    NoTokens(usize),
    #[error("{got} {what} in one step; this runner was prepared for {limit}")]
    TooMany { what: &'static str, got: usize, limit: usize },
    #[error("sequence {sequence}: token {token} is not in the vocabulary of {vocabulary}")]
    TokenOutOfRange { sequence: usize, token: u32, vocabulary: usize },
    #[error("sequence {sequence} goes on from draw {draw}, which the step before does not have")]
    NoSuchDraw { sequence: usize, draw: u32 },
    #[error("sequence {sequence}: position {start} plus {count} tokens is beyond what can be counted")]
    PositionOverflow { sequence: usize, start: u32, count: usize },
    #[error("sequence {sequence} has {got} pages; {needed} are needed for its {positions} positions")]
    PageCount { sequence: usize, got: usize, needed: usize, positions: usize },
    #[error("sequence {sequence} names page {page}; the cache has {pages}")]
    PageOutOfRange { sequence: usize, page: u32, pages: usize },
    #[error("page {page} would be written by sequence {sequence} while sequence {other} uses it")]
    PageShared { sequence: usize, other: usize, page: u32 },
    #[error("sequence {0} wants logits or a token; the plan has none to give")]
    NothingToSelect(usize),
    #[error("sequence {sequence}: {fault}")]
    Sampling { sequence: usize, fault: String },
    #[error("input {value} has {got} numbers; {needed} are needed")]
    Input { value: ValueId, got: usize, needed: usize },
}

/// A batch that was checked, laid out in rows: what backends build their tables from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLayout {
    /// For each token row, its sequence.
    pub sequence: Vec<u32>,
    /// For each token row, its position in the sequence.
    pub position: Vec<u32>,
    /// For each sequence, its first token row; one more entry ends the last.
    pub first_row: Vec<u32>,
    /// The token rows whose logits are wanted, ascending.
    pub selected: Vec<u32>,
    /// For each sequence, its first selected row; one more entry ends the last.
    pub first_selected: Vec<u32>,
}

impl BatchLayout {
    /// Number of token rows.
    pub const fn rows(&self) -> usize {
        self.position.len()
    }

    /// Number of rows of this kind.
    pub const fn count(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.rows(),
            Rows::Selected => self.selected.len(),
        }
    }

    /// A sequence's rows among all token rows or among those selected.
    pub fn rows_of(&self, rows: Rows, sequence: usize) -> Range<usize> {
        let first = match rows {
            Rows::Tokens => &self.first_row,
            Rows::Selected => &self.first_selected,
        };
        first[sequence] as usize..first[sequence + 1] as usize
    }

    /// Those of them whose logits are handed out.
    pub fn asked_rows(&self, rows: Rows, sequence: usize, asked: LogitRows) -> Range<usize> {
        let rows = self.rows_of(rows, sequence);
        match asked {
            LogitRows::None => rows.end..rows.end,
            LogitRows::Last => rows.end - 1..rows.end,
            LogitRows::All => rows,
        }
    }

    /// The positions that the cache holds for a sequence once the step has run.
    pub fn context(&self, sequence: usize) -> usize {
        let rows = self.first_row[sequence] as usize..self.first_row[sequence + 1] as usize;
        rows.last().map_or(0, |last| self.position[last] as usize + 1)
    }
}

impl Batch {
    /// Checks the batch against a plan and what its runner was prepared for; `draws` tells which
    /// sequences of the step before drew a token.
    pub fn check(
        &self,
        plan: &Plan,
        limits: &BatchLimits,
        cache: &CacheOptions,
        draws: &[bool],
    ) -> Result<BatchLayout, BatchError> {
        if self.sequences.is_empty() {
            return Err(BatchError::Empty);
        }
        at_most("sequences", self.sequences.len(), limits.sequences)?;
        let rows = self.sequences.iter().map(|s| s.tokens.len()).sum::<usize>();
        at_most("token rows", rows, limits.rows)?;

        for (index, sequence) in self.sequences.iter().enumerate() {
            sequence.check(index, plan, cache, draws)?;
        }
        self.check_written_pages(cache)?;
        self.check_inputs(plan, rows)?;
        let layout = self.layout();
        at_most("rows with logits", layout.selected.len(), limits.selected)?;
        Ok(layout)
    }

    /// The rows of the batch. Only meaningful once it was checked.
    pub(crate) fn layout(&self) -> BatchLayout {
        let mut layout = BatchLayout {
            sequence: vec![],
            position: vec![],
            first_row: vec![0],
            selected: vec![],
            first_selected: vec![0],
        };
        for (index, sequence) in self.sequences.iter().enumerate() {
            let first = layout.position.len() as u32;
            let count = sequence.tokens.len() as u32;
            layout.sequence.extend((0..count).map(|_| index as u32));
            layout.position.extend(sequence.start..sequence.start + count);
            match sequence.logits {
                LogitRows::All => layout.selected.extend(first..first + count),
                LogitRows::Last => layout.selected.push(first + count - 1),
                LogitRows::None if sequence.sample.is_some() => layout.selected.push(first + count - 1),
                LogitRows::None => {}
            }
            layout.first_row.push(first + count);
            layout.first_selected.push(layout.selected.len() as u32);
        }
        layout
    }

    /// A page that is written belongs to one sequence.
    fn check_written_pages(&self, cache: &CacheOptions) -> Result<(), BatchError> {
        const NOBODY: u32 = u32::MAX;
        let mut writer = vec![NOBODY; cache.pages];
        let entries = |index: usize, sequence: &SequenceStep| {
            let first_written = sequence.start as usize / cache.page_tokens;
            let pages = sequence.pages.iter().copied().enumerate();
            pages.map(move |(entry, page)| (index, entry >= first_written, page)).collect::<Vec<_>>()
        };
        let all = || self.sequences.iter().enumerate().flat_map(|(i, s)| entries(i, s));
        for (sequence, written, page) in all() {
            let owner = &mut writer[page as usize];
            if written {
                if *owner != NOBODY {
                    return Err(BatchError::PageShared { sequence, other: *owner as usize, page });
                }
                *owner = sequence as u32;
            }
        }
        for (sequence, written, page) in all() {
            let owner = writer[page as usize];
            if !written && owner != NOBODY {
                return Err(BatchError::PageShared { sequence: owner as usize, other: sequence, page });
            }
        }
        Ok(())
    }

    fn check_inputs(&self, plan: &Plan, rows: usize) -> Result<(), BatchError> {
        for value in plan.inputs() {
            let needed = rows * plan.values[value.index()].shape.width;
            let got = self.inputs.iter().find(|input| input.value == value).map_or(0, |i| i.data.len());
            if got != needed {
                return Err(BatchError::Input { value, got, needed });
            }
        }
        let stray = self.inputs.iter().find(|input| !plan.inputs().any(|value| value == input.value));
        stray.map_or(Ok(()), |input| {
            Err(BatchError::Input { value: input.value, got: input.data.len(), needed: 0 })
        })
    }
}

impl SequenceStep {
    /// Checks what can be said of one sequence by itself.
    fn check(
        &self,
        index: usize,
        plan: &Plan,
        cache: &CacheOptions,
        draws: &[bool],
    ) -> Result<(), BatchError> {
        let count = self.tokens.len();
        match &self.tokens {
            Tokens::Ids(ids) if ids.is_empty() => return Err(BatchError::NoTokens(index)),
            Tokens::Ids(ids) => {
                let vocabulary = plan.vocabulary().unwrap_or(usize::MAX);
                if let Some(&token) = ids.iter().find(|id| **id as usize >= vocabulary) {
                    return Err(BatchError::TokenOutOfRange { sequence: index, token, vocabulary });
                }
            }
            Tokens::Sampled(draw) if draws.get(*draw as usize) != Some(&true) => {
                return Err(BatchError::NoSuchDraw { sequence: index, draw: *draw });
            }
            Tokens::Sampled(_) => {}
        }
        let overflow = BatchError::PositionOverflow { sequence: index, start: self.start, count };
        let positions = u32::try_from(count).ok().and_then(|count| self.start.checked_add(count));
        let positions = positions.ok_or(overflow)? as usize;
        // A plan without attention has no use for pages; any others must cover every position exactly.
        let needed = if plan.caches.is_empty() { 0 } else { positions.div_ceil(cache.page_tokens) };
        if self.pages.len() != needed {
            return Err(BatchError::PageCount { sequence: index, got: self.pages.len(), needed, positions });
        }
        if let Some(&page) = self.pages.iter().find(|page| **page as usize >= cache.pages) {
            return Err(BatchError::PageOutOfRange { sequence: index, page, pages: cache.pages });
        }
        if self.logits != LogitRows::None && plan.logits.is_none() {
            return Err(BatchError::NothingToSelect(index));
        }
        if let Some(sampling) = &self.sample {
            if plan.sampled_width().is_none() {
                return Err(BatchError::NothingToSelect(index));
            }
            let vocabulary = plan.sampled_width().unwrap_or(0);
            sampling.check(vocabulary).map_err(|fault| BatchError::Sampling { sequence: index, fault })?;
        }
        Ok(())
    }
}

fn at_most(what: &'static str, got: usize, limit: usize) -> Result<(), BatchError> {
    if got <= limit { Ok(()) } else { Err(BatchError::TooMany { what, got, limit }) }
}
