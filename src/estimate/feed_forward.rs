//! Is the feed-forward part of a model bound by memory at a batch on a device, and from which batch on is it not?
//!
//! Its products read every weight once per step and multiply it once per row, so their operations per byte grow with the batch, and
//! from the batch on at which they pass the device's ridge, its operations per byte of bandwidth, arithmetic is the limit.

use ingle_backends::CacheOptions;
use ingle_backends::plan::{Cost, Op, Plan, StepShape};
use serde::{Deserialize, Serialize};

use super::DeviceSpec;
use crate::measure::Table;
use crate::measure::operators::Limit;
use crate::measure::table::number;
use ingle_backends::format::WeightFormat;

/// A batch beyond which nobody asks.
const LARGEST_BATCH: usize = 1 << 16;

/// The products of the feed-forward part at one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedForward {
    pub batch: usize,
    pub bytes: f64,
    pub operations: f64,
    pub memory_seconds: f64,
    pub compute_seconds: f64,
    pub limit: Limit,
}

/// The cost of the feed-forward products of all layers. They are known by their tensors' names.
fn cost(plan: &Plan, batch: usize) -> Cost {
    let costs = plan.costs(&StepShape::decode(batch, 1, CacheOptions::default()));
    let is_part = |op: &Op| {
        let Op::Linear(linear) = op else { return false };
        let tensors = plan.matrices[linear.matrix.index()].parts.iter();
        tensors.into_iter().any(|part| part.tensor.contains(".mlp.") || part.tensor.contains("feed_forward"))
    };
    plan.nodes.iter().zip(costs).filter(|(node, _)| is_part(&node.op)).map(|(_, cost)| cost).sum()
}

/// At one batch; stated peaks, which the ridge is a ratio of.
pub fn at(plan: &Plan, weights: WeightFormat, device: &DeviceSpec, batch: usize) -> FeedForward {
    let cost = cost(plan, batch);
    let memory_seconds = cost.bytes() / device.bytes_per_second;
    let compute_seconds = cost.operations / device.operations_per_second(weights);
    let limit = if compute_seconds > memory_seconds { Limit::Compute } else { Limit::Memory };
    FeedForward {
        batch,
        bytes: cost.bytes(),
        operations: cost.operations,
        memory_seconds,
        compute_seconds,
        limit,
    }
}

/// The smallest batch at which arithmetic is the limit; none where it never is.
pub fn turning_batch(plan: &Plan, weights: WeightFormat, device: &DeviceSpec) -> Option<usize> {
    let computes = |batch| at(plan, weights, device, batch).limit == Limit::Compute;
    if !computes(LARGEST_BATCH) {
        return None;
    }
    let (mut memory, mut compute) = (0, LARGEST_BATCH);
    while compute - memory > 1 {
        let middle = usize::midpoint(memory, compute);
        if computes(middle) {
            compute = middle;
        } else {
            memory = middle;
        }
    }
    Some(compute)
}

/// Both questions for several devices and batches.
pub fn table(plan: &Plan, weights: WeightFormat, devices: &[DeviceSpec], batches: &[usize]) -> Table {
    let header: Vec<String> = batches.iter().map(|batch| format!("batch {batch}")).collect();
    let header: Vec<&str> = ["device", "ridge, op/byte", "bound by arithmetic from batch"]
        .into_iter()
        .chain(header.iter().map(String::as_str))
        .collect();
    let mut table = Table::new(format!("The feed-forward part with weights in {weights}"), &header);
    for device in devices {
        let ridge = device.operations_per_second(weights) / device.bytes_per_second;
        let turning = turning_batch(plan, weights, device);
        let of = |batch: &usize| {
            let found = at(plan, weights, device, *batch);
            format!("{} ({} op/byte)", found.limit.name(), number(found.operations / found.bytes))
        };
        let mut row = vec![
            device.name.clone(),
            number(ridge),
            turning.map_or_else(|| "none".to_owned(), |batch| batch.to_string()),
        ];
        row.extend(batches.iter().map(of));
        table.push(row);
    }
    table
}
