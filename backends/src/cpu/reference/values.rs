//! The values of one step, all in f64.
//!
//! A value is rows × slots × columns, columns fastest. Where the plan says int8 rows, the numbers here
//! are what the codes stand for, code × scale; where it says indices, they are whole numbers.

use crate::BatchLayout;
use crate::plan::{Operand, Plan, Rows, Shape, ValueId};

/// All values that a step has computed so far.
#[derive(Clone, Debug)]
pub struct Values {
    shapes: Vec<Shape>,
    data: Vec<Vec<f64>>,
    token_rows: usize,
    selected_rows: usize,
}

impl Values {
    /// No value computed yet.
    pub(super) fn new(plan: &Plan, layout: &BatchLayout) -> Self {
        Self {
            shapes: plan.values.iter().map(|value| value.shape).collect(),
            data: vec![Vec::new(); plan.values.len()],
            token_rows: layout.rows(),
            selected_rows: layout.selected.len(),
        }
    }

    /// What the symbolic number of rows stands for in this step.
    pub fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.token_rows,
            Rows::Selected => self.selected_rows,
        }
    }

    /// The shape of an operand: that of its value, as wide as the operand.
    pub fn shape(&self, operand: Operand) -> Shape {
        Shape { width: operand.width, ..self.shapes[operand.value.index()] }
    }

    /// All numbers of a value; none before the value was written.
    pub fn value(&self, value: ValueId) -> &[f64] {
        &self.data[value.index()]
    }

    /// One row of a value, all its slots.
    pub fn row(&self, value: ValueId, row: usize) -> &[f64] {
        let shape = self.shapes[value.index()];
        let len = shape.slots * shape.width;
        &self.data[value.index()][row * len..][..len]
    }

    /// An operand's columns of every slot of every row, without the columns between.
    pub fn operand(&self, operand: Operand) -> Vec<f64> {
        let width = self.shapes[operand.value.index()].width;
        let vectors = self.data[operand.value.index()].chunks_exact(width);
        vectors.flat_map(|vector| &vector[operand.first..][..operand.width]).copied().collect()
    }

    /// Puts a value in.
    pub(super) fn write(&mut self, value: ValueId, numbers: Vec<f64>) {
        let shape = self.shapes[value.index()];
        debug_assert_eq!(numbers.len(), self.rows(shape.rows) * shape.slots * shape.width);
        self.data[value.index()] = numbers;
    }

    /// A value's numbers, to be changed.
    pub(super) fn value_mut(&mut self, value: ValueId) -> &mut [f64] {
        &mut self.data[value.index()]
    }
}
