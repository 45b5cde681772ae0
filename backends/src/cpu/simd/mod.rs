//! Instruction sets, and the one way to write a kernel for all of them.
//!
//! A kernel is a struct that implements [`Kernel`]: its `run` is generic over [`Simd`], marked
//! `#[inline(always)]`, and calls the operations of the token that it is given. [`Isa::run`] enters it through
//! a function that the compiler may fill with that instruction set, so a kernel exists once in the source
//! and once per instruction set in the program.
//!
//! ```ignore
//! struct Sum<'a>(&'a [f32]);
//! impl Kernel for Sum<'_> {
//!     type Output = f32;
//!     #[inline(always)]
//!     fn run<S: Simd>(self, s: S) -> f32 {
//!         s.sum(self.0)
//!     }
//! }
//! let total = Isa::detect().run(Sum(&values));
//! ```
//!
//! What a kernel calls must be `#[inline(always)]` as well wherever it handles vectors: a function of its own would
//! be compiled without the instruction set, and pass vectors through memory. For the same reason a closure
//! that handles vectors is better a plain loop.
//!
//! Unsafe code of the CPU backend lives in this folder only.

mod aligned;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod columns;
mod isa;
mod portable;
mod slices;
#[cfg(test)]
mod tests;
mod vector;

pub(crate) use aligned::{CodeLine, Line, lines, reserve_lines};
pub(crate) use columns::Columns;
pub(crate) use isa::Kernel;
pub use isa::{Isa, UnknownIsa};
pub(crate) use slices::{Element, SimdSlices};
pub(crate) use vector::{LANES, Simd};

/// Codes that stand for themselves.
const PLAIN_CODEBOOK: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
