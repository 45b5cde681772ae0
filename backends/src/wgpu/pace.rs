//! How long a step will take, so that long ones are submitted in pieces.
//!
//! A system takes a device for hung when one submission runs for seconds (Windows resets the driver after two), and a window that
//! shares the device stands still meanwhile. So a step is cut between operators where it would otherwise keep the device for longer
//! than [`TARGET`]. The estimate begins low for the kind of device, and follows what steps are measured to take.

use std::time::Instant;

use super::tables::StepCounts;
use crate::plan::{Op, Plan, StepShape};
use crate::{CacheOptions, DeviceKind};

/// Seconds that one submission should take at most.
const TARGET: f64 = 0.1;

/// What a node costs, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct NodeCost {
    /// Bytes of weights, read once per step.
    bytes: f64,
    /// Operations per row.
    operations: f64,
    /// Operations per row and position of the longest context.
    attention: f64,
}

/// Estimates of a plan's nodes on a device.
pub(super) struct Pace {
    nodes: Vec<NodeCost>,
    bytes_per_second: f64,
    operations_per_second: f64,
    /// Measured time by estimated time.
    factor: f64,
    /// A step whose time is being taken: when it was submitted, and its estimate.
    started: Option<(Instant, f64)>,
}

impl Pace {
    pub(super) fn new(plan: &Plan, kind: DeviceKind) -> Self {
        // One row and no context: what is left of attention's cost is next to nothing.
        let shape = StepShape::decode(1, 0, CacheOptions::default());
        let nodes = plan.nodes.iter().zip(plan.costs(&shape)).map(|(node, cost)| NodeCost {
            bytes: cost.weight_bytes,
            operations: cost.operations,
            attention: match &node.op {
                Op::Attention(op) => 4.0 * op.query.width as f64,
                _ => 0.0,
            },
        });
        let (bytes_per_second, operations_per_second) = match kind {
            DeviceKind::Discrete => (200e9, 2e12),
            DeviceKind::Integrated => (20e9, 200e9),
            DeviceKind::Software | DeviceKind::Cpu => (2e9, 5e9),
        };
        Self { nodes: nodes.collect(), bytes_per_second, operations_per_second, factor: 1.0, started: None }
    }

    /// Seconds that a node takes if the device is as fast as was guessed.
    fn guess(&self, node: NodeCost, counts: &StepCounts) -> f64 {
        let rows = f64::from(counts.rows);
        let operations = rows * (node.operations + node.attention * f64::from(counts.longest));
        (node.bytes / self.bytes_per_second).max(operations / self.operations_per_second)
    }

    /// The nodes before which a new submission begins.
    pub(super) fn cuts(&self, counts: &StepCounts) -> Vec<usize> {
        let mut cuts = vec![];
        let mut sum = 0.0;
        for (index, node) in self.nodes.iter().enumerate() {
            let seconds = self.factor * self.guess(*node, counts);
            if sum > 0.0 && sum + seconds > TARGET {
                cuts.push(index);
                sum = 0.0;
            }
            sum += seconds;
        }
        cuts
    }

    /// A step was submitted while nothing else was under way.
    pub(super) fn start(&mut self, counts: &StepCounts) {
        let guess = self.nodes.iter().map(|node| self.guess(*node, counts)).sum();
        self.started = Some((Instant::now(), guess));
    }

    /// Its results are there.
    pub(super) fn finish(&mut self) {
        if let Some((start, guess)) = self.started.take()
            && guess > 0.0
        {
            let factor = start.elapsed().as_secs_f64() / guess;
            // Slower at once, faster by and by: a cut too many costs microseconds.
            self.factor = if factor > self.factor { factor } else { 0.75 * self.factor + 0.25 * factor };
        }
    }

    /// The step at hand is not alone, so its time says nothing.
    pub(super) fn forget(&mut self) {
        self.started = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::WeightFormat;
    use crate::plan::PlanBuilder;

    /// Ten products of a million weights each.
    fn pace() -> Pace {
        let mut plan = PlanBuilder::new();
        let mut x = plan.input("x", 1000);
        for layer in 0..10 {
            let w = plan.matrix(format!("w{layer}"), 1000, 1000, WeightFormat::F32);
            x = plan.linear(x, w);
        }
        plan.tap(x);
        Pace::new(&plan.finish().unwrap(), DeviceKind::Integrated)
    }

    fn rows(rows: u32) -> StepCounts {
        StepCounts { rows, sequences: 1, longest: rows, ..StepCounts::default() }
    }

    #[test]
    fn long_steps_are_cut_between_nodes_and_short_ones_are_not() {
        let pace = pace();
        assert!(pace.cuts(&rows(1)).is_empty());
        // Each product of 4,000 rows takes 40 ms as guessed: two to a submission.
        assert_eq!(pace.cuts(&rows(4000)), [3, 5, 7, 9]);
        // Longer than the target by itself: one to a submission.
        assert_eq!(pace.cuts(&rows(20_000)).len(), 9);
    }

    #[test]
    fn the_estimate_follows_what_is_measured() {
        let mut pace = pace();
        pace.start(&rows(4000));
        std::thread::sleep(std::time::Duration::from_millis(5));
        pace.finish();
        assert!(pace.factor < 1.0, "{}", pace.factor);
        let faster = pace.factor;
        pace.start(&rows(1));
        std::thread::sleep(std::time::Duration::from_millis(50));
        pace.finish();
        assert!(pace.factor > faster);
        pace.start(&rows(1));
        pace.forget();
        let factor = pace.factor;
        pace.finish();
        assert!((pace.factor - factor).abs() < f64::EPSILON);
    }
}
