//! Rows whose logits nobody wants leave the step early.

use super::{Uses, is_row_wise, redirect};
use crate::plan::{Node, Op, Operand, Plan, Rows, SelectRows, Shape, Value, ValueId};

/// See [`Fusion::SelectEarly`](super::Fusion::SelectEarly).
///
/// Everything between the selection and the last operator that mixes rows moves behind the selection:
/// the values that enter this stretch are selected instead of the one that leaves it.
pub(super) fn select_early(plan: &mut Plan) {
    let Some(at) = plan.nodes.iter().position(|node| matches!(node.op, Op::SelectRows(_))) else { return };
    let Op::SelectRows(select) = plan.nodes[at].op.clone() else { return };
    let Some(stretch) = Stretch::before(plan, at) else { return };
    let entering = stretch.entering(plan);

    let mut selected = Selected::default();
    for (index, mut node) in std::mem::take(&mut plan.nodes).into_iter().enumerate() {
        if stretch.nodes[index] {
            // All that is there already is selected at once, so that a residual is at hand when the
            // first projection of the stretch could absorb it.
            for (operand, _) in entering.iter().filter(|(_, producer)| *producer < index) {
                selected.columns(plan, *operand, &node.name);
            }
            for operand in node.op.inputs_mut() {
                if !stretch.values[operand.value.index()] {
                    *operand = selected.columns(plan, *operand, &node.name);
                }
            }
            for output in node.op.outputs() {
                plan.values[output.index()].shape.rows = Rows::Selected;
            }
        }
        if index != at {
            plan.nodes.push(node);
        }
    }
    redirect(plan, select.output, select.input);
}

/// The nodes whose results reach nothing but the selection.
struct Stretch {
    nodes: Vec<bool>,
    /// The values that they write.
    values: Vec<bool>,
}

impl Stretch {
    /// The longest stretch whose experts are chosen within it: a choice can not be selected by itself, since the
    /// indices that experts take come straight from a route.
    fn before(plan: &Plan, select: usize) -> Option<Self> {
        let mut barred = vec![];
        loop {
            let stretch = Self::without(plan, select, &barred);
            let is_chosen_outside = |index: &usize| match &plan.nodes[*index].op {
                Op::ExpertLinear(o) => stretch.nodes[*index] && !stretch.values[o.chosen.value.index()],
                _ => false,
            };
            let Some(outside) = (0..select).find(is_chosen_outside) else {
                return stretch.nodes.contains(&true).then_some(stretch);
            };
            barred.push(outside);
        }
    }

    /// The longest stretch without some nodes.
    fn without(plan: &Plan, select: usize, barred: &[usize]) -> Self {
        let uses = Uses::of(plan);
        let mut stretch =
            Self { nodes: vec![false; plan.nodes.len()], values: vec![false; plan.values.len()] };
        for index in (0..select).rev() {
            let node = &plan.nodes[index];
            let feeds_only_selection = |value: &ValueId| {
                let readers = &uses.consumers[value.index()];
                // What nobody reads feeds nothing, the selection least of all.
                let inside = |reader: &usize| *reader == select || stretch.nodes[*reader];
                !readers.is_empty() && !uses.handed_out[value.index()] && readers.iter().all(inside)
            };
            let may_move = is_row_wise(&node.op) && !barred.contains(&index);
            if may_move && node.op.outputs().iter().all(feeds_only_selection) {
                stretch.nodes[index] = true;
                for value in node.op.outputs() {
                    stretch.values[value.index()] = true;
                }
            }
        }
        stretch
    }

    /// The operands that come into the stretch from outside, with the nodes that write them.
    fn entering(&self, plan: &Plan) -> Vec<(Operand, usize)> {
        let uses = Uses::of(plan);
        let nodes = plan.nodes.iter().zip(&self.nodes).filter(|(_, inside)| **inside);
        let operands = nodes.flat_map(|(node, _)| node.op.inputs());
        let outside = operands.filter(|operand| !self.values[operand.value.index()]);
        outside.filter_map(|o| uses.producer[o.value.index()].map(|producer| (o, producer))).collect()
    }
}

/// The operands that were selected so far, and what they became.
#[derive(Default)]
struct Selected(Vec<(Operand, Operand)>);

impl Selected {
    /// The selected rows of an operand; selects them here if nobody has.
    fn columns(&mut self, plan: &mut Plan, operand: Operand, reader: &str) -> Operand {
        if let Some((_, columns)) = self.0.iter().find(|(from, _)| *from == operand) {
            return *columns;
        }
        let of = &plan.values[operand.value.index()];
        let shape = Shape { rows: Rows::Selected, width: operand.width, ..of.shape };
        let name = format!("selected {}", of.name);
        let output = ValueId(plan.values.len() as u32);
        plan.values.push(Value { name, shape });
        let scope = reader.rsplit_once('.').map_or(String::new(), |(scope, _)| format!("{scope}."));
        let op = Op::SelectRows(SelectRows { input: operand, output });
        plan.nodes.push(Node { name: format!("{scope}select"), op });
        let columns = Operand { value: output, first: 0, width: operand.width };
        self.0.push((operand, columns));
        columns
    }
}
