//! What a product of one row does along with it: the normalisation before it, and after it the gate, or the cache ([`super::stored`]).
//!
//! A reply's next token is one row, for which these take longer to launch than to compute. So a GPU's streaming kernel normalises the
//! row on its way in and applies the gate on its way out, and the operators' own launches are left out where a step has one row.
//! Both sides ask here, and what they are told depends on the plan and on where its values lie, not on the step.

use super::stored;
use crate::format::CacheLayout;
use crate::plan::{CacheId, Gated, Linear, MatrixId, Norm, NormKind, Op, Operand, Plan, ValueId};

/// What has to be known of a backend.
pub(crate) trait Site {
    fn plan(&self) -> &Plan;

    /// Whether two values lie in the same memory.
    fn share(&self, a: ValueId, b: ValueId) -> bool;

    /// Whether the streaming kernel of a matrix can read these columns as they lie.
    fn reads_directly(&self, operand: Operand, matrix: MatrixId) -> bool;

    /// Whether the streaming kernel of a matrix normalises.
    fn normalizes(&self, _: MatrixId) -> bool {
        true
    }

    /// Whether the streaming kernel of a matrix sees both halves of its rows at once.
    fn gates(&self, matrix: MatrixId) -> bool;

    /// Whether the streaming kernel of a matrix turns heads of so many elements and writes them into the cache ([`super::stored`]).
    fn stores(&self, matrix: MatrixId, head_dim: usize) -> bool;

    fn cache_layout(&self, cache: CacheId) -> CacheLayout;
}

/// What an operator, the node at `index`, would write, where for one row a product does so in its place.
pub(crate) fn left_out<S: Site>(site: &S, index: usize, op: &Op) -> Option<ValueId> {
    match op {
        Op::Norm(norm) => is_taken_over(site, index, norm).then_some(norm.output),
        Op::Gated(gated) => {
            let before = index.checked_sub(1)?;
            let Op::Linear(product) = &site.plan().nodes[before].op else { return None };
            gate_after(site, before, product).map(|_| gated.output)
        }
        Op::StoreKv(store) => stored::left_out(site, index, store),
        _ => None,
    }
}

/// The normalisation that a product takes over: the node at `index`, which is this product.
pub(crate) fn norm_into<'a, S: Site>(site: &'a S, index: usize, op: &Linear) -> Option<&'a Norm> {
    let mut before = site.plan().nodes[..index].iter().enumerate();
    let (at, norm) = before.find_map(|(at, node)| match &node.op {
        Op::Norm(norm) if norm.output == op.input.value => Some((at, norm)),
        _ => None,
    })?;
    is_taken_over(site, at, norm).then_some(norm)
}

/// Whether all that read a normalised value normalise by themselves where a step has one row.
fn is_taken_over<S: Site>(site: &S, index: usize, norm: &Norm) -> bool {
    let plan = site.plan();
    let plain = norm.kind == NormKind::Rms
        && norm.group == norm.input.width
        && norm.weight.is_some()
        && norm.bias.is_none()
        && norm.add.is_none()
        && norm.sum.is_none()
        && norm.quantize.is_none()
        && plan.values[norm.output.index()].shape.slots == 1
        && !is_handed_out(plan, norm.output);
    let readers = readers(plan, norm.output).collect::<Vec<_>>();
    plain
        && !readers.is_empty()
        && readers.iter().all(|reader| match &plan.nodes[*reader].op {
            Op::Linear(op) => takes_norm(site, (index, norm), (*reader, op)),
            _ => false,
        })
}

fn takes_norm<S: Site>(site: &S, (at, norm): (usize, &Norm), (index, op): (usize, &Linear)) -> bool {
    let whole = Operand { value: norm.output, first: 0, width: norm.input.width };
    // What the product reads instead is still there when it runs, and is not what it writes.
    let mut written = site.plan().nodes[at + 1..=index].iter().flat_map(|node| node.op.outputs());
    op.input == whole
        && site.reads_directly(norm.input, op.matrix)
        && site.normalizes(op.matrix)
        && !written.any(|value| site.share(value, norm.input.value))
        && gate_of(site, index, op).is_none_or(|gated| !site.share(gated.output, norm.input.value))
}

/// The gate that a product applies to its result: the node at `index` is the product.
pub(crate) fn gate_after<'a, S: Site>(site: &'a S, index: usize, op: &Linear) -> Option<&'a Gated> {
    let gated = gate_of(site, index, op)?;
    let x = norm_into(site, index, op).map_or(op.input, |norm| norm.input);
    (site.reads_directly(x, op.matrix) && !site.share(gated.output, x.value)).then_some(gated)
}

/// The gate whose two halves are all of a product's result and that nobody else reads.
fn gate_of<'a, S: Site>(site: &'a S, index: usize, op: &Linear) -> Option<&'a Gated> {
    let plan = site.plan();
    let Some(Op::Gated(gated)) = plan.nodes.get(index + 1).map(|node| &node.op) else { return None };
    let rows = plan.matrices[op.matrix.index()].rows;
    let halves = [0, rows / 2].map(|first| Operand { value: op.output, first, width: rows / 2 });
    let fits = [gated.gate, gated.up] == halves
        && gated.quantize.is_none()
        && op.residual.is_none()
        && rows.is_multiple_of(2)
        && site.gates(op.matrix)
        && plan.values[op.output.index()].shape.slots == 1
        && !is_handed_out(plan, op.output)
        && readers(plan, op.output).all(|reader| reader == index + 1);
    fits.then_some(gated)
}

/// Whether somebody outside the plan wants a value.
pub(crate) fn is_handed_out(plan: &Plan, value: ValueId) -> bool {
    plan.taps.contains(&value) || plan.logits == Some(value)
}

/// The nodes that read a value.
pub(crate) fn readers(plan: &Plan, value: ValueId) -> impl Iterator<Item = usize> + '_ {
    let nodes = plan.nodes.iter().enumerate();
    nodes
        .filter(move |(_, node)| node.op.inputs().iter().any(|operand| operand.value == value))
        .map(|(at, _)| at)
}
