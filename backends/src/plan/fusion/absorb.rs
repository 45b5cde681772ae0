//! Rewrites in which one operator absorbs its neighbour.

use super::{Uses, rewrite};
use crate::format::{ActivationScale, WeightFormat};
use crate::plan::{Add, Element, Op, Operand, Plan, Rope, RotateQuery, ValueId};

/// See [`Fusion::FoldScales`](super::Fusion::FoldScales).
pub(super) fn fold_scales(plan: &mut Plan) {
    rewrite(plan, |plan, uses, at| {
        let Op::Scale(scale) = &plan.nodes[at].op else { return None };
        let scale = scale.clone();
        let producer = uses.sole_producer(plan, scale.input)?;
        let Op::Linear(linear) = &mut plan.nodes[producer].op else { return None };
        if linear.residual.is_some() {
            return None;
        }
        linear.factor *= scale.factor;
        linear.output = scale.output;
        Some(vec![at])
    });
}

/// See [`Fusion::FoldResiduals`](super::Fusion::FoldResiduals).
pub(super) fn fold_residuals(plan: &mut Plan) {
    rewrite(plan, |plan, uses, at| {
        let Op::Add(add) = &plan.nodes[at].op else { return None };
        let Add { a, b, output } = add.clone();
        // The residual stream is usually the first summand, the projection the second.
        absorb_sum(plan, uses, b, a, output).or_else(|| absorb_sum(plan, uses, a, b, output))?;
        Some(vec![at])
    });
}

/// Lets the producer of `summand` add `residual` itself.
fn absorb_sum(plan: &mut Plan, uses: &Uses, summand: Operand, residual: Operand, sum: ValueId) -> Option<()> {
    let producer = uses.sole_producer(plan, summand)?;
    if !uses.ready_before(residual.value, producer) {
        return None;
    }
    let (slot, output) = match &mut plan.nodes[producer].op {
        Op::Linear(linear) => (&mut linear.residual, &mut linear.output),
        Op::ExpertCombine(combine) => (&mut combine.residual, &mut combine.output),
        _ => return None,
    };
    if slot.is_some() {
        return None;
    }
    *slot = Some(residual);
    *output = sum;
    Some(())
}

/// See [`Fusion::AddNorm`](super::Fusion::AddNorm).
pub(super) fn add_norm(plan: &mut Plan) {
    rewrite(plan, |plan, uses, at| {
        let Op::Add(add) = &plan.nodes[at].op else { return None };
        let add = add.clone();
        let readers = &uses.consumers[add.output.index()];
        let reader = *readers.iter().min()?;
        let others = readers.iter().filter(|r| **r == reader).count() < readers.len();
        let keep = others || uses.handed_out[add.output.index()];
        let Op::Norm(norm) = &plan.nodes[reader].op else { return None };
        if norm.add.is_some() || norm.input.value != add.output || !plan.is_whole(norm.input) {
            return None;
        }
        let Op::Norm(norm) = &mut plan.nodes[reader].op else { return None };
        norm.input = add.a;
        norm.add = Some(add.b);
        norm.sum = keep.then_some(add.output);
        Some(vec![at])
    });
}

/// See [`Fusion::RotateStore`](super::Fusion::RotateStore).
pub(super) fn rotate_store(plan: &mut Plan) {
    rewrite(plan, |plan, uses, at| {
        let Op::StoreKv(store) = &plan.nodes[at].op else { return None };
        if store.rotate.is_some() {
            return None;
        }
        let (cache, key) = (store.cache, store.key);
        let key_rope = uses.sole_producer(plan, key)?;
        let Op::Rope(Rope { input: plain_key, rope, .. }) = plan.nodes[key_rope].op else { return None };

        let attends = |node: &crate::plan::Node| match &node.op {
            Op::Attention(attention) if attention.cache == cache => Some(attention.query),
            _ => None,
        };
        let query = plan.nodes[at..].iter().find_map(attends)?;
        let query_rope = uses.sole_producer(plan, query)?;
        let Op::Rope(query_rotation) = plan.nodes[query_rope].op.clone() else { return None };
        let in_order = query_rope < at && uses.read_only_after(query.value, at);
        if query_rotation.rope != rope || !in_order {
            return None;
        }

        let Op::StoreKv(store) = &mut plan.nodes[at].op else { return None };
        store.key = plain_key;
        store.rotate = Some(RotateQuery { rope, query: query_rotation.input, output: query_rotation.output });
        Some(vec![key_rope, query_rope])
    });
}

/// See [`Fusion::Quantize`](super::Fusion::Quantize).
pub(super) fn quantize(plan: &mut Plan) {
    let uses = Uses::of(plan);
    for at in 0..plan.nodes.len() {
        let output = match &plan.nodes[at].op {
            Op::Norm(norm) if norm.quantize.is_none() => norm.output,
            Op::Gated(gated) if gated.quantize.is_none() => gated.output,
            _ => continue,
        };
        let Some(scale) = common_scale(plan, &uses, output) else { continue };
        match &mut plan.nodes[at].op {
            Op::Norm(norm) => norm.quantize = Some(scale),
            Op::Gated(gated) => gated.quantize = Some(scale),
            _ => continue,
        }
        plan.values[output.index()].shape.element = Element::Int8Rows;
    }
}

/// The activation scale that all readers of a value want, if all are `w8a8` projections of all of it.
fn common_scale(plan: &Plan, uses: &Uses, value: ValueId) -> Option<ActivationScale> {
    if uses.handed_out[value.index()] {
        return None;
    }
    let wanted = |node: &usize| match &plan.nodes[*node].op {
        // An operand that is also the residual must stay f32.
        Op::Linear(linear)
            if plan.is_whole(linear.input) && linear.residual.is_none_or(|r| r.value != value) =>
        {
            match plan.matrices[linear.matrix.index()].format {
                WeightFormat::W8a8(scale) => Some(scale),
                _ => None,
            }
        }
        _ => None,
    };
    let mut scales = uses.consumers[value.index()].iter().map(wanted);
    let first = scales.next()??;
    scales.all(|scale| scale == Some(first)).then_some(first)
}
