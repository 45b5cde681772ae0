//! Drawing tokens: a pass over the logits, another where the draw is not greedy, and one workgroup that finds the token.

use bytemuck::{Pod, Zeroable};

use super::rowwise::with_any;
use crate::plan::Rows;
use crate::wgpu::build::{Binding, Build, Dispatch, spread};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::{DeviceTable, Table};
use crate::{BackendError, plan};

/// Logits that a workgroup looks at together.
const CHUNK: u32 = 1024;
/// Words of a sequence's notes before those on its chunks, and words of a chunk's.
const NOTES: u32 = 3088;
const CHUNK_NOTES: u32 = 4;
/// Sums of weights are counted in parts of one that leave room for so many ones.
const MOST_TOKENS: u32 = 1 << 22;

/// The parameters of `sample/record.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    vocabulary: u32,
    first: u32,
    stride: u32,
    chunks: u32,
    work_words: u32,
    all_rows: u32,
    padding: [u32; 2],
}

pub(super) fn sample(build: &mut Build<'_>, op: &plan::Sample) -> Result<(), BackendError> {
    let logits = build.operand(op.logits);
    let vocabulary = logits.width;
    if vocabulary >= MOST_TOKENS {
        return Err(BackendError::Unsupported {
            device: build.gpu.open.name.clone(),
            what: format!("draws from {vocabulary} tokens"),
        });
    }
    let chunks = vocabulary.div_ceil(CHUNK);
    let work_words = NOTES + CHUNK_NOTES * chunks;
    let sequences = build.options.limits.sequences as u64;
    let kept = 4 * u64::from(vocabulary) * sequences;
    if kept > build.capabilities().binding {
        return Err(BackendError::Unsupported {
            device: build.gpu.open.name.clone(),
            what: format!(
                "{sequences} draws from {vocabulary} tokens in one step; prepare for fewer sequences"
            ),
        });
    }
    let work = build.scratch("notes on draws", 4 * u64::from(work_words) * sequences)?;
    let adjusted = build.scratch("adjusted logits", kept)?;
    let params = Params {
        vocabulary,
        first: logits.first,
        stride: logits.stride,
        chunks,
        work_words,
        all_rows: u32::from(build.plan.shape(op.logits).rows == Rows::Tokens),
        padding: [0; 2],
    };
    let params = bytemuck::bytes_of(&params).to_vec();
    let quads = super::rowwise::in_quads(&[&logits]);
    let subgroups = build.capabilities().subgroups.is_some();
    let kernel = |module| Kernel::new(module).with_if(quads, "quads").with_if(subgroups, "subgroup");
    let (records, output) = (build.table(Table::Samples), build.value(op.output));
    let device = |table| build.tables.device_region(table);
    let scan = Dispatch {
        kernel: kernel("sample/scan"),
        params: params.clone(),
        bindings: vec![
            Binding::Read(records.clone()),
            Binding::Read(logits.region.clone()),
            Binding::Read(build.table(Table::SampleLists)),
            Binding::Read(device(DeviceTable::Tokens)),
            Binding::ReadWrite(adjusted.clone()),
            Binding::ReadWrite(work.clone()),
            Binding::ReadWrite(output.clone()),
        ],
        groups: Box::new(move |counts| spread(counts.sequences * chunks)),
    };
    let histogram = Dispatch {
        kernel: kernel("sample/histogram"),
        params: params.clone(),
        bindings: vec![
            Binding::Read(records.clone()),
            Binding::Read(logits.region.clone()),
            Binding::Read(adjusted.clone()),
            Binding::ReadWrite(work.clone()),
        ],
        groups: Box::new(move |counts| spread(if counts.warm > 0 { counts.sequences * chunks } else { 0 })),
    };
    let draw = Dispatch {
        kernel: kernel("sample/draw"),
        params,
        bindings: vec![
            Binding::Read(records),
            Binding::Read(logits.region),
            Binding::Read(adjusted),
            Binding::Read(work),
            Binding::ReadWrite(output),
            Binding::ReadWrite(device(DeviceTable::Drawn)),
            Binding::ReadWrite(device(DeviceTable::Faults)),
        ],
        groups: Box::new(move |counts| spread(counts.sequences)),
    };
    for dispatch in [scan, histogram, draw] {
        build.dispatch(dispatch);
    }
    Ok(())
}

pub(super) fn variants() -> Vec<Kernel> {
    let modules = ["sample/scan", "sample/histogram", "sample/draw"];
    modules.iter().flat_map(|module| with_any(&Kernel::new(module), &["quads", "subgroup"])).collect()
}
