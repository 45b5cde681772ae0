//! Removes the values, matrices and vectors that nobody uses any more, and numbers the rest anew.

use crate::plan::{MatrixId, Op, Plan, ValueId, VectorId};

pub(super) fn sweep(plan: &mut Plan) {
    let mut values = Renumbering::new(plan.values.len());
    let mut matrices = Renumbering::new(plan.matrices.len());
    let mut vectors = Renumbering::new(plan.vectors.len());
    for node in &plan.nodes {
        node.op.outputs().iter().for_each(|v| values.keep(v.index()));
        node.op.inputs().iter().for_each(|o| values.keep(o.value.index()));
        node.op.matrix().iter().for_each(|m| matrices.keep(m.index()));
        node.op.vectors().iter().for_each(|v| vectors.keep(v.index()));
    }
    values.close(&mut plan.values);
    matrices.close(&mut plan.matrices);
    vectors.close(&mut plan.vectors);

    for node in &mut plan.nodes {
        for operand in node.op.inputs_mut() {
            operand.value = ValueId(values.number[operand.value.index()]);
        }
        renumber(&mut node.op, &values, &matrices, &vectors);
    }
    for value in plan.taps.iter_mut().chain(&mut plan.logits) {
        *value = ValueId(values.number[value.index()]);
    }
}

/// New numbers for the entries of a table that stay.
struct Renumbering {
    kept: Vec<bool>,
    number: Vec<u32>,
}

impl Renumbering {
    fn new(len: usize) -> Self {
        Self { kept: vec![false; len], number: vec![0; len] }
    }

    fn keep(&mut self, index: usize) {
        self.kept[index] = true;
    }

    fn close<T>(&mut self, table: &mut Vec<T>) {
        let mut next = 0;
        for (kept, number) in self.kept.iter().zip(&mut self.number) {
            *number = next;
            next += u32::from(*kept);
        }
        let mut kept = self.kept.iter();
        table.retain(|_| kept.next().copied().unwrap_or(false));
    }
}

/// Gives an operator's outputs and weights their new numbers.
fn renumber(op: &mut Op, values: &Renumbering, matrices: &Renumbering, vectors: &Renumbering) {
    for value in op.outputs_mut() {
        *value = ValueId(values.number[value.index()]);
    }
    if let Some(matrix) = op.matrix_mut() {
        *matrix = MatrixId(matrices.number[matrix.index()]);
    }
    for vector in op.vectors_mut() {
        *vector = VectorId(vectors.number[vector.index()]);
    }
}
