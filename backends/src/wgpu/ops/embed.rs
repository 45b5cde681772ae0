//! The tokens of a step and their embeddings.

use bytemuck::{Pod, Zeroable};

use super::rowwise::per_item;
use crate::format::WeightFormat;
use crate::plan::{Rows, Shape};
use crate::wgpu::build::{Binding, Build, Dispatch};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::{DeviceTable, Table};
use crate::{BackendError, plan};

/// The parameters of `rows/begin.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct BeginParams {
    vocabulary: u32,
    padding: [u32; 3],
}

/// The parameters of `embed/embed.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    width: u32,
    first_row: u32,
    shard_rows: u32,
    row_words: u32,
    row_scales: u32,
    group: u32,
    factor: f32,
    padding: u32,
}

/// Every format has a feature of the kernel by this name.
const FORMATS: [&str; 7] = ["f32", "f16", "bf16", "int8", "nf4", "int4", "w8a8"];

/// The feature of a format, and how many columns share a scale.
const fn feature(format: WeightFormat) -> (&'static str, u32) {
    match format {
        WeightFormat::F32 => ("f32", 1),
        WeightFormat::F16 => ("f16", 1),
        WeightFormat::Bf16 => ("bf16", 1),
        WeightFormat::Int8(group) => ("int8", group.size() as u32),
        WeightFormat::Nf4 => ("nf4", 64),
        WeightFormat::Int4(group) => ("int4", group.size() as u32),
        WeightFormat::W8a8(_) => ("w8a8", 1),
    }
}

/// Lists what begins each step.
#[allow(clippy::unnecessary_wraps, reason = "what lists dispatches may fail")]
pub(super) fn resolve_tokens(build: &mut Build<'_>) -> Result<(), BackendError> {
    // A plan that embeds nothing takes any token.
    let vocabulary = build.plan.vocabulary().map_or(u32::MAX, |vocabulary| vocabulary as u32);
    let params = BeginParams { vocabulary, padding: [0; 3] };
    let bindings = vec![
        Binding::Read(build.table(Table::RowToken)),
        Binding::Read(build.table(Table::RowSequence)),
        Binding::Read(build.table(Table::FirstRow)),
        Binding::Read(build.tables.device_region(DeviceTable::Drawn)),
        Binding::ReadWrite(build.tables.device_region(DeviceTable::Tokens)),
        Binding::ReadWrite(build.tables.device_region(DeviceTable::Faults)),
    ];
    build.dispatch(Dispatch {
        kernel: Kernel::new("rows/begin"),
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings,
        groups: per_item(Shape::rows_of(Rows::Tokens, 1), 1),
    });
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn embed(build: &mut Build<'_>, op: &plan::Embed) -> Result<(), BackendError> {
    let table = build.matrix(op.table).clone();
    let tokens = build.tables.device_region(DeviceTable::Tokens);
    let (feature, group) = feature(table.format);
    for shard in table.shards {
        let params = Params {
            width: table.cols,
            first_row: shard.first_row,
            shard_rows: shard.rows,
            row_words: 4 * table.row_quads,
            row_scales: table.row_scales,
            group,
            factor: op.factor,
            padding: 0,
        };
        let bindings = vec![
            Binding::Read(tokens.clone()),
            Binding::Read(shard.codes),
            Binding::Read(shard.scales.unwrap_or_else(|| build.table(Table::Selected))),
            Binding::ReadWrite(build.value(op.output)),
        ];
        build.dispatch(Dispatch {
            kernel: Kernel::new("embed/embed").with(feature),
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings,
            groups: per_item(build.shape(op.output), table.cols.div_ceil(4)),
        });
    }
    Ok(())
}

pub(super) fn variants() -> Vec<Kernel> {
    let embeds = FORMATS.iter().map(|format| Kernel::new("embed/embed").with(format));
    embeds.chain([Kernel::new("rows/begin")]).collect()
}
