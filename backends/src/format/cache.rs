//! Pages of K and V: how one layer's cache lies in memory, and how one head of one token is stored.
//!
//! K and V have a pool each, of the same shape. The elements of a pool are in the order
//! `[page][kv_head][token in page][head_dim]`, so one head of one page is contiguous: what attention
//! reads for a query head is a straight run. An `int8` pool has its scales apart, f16, in the order
//! `[page][kv_head][token in page]`.

use std::fmt;
use std::str::FromStr;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::FormatError;
use super::error::check_len;
use super::rounding::{largest_magnitude, round_to_code};

/// How K and V are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheFormat {
    /// Each element as f16.
    F16,
    /// Each element as i8, with one f16 scale per token and head: element = code × scale.
    Int8,
}

impl CacheFormat {
    /// Bytes of one element, without its share of the scale.
    pub const fn code_size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }

    /// Bytes of the scale of one token and head; 0 where there is none.
    pub const fn scale_size(self) -> usize {
        match self {
            Self::F16 => 0,
            Self::Int8 => 2,
        }
    }

    /// What `Display` writes and `FromStr` reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for CacheFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for CacheFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(FormatError::UnknownName {
                kind: "cache format",
                name: text.to_owned(),
                known: "f16, int8",
            }),
        }
    }
}

/// The shape of one layer's cache. Sizes and offsets saturate rather than wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheLayout {
    /// How the elements are stored.
    pub format: CacheFormat,
    /// Heads of K and of V.
    pub kv_heads: usize,
    /// Elements of one head of K and of V.
    pub head_dim: usize,
    /// Tokens of one page.
    pub page_tokens: usize,
}

impl CacheLayout {
    /// Elements of one page of one pool (K or V).
    pub const fn elements_per_page(&self) -> usize {
        self.vectors_per_page().saturating_mul(self.head_dim)
    }

    /// Head vectors of one page of one pool; in `int8`, also its scales.
    pub const fn vectors_per_page(&self) -> usize {
        self.kv_heads.saturating_mul(self.page_tokens)
    }

    /// Bytes of the codes of one page of one pool.
    pub const fn code_bytes_per_page(&self) -> usize {
        self.elements_per_page().saturating_mul(self.format.code_size())
    }

    /// Bytes of the scales of one page of one pool.
    pub const fn scale_bytes_per_page(&self) -> usize {
        self.vectors_per_page().saturating_mul(self.format.scale_size())
    }

    /// Bytes of one page: K and V, codes and scales.
    pub const fn bytes_per_page(&self) -> usize {
        self.code_bytes_per_page().saturating_add(self.scale_bytes_per_page()).saturating_mul(2)
    }

    /// Bytes that one token takes in this layer: K and V, codes and scales.
    pub const fn bytes_per_token(&self) -> usize {
        let vector =
            self.head_dim.saturating_mul(self.format.code_size()).saturating_add(self.format.scale_size());
        self.kv_heads.saturating_mul(vector).saturating_mul(2)
    }

    /// Index of a head vector's scale in the pool's scales, and of the vector among the pool's vectors.
    pub const fn vector_index(&self, page: usize, kv_head: usize, token: usize) -> usize {
        page.saturating_mul(self.kv_heads)
            .saturating_add(kv_head)
            .saturating_mul(self.page_tokens)
            .saturating_add(token)
    }

    /// Index of a head vector's first element in the pool's elements.
    pub const fn element_index(&self, page: usize, kv_head: usize, token: usize) -> usize {
        self.vector_index(page, kv_head, token).saturating_mul(self.head_dim)
    }

    /// Offset in bytes of a head vector's first element in the pool's codes.
    pub const fn code_offset(&self, page: usize, kv_head: usize, token: usize) -> usize {
        self.element_index(page, kv_head, token).saturating_mul(self.format.code_size())
    }

    /// Offset in bytes of a head vector's scale in the pool's scales.
    pub const fn scale_offset(&self, page: usize, kv_head: usize, token: usize) -> usize {
        self.vector_index(page, kv_head, token).saturating_mul(self.format.scale_size())
    }
}

/// Stores a head vector in an `f16` cache. Beyond f16's range it is infinite, as the hardware rounds.
pub fn encode_f16(vector: &[f32], codes: &mut [f16]) -> Result<(), FormatError> {
    check_len("head vector", vector.len(), codes.len())?;
    codes.convert_from_f32_slice(vector);
    Ok(())
}

/// Reads a head vector of an `f16` cache.
pub fn decode_f16(codes: &[f16], vector: &mut [f32]) -> Result<(), FormatError> {
    check_len("head vector", codes.len(), vector.len())?;
    codes.convert_to_f32_slice(vector);
    Ok(())
}

/// Stores a head vector in an `int8` cache and returns its scale.
///
/// Scale = max|x| / 127 as f16, code = x / scale rounded to the nearest, ties to even, clamped to ±127.
/// Where the scale rounds to zero (max|x| below 4·10⁻⁶) all codes are zero. A vector whose scale is
/// beyond f16, or that holds NaN or infinity, has codes 0 and scale NaN, so that it is not taken for
/// something sound.
pub fn encode_int8(vector: &[f32], codes: &mut [i8]) -> Result<f16, FormatError> {
    check_len("head vector", vector.len(), codes.len())?;
    let scale = f16::from_f32(largest_magnitude(vector) / 127.0);
    if !scale.is_finite() || scale == f16::ZERO {
        codes.fill(0);
        return Ok(if scale.is_finite() { f16::ZERO } else { f16::NAN });
    }
    let divisor = scale.to_f32();
    for (code, x) in codes.iter_mut().zip(vector) {
        *code = round_to_code(x / divisor);
    }
    Ok(scale)
}

/// Reads a head vector of an `int8` cache.
pub fn decode_int8(codes: &[i8], scale: f16, vector: &mut [f32]) -> Result<(), FormatError> {
    check_len("head vector", codes.len(), vector.len())?;
    let scale = scale.to_f32();
    for (x, code) in vector.iter_mut().zip(codes) {
        *x = f32::from(*code) * scale;
    }
    Ok(())
}
