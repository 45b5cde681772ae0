//! Who writes and reads what in a plan, looked up once.

use std::collections::BTreeMap;

use ingle_backends::plan::{MatrixId, MatrixPart, Node, Op, Operand, Plan, ValueId, VectorId};

/// A plan with the ways back from its values and weights.
pub(super) struct Graph<'a> {
    pub(super) plan: &'a Plan,
    /// The node that writes each value.
    producers: Vec<Option<usize>>,
    /// The nodes that read each value or rows chosen of it, and how often.
    consumers: Vec<BTreeMap<usize, usize>>,
    /// How many nodes use each matrix, and each vector.
    matrix_uses: Vec<usize>,
    vector_uses: Vec<usize>,
    /// The matrices that have rows of a tensor, and which.
    tensors: BTreeMap<&'a str, Vec<(MatrixId, &'a MatrixPart)>>,
    /// How many vectors have a tensor.
    vector_tensors: BTreeMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let mut graph = Self {
            plan,
            producers: vec![None; plan.values.len()],
            consumers: vec![BTreeMap::new(); plan.values.len()],
            matrix_uses: vec![0; plan.matrices.len()],
            vector_uses: vec![0; plan.vectors.len()],
            tensors: BTreeMap::new(),
            vector_tensors: BTreeMap::new(),
        };
        for (place, node) in plan.nodes.iter().enumerate() {
            for value in node.op.outputs() {
                graph.producers[value.index()] = Some(place);
            }
            // Whoever chooses rows reads nothing by itself.
            if !matches!(node.op, Op::SelectRows(_)) {
                for input in node.op.inputs() {
                    let value = graph.source(input.value);
                    *graph.consumers[value.index()].entry(place).or_default() += 1;
                }
            }
            if let Some(matrix) = node.op.matrix() {
                graph.matrix_uses[matrix.index()] += 1;
                for part in &plan.matrices[matrix.index()].parts {
                    let places = graph.tensors.entry(&part.tensor).or_default();
                    if !places.iter().any(|(known, other)| *known == matrix && *other == part) {
                        places.push((matrix, part));
                    }
                }
            }
            for vector in node.op.vectors() {
                graph.vector_uses[vector.index()] += 1;
                for (tensor, _) in &plan.vectors[vector.index()].parts {
                    *graph.vector_tensors.entry(tensor).or_default() += 1;
                }
            }
        }
        graph
    }

    /// The node that writes a value.
    pub(super) fn producer(&self, value: ValueId) -> Option<&'a Node> {
        self.producers[value.index()].and_then(|place| self.plan.nodes.get(place))
    }

    /// The nodes that read a value, or rows of it, and how often each does.
    pub(super) fn consumers(&self, value: ValueId) -> impl Iterator<Item = (&'a Node, usize)> {
        let node = |(place, count): (&usize, &usize)| Some((self.plan.nodes.get(*place)?, *count));
        self.consumers[value.index()].iter().filter_map(node)
    }

    /// The value before rows of it were chosen.
    pub(super) fn source(&self, value: ValueId) -> ValueId {
        match self.producer(value).map(|node| &node.op) {
            Some(Op::SelectRows(select)) if self.plan.is_whole(select.input) => select.input.value,
            _ => value,
        }
    }

    /// Whether the weights of a matrix are used once, by nobody else.
    pub(super) fn owns(&self, matrix: MatrixId) -> bool {
        let overlap = |a: &MatrixPart, b: &MatrixPart| {
            a.first_row < b.first_row + b.rows && b.first_row < a.first_row + a.rows
        };
        let alone = |part: &MatrixPart| {
            let others = self.tensors.get(part.tensor.as_str()).into_iter().flatten();
            others.filter(|(of, _)| *of != matrix).all(|(_, other)| !overlap(part, other))
        };
        self.matrix_uses[matrix.index()] == 1 && self.plan.matrices[matrix.index()].parts.iter().all(alone)
    }

    /// Whether a vector is used once, and its tensors in no other.
    pub(super) fn owns_vector(&self, vector: VectorId) -> bool {
        let once = |(tensor, _): &(String, usize)| self.vector_tensors.get(tensor.as_str()) == Some(&1);
        self.vector_uses[vector.index()] == 1 && self.plan.vectors[vector.index()].parts.iter().all(once)
    }
}

/// What a projection multiplies, and with what.
pub(super) const fn projection(op: &Op) -> Option<(Operand, MatrixId)> {
    match op {
        Op::Linear(o) => Some((o.input, o.matrix)),
        Op::ExpertLinear(o) => Some((o.input, o.matrix)),
        _ => None,
    }
}

/// The last part of a node's name.
pub(super) fn last_name(node: &Node) -> &str {
    node.name.rsplit('.').next().unwrap_or_default()
}
