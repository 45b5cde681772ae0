//! The cost model: bytes and operations of each node in a step of a given shape.
//!
//! These are the least that any backend must move and do, so a measured time has a floor beside it, and
//! speed can be told from a device's bandwidth before anything is downloaded.

use std::ops::Add;

use super::{Element, Op, Operand, Plan, Rows, ValueId};
use crate::CacheOptions;

/// What one node, or several, must move and do.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Cost {
    pub weight_bytes: f64,
    pub cache_bytes_read: f64,
    pub cache_bytes_written: f64,
    pub activation_bytes_read: f64,
    pub activation_bytes_written: f64,
    /// Additions and multiplications.
    pub operations: f64,
}

impl Cost {
    /// All bytes moved.
    pub fn bytes(&self) -> f64 {
        self.weight_bytes
            + self.cache_bytes_read
            + self.cache_bytes_written
            + self.activation_bytes_read
            + self.activation_bytes_written
    }

    /// Operations per byte moved: what a device's ridge is compared with.
    pub fn intensity(&self) -> f64 {
        self.operations / self.bytes().max(1.0)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            weight_bytes: self.weight_bytes + other.weight_bytes,
            cache_bytes_read: self.cache_bytes_read + other.cache_bytes_read,
            cache_bytes_written: self.cache_bytes_written + other.cache_bytes_written,
            activation_bytes_read: self.activation_bytes_read + other.activation_bytes_read,
            activation_bytes_written: self.activation_bytes_written + other.activation_bytes_written,
            operations: self.operations + other.operations,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// The shape of a step: what the symbolic rows stand for, and how long the contexts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// For each sequence, the tokens that it adds and those that its cache holds already.
    pub sequences: Vec<(usize, usize)>,
    pub selected: usize,
    pub cache: CacheOptions,
}

impl StepShape {
    /// One token for each of `batch` sequences that all have `context` tokens behind them.
    pub fn decode(batch: usize, context: usize, cache: CacheOptions) -> Self {
        Self { sequences: vec![(1, context); batch], selected: batch, cache }
    }

    /// A prompt of `tokens` read from its beginning.
    pub fn prefill(tokens: usize, cache: CacheOptions) -> Self {
        Self { sequences: vec![(tokens, 0)], selected: 1, cache }
    }

    /// Token rows.
    pub fn tokens(&self) -> usize {
        self.sequences.iter().map(|(new, _)| new).sum()
    }

    fn rows(&self, rows: Rows) -> f64 {
        match rows {
            Rows::Tokens => self.tokens() as f64,
            Rows::Selected => self.selected as f64,
        }
    }

    /// Pairs of a row and a position that it attends to.
    fn attended_pairs(&self, window: usize) -> f64 {
        let sees = |new: usize, context: usize| {
            // Row i of a sequence sees min(context + i + 1, window) positions.
            let growing = window.saturating_sub(context).min(new) as f64;
            let full = new as f64 - growing;
            growing * context as f64 + growing * (growing + 1.0) / 2.0 + full * window as f64
        };
        self.sequences.iter().map(|(new, context)| sees(*new, *context)).sum()
    }

    /// Positions that are read at least once.
    fn attended_positions(&self, window: usize) -> f64 {
        let reach = |new: usize, context: usize| context.min(window.saturating_sub(1)) + new;
        self.sequences.iter().map(|(new, context)| reach(*new, *context) as f64).sum()
    }
}

impl Plan {
    /// The cost of each node.
    pub fn costs(&self, step: &StepShape) -> Vec<Cost> {
        self.nodes.iter().map(|node| self.cost(&node.op, step)).collect()
    }

    /// The cost of a whole step.
    pub fn total_cost(&self, step: &StepShape) -> Cost {
        self.costs(step).into_iter().sum()
    }

    fn operand_bytes(&self, operand: Operand, step: &StepShape) -> f64 {
        self.shape(operand).row_bytes() as f64 * step.rows(self.shape(operand).rows)
    }

    fn value_bytes(&self, value: ValueId, step: &StepShape) -> f64 {
        let shape = self.values[value.index()].shape;
        shape.row_bytes() as f64 * step.rows(shape.rows)
    }

    /// Elements of an operand in the step, all rows and slots.
    fn elements(&self, operand: Operand, step: &StepShape) -> f64 {
        let shape = self.shape(operand);
        (shape.slots * shape.width) as f64 * step.rows(shape.rows)
    }

    fn cost(&self, op: &Op, step: &StepShape) -> Cost {
        let mut cost = Cost {
            activation_bytes_read: op.inputs().iter().map(|o| self.operand_bytes(*o, step)).sum(),
            activation_bytes_written: op.outputs().iter().map(|v| self.value_bytes(*v, step)).sum(),
            weight_bytes: op.vectors().iter().map(|v| 4.0 * self.vectors[v.index()].len as f64).sum(),
            ..Cost::default()
        };
        let elementwise = |operand, per_element: f64| per_element * self.elements(operand, step);
        match op {
            Op::Input(_) | Op::SelectRows(_) => {}
            Op::Embed(o) => {
                let table = &self.matrices[o.table.index()];
                let row = table.bytes() as f64 / table.rows as f64;
                cost.weight_bytes += row * step.tokens() as f64;
            }
            Op::Norm(o) => cost.operations = elementwise(o.input, if o.add.is_some() { 5.0 } else { 4.0 }),
            Op::Linear(o) => {
                let matrix = &self.matrices[o.matrix.index()];
                cost.weight_bytes += matrix.bytes() as f64;
                cost.operations = 2.0 * matrix.rows as f64 * self.elements(o.input, step);
            }
            Op::Rope(o) => cost.operations = elementwise(o.input, 3.0),
            Op::StoreKv(o) => {
                let layout = self.caches[o.cache.index()].layout(&step.cache);
                cost.cache_bytes_written = layout.bytes_per_token() as f64 * step.tokens() as f64;
                if let Some(rotate) = &o.rotate {
                    cost.operations = elementwise(o.key, 3.0) + elementwise(rotate.query, 3.0);
                }
            }
            Op::Attention(o) => {
                let cache = &self.caches[o.cache.index()];
                let window = o.window.map_or(usize::MAX, |w| w as usize);
                let layout = cache.layout(&step.cache);
                cost.cache_bytes_read = layout.bytes_per_token() as f64 * step.attended_positions(window);
                // A product with the key and one with the value, per head and pair.
                cost.operations = 4.0 * (o.heads * cache.head_dim) as f64 * step.attended_pairs(window);
            }
            Op::Gated(o) => cost.operations = elementwise(o.gate, 5.0),
            Op::Activate(o) => cost.operations = elementwise(o.input, 4.0),
            Op::Add(o) => cost.operations = elementwise(o.a, 1.0),
            Op::Scale(o) => cost.operations = elementwise(o.input, 1.0),
            Op::Softcap(o) => cost.operations = elementwise(o.input, 3.0),
            Op::Route(o) => cost.operations = elementwise(o.logits, 4.0),
            Op::ExpertLinear(o) => {
                let matrix = &self.matrices[o.matrix.index()];
                let chosen = self.shape(o.chosen);
                let rows = step.rows(chosen.rows);
                let share = chosen.width as f64 / o.experts as f64;
                // Experts that at least one row chose, if rows choose evenly.
                let touched = 1.0 - (1.0 - share.min(1.0)).powf(rows);
                cost.weight_bytes += matrix.bytes() as f64 * touched;
                let products = rows * chosen.width as f64;
                cost.operations = 2.0 * (matrix.rows / o.experts * matrix.cols) as f64 * products;
            }
            Op::ExpertCombine(o) => cost.operations = elementwise(o.input, 2.0),
            Op::Sample(o) => {
                debug_assert_eq!(self.shape(o.logits).element, Element::F32);
                cost.operations = elementwise(o.logits, 2.0);
            }
        }
        cost
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "counts are exact")]
mod tests {
    use super::*;

    #[test]
    fn attended_pairs_are_those_of_the_causal_triangle_and_the_window() {
        let step = |new, context| StepShape {
            sequences: vec![(new, context)],
            selected: 1,
            cache: CacheOptions::default(),
        };
        let counted = |new: usize, context: usize, window: usize| {
            (context..context + new).map(|p| (p + 1).min(window)).sum::<usize>() as f64
        };
        for (new, context, window) in
            [(1, 0, usize::MAX), (1, 100, usize::MAX), (7, 3, usize::MAX), (7, 3, 5), (7, 9, 5), (64, 0, 16)]
        {
            assert_eq!(step(new, context).attended_pairs(window), counted(new, context, window));
        }
    }
}
