//! The rows whose logits somebody asked for.

use bytemuck::{Pod, Zeroable};

use super::rowwise::{code_words, per_item};
use crate::plan::Element;
use crate::wgpu::build::{Binding, Build, Dispatch};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::Table;
use crate::{BackendError, plan};

/// The parameters of `rows/select.wesl`.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    slots: u32,
    words: u32,
    first: u32,
    stride: u32,
    scales: u32,
    input_rows: u32,
    output_rows: u32,
    padding: u32,
}

#[allow(clippy::unnecessary_wraps, reason = "all operators have the same signature")]
pub(super) fn select_rows(build: &mut Build<'_>, op: &plan::SelectRows) -> Result<(), BackendError> {
    let shape = build.shape(op.output);
    let input = build.operand(op.input);
    let limits = &build.options.limits;
    let coded = shape.element == Element::Int8Rows;
    let (words, stride) =
        if coded { (code_words(input.width), code_words(input.stride)) } else { (input.width, input.stride) };
    let params = Params {
        slots: shape.slots as u32,
        words,
        first: input.first,
        stride,
        scales: u32::from(coded),
        input_rows: (limits.rows * shape.slots) as u32,
        output_rows: (limits.selected * shape.slots) as u32,
        padding: 0,
    };
    let bindings = vec![
        Binding::Read(build.table(Table::Selected)),
        Binding::Read(input.region),
        Binding::ReadWrite(build.value(op.output)),
    ];
    build.dispatch(Dispatch {
        kernel: Kernel::new("rows/select"),
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings,
        groups: per_item(shape, words + u32::from(coded)),
    });
    Ok(())
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![Kernel::new("rows/select")]
}
