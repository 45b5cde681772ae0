//! Any vendor's GPU, through wgpu: Vulkan, Metal and Direct3D 12.
//!
//! | file | what it is for |
//! |---|---|
//! | `backend` | the [`Backend`](crate::Backend): which adapters there are, opening one, preparing a plan |
//! | `capabilities` | what a device can do, and the tiers of kernels that follow |
//! | `gpu` | an opened device: buffers, pipelines, what it said went wrong |
//! | `pipeline_store` | what drivers compiled, kept for the next start |
//! | `shaders` | composing a variant of a kernel from the sources under `shaders/` |
//! | `build` | what an operator needs to become dispatches; the interface of all kernels |
//! | `ops/` | one file per operator: which dispatches it is |
//! | `values`, `weights`, `cache`, `tables` | what lies on the device, and what each step tells it |
//! | `prepare` | from a plan and its weights on the device to a runner |
//! | `tune/` | which shapes of kernels are the fastest, measured and remembered |
//! | `runner`, `record`, `pace`, `readback`, `timing` | steps: recorded, cut where long, results read back, times taken |
//!
//! A plan becomes a list of dispatches once, when it is prepared: every pipeline compiled, every bind group made. A step writes
//! a few tables, records the list with the numbers of workgroups that its rows ask for, and submits it. What comes back is
//! a token per sequence, unless somebody asked for logits.

mod backend;
mod bandwidth;
mod build;
mod cache;
mod capabilities;
mod gpu;
mod ops;
mod pace;
mod pipeline_store;
mod prepare;
mod readback;
mod record;
mod runner;
mod shaders;
mod tables;
#[cfg(test)]
mod tests;
mod timing;
mod tune;
mod values;
mod weights;

pub use backend::{LimitOverrides, WgpuBackend};
pub use tune::Tuning;

use crate::Numerics;

/// How precisely WGSL computes in f32: products and sums are correctly rounded; division, square roots, exponentials and the like
/// are good to a few units in the last place, and worse for large arguments, so kernels keep arguments small.
const GPU_F32: Numerics = Numerics {
    operand_unit: 0.0,
    weight_unit: 0.0,
    accumulate_unit: f32::EPSILON as f64 / 2.0,
    value_unit: f32::EPSILON as f64 / 2.0,
    function_unit: 16.0 * f32::EPSILON as f64,
};
