//! A packed weight matrix that owns, or shares, its bytes.

use std::ops::Range;

use bytemuck::{AnyBitPattern, NoUninit};
use rayon::prelude::*;

use super::dense::DenseElement;
use super::error::check_len;
use super::{Bytes, FormatError, MatrixView, NF4_CODEBOOK, PackedBuilder, ViewData, WeightFormat, int4, nf4};

/// Values that one parallel task handles at least, so that handing it out costs little beside it.
pub(super) const VALUES_PER_TASK: usize = 1 << 15;

/// A matrix of `rows` output features and `cols` input features, packed.
///
/// Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    rows: usize,
    cols: usize,
    format: WeightFormat,
    codes: Bytes,
    scales: Bytes,
}

impl PackedMatrix {
    /// Packs `rows * cols` weights, in parallel.
    pub fn quantize(
        format: WeightFormat,
        rows: usize,
        cols: usize,
        weights: &[f32],
    ) -> Result<Self, FormatError> {
        check_len("weights", rows.saturating_mul(cols), weights.len())?;
        let mut builder = PackedBuilder::new(format, rows, cols)?;
        builder.append_f32(weights)?;
        builder.finish()
    }

    /// A matrix over bytes that are packed already, without a copy: a dense tensor of a memory-mapped
    /// checkpoint, or codes and scales from a file.
    ///
    /// The sizes are checked, the contents are not (that would read the whole file before its time);
    /// [`PackedMatrix::check_contents`] does it. A dense tensor whose rows are not a multiple of 4 bytes
    /// has no padding in a checkpoint and goes through a [`PackedBuilder`].
    pub fn from_parts(
        format: WeightFormat,
        rows: usize,
        cols: usize,
        codes: Bytes,
        scales: Bytes,
    ) -> Result<Self, FormatError> {
        let sizes = format.sizes(rows, cols)?;
        check_len("bytes of codes", sizes.codes, codes.len())?;
        check_len("bytes of scales", sizes.scales, scales.len())?;
        Ok(Self { rows, cols, format, codes, scales })
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// How the weights are stored.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// The codes of all rows: `rows * format.row_bytes(cols)` bytes.
    pub fn codes(&self) -> &Bytes {
        &self.codes
    }

    /// The scales of all rows: `rows * format.scale_bytes_per_row(cols)` bytes.
    pub fn scales(&self) -> &Bytes {
        &self.scales
    }

    /// Bytes of codes and scales.
    pub fn bytes(&self) -> usize {
        self.codes.len() + self.scales.len()
    }

    /// The whole matrix, borrowed.
    pub fn view(&self) -> MatrixView<'_> {
        let data = match self.format {
            WeightFormat::F32 => ViewData::F32(self.codes.elements()),
            WeightFormat::F16 => ViewData::F16(self.codes.elements()),
            WeightFormat::Bf16 => ViewData::Bf16(self.codes.elements()),
            WeightFormat::Int8(group) => ViewData::Int8 {
                codes: self.codes.elements(),
                scales: self.scales.elements(),
                group: group.size(),
            },
            WeightFormat::Nf4 => ViewData::Nf4 { codes: &self.codes, scales: self.scales.elements() },
            WeightFormat::Int4(group) => {
                ViewData::Int4 { codes: &self.codes, scales: self.scales.elements(), group: group.size() }
            }
            WeightFormat::W8a8(activation) => {
                ViewData::W8a8 { codes: self.codes.elements(), scales: self.scales.elements(), activation }
            }
        };
        MatrixView { rows: self.rows, cols: self.cols, data }
    }

    /// Some of the rows, borrowed.
    pub fn view_rows(&self, range: Range<usize>) -> Result<MatrixView<'_>, FormatError> {
        self.view().slice_rows(range)
    }

    /// Some of the rows as f32, in parallel. `out` has `range.len() * cols` elements.
    pub fn dequantize_rows(&self, range: Range<usize>, out: &mut [f32]) -> Result<(), FormatError> {
        let view = self.view_rows(range)?;
        check_len("weights", view.rows * self.cols, out.len())?;
        out.par_chunks_exact_mut(self.cols)
            .with_min_len(VALUES_PER_TASK.div_ceil(self.cols))
            .enumerate()
            .try_for_each(|(row, out)| view.row_f32(row, out))
    }

    /// Reads the whole matrix and fails if it holds what packing never makes: a weight or scale that is
    /// not finite, a scale below zero, a code of -128, or padding that is not zero.
    pub fn check_contents(&self) -> Result<(), FormatError> {
        let view = self.view();
        view.check()?;
        let found = (0..self.rows)
            .into_par_iter()
            .with_min_len(VALUES_PER_TASK.div_ceil(self.cols))
            .find_map_first(|row| self.fault_in_row(&view, row).map(|what| (row, what)));
        match found {
            None => Ok(()),
            Some((row, what)) => Err(FormatError::InvalidContents { row, what, format: self.format }),
        }
    }

    fn fault_in_row(&self, view: &MatrixView<'_>, row: usize) -> Option<&'static str> {
        match view.slice_rows(row..row + 1).ok()?.data {
            ViewData::F32(values) => dense_fault(values, self.cols),
            ViewData::F16(values) => dense_fault(values, self.cols),
            ViewData::Bf16(values) => dense_fault(values, self.cols),
            ViewData::Int8 { codes, scales, .. } => {
                scale_fault(scales).or_else(|| int8_fault(codes, self.cols))
            }
            ViewData::Nf4 { codes, scales } => scale_fault(scales).or_else(|| {
                let zero = |col| nf4::code_at(codes, col).is_some_and(|code| NF4_CODEBOOK[code] == 0.0);
                (!(self.cols..codes.len() * 2).all(zero)).then_some(BAD_PADDING)
            }),
            ViewData::Int4 { codes, scales, group } => int4::fault(codes, scales, group, self.cols),
            ViewData::W8a8 { codes, scales, .. } => {
                scale_fault(scales).or_else(|| int8_fault(codes, self.cols))
            }
        }
    }
}

const BAD_PADDING: &str = "padding that is not zero";

fn scale_fault<T: DenseElement>(scales: &[T]) -> Option<&'static str> {
    let sound = |scale: &T| scale.is_finite() && scale.to_f32().is_sign_positive();
    (!scales.iter().all(sound)).then_some("a scale that is no finite number from zero up")
}

fn dense_fault<T: DenseElement>(row: &[T], cols: usize) -> Option<&'static str> {
    let (values, padding) = row.split_at(cols);
    if !values.iter().all(|value| value.is_finite()) {
        return Some("a weight that is not finite");
    }
    bytemuck::cast_slice::<T, u8>(padding).iter().any(|byte| *byte != 0).then_some(BAD_PADDING)
}

fn int8_fault(row: &[i8], cols: usize) -> Option<&'static str> {
    let (codes, padding) = row.split_at(cols);
    if codes.contains(&i8::MIN) {
        return Some("a code of -128");
    }
    padding.iter().any(|code| *code != 0).then_some(BAD_PADDING)
}

/// Bytes of a row as its elements.
pub(super) fn elements_mut<'a, T: AnyBitPattern + NoUninit>(
    what: &'static str,
    bytes: &'a mut [u8],
) -> Result<&'a mut [T], FormatError> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| FormatError::Misaligned { what })
}
