//! NVIDIA GPUs, through CUDA's driver.
//!
//! Nothing of CUDA is needed to build this or to run it on a machine without: the driver (`libcuda`) and the compiler of kernels (NVRTC)
//! are loaded when they are first asked for, and what is missing is said in [`Backend::unavailable`](crate::Backend::unavailable).
//!
//! | file | what it is for |
//! |---|---|
//! | `backend` | the [`Backend`](crate::Backend): which devices there are, opening one, preparing a plan |
//! | `capabilities` | what a device can do, and the tiers of kernels that follow |
//! | `driver/` | the driver's interface: contexts, memory, streams, events, modules, graphs; all calls into it |
//! | `nvrtc` | finding and calling the compiler |
//! | `kernels`, `store` | variants of the kernels under `shaders/`, and what was compiled, kept for the next start |
//! | `gpu` | an opened device: its context and stream, buffers, kernels, and whether it is lost |
//! | `build` | what an operator needs to become launches; the interface of all kernels |
//! | `ops/` | one file per operator: which launches it is |
//! | `values`, `weights`, `cache`, `tables` | what lies on the device, and what each step tells it |
//! | `prepare` | from a plan and its weights on the device to a runner |
//! | `program`, `graphs` | launches of a plan in order, and graphs of them |
//! | `runner`, `readback`, `timing` | steps: launched, results read back, times taken |
//!
//! A plan becomes a list of launches once, when it is prepared. A step copies its counts and tables to the device in one piece, and then
//! launches the list with as many blocks as its rows ask for. Numbers of blocks are rounded up, kernels read the exact counts from the
//! device, and steps whose rounded counts were seen before replay a graph that was captured then: one call. What comes back is
//! a token per sequence, in memory that the device can write to without being waited for.
//!
//! What all kernels keep to (parameters, layouts, dependences) is in `shaders/CUDA.md`.

mod backend;
mod bandwidth;
mod build;
mod cache;
mod capabilities;
mod driver;
mod gpu;
mod graphs;
mod kernels;
mod nvrtc;
mod ops;
mod prepare;
mod program;
mod readback;
mod runner;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod timing;
mod values;
mod weights;

pub use backend::CudaBackend;

use crate::Numerics;

/// How precisely kernels compute in f32: products, sums, quotients and square roots are correctly rounded; exponentials and the like are
/// good to a few units in the last place.
const CUDA_F32: Numerics = Numerics {
    operand_unit: 0.0,
    weight_unit: 0.0,
    accumulate_unit: f32::EPSILON as f64 / 2.0,
    value_unit: f32::EPSILON as f64 / 2.0,
    function_unit: 8.0 * f32::EPSILON as f64,
};
