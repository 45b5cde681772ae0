//! Drawing tokens: a pass over the logits, another where the draw is not greedy, and one block that finds the token.

use bytemuck::{Pod, Zeroable};

use super::is_selected;
use crate::cuda::build::{Build, Launch, blocks};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::{BackendError, plan};

/// Threads of a block, and logits that it looks at together.
const THREADS: u32 = 256;
const CHUNK: u32 = 4 * THREADS;
/// Words of a sequence's notes before those on its chunks, and words of a chunk's.
const NOTES: u32 = 3088;
const CHUNK_NOTES: u32 = 4;
/// Sums of weights are counted in parts of one that leave room for so many ones.
const MOST_TOKENS: u32 = 1 << 22;

/// The parameters of `sample/record.cuh`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    logits: u64,
    tokens: u64,
    adjusted: u64,
    work: u64,
    output: u64,
    drawn: u64,
    faults: u64,
    vocabulary: u32,
    stride: u32,
    chunks: u32,
    work_words: u32,
    all_rows: u32,
    padding: u32,
}

pub(super) fn sample(build: &mut Build<'_>, op: &plan::Sample) -> Result<(), BackendError> {
    let logits = build.operand(op.logits);
    let vocabulary = logits.width;
    if vocabulary >= MOST_TOKENS {
        return Err(build.unsupported(format!("draws from {vocabulary} tokens")));
    }
    let chunks = vocabulary.div_ceil(CHUNK);
    let work_words = NOTES + CHUNK_NOTES * chunks;
    let sequences = build.options.limits.sequences as u64;
    let work = build.scratch("notes on draws", 4 * u64::from(work_words) * sequences)?;
    let adjusted = build.scratch("adjusted logits", 4 * u64::from(vocabulary) * sequences)?;
    let params = Params {
        logits: logits.address(),
        tokens: build.tables.tokens(),
        adjusted: adjusted.address(),
        work: work.address(),
        output: build.value(op.output).address(),
        drawn: build.tables.drawn(),
        faults: build.tables.faults(),
        vocabulary,
        stride: logits.stride,
        chunks,
        work_words,
        all_rows: 1 - is_selected(build.plan.shape(op.logits).rows),
        padding: 0,
    };
    let quads = logits.in_quads();
    build.launch(Launch::new(kernel("scan", quads), &params, THREADS, move |step| {
        blocks(step.sequences * chunks)
    }));
    build.launch(Launch::new(kernel("histogram", quads), &params, THREADS, move |step| {
        blocks(if step.warm > 0 { step.sequences * chunks } else { 0 })
    }));
    build.launch(Launch::new(kernel("draw", quads), &params, THREADS, |step| blocks(step.sequences)));
    Ok(())
}

fn kernel(entry: &'static str, quads: bool) -> Kernel {
    Kernel::new("sample/sample", entry).define("QUADS", u32::from(quads))
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    let entries = ["scan", "histogram", "draw"];
    entries.iter().flat_map(|entry| [kernel(entry, false), kernel(entry, true)]).collect()
}
