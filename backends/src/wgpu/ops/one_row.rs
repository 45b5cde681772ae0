//! What a product of one row does along with it: the normalisation before it and the gate after it.
//!
//! A reply's next token is one row, for which these take longer to launch than to compute. So the kernel for one row normalises the
//! row on its way in and applies the gate on its way out, and the operators' own launches are left out where a step has one row.
//! Both sides ask here, and what they are told depends on the plan and on where its values lie, not on the step.

use super::row;
use crate::format::WeightFormat;
use crate::plan::{Gated, Linear, Norm, NormKind, Op, Operand, ValueId};
use crate::wgpu::build::Build;

/// What an operator, the node at hand, would write, where for one row a product does so in its place.
pub(super) fn left_out(build: &Build<'_>, op: &Op) -> Option<ValueId> {
    let index = build.node?;
    match op {
        Op::Norm(norm) => is_taken_over(build, index, norm).then_some(norm.output),
        Op::Gated(gated) => {
            let before = index.checked_sub(1)?;
            let Op::Linear(product) = &build.plan.nodes[before].op else { return None };
            gate_after(build, before, product).map(|_| gated.output)
        }
        _ => None,
    }
}

/// The normalisation that a product takes over: the node at `index`, which is this product.
pub(super) fn norm_into<'a>(build: &Build<'a>, index: usize, op: &Linear) -> Option<&'a Norm> {
    let (at, norm) = build.plan.nodes[..index].iter().enumerate().find_map(|(at, node)| match &node.op {
        Op::Norm(norm) if norm.output == op.input.value => Some((at, norm)),
        _ => None,
    })?;
    is_taken_over(build, at, norm).then_some(norm)
}

/// Whether all that read a normalised value normalise by themselves where a step has one row.
fn is_taken_over(build: &Build<'_>, index: usize, norm: &Norm) -> bool {
    let plain = norm.kind == NormKind::Rms
        && norm.group == norm.input.width
        && norm.weight.is_some()
        && norm.bias.is_none()
        && norm.add.is_none()
        && norm.sum.is_none()
        && norm.quantize.is_none()
        && build.shape(norm.output).slots == 1
        && !is_handed_out(build, norm.output);
    let readers = readers(build, norm.output).collect::<Vec<_>>();
    plain
        && !readers.is_empty()
        && readers.iter().all(|reader| match &build.plan.nodes[*reader].op {
            Op::Linear(op) => takes_norm(build, (index, norm), (*reader, op)),
            _ => false,
        })
}

fn takes_norm(build: &Build<'_>, (at, norm): (usize, &Norm), (index, op): (usize, &Linear)) -> bool {
    let format = build.matrix(op.matrix).format;
    let whole = Operand { value: norm.output, first: 0, width: norm.input.width };
    // What the product reads instead is still there when it runs, and is not what it writes.
    let mut written = build.plan.nodes[at + 1..=index].iter().flat_map(|node| node.op.outputs());
    op.input == whole
        && reads_directly(build, norm.input, format)
        && row::takes_norm(build, build.matrix(op.matrix))
        && !written.any(|value| build.share(value, norm.input.value))
        && gate_of(build, index, op).is_none_or(|gated| !build.share(gated.output, norm.input.value))
}

/// The gate that a product applies to its result: the node at `index` is the product.
pub(super) fn gate_after<'a>(build: &Build<'a>, index: usize, op: &Linear) -> Option<&'a Gated> {
    let gated = gate_of(build, index, op)?;
    let x = norm_into(build, index, op).map_or(op.input, |norm| norm.input);
    let format = build.matrix(op.matrix).format;
    (reads_directly(build, x, format) && !build.share(gated.output, x.value)).then_some(gated)
}

/// The gate whose two halves are all of a product's result and that nobody else reads.
fn gate_of<'a>(build: &Build<'a>, index: usize, op: &Linear) -> Option<&'a Gated> {
    let Some(Op::Gated(gated)) = build.plan.nodes.get(index + 1).map(|node| &node.op) else { return None };
    let matrix = build.matrix(op.matrix);
    let half = matrix.rows as usize / 2;
    let halves = [0, half].map(|first| Operand { value: op.output, first, width: half });
    let fits = [gated.gate, gated.up] == halves
        && gated.quantize.is_none()
        && op.residual.is_none()
        && matrix.rows.is_multiple_of(2)
        && matrix.shards.len() == 1
        && build.shape(op.output).slots == 1
        && !is_handed_out(build, op.output)
        && readers(build, op.output).all(|reader| reader == index + 1);
    fits.then_some(gated)
}

/// Whether the streaming kernel can read these columns as they lie.
fn reads_directly(build: &Build<'_>, operand: Operand, format: WeightFormat) -> bool {
    let x = build.operand(operand);
    !matches!(format, WeightFormat::W8a8(_))
        && x.first.is_multiple_of(4)
        && x.stride.is_multiple_of(4)
        && x.width.is_multiple_of(row::width(format))
}

pub(super) fn is_handed_out(build: &Build<'_>, value: ValueId) -> bool {
    build.plan.taps.contains(&value) || build.plan.logits == Some(value)
}

/// The nodes that read a value.
pub(super) fn readers<'a>(build: &Build<'a>, value: ValueId) -> impl Iterator<Item = usize> + 'a {
    let nodes = build.plan.nodes.iter().enumerate();
    nodes
        .filter(move |(_, node)| node.op.inputs().iter().any(|operand| operand.value == value))
        .map(|(at, _)| at)
}
