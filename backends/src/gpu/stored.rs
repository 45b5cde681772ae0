//! Queries, keys and values of one row: rotated and written into the cache by the product that makes them.
//!
//! As in [`super::one_row`], a launch of its own would take longer than the work, and both sides ask here.

use super::one_row::{Site, is_handed_out, norm_into, readers};
use crate::format::CacheFormat;
use crate::plan::{Linear, Node, Op, Operand, RotateQuery, Rows, StoreKv, ValueId};

/// What becomes of a product that makes queries, keys and values.
pub(crate) struct Stored<'a> {
    pub(crate) store: &'a StoreKv,
    pub(crate) rotate: &'a RotateQuery,
}

/// What the cache's operator, the node at `index`, would write, where for one row the product before it does so in its place.
pub(super) fn left_out<S: Site>(site: &S, index: usize, store: &StoreKv) -> Option<ValueId> {
    let nodes = &site.plan().nodes;
    let produces = |node: &Node| node.op.outputs().contains(&store.key.value);
    let producer = nodes[..index].iter().rposition(produces)?;
    let Op::Linear(product) = &nodes[producer].op else { return None };
    stored_after(site, producer, product).map(|stored| stored.rotate.output)
}

/// The rotation and the cache that a product's result goes to: the node at `index` is the product.
pub(crate) fn stored_after<'a, S: Site>(site: &'a S, index: usize, op: &Linear) -> Option<Stored<'a>> {
    let plan = site.plan();
    let mut all = readers(plan, op.output);
    let (at, None) = (all.next()?, all.next()) else { return None };
    let Op::StoreKv(store) = &plan.nodes[at].op else { return None };
    let rotate = store.rotate.as_ref()?;
    let (rope, layout) = (&plan.ropes[rotate.rope.index()], site.cache_layout(store.cache));
    let (dim, shape) = (layout.head_dim, plan.values[op.output.index()].shape);
    let operands = [&rotate.query, &store.key, &store.value];
    let is_heads = |operand: &&Operand| operand.value == op.output && operand.first.is_multiple_of(dim);
    let fits = operands.iter().all(is_heads)
        && operands.iter().map(|operand| operand.width).sum::<usize>()
            == plan.matrices[op.matrix.index()].rows
        && rotate.query.first == 0
        && store.key.first != store.value.first
        && rope.rotary_dim == dim
        && layout.format == CacheFormat::F16
        && op.residual.is_none()
        && shape.slots == 1
        && shape.rows == Rows::Tokens
        && site.stores(op.matrix, dim)
        && !is_handed_out(plan, op.output);
    // The queries are written earlier than by the cache's operator: not over what is still read, nor is anything written over them.
    let x = norm_into(site, index, op).map_or(op.input, |norm| norm.input);
    let over = |value: ValueId| site.share(value, rotate.output);
    let between = &plan.nodes[index + 1..at];
    let free = !over(x.value)
        && !between.iter().flat_map(|node| node.op.inputs()).any(|operand| over(operand.value))
        && !between.iter().flat_map(|node| node.op.outputs()).any(over);
    (fits && free).then_some(Stored { store, rotate })
}
