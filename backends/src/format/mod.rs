//! Weight and cache formats: the one definition that every backend, the converter and the oracle share.
//!
//! A weight matrix has `rows` output features and `cols` input features; **columns run fastest in
//! memory**. Each format turns a row of `cols` f32 values into a fixed number of bytes, so a matrix can
//! be cut between any two rows: a device with small bindings holds it in pieces, a loader streams it.
//!
//! | format | codes of one row | scales |
//! |---|---|---|
//! | `f32`, `f16`, `bf16` | `cols` values, the row padded to 4 bytes | none |
//! | `int8` group G | `groups * G` bytes of i8, tail zero; weight = code × scale | f16, one per group |
//! | `nf4` group 64 | `groups * 32` bytes; byte b holds element 2b in its low nibble and 2b+1 in its high one; tail code 7 (zero); weight = [`NF4_CODEBOOK`]`[code]` × scale | f16 absmax, one per group |
//! | `int4` group G | `cols` padded to 128, two codes to a byte as in `nf4`, tail weighs zero; weight = (code − zero) × scale | f16 pairs, scale and zero, one per group |
//! | `w8a8` | `cols` padded to 64 bytes of i8, tail zero; weight = code × scale | f32, one per row |
//!
//! Packing is the same everywhere, bit by bit. With `max` the largest magnitude under one scale:
//!
//! | format | scale | code |
//! |---|---|---|
//! | `int8` | max / 127 in f16 | w / scale to the nearest, ties to even, within ±127 |
//! | `nf4` | max in f16, at least its smallest subnormal unless max is 0 | the entry nearest to w / scale, ties to the lower |
//! | `int4` | (high − low) / 15 in f16, where low ≤ 0 ≤ high | w / scale + zero, likewise, within 0 and 15; zero = −low / scale |
//! | `w8a8` | max / 127 in f32 | as `int8` |
//!
//! Scales are rounded to the nearest; the scale of `int8` and `w8a8` goes one number up where, among the
//! subnormals, the nearest is so small that `max` would be clamped by more than half a step. So half a
//! step bounds the error of every weight. Weights must be finite and within the format's range: what is
//! not is refused with its place.
//!
//! `groups = ceil(cols / group)`: the last group of a row may be short, and no group crosses a row.
//! All scales of a matrix lie together, row after row, apart from the codes. All numbers are little-endian.
//!
//! How activations become int8 is defined by [`quantize_activations`], how K and V are stored by
//! [`CacheLayout`], [`encode_f16`] and [`encode_int8`]. [`PackedMatrix`] owns or shares packed bytes,
//! [`PackedBuilder`] makes one from pieces, [`MatrixView`] lends one, or some rows of it, to a kernel.

#[cfg(target_endian = "big")]
compile_error!("packed matrices are read where they lie, as little-endian numbers");

mod builder;
mod bytes;
mod cache;
mod dense;
mod error;
mod int4;
mod int8;
mod nf4;
mod packed;
mod rounding;
#[cfg(test)]
mod tests;
mod view;
mod w8a8;
mod weight_format;

pub use builder::PackedBuilder;
pub use bytes::Bytes;
pub use cache::{CacheFormat, CacheLayout, decode_f16, decode_int8, encode_f16, encode_int8};
pub use error::FormatError;
pub use nf4::NF4_CODEBOOK;
pub use packed::PackedMatrix;
pub use view::{MatrixView, ViewData};
pub use w8a8::{ActivationCodes, quantize_activations};

/// How many weights share a scale in the groupwise int8 format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Int8Group {
    /// A scale per 32 weights: 8.5 bits per weight.
    G32,
    /// A scale per 64 weights: 8.25 bits per weight. What plain `int8` means.
    G64,
    /// A scale per 128 weights: 8.125 bits per weight.
    G128,
}

impl Int8Group {
    /// Weights per scale.
    pub const fn size(self) -> usize {
        match self {
            Self::G32 => 32,
            Self::G64 => 64,
            Self::G128 => 128,
        }
    }
}

/// How many weights share a scale and a zero point in the groupwise int4 format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Int4Group {
    /// A scale per 32 weights: 5 bits per weight.
    G32,
    /// A scale per 64 weights: 4.5 bits per weight.
    G64,
    /// A scale per 128 weights: 4.25 bits per weight. What plain `int4` means.
    G128,
}

impl Int4Group {
    /// Weights per scale.
    pub const fn size(self) -> usize {
        match self {
            Self::G32 => 32,
            Self::G64 => 64,
            Self::G128 => 128,
        }
    }
}

/// How the activations of a `w8a8` product get their scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActivationScale {
    /// Each row of activations is scaled by its own largest magnitude, found at run time.
    PerToken,
    /// One scale, calibrated beforehand, for every row: activation = code × scale.
    PerTensor(f32),
}

/// How a weight matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightFormat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// Groupwise int8, weights only.
    Int8(Int8Group),
    /// Groupwise 4-bit codes into [`NF4_CODEBOOK`], weights only.
    Nf4,
    /// Groupwise 4-bit codes with a zero point, weights only.
    Int4(Int4Group),
    /// int8 with a scale per row, for activations that are quantised as well.
    W8a8(ActivationScale),
}
