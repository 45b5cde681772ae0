//! The CPU as a backend.

pub mod bandwidth;
pub(crate) mod linear;
pub(crate) mod load;
pub(crate) mod pages;
#[allow(dead_code, reason = "attention, norms and softmax use what the linear operator does not")]
pub(crate) mod simd;
pub(crate) mod tickets;

pub use linear::{
    Activations, Epilogue, LinearError, LinearScratch, QuantizedActivations, linear, linear_quantized,
};
pub use load::LoadedWeights;
pub use simd::{Isa, UnknownIsa};
