//! The CPU as a backend.

mod attention;
pub mod bandwidth;
mod cache;
mod device;
mod elementwise;
mod functions;
pub(crate) mod linear;
pub(crate) mod load;
mod machine;
mod moe;
mod norm;
mod quantize;
pub mod reference;
mod rope;
mod runner;
mod sample;
mod scratch;
mod share;
#[allow(dead_code, reason = "attention, norms and softmax use what the linear operator does not")]
pub(crate) mod simd;
mod step;
#[cfg(test)]
mod tests;
mod threads;
pub(crate) mod tickets;
mod values;

pub use device::CpuBackend;
pub use linear::{
    Activations, Epilogue, LinearError, LinearScratch, QuantizedActivations, linear, linear_quantized,
};
pub use load::LoadedWeights;
pub use simd::{Isa, UnknownIsa};
