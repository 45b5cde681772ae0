//! Queries, keys and values of one row: rotated and written into the cache by the product that makes them.
//!
//! As in [`crate::one_row`], a launch of its own would take longer than the work, and both sides ask here.

use super::row;
use crate::format::CacheFormat;
use crate::gpu::one_row::{is_handed_out, norm_into, readers};
use crate::plan::{Linear, Node, Op, Operand, RotateQuery, Rows, StoreKv, ValueId};
use crate::wgpu::build::Build;

/// Storage buffers of a product that normalises before and stores after.
const BUFFERS: u32 = 11;

/// What becomes of a product that makes queries, keys and values.
pub(super) struct Stored<'a> {
    pub(super) store: &'a StoreKv,
    pub(super) rotate: &'a RotateQuery,
}

/// What the cache's operator, the node at hand, would write, where for one row the product before it does so in its place.
pub(super) fn left_out(build: &Build<'_>, op: &Op) -> Option<ValueId> {
    let Op::StoreKv(store) = op else { return None };
    let produces = |node: &Node| node.op.outputs().contains(&store.key.value);
    let producer = build.plan.nodes[..build.node?].iter().rposition(produces)?;
    let Op::Linear(product) = &build.plan.nodes[producer].op else { return None };
    stored_after(build, producer, product).map(|stored| stored.rotate.output)
}

/// The rotation and the cache that a product's result goes to: the node at `index` is the product.
pub(super) fn stored_after<'a>(build: &Build<'a>, index: usize, op: &Linear) -> Option<Stored<'a>> {
    let plan = build.plan;
    let mut all = readers(plan, op.output);
    let (at, None) = (all.next()?, all.next()) else { return None };
    let Op::StoreKv(store) = &plan.nodes[at].op else { return None };
    let rotate = store.rotate.as_ref()?;
    let (rope, layout) = (&plan.ropes[rotate.rope.index()], build.cache(store.cache).layout);
    let (dim, matrix) = (layout.head_dim, build.matrix(op.matrix));
    let operands = [&rotate.query, &store.key, &store.value];
    let is_heads = |operand: &&Operand| operand.value == op.output && operand.first.is_multiple_of(dim);
    let fits = operands.iter().all(is_heads)
        && operands.iter().map(|operand| operand.width).sum::<usize>() == matrix.rows as usize
        && rotate.query.first == 0
        && rope.rotary_dim == dim
        && dim.is_multiple_of(8)
        && layout.format == CacheFormat::F16
        && matrix.shards.len() == 1
        && row::has_kernel(matrix.format)
        && op.residual.is_none()
        && build.shape(op.output).slots == 1
        && build.shape(op.output).rows == Rows::Tokens
        && build.capabilities().storage_buffers >= BUFFERS
        && !is_handed_out(plan, op.output);
    // The queries are written earlier than by the cache's operator: not over what is still read, nor is anything written over them.
    let x = norm_into(build, index, op).map_or(op.input, |norm| norm.input);
    let over = |value: ValueId| build.share(value, rotate.output);
    let between = &plan.nodes[index + 1..at];
    let free = !over(x.value)
        && !between.iter().flat_map(|node| node.op.inputs()).any(|operand| over(operand.value))
        && !between.iter().flat_map(|node| node.op.outputs()).any(over);
    (fits && free).then_some(Stored { store, rotate })
}
