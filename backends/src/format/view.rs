//! A packed matrix borrowed: what kernels take.

use std::fmt;
use std::ops::Range;

use half::{bf16, f16};

use super::dense::DenseElement;
use super::error::check_len;
use super::int4::INT4_BLOCK;
use super::weight_format::{NF4_GROUP, W8A8_PADDING};
use super::{ActivationScale, FormatError, NF4_CODEBOOK, int4, int8, nf4, w8a8};

/// A packed matrix, or some of its rows, borrowed.
///
/// A view that a [`PackedMatrix`](super::PackedMatrix) hands out has the lengths that its format says. The fields are
/// open, so a kernel that reads without bounds checks calls [`MatrixView::check`] first.
#[derive(Clone, Copy)]
pub struct MatrixView<'a> {
    /// Output features.
    pub rows: usize,
    /// Input features.
    pub cols: usize,
    /// The codes and scales of just these rows.
    pub data: ViewData<'a>,
}

/// The codes and scales of a [`MatrixView`].
#[derive(Clone, Copy)]
pub enum ViewData<'a> {
    /// Rows of `cols`.
    F32(&'a [f32]),
    /// Rows of `cols` rounded up to even; the padding is zero.
    F16(&'a [f16]),
    /// Rows of `cols` rounded up to even; the padding is zero.
    Bf16(&'a [bf16]),
    /// Groupwise int8.
    Int8 {
        /// Rows of `ceil(cols / group) * group`; the padding is zero.
        codes: &'a [i8],
        /// Rows of `ceil(cols / group)`.
        scales: &'a [f16],
        /// Weights that share a scale.
        group: usize,
    },
    /// NF4 in groups of 64.
    Nf4 {
        /// Rows of `ceil(cols / 64) * 32` bytes; the padding is code 7.
        codes: &'a [u8],
        /// Rows of `ceil(cols / 64)`.
        scales: &'a [f16],
    },
    /// Groupwise int4 with zero points.
    Int4 {
        /// Rows of `ceil(cols / 128) * 64` bytes; the padding weighs zero.
        codes: &'a [u8],
        /// Rows of `ceil(cols / 128) * 128 / group` pairs, a scale and a zero point.
        scales: &'a [f16],
        /// Weights that share a pair.
        group: usize,
    },
    /// int8 with a scale per row, for int8 activations.
    W8a8 {
        /// Rows of `cols` rounded up to 64; the padding is zero.
        codes: &'a [i8],
        /// One per row.
        scales: &'a [f32],
        /// How the activations get theirs.
        activation: ActivationScale,
    },
}

impl<'a> MatrixView<'a> {
    /// Codes (elements of the code type; bytes in NF4) and scales from one row to the next.
    pub const fn strides(&self) -> (usize, usize) {
        match self.data {
            ViewData::F32(_) => (self.cols, 0),
            ViewData::F16(_) | ViewData::Bf16(_) => (self.cols.div_ceil(2).saturating_mul(2), 0),
            ViewData::Int8 { group: 0, .. } | ViewData::Int4 { group: 0, .. } => (0, 0),
            ViewData::Int8 { group, .. } => {
                let groups = self.cols.div_ceil(group);
                (groups.saturating_mul(group), groups)
            }
            ViewData::Nf4 { .. } => {
                let groups = self.cols.div_ceil(NF4_GROUP);
                (groups.saturating_mul(NF4_GROUP / 2), groups)
            }
            ViewData::Int4 { group, .. } => {
                let blocks = self.cols.div_ceil(INT4_BLOCK);
                (blocks.saturating_mul(INT4_BLOCK / 2), blocks.saturating_mul(2 * INT4_BLOCK / group))
            }
            ViewData::W8a8 { .. } => (self.cols.div_ceil(W8A8_PADDING).saturating_mul(W8A8_PADDING), 1),
        }
    }

    /// Fails unless codes and scales have exactly the lengths of `rows` rows.
    pub fn check(&self) -> Result<(), FormatError> {
        let (codes, scales) = match self.data {
            ViewData::F32(values) => (values.len(), 0),
            ViewData::F16(values) => (values.len(), 0),
            ViewData::Bf16(values) => (values.len(), 0),
            ViewData::Int8 { codes, scales, group } => {
                if !matches!(group, 32 | 64 | 128) {
                    return Err(FormatError::Int8Group(group));
                }
                (codes.len(), scales.len())
            }
            ViewData::Nf4 { codes, scales } => (codes.len(), scales.len()),
            ViewData::Int4 { codes, scales, group } => {
                if !matches!(group, 32 | 64 | 128) {
                    return Err(FormatError::Int4Group(group));
                }
                (codes.len(), scales.len())
            }
            ViewData::W8a8 { codes, scales, .. } => (codes.len(), scales.len()),
        };
        let (code_stride, scale_stride) = self.strides();
        check_len("codes", self.rows.saturating_mul(code_stride), codes)?;
        check_len("scales", self.rows.saturating_mul(scale_stride), scales)
    }

    /// Some of the rows.
    pub fn slice_rows(&self, range: Range<usize>) -> Result<MatrixView<'a>, FormatError> {
        let outside =
            || FormatError::RangeOutside { what: "rows", start: range.start, end: range.end, len: self.rows };
        if range.start > range.end || range.end > self.rows {
            return Err(outside());
        }
        let (code_stride, scale_stride) = self.strides();
        let of_rows = |stride: usize| range.start.saturating_mul(stride)..range.end.saturating_mul(stride);
        let data = self.cut(of_rows(code_stride), of_rows(scale_stride)).ok_or_else(outside)?;
        Ok(MatrixView { rows: range.len(), cols: self.cols, data })
    }

    fn cut(&self, code_range: Range<usize>, scale_range: Range<usize>) -> Option<ViewData<'a>> {
        Some(match self.data {
            ViewData::F32(values) => ViewData::F32(values.get(code_range)?),
            ViewData::F16(values) => ViewData::F16(values.get(code_range)?),
            ViewData::Bf16(values) => ViewData::Bf16(values.get(code_range)?),
            ViewData::Int8 { codes, scales, group } => {
                ViewData::Int8 { codes: codes.get(code_range)?, scales: scales.get(scale_range)?, group }
            }
            ViewData::Nf4 { codes, scales } => {
                ViewData::Nf4 { codes: codes.get(code_range)?, scales: scales.get(scale_range)? }
            }
            ViewData::Int4 { codes, scales, group } => {
                ViewData::Int4 { codes: codes.get(code_range)?, scales: scales.get(scale_range)?, group }
            }
            ViewData::W8a8 { codes, scales, activation } => {
                ViewData::W8a8 { codes: codes.get(code_range)?, scales: scales.get(scale_range)?, activation }
            }
        })
    }

    /// The codes and scales of one row.
    fn row(&self, row: usize) -> Result<ViewData<'a>, FormatError> {
        if let ViewData::Int8 { group: 0, .. } = self.data {
            return Err(FormatError::Int8Group(0));
        }
        Ok(self.slice_rows(row..row.saturating_add(1))?.data)
    }

    /// One row as f32: each weight is its code times its scale, rounded once.
    pub fn row_f32(&self, row: usize, out: &mut [f32]) -> Result<(), FormatError> {
        check_len("row of weights", self.cols, out.len())?;
        match self.row(row)? {
            ViewData::F32(values) => out.copy_from_slice(values),
            ViewData::F16(values) => f16::widen(&values[..self.cols], out),
            ViewData::Bf16(values) => bf16::widen(&values[..self.cols], out),
            ViewData::Int8 { codes, scales, group } => int8::dequantize_row(codes, scales, group, out),
            ViewData::Nf4 { codes, scales } => nf4::dequantize_row(codes, scales, out),
            ViewData::Int4 { codes, scales, group } => int4::dequantize_row(codes, scales, group, out),
            ViewData::W8a8 { codes, scales, .. } => w8a8::dequantize_row(codes, scales, out),
        }
        Ok(())
    }

    /// One weight, exact; NaN outside the matrix.
    pub fn weight(&self, row: usize, col: usize) -> f64 {
        self.exact_weight(row, col).unwrap_or(f64::NAN)
    }

    fn exact_weight(&self, row: usize, col: usize) -> Option<f64> {
        if col >= self.cols {
            return None;
        }
        match self.row(row).ok()? {
            ViewData::F32(values) => values.get(col).map(|value| f64::from(*value)),
            ViewData::F16(values) => values.get(col).map(|value| value.to_f64()),
            ViewData::Bf16(values) => values.get(col).map(|value| value.to_f64()),
            ViewData::Int8 { codes, scales, group } => {
                let scale = scales.get(col.checked_div(group)?)?;
                codes.get(col).map(|code| f64::from(*code) * scale.to_f64())
            }
            ViewData::Nf4 { codes, scales } => {
                let entry = f64::from(NF4_CODEBOOK[nf4::code_at(codes, col)?]);
                scales.get(col / NF4_GROUP).map(|scale| entry * scale.to_f64())
            }
            ViewData::Int4 { codes, scales, group } => int4::weight(codes, scales, group, col),
            ViewData::W8a8 { codes, scales, .. } => {
                let scale = f64::from(*scales.first()?);
                codes.get(col).map(|code| f64::from(*code) * scale)
            }
        }
    }
}

impl fmt::Debug for MatrixView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatrixView({} x {}, {:?})", self.rows, self.cols, self.data)
    }
}

impl fmt::Debug for ViewData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32(_) => f.write_str("f32"),
            Self::F16(_) => f.write_str("f16"),
            Self::Bf16(_) => f.write_str("bf16"),
            Self::Int8 { group, .. } => write!(f, "int8-g{group}"),
            Self::Nf4 { .. } => f.write_str("nf4"),
            Self::Int4 { group, .. } => write!(f, "int4-g{group}"),
            Self::W8a8 { activation, .. } => write!(f, "w8a8, {activation:?}"),
        }
    }
}
