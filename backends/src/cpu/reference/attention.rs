//! Attention over the paged cache, and the writing of keys and values into it.

use super::elementwise::softcapped;
use super::linear::dot;
use super::rope::rotated;
use super::step::Step;
use crate::BackendError;
use crate::plan::{Attention, StoreKv};

/// What one query head does with its scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadOptions {
    /// Multiplies each product of query and key.
    pub scale: f64,
    /// Caps the scaled products.
    pub softcap: Option<f64>,
    /// One more logit, which has no value.
    pub sink: Option<f64>,
}

/// `softmax(cap(scale · q·kᵀ)) · v` for one head of one row; keys and values are vectors as long as the
/// query, behind one another.
pub fn attend(query: &[f64], keys: &[f64], values: &[f64], options: &HeadOptions) -> Vec<f64> {
    let dim = query.len();
    let score = |key| {
        let score = options.scale * dot(query, key);
        options.softcap.map_or(score, |cap| softcapped(score, cap))
    };
    let scores = keys.chunks_exact(dim).map(score).collect::<Vec<_>>();
    let largest = scores.iter().chain(&options.sink).copied().fold(f64::NEG_INFINITY, f64::max);
    let shares = scores.iter().map(|score| (score - largest).exp()).collect::<Vec<_>>();
    let total = shares.iter().sum::<f64>() + options.sink.map_or(0.0, |sink| (sink - largest).exp());
    let mut attended = vec![0.0; dim];
    for (share, value) in shares.iter().zip(values.chunks_exact(dim)) {
        for (attended, value) in attended.iter_mut().zip(value) {
            *attended += share / total * value;
        }
    }
    attended
}

/// Attention of each row's query heads over the cache of its own sequence.
pub(super) fn attention(op: &Attention, step: &mut Step<'_>) -> Result<(), BackendError> {
    let cache = &step.caches[op.cache.index()];
    let layout = cache.keys.layout();
    let (dim, group) = (layout.head_dim, op.heads / layout.kv_heads);
    let queries = step.values.operand(op.query);
    let mut output = vec![0.0; queries.len()];
    let row_len = op.heads * dim;
    for (sequence, asked) in step.batch.sequences.iter().enumerate() {
        let rows = step.layout.first_row[sequence] as usize..step.layout.first_row[sequence + 1] as usize;
        let context = step.layout.context(sequence);
        for kv_head in 0..layout.kv_heads {
            let keys = cache.keys.load(&asked.pages, kv_head, 0..context)?;
            let values = cache.values.load(&asked.pages, kv_head, 0..context)?;
            for row in rows.clone() {
                let end = step.layout.position[row] as usize + 1;
                let start = op.window.map_or(0, |window| end.saturating_sub(window as usize));
                let seen = start * dim..end * dim;
                for head in kv_head * group..(kv_head + 1) * group {
                    let sink = op.sinks.map(|id| f64::from(step.weights.vectors[id.index()][head]));
                    let options =
                        HeadOptions { scale: f64::from(op.scale), softcap: op.softcap.map(f64::from), sink };
                    let place = row * row_len + head * dim..row * row_len + (head + 1) * dim;
                    let query = &queries[place.clone()];
                    let attended = attend(query, &keys[seen.clone()], &values[seen.clone()], &options);
                    output[place].copy_from_slice(&attended);
                }
            }
        }
    }
    step.values.write(op.output, output);
    Ok(())
}

/// Writes the rows' keys and values into the cache pages of their positions.
pub(super) fn store_kv(op: &StoreKv, step: &mut Step<'_>) -> Result<(), BackendError> {
    let keys = match &op.rotate {
        Some(rotate) => {
            let query = rotated(rotate.query, rotate.rope, step);
            step.values.write(rotate.output, query);
            rotated(op.key, rotate.rope, step)
        }
        None => step.values.operand(op.key),
    };
    let values = step.values.operand(op.value);
    let cache = &mut step.caches[op.cache.index()];
    let dim = cache.keys.layout().head_dim;
    for (row, (keys, values)) in
        keys.chunks_exact(op.key.width).zip(values.chunks_exact(op.value.width)).enumerate()
    {
        let pages = &step.batch.sequences[step.layout.sequence[row] as usize].pages;
        let position = step.layout.position[row] as usize;
        for (head, (key, value)) in keys.chunks_exact(dim).zip(values.chunks_exact(dim)).enumerate() {
            cache.keys.store(pages, head, position, key)?;
            cache.values.store(pages, head, position, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::testing::assert_close;

    const PLAIN: HeadOptions = HeadOptions { scale: 1.0, softcap: None, sink: None };

    #[test]
    fn equal_keys_give_the_mean_of_the_values() {
        let y = attend(&[1.0, 2.0], &[0.5, 0.5, 0.5, 0.5], &[1.0, 10.0, 3.0, 30.0], &PLAIN);
        assert_eq!(y, [2.0, 20.0]);
    }

    #[test]
    fn scores_by_hand() {
        // Scores ln 3 and 0: shares 3/4 and 1/4.
        let options = HeadOptions { scale: 0.5, ..PLAIN };
        let y = attend(&[2.0 * 3.0_f64.ln()], &[1.0, 0.0], &[4.0, 8.0], &options);
        assert_close(&y, &[5.0], 1e-15);
    }

    #[test]
    fn a_softcap_bends_the_scaled_score() {
        let options = HeadOptions { scale: 2.0, softcap: Some(5.0), sink: None };
        let y = attend(&[3.0], &[1.0, 0.0], &[1.0, 0.0], &options);
        let capped = 5.0 * (6.0_f64 / 5.0).tanh();
        assert_close(&y, &[1.0 / (1.0 + (-capped).exp())], 1e-15);
    }

    #[test]
    fn a_sink_takes_its_share_and_gives_nothing() {
        // Shares 1, 1 and 2 for the sink.
        let options = HeadOptions { sink: Some(2.0_f64.ln()), ..PLAIN };
        let y = attend(&[0.0], &[7.0, 9.0], &[4.0, 8.0], &options);
        assert_close(&y, &[3.0], 1e-15);
        // A sink far above all scores must not overflow.
        let options = HeadOptions { sink: Some(2000.0), ..PLAIN };
        assert_eq!(attend(&[0.0], &[7.0], &[4.0], &options), [0.0]);
    }

    #[test]
    fn large_scores_do_not_overflow_and_broken_ones_show() {
        assert_eq!(attend(&[1000.0], &[1.0, 2.0], &[4.0, 8.0], &PLAIN), [8.0]);
        assert!(attend(&[1.0], &[1.0, f64::NAN], &[4.0, 8.0], &PLAIN)[0].is_nan());
    }
}
