//! Where the time of a step goes, operator by operator, each beside the floor that the device's limits set.
//!
//! An operator must move some bytes and do some operations ([`plan::Cost`](ingle_backends::plan::Cost)); a device moves so many
//! bytes and does so many operations per second at most ([`Peaks`]). The larger of the two times is the floor, and says which limit
//! it is: memory where the operations per byte are fewer than the device's ridge, arithmetic where they are more.

use ingle_backends::Profile;
use ingle_backends::plan::{Node, Op, Plan, StepShape};
use serde::{Deserialize, Serialize};

use super::peaks::Peaks;
use super::table::{Table, number, percent};

/// What a floor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    Memory,
    Compute,
}

impl Limit {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Compute => "compute",
        }
    }
}

/// How operators are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// The same part of all layers is one line.
    #[default]
    Summed,
    /// A line for every node.
    PerLayer,
}

/// One kind of operator in a step: its time, and what it had to do in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorTime {
    /// The operator and the part of the model, such as `linear gate_up`.
    pub name: String,
    /// What it works on, such as `28672×4096 int8-g64`.
    pub shape: String,
    pub calls: usize,
    pub seconds: f64,
    /// Of all operators' time.
    pub share: f64,
    pub bytes: f64,
    pub operations: f64,
    /// The least that the device's limits allow; none where they are not known.
    pub floor_seconds: Option<f64>,
    pub limit: Limit,
}

impl OperatorTime {
    /// None where it took no time of its own: some operators are done along with their neighbours.
    pub fn bytes_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.bytes / self.seconds)
    }

    pub fn operations_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.operations / self.seconds)
    }

    /// Operations per byte.
    pub fn intensity(&self) -> f64 {
        self.operations / self.bytes.max(1.0)
    }

    /// How near it comes to the limit that applies to it; 1 is the floor.
    pub fn share_of_peak(&self) -> Option<f64> {
        self.floor_seconds.filter(|_| self.seconds > 0.0).map(|floor| floor / self.seconds)
    }
}

/// The least seconds that so many bytes and operations take on a device.
pub fn floor(bytes: f64, operations: f64, peaks: &Peaks) -> (f64, Limit) {
    let memory = bytes / peaks.bytes_per_second;
    let compute = peaks.operations_per_second.map_or(0.0, |rate| operations / rate);
    if compute > memory { (compute, Limit::Compute) } else { (memory, Limit::Memory) }
}

/// Puts the times of a step beside what the cost model says of it, the longest first (by layer: in the plan's order).
pub fn operators(
    plan: &Plan,
    profile: &Profile,
    step: &StepShape,
    peaks: Option<&Peaks>,
    grouping: Grouping,
) -> Vec<OperatorTime> {
    let total: f64 = profile.seconds.iter().sum();
    let mut found: Vec<OperatorTime> = vec![];
    for ((node, seconds), cost) in plan.nodes.iter().zip(&profile.seconds).zip(plan.costs(step)) {
        let part = match grouping {
            Grouping::Summed => node.name.rsplit('.').next().unwrap_or_default(),
            Grouping::PerLayer => &node.name,
        };
        let (name, shape) = (format!("{} {part}", node.op.name()).trim().to_owned(), shape(plan, node));
        let (floor, limit) = peaks.map_or((None, Limit::Memory), |peaks| {
            let (floor, limit) = floor(cost.bytes(), cost.operations, peaks);
            (Some(floor), limit)
        });
        let one = OperatorTime {
            name,
            shape,
            calls: 1,
            seconds: *seconds,
            share: seconds / total,
            bytes: cost.bytes(),
            operations: cost.operations,
            floor_seconds: floor,
            limit,
        };
        match found.iter_mut().find(|other| other.name == one.name && other.shape == one.shape) {
            Some(other) if grouping == Grouping::Summed => add(other, &one),
            _ => found.push(one),
        }
    }
    if grouping == Grouping::Summed {
        found.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    }
    found
}

/// Puts operators beside a device's limits, which may be known only later.
pub fn set_floors(operators: &mut [OperatorTime], peaks: &Peaks) {
    for operator in operators {
        let (seconds, limit) = floor(operator.bytes, operator.operations, peaks);
        (operator.floor_seconds, operator.limit) = (Some(seconds), limit);
    }
}

fn add(sum: &mut OperatorTime, one: &OperatorTime) {
    sum.calls += one.calls;
    sum.seconds += one.seconds;
    sum.share += one.share;
    sum.bytes += one.bytes;
    sum.operations += one.operations;
    sum.floor_seconds = sum.floor_seconds.zip(one.floor_seconds).map(|(a, b)| a + b);
}

/// What an operator works on: the sizes that tell it from others of its kind.
fn shape(plan: &Plan, node: &Node) -> String {
    if let Some(matrix) = node.op.matrix() {
        let matrix = &plan.matrices[matrix.index()];
        return format!("{}×{} {}", matrix.rows, matrix.cols, matrix.format.name());
    }
    if let Op::Attention(attention) = &node.op {
        let cache = plan.caches[attention.cache.index()];
        return format!("{}/{}×{}", attention.heads, cache.kv_heads, cache.head_dim);
    }
    let width = |operand| plan.shape(operand).width.to_string();
    node.op.inputs().first().copied().map_or_else(String::new, width)
}

/// A table of operators; `title` says of what.
pub fn table(title: &str, operators: &[OperatorTime]) -> Table {
    let header =
        ["operator", "shape", "calls", "µs", "share", "MB", "GB/s", "GFLOP/s", "op/byte", "of peak", "limit"];
    let mut table = Table::new(title, &header);
    for operator in operators {
        let rate = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), |rate| number(rate / 1e9));
        table.push(vec![
            operator.name.clone(),
            operator.shape.clone(),
            operator.calls.to_string(),
            number(operator.seconds * 1e6),
            percent(Some(operator.share)),
            number(operator.bytes / 1e6),
            rate(operator.bytes_per_second()),
            rate(operator.operations_per_second()),
            number(operator.intensity()),
            percent(operator.share_of_peak()),
            operator.floor_seconds.map_or("–", |_| operator.limit.name()).to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of powers of two are exact")]
mod tests {
    use ingle_backends::CacheOptions;
    use ingle_backends::format::WeightFormat;
    use ingle_backends::plan::PlanBuilder;

    use super::*;

    fn plan() -> Plan {
        let mut plan = PlanBuilder::new();
        let mut x = plan.input("x", 64);
        for layer in 0..2 {
            plan.scope(format!("layers.{layer}"));
            let w = plan.matrix(format!("layers.{layer}.w"), 64, 64, WeightFormat::F32);
            x = plan.linear(x, w);
            x = plan.scale(x, 2.0);
        }
        plan.tap(x);
        plan.finish().unwrap()
    }

    fn times(grouping: Grouping, peaks: &Peaks, rows: usize) -> Vec<OperatorTime> {
        let plan = plan();
        let profile = Profile {
            seconds: vec![0.0, 0.25, 0.125, 0.5, 0.125],
            clocks: ingle_backends::Clocks::BetweenNodes,
        };
        let step = StepShape { sequences: vec![(rows, 0)], selected: 1, cache: CacheOptions::default() };
        operators(&plan, &profile, &step, Some(peaks), grouping)
    }

    #[test]
    fn the_same_part_of_all_layers_is_one_line_and_shares_are_of_the_whole() {
        let peaks = Peaks { bytes_per_second: 1e6, operations_per_second: Some(1e9) };
        let summed = times(Grouping::Summed, &peaks, 1);
        assert_eq!(summed.len(), 3, "{summed:?}");
        let product = &summed[0];
        assert_eq!((product.calls, product.seconds, product.share), (2, 0.75, 0.75));
        assert_eq!(product.shape, "64×64 f32");
        assert_eq!(product.operations, 2.0 * 2.0 * 64.0 * 64.0);
        // Two matrices, and a row in and out of each.
        assert_eq!(product.bytes, 2.0 * (4.0 * 64.0 * 64.0 + 2.0 * 4.0 * 64.0));
        assert_eq!(times(Grouping::PerLayer, &peaks, 1).len(), 5);
        assert_eq!(summed.iter().map(|o| o.share).sum::<f64>(), 1.0);
        // The input took no time, so nothing can be said of its rate.
        assert!(summed[2].seconds == 0.0 && summed[2].share_of_peak().is_none(), "{summed:?}");
    }

    #[test]
    fn the_limit_is_the_longer_of_both_times() {
        // The ridge is at 8 operations per byte; a row has half an operation per byte, and 64 rows more than the ridge.
        let peaks = Peaks { bytes_per_second: 1e6, operations_per_second: Some(8e6) };
        let limit = |rows| times(Grouping::Summed, &peaks, rows)[0].limit;
        assert_eq!((limit(1), limit(64)), (Limit::Memory, Limit::Compute));
        let floor = times(Grouping::Summed, &peaks, 1)[0].floor_seconds.unwrap();
        assert!((floor - times(Grouping::Summed, &peaks, 1)[0].bytes / 1e6).abs() < 1e-12);
    }
}
