//! The CPU as a backend.

pub mod bandwidth;
pub(crate) mod linear;
#[allow(dead_code, reason = "attention, norms and softmax use what the linear operator does not")]
pub(crate) mod simd;

pub use linear::{
    Activations, Epilogue, LinearError, LinearScratch, QuantizedActivations, linear, linear_quantized,
};
pub use simd::{Isa, UnknownIsa};
