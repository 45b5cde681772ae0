//! Memory planning: which values may share a buffer, and every byte known before anything is allocated.

use std::fmt;

use super::{Op, Plan, Rows, Shape, ValueId};
use crate::CacheOptions;

/// The largest step that a runner is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Token rows.
    pub rows: usize,
    /// Rows whose logits are wanted.
    pub selected: usize,
    pub sequences: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { rows: 512, selected: 16, sequences: 16 }
    }
}

impl BatchLimits {
    /// Rows of this kind in the largest step.
    pub const fn rows_of(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.rows,
            Rows::Selected => self.selected,
        }
    }

    /// The bytes of a value in the largest step.
    pub fn bytes(&self, shape: &Shape) -> u64 {
        shape.row_bytes().saturating_mul(self.rows_of(shape.rows) as u64)
    }
}

/// What a runner holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Footprint {
    pub weights: u64,
    pub cache: u64,
    pub activations: u64,
}

impl Footprint {
    /// All of it.
    pub const fn total(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.activations)
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{:.1} MiB ({:.1} weights, {:.1} cache, {:.1} activations)",
            mib(self.total()),
            mib(self.weights),
            mib(self.cache),
            mib(self.activations)
        )
    }
}

/// The buffers of a plan's values. Values in one buffer live at different times.
///
/// Buffers are whole allocations rather than offsets into one arena, because GPU interfaces track
/// hazards per buffer: two branches in one buffer would wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Bytes of each buffer.
    pub buffers: Vec<u64>,
    /// The buffer of each value.
    pub buffer_of: Vec<usize>,
}

impl MemoryPlan {
    /// Assigns buffers in the order of the nodes: a new value takes over its input's buffer where its
    /// operator permits, else the free buffer that fits it best, else a new one.
    pub fn new(plan: &Plan, limits: &BatchLimits) -> Self {
        let last_use = plan.last_uses();
        let size = |value: ValueId| limits.bytes(&plan.values[value.index()].shape);
        let mut assignment =
            Assignment { buffers: vec![], free: vec![], buffer_of: vec![usize::MAX; plan.values.len()] };
        for (index, node) in plan.nodes.iter().enumerate() {
            let taken_over = takes_over(plan, &node.op, index, &last_use);
            for output in node.op.outputs() {
                match taken_over.filter(|(_, heir)| *heir == output) {
                    Some((heritage, _)) => {
                        assignment.buffer_of[output.index()] = assignment.buffer_of[heritage.index()];
                    }
                    None => assignment.place(output, size(output)),
                }
            }
            let touched = node.op.inputs().into_iter().map(|o| o.value).chain(node.op.outputs());
            let mut dying = touched.filter(|v| last_use[v.index()] == index).collect::<Vec<_>>();
            dying.sort_unstable();
            dying.dedup();
            for value in dying {
                let passed_on = taken_over.is_some_and(|(heritage, _)| heritage == value);
                if !passed_on {
                    assignment.free.push(assignment.buffer_of[value.index()]);
                }
            }
        }
        Self { buffers: assignment.buffers, buffer_of: assignment.buffer_of }
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// The buffers while they are being handed out.
struct Assignment {
    buffers: Vec<u64>,
    free: Vec<usize>,
    buffer_of: Vec<usize>,
}

impl Assignment {
    fn place(&mut self, value: ValueId, bytes: u64) {
        // Best fit: the smallest free buffer that is large enough, else the largest, which grows.
        let fit = |buffer: usize| {
            let has = self.buffers[buffer];
            if has >= bytes { (0, has - bytes) } else { (1, bytes - has) }
        };
        let best = (0..self.free.len()).min_by_key(|place| fit(self.free[*place]));
        let buffer = best.map_or_else(
            || {
                self.buffers.push(bytes);
                self.buffers.len() - 1
            },
            |place| self.free.swap_remove(place),
        );
        self.buffers[buffer] = self.buffers[buffer].max(bytes);
        self.buffer_of[value.index()] = buffer;
    }
}

/// The input whose buffer an output takes over at this node, and that output.
fn takes_over(plan: &Plan, op: &Op, node: usize, last_use: &[usize]) -> Option<(ValueId, ValueId)> {
    let (operand, output) = op.in_place()?;
    let input = operand.value;
    let read_once = op.inputs().iter().filter(|o| o.value == input).count() == 1;
    let same_shape = plan.values[input.index()].shape == plan.values[output.index()].shape;
    (plan.is_whole(operand) && read_once && same_shape && last_use[input.index()] == node)
        .then_some((input, output))
}

impl Plan {
    /// Bytes of all matrices and vectors.
    pub fn weight_bytes(&self) -> u64 {
        let matrices = self.matrices.iter().map(super::Matrix::bytes);
        let vectors = self.vectors.iter().map(|v| 4 * v.len as u64);
        matrices.chain(vectors).fold(0, u64::saturating_add)
    }

    /// Bytes of weights, cache and activations, before any of them is allocated.
    pub fn footprint(&self, cache: &CacheOptions, limits: &BatchLimits) -> Footprint {
        let page = self.caches.iter().map(|c| c.layout(cache).bytes_per_page() as u64);
        Footprint {
            weights: self.weight_bytes(),
            cache: page.fold(0, u64::saturating_add).saturating_mul(cache.pages as u64),
            activations: MemoryPlan::new(self, limits).bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PlanBuilder;
    use super::*;
    use crate::format::WeightFormat;

    #[test]
    fn a_chain_needs_two_buffers() {
        let mut plan = PlanBuilder::new();
        let mut x = plan.input("x", 32);
        for i in 0..6 {
            let w = plan.matrix(format!("w{i}"), 32, 32, WeightFormat::F32);
            x = plan.linear(x, w);
        }
        plan.tap(x);
        let plan = plan.finish().unwrap();
        let memory = MemoryPlan::new(&plan, &BatchLimits { rows: 4, selected: 1, sequences: 1 });
        assert_eq!(memory.buffers, [4 * 32 * 4, 4 * 32 * 4]);
    }

    #[test]
    fn elementwise_operators_work_in_place_unless_the_input_is_needed_again() {
        let limits = BatchLimits { rows: 1, selected: 1, sequences: 1 };
        let buffers = |keep: bool| {
            let mut plan = PlanBuilder::new();
            let x = plan.input("x", 8);
            let y = plan.scale(x, 2.0);
            let z = if keep { plan.add(y, x) } else { plan.scale(y, 3.0) };
            plan.tap(z);
            MemoryPlan::new(&plan.finish().unwrap(), &limits).buffers.len()
        };
        assert_eq!(buffers(false), 1);
        assert_eq!(buffers(true), 2);
    }

    #[test]
    fn live_values_never_share() {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 8);
        let w = plan.matrix("w", 24, 8, WeightFormat::F32);
        let qkv = plan.linear(x, w);
        let (a, b) = (qkv.columns(0, 8), qkv.columns(8, 8));
        let c = plan.silu_mul(a, b);
        let d = plan.add(c, qkv.columns(16, 8));
        let d = plan.add(d, x);
        plan.tap(d);
        let plan = plan.finish().unwrap();
        let memory = MemoryPlan::new(&plan, &BatchLimits::default());
        let last = plan.last_uses();
        let born =
            |v: usize| plan.nodes.iter().position(|n| n.op.outputs().iter().any(|o| o.index() == v)).unwrap();
        for a in 0..plan.values.len() {
            for b in a + 1..plan.values.len() {
                let apart = last[a] <= born(b) || last[b] <= born(a);
                assert!(apart || memory.buffer_of[a] != memory.buffer_of[b], "v{a} and v{b}");
            }
        }
    }
}
