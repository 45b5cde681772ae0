//! How each sequence's token is drawn, as tables for the device.

use std::collections::BTreeMap;

use super::SampleRecord;
use crate::sampling::uniform;
use crate::{BackendError, Batch, BatchError, BatchLayout, Tokens};

/// A token, and the bits of an f32 bias or a count.
pub(crate) type Pair = [u32; 2];

/// A record per sequence, and the lists that they point into.
///
/// Each token occurs once in a list: biases of the same token are added up and the history is counted.
pub(super) fn tables(
    batch: &Batch,
    layout: &BatchLayout,
    room: usize,
) -> Result<(Vec<SampleRecord>, Vec<Pair>), BackendError> {
    let mut lists: Vec<Pair> = vec![];
    let mut records = vec![];
    for (index, sequence) in batch.sequences.iter().enumerate() {
        let mut record = SampleRecord { row: u32::MAX, sampled_row: u32::MAX, ..SampleRecord::default() };
        if let Some(options) = &sequence.sample {
            let last = layout.first_row[index + 1] - 1;
            record.row = layout.first_selected[index + 1] - 1;
            record.token_row = last;
            // Where nothing is penalised nobody asks what came before.
            if options.penalizes() && matches!(sequence.tokens, Tokens::Sampled(_)) {
                record.sampled_row = last;
            }
            // What is smaller differs from greedy by nothing that an f32 can say.
            record.temperature = if options.temperature > 0.0 { options.temperature.max(1e-30) } else { 0.0 };
            record.top_k = options.top_k;
            record.top_p = options.top_p;
            record.min_p = options.min_p;
            record.repetition = options.repetition_penalty;
            record.presence = options.presence_penalty;
            record.frequency = options.frequency_penalty;
            record.uniform = uniform(options.seed, layout.position[last as usize] + 1);
            let mut biases = BTreeMap::<u32, f32>::new();
            for (token, bias) in &options.bias {
                *biases.entry(*token).or_default() += bias;
            }
            record.first_bias = lists.len() as u32;
            record.biases = biases.len() as u32;
            lists.extend(biases.into_iter().map(|(token, bias)| [token, bias.to_bits()]));
            record.first_history = lists.len() as u32;
            if options.penalizes() {
                let mut counts = BTreeMap::<u32, u32>::new();
                for token in &options.history {
                    *counts.entry(*token).or_default() += 1;
                }
                record.histories = counts.len() as u32;
                lists.extend(counts.into_iter().map(|(token, count)| [token, count]));
            }
        }
        records.push(record);
    }
    if lists.len() > room {
        let what = "biased and counted tokens";
        return Err(BatchError::TooMany { what, got: lists.len(), limit: room }.into());
    }
    Ok((records, lists))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Sampling;
    use crate::{LogitRows, SequenceStep};

    fn sequence(tokens: Tokens, sample: Option<Sampling>) -> SequenceStep {
        SequenceStep { tokens, start: 7, pages: vec![], logits: LogitRows::None, sample }
    }

    /// Three sequences: one draws nothing, one is greedy, one has everything.
    fn batch() -> (Batch, BatchLayout) {
        let all = Sampling {
            temperature: 0.5,
            presence_penalty: 0.1,
            bias: vec![(9, 1.0), (2, -1.0), (9, 0.5)],
            history: vec![4, 1, 4],
            ..Sampling::greedy()
        };
        let sequences = vec![
            sequence(Tokens::Ids(vec![1, 2]), None),
            sequence(Tokens::Sampled(0), Some(Sampling::greedy())),
            sequence(Tokens::Sampled(1), Some(all)),
        ];
        let layout = BatchLayout {
            sequence: vec![0, 0, 1, 2],
            position: vec![7, 8, 7, 7],
            first_row: vec![0, 2, 3, 4],
            selected: vec![2, 3],
            first_selected: vec![0, 0, 1, 2],
        };
        (Batch { sequences, inputs: vec![] }, layout)
    }

    #[test]
    fn records_name_their_rows_and_lists_are_sorted_and_counted() {
        let (batch, layout) = batch();
        let (records, lists) = tables(&batch, &layout, 4).unwrap();
        assert_eq!(records.iter().map(|r| r.row).collect::<Vec<_>>(), [u32::MAX, 0, 1]);
        assert_eq!([records[1].token_row, records[2].token_row], [2, 3]);
        // Without penalties nobody asks what was drawn before.
        assert_eq!([records[1].sampled_row, records[2].sampled_row], [u32::MAX, 3]);
        assert_eq!(lists, [[2, (-1f32).to_bits()], [9, 1.5f32.to_bits()], [1, 1], [4, 2]]);
        let all = &records[2];
        assert_eq!([all.first_bias, all.biases, all.first_history, all.histories], [0, 2, 2, 2]);
        assert_eq!(all.uniform.to_bits(), uniform(0, 8).to_bits());
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let (batch, layout) = batch();
        assert!(tables(&batch, &layout, 3).is_err());
    }
}
