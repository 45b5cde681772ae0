//! How attention goes about the rows of a step: the table of its kernels.
//!
//! Rows of sequences that have few of them attend one by one; those of others in tiles of neighbouring rows, of which there are
//! three lists, since kernels differ in how many rows a tile has. An entry has four words, and all lists follow one another:
//!
//! | list | word 0 | 1 | 2 | 3 |
//! |---|---|---|---|---|
//! | single rows | row | where its sequence's pages begin in this table | position | 1 |
//! | tiles of at most 16 rows | first row | likewise | position of the first row | rows |
//! | … 32, … 64 | | | | |
//!
//! Then come the pages of all sequences. How long the lists are is in [`StepCounts`].

use super::StepCounts;
use crate::plan::Plan;
use crate::{Batch, BatchLayout, PrepareOptions};

/// Up to so many rows of a sequence attend one by one.
const FEW: usize = 8;
/// Rows of a tile.
const TILES: [usize; 3] = [16, 32, 64];
const ENTRY_BYTES: u64 = 16;

/// Bytes of the table in the largest step.
pub(crate) fn bytes(plan: &Plan, options: &PrepareOptions) -> u64 {
    let (rows, sequences) = (options.limits.rows as u64, options.limits.sequences as u64);
    // Rows are in tiles or single; each sequence may leave a tile unfilled.
    let tiles = TILES.iter().map(|tile| rows / *tile as u64 + sequences).sum::<u64>();
    // The entries are written for plans without attention as well, whose sequences have no pages.
    let pages = if plan.caches.is_empty() { 0 } else { options.cache.pages as u64 };
    let pages = (4 * sequences).saturating_mul(pages);
    (ENTRY_BYTES * (rows + tiles)).saturating_add(pages)
}

/// Writes the table and counts the lists.
pub(super) fn write(batch: &Batch, layout: &BatchLayout, words: &mut Vec<u32>) -> StepCounts {
    words.clear();
    let spans = |step: usize, few: bool| {
        let sequences = batch.sequences.iter().enumerate();
        sequences.filter(move |(_, s)| (s.tokens.len() <= FEW) == few).flat_map(move |(index, sequence)| {
            let first = layout.first_row[index];
            // Those that see most come first, so that the last to finish are short.
            (0..sequence.tokens.len()).step_by(step).rev().map(move |row| {
                let rows = step.min(sequence.tokens.len() - row) as u32;
                (index, [first + row as u32, 0, sequence.start + row as u32, rows])
            })
        })
    };
    let mut owners = vec![];
    let mut list = |step: usize, few: bool| {
        let before = owners.len();
        for (owner, entry) in spans(step, few) {
            owners.push(owner);
            words.extend(entry);
        }
        (owners.len() - before) as u32
    };
    let singles = list(1, true);
    let [tiles16, tiles32, tiles64] = TILES.map(|rows| list(rows, false));
    let mut end = words.len() as u32;
    let first_pages = batch.sequences.iter().map(|sequence| {
        let first = end;
        end += sequence.pages.len() as u32;
        first
    });
    let first_pages = first_pages.collect::<Vec<_>>();
    for (entry, owner) in words.chunks_exact_mut(4).zip(owners) {
        entry[1] = first_pages[owner];
    }
    batch.sequences.iter().for_each(|sequence| words.extend(&sequence.pages));
    StepCounts { singles, tiles16, tiles32, tiles64, ..StepCounts::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogitRows, SequenceStep, Tokens};

    fn sequence(start: u32, count: usize, pages: &[u32]) -> SequenceStep {
        SequenceStep {
            tokens: Tokens::Ids(vec![0; count]),
            start,
            pages: pages.to_vec(),
            logits: LogitRows::None,
            sample: None,
        }
    }

    #[test]
    fn rows_are_single_or_in_one_tile_of_each_list() {
        let sequences = vec![
            sequence(5, 2, &[7]),
            sequence(100, 37, &[1, 2, 3]),
            sequence(0, 1, &[9]),
            sequence(8, 9, &[4, 5]),
        ];
        let batch = Batch { sequences, inputs: vec![] };
        let mut words = vec![1, 2, 3];
        let counts = write(&batch, &batch.layout(), &mut words);
        assert_eq!((counts.singles, counts.tiles16, counts.tiles32, counts.tiles64), (3, 4, 3, 2));
        let pages = 4 * 12;
        let entries = words[..pages as usize]
            .chunks_exact(4)
            .map(|entry| [entry[0], entry[1] - pages, entry[2], entry[3]]);
        let expected = [
            [1, 0, 6, 1],
            [0, 0, 5, 1],
            [39, 4, 0, 1],
            [2 + 32, 1, 132, 5],
            [2 + 16, 1, 116, 16],
            [2, 1, 100, 16],
            [40, 5, 8, 9],
            [2 + 32, 1, 132, 5],
            [2, 1, 100, 32],
            [40, 5, 8, 9],
            [2, 1, 100, 37],
            [40, 5, 8, 9],
        ];
        assert_eq!(entries.collect::<Vec<_>>(), expected);
        assert_eq!(words[pages as usize..], [7, 1, 2, 3, 9, 4, 5]);
    }
}
