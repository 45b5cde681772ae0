//! Sizes and names of the weight formats.

use std::fmt;
use std::str::FromStr;

use super::int4::INT4_BLOCK;
use super::{ActivationScale, FormatError, Int4Group, Int8Group, WeightFormat};

/// Weights that share an absmax in `nf4`.
pub(super) const NF4_GROUP: usize = 64;
/// A `w8a8` row is padded to this many codes, one cache line, so kernels need no tail.
pub(super) const W8A8_PADDING: usize = 64;

const KNOWN: &str = "f32, f16, bf16, int8 (int8-g64), int8-g32, int8-g128, nf4, int4 (int4-g128), int4-g32, int4-g64, w8a8, \
     w8a8-static:<scale>";

/// What a matrix of a given shape takes, in bytes, each size checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedSizes {
    pub(super) row_codes: usize,
    pub(super) row_scales: usize,
    pub(super) codes: usize,
    pub(super) scales: usize,
}

impl WeightFormat {
    /// What any matrix may be in to take less memory, from the most to the least exact, each smaller than the one before.
    /// (The largest group of `int4` is not among them: no smaller than `nf4`, and less exact.)
    pub const SMALLER: [Self; 4] =
        [Self::Int8(Int8Group::G64), Self::Int4(Int4Group::G32), Self::Int4(Int4Group::G64), Self::Nf4];

    /// Scales of one row; in `int4` the zero points are counted too.
    pub const fn scales_per_row(self, cols: usize) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 0,
            Self::Int8(group) => cols.div_ceil(group.size()),
            Self::Nf4 => cols.div_ceil(NF4_GROUP),
            Self::Int4(group) => cols.div_ceil(INT4_BLOCK).saturating_mul(2 * INT4_BLOCK / group.size()),
            Self::W8a8(_) => 1,
        }
    }

    /// Bytes of the codes of one row, padding included. A size beyond `usize` saturates.
    pub const fn row_bytes(self, cols: usize) -> usize {
        match self {
            Self::F32 => cols.saturating_mul(4),
            Self::F16 | Self::Bf16 => cols.div_ceil(2).saturating_mul(4),
            Self::Int8(group) => cols.div_ceil(group.size()).saturating_mul(group.size()),
            Self::Nf4 => cols.div_ceil(NF4_GROUP).saturating_mul(NF4_GROUP / 2),
            Self::Int4(_) => cols.div_ceil(INT4_BLOCK).saturating_mul(INT4_BLOCK / 2),
            Self::W8a8(_) => cols.div_ceil(W8A8_PADDING).saturating_mul(W8A8_PADDING),
        }
    }

    /// Bytes of the scales of one row.
    pub const fn scale_bytes_per_row(self, cols: usize) -> usize {
        let scale_size = if matches!(self, Self::W8a8(_)) { 4 } else { 2 };
        self.scales_per_row(cols).saturating_mul(scale_size)
    }

    /// Bytes of a whole matrix, codes and scales. A size beyond `usize` saturates, and so fails to be
    /// allocated.
    pub const fn bytes(self, rows: usize, cols: usize) -> usize {
        self.row_bytes(cols).saturating_add(self.scale_bytes_per_row(cols)).saturating_mul(rows)
    }

    /// Bits that a weight takes in rows so long that padding, and in `w8a8` the scale, vanish.
    pub fn bits_per_weight(self) -> f64 {
        match self {
            Self::F32 => 32.0,
            Self::F16 | Self::Bf16 => 16.0,
            Self::Int8(group) => 8.0 + 16.0 / group.size() as f64,
            Self::Nf4 => 4.0 + 16.0 / NF4_GROUP as f64,
            Self::Int4(group) => 4.0 + 32.0 / group.size() as f64,
            Self::W8a8(_) => 8.0,
        }
    }

    /// The name without a parameter. `Display` adds the scale of `w8a8-static`, and what it writes,
    /// `FromStr` reads back as the same format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8(Int8Group::G32) => "int8-g32",
            Self::Int8(Int8Group::G64) => "int8-g64",
            Self::Int8(Int8Group::G128) => "int8-g128",
            Self::Nf4 => "nf4",
            Self::Int4(Int4Group::G32) => "int4-g32",
            Self::Int4(Int4Group::G64) => "int4-g64",
            Self::Int4(Int4Group::G128) => "int4-g128",
            Self::W8a8(ActivationScale::PerToken) => "w8a8",
            Self::W8a8(ActivationScale::PerTensor(_)) => "w8a8-static",
        }
    }

    /// Fails if a parameter of the format makes no sense.
    pub fn check(self) -> Result<(), FormatError> {
        match self {
            Self::W8a8(scale) => scale.check(),
            _ => Ok(()),
        }
    }

    /// The sizes of a matrix that can exist.
    pub(super) fn sizes(self, rows: usize, cols: usize) -> Result<PackedSizes, FormatError> {
        self.check()?;
        if rows == 0 || cols == 0 {
            return Err(FormatError::EmptyMatrix { rows, cols });
        }
        let too_large = || FormatError::TooLarge { rows, cols };
        // All the weights as f32, with padding, must be addressable: that is what reading them out takes,
        // and with it no sum or product of sizes below can overflow unseen.
        let padded = cols.checked_next_multiple_of(Int8Group::G128.size()).ok_or_else(too_large)?;
        padded.checked_mul(4).and_then(|row| row.checked_mul(rows)).ok_or_else(too_large)?;
        let (row_codes, row_scales) = (self.row_bytes(cols), self.scale_bytes_per_row(cols));
        let codes = row_codes.checked_mul(rows).ok_or_else(too_large)?;
        let scales = row_scales.checked_mul(rows).ok_or_else(too_large)?;
        codes.checked_add(scales).ok_or_else(too_large)?;
        Ok(PackedSizes { row_codes, row_scales, codes, scales })
    }
}

impl ActivationScale {
    /// Fails if a calibrated scale is no usable number.
    pub fn check(self) -> Result<(), FormatError> {
        match self {
            // A subnormal scale has no finite reciprocal, which quantising multiplies with.
            Self::PerTensor(scale) if !(scale.is_normal() && scale > 0.0) => {
                Err(FormatError::ActivationScale(scale))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::W8a8(ActivationScale::PerTensor(scale)) => write!(f, "{}:{scale}", self.name()),
            _ => f.pad(self.name()),
        }
    }
}

impl FromStr for WeightFormat {
    type Err = FormatError;

    /// `int8` alone means group 64: its scales cost 0.25 bit per weight, half of what group 32 takes,
    /// and its rows are padded like those of `nf4` and `w8a8`, so one shape rule fits all three.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let unknown =
            || FormatError::UnknownName { kind: "weight format", name: text.to_owned(), known: KNOWN };
        if let Some(scale) = text.strip_prefix("w8a8-static:") {
            let scale = ActivationScale::PerTensor(scale.parse().map_err(|_| unknown())?);
            scale.check()?;
            return Ok(Self::W8a8(scale));
        }
        Ok(match text {
            "f32" => Self::F32,
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "int8" | "int8-g64" => Self::Int8(Int8Group::G64),
            "int8-g32" => Self::Int8(Int8Group::G32),
            "int8-g128" => Self::Int8(Int8Group::G128),
            "nf4" => Self::Nf4,
            "int4" | "int4-g128" => Self::Int4(Int4Group::G128),
            "int4-g32" => Self::Int4(Int4Group::G32),
            "int4-g64" => Self::Int4(Int4Group::G64),
            "w8a8" => Self::W8a8(ActivationScale::PerToken),
            _ => return Err(unknown()),
        })
    }
}
