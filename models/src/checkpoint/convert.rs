//! From the rows of a file to packed rows.
//!
//! Rows go from the mapped file straight into a [`PackedBuilder`], which widens and packs them row by row
//! on all cores; nothing is ever held as f32 but a row per task. Rows that are stored as they are wanted
//! are not copied at all.

use std::ops::Range;

use bytemuck::Pod;
use half::{bf16, f16};
use ingle_backends::WeightError;
use ingle_backends::format::{Bytes, FormatError, PackedBuilder, PackedMatrix, WeightFormat};
use rayon::prelude::*;

use super::dtype::Dtype;
use super::file::SharedBytes;

/// Rows that lie where their numbers cannot be read in place are copied this many bytes at a time.
const COPY_BYTES: usize = 4 << 20;

/// Bytes that one parallel task looks through at least.
const SCAN_BYTES: usize = 1 << 16;

/// The number types that weights may be stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dense {
    F32,
    F16,
    Bf16,
}

impl Dense {
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::Bf16 => Some(Self::Bf16),
            _ => None,
        }
    }

    pub(super) fn bytes(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    pub(super) fn format(self) -> WeightFormat {
        match self {
            Self::F32 => WeightFormat::F32,
            Self::F16 => WeightFormat::F16,
            Self::Bf16 => WeightFormat::Bf16,
        }
    }

    /// Index and value of the first number that is NaN or infinite.
    fn first_not_finite(self, bytes: &[u8]) -> Option<(usize, f32)> {
        let found = bytes
            .par_chunks(SCAN_BYTES)
            .enumerate()
            .find_map_first(|(chunk, bytes)| Some((chunk, self.not_finite_in(bytes)?)));
        found.map(|(chunk, (index, value))| (chunk * SCAN_BYTES / self.bytes() + index, value))
    }

    fn not_finite_in(self, bytes: &[u8]) -> Option<(usize, f32)> {
        // The bits of a float without its sign grow with its magnitude, and those of infinity and NaN come
        // last; a maximum over integers runs in vector registers.
        let largest = match self {
            Self::F32 => bytes
                .as_chunks()
                .0
                .iter()
                .fold(0, |max: u32, bytes| max.max(u32::from_le_bytes(*bytes) & 0x7fff_ffff)),
            Self::F16 | Self::Bf16 => {
                let halves = bytes.as_chunks().0.iter();
                halves.fold(0, |max: u16, bytes| max.max(u16::from_le_bytes(*bytes) & 0x7fff)).into()
            }
        };
        let infinity = match self {
            Self::F32 => f32::INFINITY.to_bits(),
            Self::F16 => f16::INFINITY.to_bits().into(),
            Self::Bf16 => bf16::INFINITY.to_bits().into(),
        };
        (largest >= infinity).then(|| self.values(bytes).enumerate().find(|(_, value)| !value.is_finite()))?
    }

    /// The numbers, wherever they lie.
    pub(super) fn values(self, bytes: &[u8]) -> impl Iterator<Item = f32> {
        bytes.chunks_exact(self.bytes()).map(move |bytes| match (self, bytes) {
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            (Self::Bf16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
            // Chunks have just the size of the type.
            _ => f32::NAN,
        })
    }
}

/// Some rows of a tensor in a file.
pub(super) struct DenseRows<'a> {
    /// What messages call it.
    pub(super) tensor: &'a str,
    pub(super) dtype: Dense,
    pub(super) file: &'a SharedBytes,
    /// Where in the file these rows lie.
    pub(super) range: Range<usize>,
    /// The first of them; messages count from the start of the tensor.
    pub(super) first_row: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl DenseRows<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        (**self.file).as_ref().get(self.range.clone()).unwrap_or_default()
    }

    /// Packs them, or shares them where they are stored as wanted.
    pub(super) fn pack(&self, format: WeightFormat) -> Result<PackedMatrix, WeightError> {
        let row_bytes = self.cols.saturating_mul(self.dtype.bytes());
        let packed = if format == self.dtype.format() && format.row_bytes(self.cols) == row_bytes {
            self.share(format)
        } else {
            self.convert(format)
        };
        packed.map_err(|source| self.failed(source))
    }

    fn share(&self, format: WeightFormat) -> Result<PackedMatrix, FormatError> {
        if let Some((index, value)) = self.dtype.first_not_finite(self.bytes()) {
            return Err(FormatError::NotFinite { row: index / self.cols, col: index % self.cols, value });
        }
        let codes = Bytes::shared(self.file.clone(), self.range.clone())?;
        PackedMatrix::from_parts(format, self.rows, self.cols, codes, Bytes::empty())
    }

    fn convert(&self, format: WeightFormat) -> Result<PackedMatrix, FormatError> {
        let mut builder = PackedBuilder::new(format, self.rows, self.cols)?;
        match self.dtype {
            Dense::F32 => self.append(&mut builder, PackedBuilder::append_f32)?,
            Dense::F16 => self.append(&mut builder, PackedBuilder::append_f16)?,
            Dense::Bf16 => self.append(&mut builder, PackedBuilder::append_bf16)?,
        }
        builder.finish()
    }

    fn append<T: Pod>(
        &self,
        builder: &mut PackedBuilder,
        append: fn(&mut PackedBuilder, &[T]) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let bytes = self.bytes();
        if let Ok(weights) = bytemuck::try_cast_slice(bytes) {
            return append(builder, weights);
        }
        // Files of old writers start their data anywhere.
        let row_bytes = self.cols * size_of::<T>();
        for rows in bytes.chunks(row_bytes * (COPY_BYTES / row_bytes).max(1)) {
            append(builder, &bytemuck::pod_collect_to_vec::<u8, T>(rows))?;
        }
        Ok(())
    }

    fn failed(&self, source: FormatError) -> WeightError {
        WeightError::Format { tensor: self.tensor.to_owned(), source: moved_down(source, self.first_row) }
    }
}

/// The same fault, its row counted from `first_row` rows further up.
pub(super) fn moved_down(fault: FormatError, first_row: usize) -> FormatError {
    match fault {
        FormatError::NotFinite { row, col, value } => {
            FormatError::NotFinite { row: row + first_row, col, value }
        }
        FormatError::OutOfRange { row, col, value, format } => {
            FormatError::OutOfRange { row: row + first_row, col, value, format }
        }
        FormatError::ScaleOutOfRange { row, group, largest, format } => {
            FormatError::ScaleOutOfRange { row: row + first_row, group, largest, format }
        }
        FormatError::InvalidContents { row, what, format } => {
            FormatError::InvalidContents { row: row + first_row, what, format }
        }
        other => other,
    }
}

/// All numbers of a small tensor as f32.
pub(super) fn vector(tensor: &str, dtype: Dense, bytes: &[u8]) -> Result<Vec<f32>, WeightError> {
    if let Some((col, value)) = dtype.first_not_finite(bytes) {
        let source = FormatError::NotFinite { row: 0, col, value };
        return Err(WeightError::Format { tensor: tensor.to_owned(), source });
    }
    Ok(dtype.values(bytes).collect())
}
