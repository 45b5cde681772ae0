//! How each sequence's token is drawn, as tables for the device.

use std::collections::BTreeMap;

use super::tables::SampleRecord;
use crate::sampling::uniform;
use crate::{BackendError, Batch, BatchError, BatchLayout, Tokens};

/// A token, and the bits of an f32 bias or a count.
pub(crate) type Pair = [u32; 2];

/// A record per sequence, and the lists that they point into.
///
/// Each token occurs once in a list: biases of the same token are added up and the history is counted.
pub(crate) fn tables(
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
