//! A packed matrix built piece by piece, so that its weights need never be in memory as f32 all at once.

use half::{bf16, f16};
use rayon::prelude::*;

use super::bytes::ByteBuffer;
use super::dense::{self, DenseElement};
use super::packed::{VALUES_PER_TASK, elements_mut};
use super::weight_format::PackedSizes;
use super::{FormatError, PackedMatrix, WeightFormat, int4, int8, nf4, w8a8};

/// Packs rows in the order in which they are appended.
///
/// The whole destination is allocated at the start; each piece is packed into its place. A piece that
/// fails leaves the matrix as it was before it.
pub struct PackedBuilder {
    format: WeightFormat,
    rows: usize,
    cols: usize,
    sizes: PackedSizes,
    done: usize,
    codes: ByteBuffer,
    scales: ByteBuffer,
}

/// Some rows of the destination, to be packed by one task.
struct Block<'a, T> {
    first_row: usize,
    weights: &'a [T],
    codes: &'a mut [u8],
    scales: &'a mut [u8],
}

impl PackedBuilder {
    /// Allocates a matrix without rows so far.
    pub fn new(format: WeightFormat, rows: usize, cols: usize) -> Result<Self, FormatError> {
        let sizes = format.sizes(rows, cols)?;
        let codes = ByteBuffer::zeroed(sizes.codes)?;
        let scales = ByteBuffer::zeroed(sizes.scales)?;
        Ok(Self { format, rows, cols, sizes, done: 0, codes, scales })
    }

    /// Rows that are there.
    pub fn rows_done(&self) -> usize {
        self.done
    }

    /// Packs rows of f32 weights.
    pub fn append_f32(&mut self, weights: &[f32]) -> Result<(), FormatError> {
        self.append_dense(weights)
    }

    /// Packs rows of f16 weights.
    pub fn append_f16(&mut self, weights: &[f16]) -> Result<(), FormatError> {
        self.append_dense(weights)
    }

    /// Packs rows of bf16 weights.
    pub fn append_bf16(&mut self, weights: &[bf16]) -> Result<(), FormatError> {
        self.append_dense(weights)
    }

    /// Copies the rows of a matrix of the same format and the same number of columns.
    pub fn append(&mut self, piece: &PackedMatrix) -> Result<(), FormatError> {
        if piece.format() != self.format || piece.cols() != self.cols {
            return Err(FormatError::PieceMismatch {
                expected: self.format,
                expected_cols: self.cols,
                found: piece.format(),
                found_cols: piece.cols(),
            });
        }
        let (codes, scales) = self.next_rows(piece.rows())?;
        codes.copy_from_slice(piece.codes());
        scales.copy_from_slice(piece.scales());
        self.done += piece.rows();
        Ok(())
    }

    /// Lets `fill` write the next `rows` rows, already packed, in parallel: it gets the number of a row
    /// (counted from the first of these), its codes and its scales, all zero.
    ///
    /// This is how matrices that were packed elsewhere come in. `fill` must write what packing could have
    /// made; [`PackedMatrix::check_contents`] tells whether it did.
    pub fn append_packed(
        &mut self,
        rows: usize,
        fill: impl Fn(usize, &mut [u8], &mut [u8]) -> Result<(), FormatError> + Sync,
    ) -> Result<(), FormatError> {
        let (code_stride, scale_stride) = (self.sizes.row_codes, self.sizes.row_scales);
        let rows_per_task = VALUES_PER_TASK.div_ceil(self.cols);
        let (codes, scales) = self.next_rows(rows)?;
        let codes = codes.par_chunks_mut(code_stride * rows_per_task);
        // Where there are no scales, each task gets an empty slice of them.
        let mut scale_chunks: Vec<&mut [u8]> =
            scales.chunks_mut((scale_stride * rows_per_task).max(1)).collect();
        scale_chunks.resize_with(rows.div_ceil(rows_per_task), Default::default);
        codes.zip(scale_chunks).enumerate().try_for_each(|(task, (codes, mut scales))| {
            let first = task * rows_per_task;
            codes.chunks_exact_mut(code_stride).enumerate().try_for_each(|(row, codes)| {
                let row_scales;
                (row_scales, scales) = std::mem::take(&mut scales).split_at_mut(scale_stride);
                fill(first + row, codes, row_scales)
            })
        })?;
        self.done += rows;
        Ok(())
    }

    /// The matrix, once all its rows are there.
    pub fn finish(self) -> Result<PackedMatrix, FormatError> {
        if self.done != self.rows {
            return Err(FormatError::MissingRows { rows: self.rows, done: self.done });
        }
        PackedMatrix::from_parts(self.format, self.rows, self.cols, self.codes.freeze(), self.scales.freeze())
    }

    /// The place of the next `rows` rows.
    fn next_rows(&mut self, rows: usize) -> Result<(&mut [u8], &mut [u8]), FormatError> {
        let done = self.done;
        if rows > self.rows - done {
            return Err(FormatError::TooManyRows { rows: self.rows, done, extra: rows });
        }
        let (code_stride, scale_stride) = (self.sizes.row_codes, self.sizes.row_scales);
        Ok((
            &mut self.codes[done * code_stride..(done + rows) * code_stride],
            &mut self.scales[done * scale_stride..(done + rows) * scale_stride],
        ))
    }

    fn append_dense<T: DenseElement>(&mut self, weights: &[T]) -> Result<(), FormatError> {
        let (format, cols, sizes) = (self.format, self.cols, self.sizes);
        if !weights.len().is_multiple_of(cols) {
            return Err(FormatError::PartialRow { len: weights.len(), cols });
        }
        let rows = weights.len() / cols;
        let mut first_row = self.done;
        let (mut codes, mut scales) = self.next_rows(rows)?;
        let rows_per_block = VALUES_PER_TASK.div_ceil(cols);
        let mut blocks = Vec::with_capacity(rows.div_ceil(rows_per_block));
        for weights in weights.chunks(rows_per_block * cols) {
            let rows = weights.len() / cols;
            let (block_codes, other_codes) = codes.split_at_mut(rows * sizes.row_codes);
            let (block_scales, other_scales) = scales.split_at_mut(rows * sizes.row_scales);
            blocks.push(Block { first_row, weights, codes: block_codes, scales: block_scales });
            (codes, scales) = (other_codes, other_scales);
            first_row += rows;
        }
        // The first failure in the order of the rows, so that the same weights give the same error.
        let failure = blocks.into_par_iter().find_map_first(|block| block.pack(format, cols, &sizes).err());
        if failure.is_none() {
            self.done += rows;
        }
        failure.map_or(Ok(()), Err)
    }
}

impl<T: DenseElement> Block<'_, T> {
    fn pack(self, format: WeightFormat, cols: usize, sizes: &PackedSizes) -> Result<(), FormatError> {
        let mut widened = vec![0.0; cols];
        let mut scales = self.scales;
        let rows = self.weights.chunks_exact(cols).zip(self.codes.chunks_exact_mut(sizes.row_codes));
        for (row, (weights, codes)) in (self.first_row..).zip(rows) {
            let row_scales;
            (row_scales, scales) = scales.split_at_mut(sizes.row_scales);
            if format == T::FORMAT {
                dense::copy_row::<T>(row, weights, elements_mut("codes", codes)?)?;
            } else {
                T::widen(weights, &mut widened);
                pack_row(format, row, &widened, codes, row_scales)?;
            }
        }
        Ok(())
    }
}

fn pack_row(
    format: WeightFormat,
    row: usize,
    weights: &[f32],
    codes: &mut [u8],
    scales: &mut [u8],
) -> Result<(), FormatError> {
    match format {
        WeightFormat::F32 => dense::quantize_row::<f32>(row, weights, elements_mut("codes", codes)?),
        WeightFormat::F16 => dense::quantize_row::<f16>(row, weights, elements_mut("codes", codes)?),
        WeightFormat::Bf16 => dense::quantize_row::<bf16>(row, weights, elements_mut("codes", codes)?),
        WeightFormat::Int8(group) => int8::quantize_row(
            row,
            weights,
            group,
            elements_mut("codes", codes)?,
            elements_mut("scales", scales)?,
        ),
        WeightFormat::Nf4 => nf4::quantize_row(row, weights, codes, elements_mut("scales", scales)?),
        WeightFormat::Int4(group) => {
            int4::quantize_row(row, weights, group, codes, elements_mut("scales", scales)?)
        }
        WeightFormat::W8a8(_) => w8a8::quantize_row(
            row,
            weights,
            format,
            elements_mut("codes", codes)?,
            elements_mut("scales", scales)?,
        ),
    }
}
