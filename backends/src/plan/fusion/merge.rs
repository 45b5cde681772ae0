//! Projections of the same input become one matrix.

use super::{Uses, redirect, remove_nodes};
use crate::plan::{Matrix, MatrixId, MatrixPart, Op, Operand, Plan, Shape, Value, ValueId, Vector, VectorId};

/// See [`Fusion::MergeProjections`](super::Fusion::MergeProjections).
pub(super) fn merge_projections(plan: &mut Plan) {
    let mut uses = Uses::of(plan);
    let mut at = 0;
    while at < plan.nodes.len() {
        let group = siblings(plan, &uses, at);
        if group.len() > 1 {
            merge(plan, &group);
            uses = Uses::of(plan);
        }
        at += 1;
    }
}

/// The node and those after it that may share a matrix with it.
fn siblings(plan: &Plan, uses: &Uses, at: usize) -> Vec<usize> {
    let Some(input) = projected(&plan.nodes[at].op).filter(|_| mergeable(plan, uses, at)) else {
        return vec![];
    };
    let readers = uses.consumers[input.value.index()].iter().copied().filter(|reader| *reader >= at);
    readers.filter(|other| mergeable(plan, uses, *other) && alike(plan, at, *other)).collect()
}

/// What a projection multiplies with its matrix.
const fn projected(op: &Op) -> Option<Operand> {
    match op {
        Op::Linear(o) => Some(o.input),
        Op::ExpertLinear(o) => Some(o.input),
        _ => None,
    }
}

/// Whether a node is a plain projection whose matrix and result are its own.
fn mergeable(plan: &Plan, uses: &Uses, at: usize) -> bool {
    let op = &plan.nodes[at].op;
    let plain = match op {
        #[allow(clippy::float_cmp, reason = "the factor is exactly 1 where it is off")]
        Op::Linear(o) => o.factor == 1.0 && o.residual.is_none(),
        // A bias of experts would have to be interleaved like their rows; vectors have no such parts.
        Op::ExpertLinear(o) => o.bias.is_none(),
        _ => false,
    };
    let own_matrix = op.matrix().is_some_and(|matrix| uses.matrix_users[matrix.index()] == 1);
    plain && own_matrix && op.outputs().iter().all(|v| !uses.handed_out[v.index()])
}

/// Whether two projections could be one.
fn alike(plan: &Plan, a: usize, b: usize) -> bool {
    let table = |id: MatrixId| &plan.matrices[id.index()];
    match (&plan.nodes[a].op, &plan.nodes[b].op) {
        (Op::Linear(x), Op::Linear(y)) => {
            let (m, n) = (table(x.matrix), table(y.matrix));
            x.input == y.input && m.format == n.format && x.bias.is_some() == y.bias.is_some()
        }
        (Op::ExpertLinear(x), Op::ExpertLinear(y)) => {
            let same_experts = x.experts == y.experts && x.chosen == y.chosen;
            x.input == y.input && same_experts && table(x.matrix).format == table(y.matrix).format
        }
        _ => false,
    }
}

/// Replaces the projections of a group by one, at the place of the first.
fn merge(plan: &mut Plan, group: &[usize]) {
    let members: Vec<Op> = group.iter().map(|at| plan.nodes[*at].op.clone()).collect();
    let experts = match &members[0] {
        Op::ExpertLinear(o) => o.experts,
        _ => 1,
    };
    let matrices: Vec<Matrix> =
        members.iter().filter_map(Op::matrix).map(|id| plan.matrices[id.index()].clone()).collect();
    let matrix = MatrixId(plan.matrices.len() as u32);
    plan.matrices.push(Matrix {
        parts: interleave(&matrices, experts),
        rows: matrices.iter().map(|m| m.rows).sum(),
        ..matrices[0].clone()
    });

    let outputs: Vec<ValueId> = members.iter().flat_map(Op::outputs).collect();
    let width = |value: ValueId| plan.values[value.index()].shape.width;
    let total = outputs.iter().map(|v| width(*v)).sum();
    let merged = ValueId(plan.values.len() as u32);
    let names: Vec<String> = group.iter().map(|at| plan.nodes[*at].name.clone()).collect();
    let shape = Shape { width: total, ..plan.values[outputs[0].index()].shape };
    let mut first = 0;
    let places: Vec<(ValueId, Operand)> = outputs
        .iter()
        .map(|value| {
            let columns = Operand { value: merged, first, width: width(*value) };
            first += width(*value);
            (*value, columns)
        })
        .collect();
    plan.values.push(Value { name: joined(&names), shape });

    plan.nodes[group[0]].name = joined(&names);
    plan.nodes[group[0]].op = match members[0].clone() {
        Op::Linear(linear) => {
            let biases: Vec<VectorId> = members.iter().flat_map(Op::vectors).collect();
            let bias = linear.bias.map(|_| join_vectors(plan, &biases));
            Op::Linear(crate::plan::Linear { matrix, bias, output: merged, ..linear })
        }
        Op::ExpertLinear(linear) => {
            Op::ExpertLinear(crate::plan::ExpertLinear { matrix, output: merged, ..linear })
        }
        other => other, // `mergeable` lets nothing else in
    };
    for (value, columns) in places {
        redirect(plan, value, columns);
    }
    remove_nodes(plan, &group[1..]);
}

/// The parts of matrices laid together: expert by expert, and within an expert matrix by matrix.
fn interleave(matrices: &[Matrix], experts: usize) -> Vec<MatrixPart> {
    let slices = (0..experts).flat_map(|expert| {
        matrices.iter().flat_map(move |matrix| {
            let rows = matrix.rows / experts;
            rows_of(&matrix.parts, expert * rows, rows)
        })
    });
    slices.collect()
}

/// The rows `first .. first + count` of a matrix, as parts of their own.
fn rows_of(parts: &[MatrixPart], first: usize, count: usize) -> Vec<MatrixPart> {
    let mut start = 0;
    let mut slice = vec![];
    for part in parts {
        let (low, high) = (first.max(start), (first + count).min(start + part.rows));
        if low < high {
            let first_row = part.first_row + (low - start);
            slice.push(MatrixPart { tensor: part.tensor.clone(), first_row, rows: high - low });
        }
        start += part.rows;
    }
    slice
}

fn join_vectors(plan: &mut Plan, vectors: &[VectorId]) -> VectorId {
    let parts: Vec<_> = vectors.iter().flat_map(|v| plan.vectors[v.index()].parts.clone()).collect();
    plan.vectors.push(Vector { len: parts.iter().map(|part| part.1).sum(), parts });
    VectorId(plan.vectors.len() as u32 - 1)
}

/// `layers.3.q_proj`, `layers.3.k_proj` → `layers.3.q_proj+k_proj`.
fn joined(names: &[String]) -> String {
    let last = |name: &String| name.rsplit('.').next().unwrap_or_default().to_owned();
    let tail: Vec<String> = names[1..].iter().map(last).collect();
    format!("{}+{}", names[0], tail.join("+"))
}
