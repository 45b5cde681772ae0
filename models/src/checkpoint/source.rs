//! Handing out the tensors of a checkpoint.

use std::ops::Range;
use std::sync::PoisonError;

use ingle_backends::format::{FormatError, PackedBuilder, PackedMatrix, WeightFormat};
use ingle_backends::{MatrixRequest, WeightError, WeightSource};

use super::Checkpoint;
use super::cache::ConvertedCache;
use super::convert::{self, Dense, DenseRows};
use super::file::WeightFile;
use super::header::TensorInfo;
use super::names;
use super::quantized::{self, QuantizedTensor, Stored};

/// A tensor and the file that holds it.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    /// What it is called there.
    pub(super) name: &'a str,
    pub(super) file: &'a WeightFile,
    pub(super) info: &'a TensorInfo,
}

impl Checkpoint {
    /// The tensor of just this name.
    pub(super) fn find_exact(&self, name: &str) -> Option<Found<'_>> {
        let file = self.files.get(*self.tensors.get(name)?)?;
        let (name, info) = file.header.tensors.get_key_value(name)?;
        Some(Found { name, file, info })
    }

    /// Finds a tensor by its name, or by what else it may be called.
    pub(super) fn find(&self, tensor: &str) -> Option<Found<'_>> {
        names::candidates(tensor).find_map(|name| self.find_exact(&name))
    }

    /// Fails if a file is not what it was when it was opened.
    fn check_unchanged(&self, tensor: &str) -> Result<(), WeightError> {
        self.files.iter().try_for_each(WeightFile::check_unchanged).map_err(|fault| damaged(tensor, fault))
    }

    /// Adds to what [`Checkpoint::take_notices`] hands out.
    fn tell(&self, notices: Vec<super::Notice>) {
        if !notices.is_empty() {
            let mut told = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            told.extend(notices);
            // A tensor that is read in pieces need not be told of with each.
            told.dedup_by(|later, earlier| later.repeats(earlier));
        }
    }

    /// Rows of a tensor that is cut into the blocks of the cache.
    fn read_blocks(
        &self,
        cache: &ConvertedCache,
        file: &WeightFile,
        tensor: &Tensor<'_>,
        wanted: &Range<usize>,
        format: WeightFormat,
    ) -> Result<PackedMatrix, WeightError> {
        let failed = |source| WeightError::Format { tensor: tensor.name.to_owned(), source };
        let block_rows = cache.rows_per_block(tensor.cols);
        let mut notices = Vec::new();
        let mut block = |first: usize| {
            let rows = first..first.saturating_add(block_rows).min(tensor.rows);
            let block = cache.block(file, &tensor.rows(file, &rows), format, &mut notices);
            block.map(|block| (rows, block))
        };
        let first = wanted.start / block_rows * block_rows;
        let result = (|| {
            let (rows, whole) = block(first)?;
            if rows == *wanted {
                return Ok(whole);
            }
            let mut builder = PackedBuilder::new(format, wanted.len(), tensor.cols).map_err(failed)?;
            let (mut rows, mut piece) = (rows, whole);
            loop {
                let shared = wanted.start.max(rows.start)..wanted.end.min(rows.end);
                let part = rows_of(&piece, shared.start - rows.start..shared.end - rows.start);
                part.and_then(|part| builder.append(&part)).map_err(failed)?;
                if rows.end >= wanted.end {
                    break;
                }
                (rows, piece) = block(rows.end)?;
            }
            builder.finish().map_err(failed)
        })();
        self.tell(notices);
        result
    }
}

impl WeightSource for Checkpoint {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        self.check_unchanged(request.tensor)?;
        let packed = match self.stored(request.tensor)? {
            Stored::Dense(found, dtype) => self.dense_matrix(request, found, dtype),
            Stored::Quantized(stored) => self.quantized_matrix(request, &*stored),
        };
        // A file that was changed while it was read gave who knows what.
        self.check_unchanged(request.tensor)?;
        packed
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        self.check_unchanged(tensor)?;
        let Found { file, info, .. } =
            self.find(tensor).ok_or_else(|| WeightError::Missing(tensor.to_owned()))?;
        let dtype = Dense::of(info.dtype).ok_or_else(|| WeightError::Unsupported {
            tensor: tensor.to_owned(),
            fault: format!("it is stored as {} in {}, which cannot be read", info.dtype, file.path.display()),
        })?;
        let is_vector = info.shape.iter().filter(|size| **size != 1).count() <= 1;
        if !is_vector || info.elements() != len {
            return Err(wrong_shape(tensor, &info.shape, format!("[{len}]")));
        }
        let bytes = file.bytes().get(info.range.clone()).unwrap_or_default();
        let vector = convert::vector(tensor, dtype, bytes);
        self.check_unchanged(tensor)?;
        vector
    }
}

impl Checkpoint {
    fn dense_matrix(
        &self,
        request: &MatrixRequest<'_>,
        Found { file, info, .. }: Found<'_>,
        dtype: Dense,
    ) -> Result<PackedMatrix, WeightError> {
        let MatrixRequest { tensor: name, rows, cols, format } = request;
        let tensor = Tensor::of(name, info, dtype, rows, *cols)?;
        match &self.cache {
            Some(cache) if cache.keeps(info.elements(), *format) && !rows.is_empty() => {
                self.read_blocks(cache, file, &tensor, rows, *format)
            }
            _ => tensor.rows(file, rows).pack(*format),
        }
    }

    fn quantized_matrix(
        &self,
        request: &MatrixRequest<'_>,
        stored: &dyn QuantizedTensor,
    ) -> Result<PackedMatrix, WeightError> {
        let MatrixRequest { tensor, rows, cols, format } = request;
        if stored.cols() != *cols || rows.start > rows.end || rows.end > stored.rows() {
            let expected = format!("[at least {}, {cols}]", rows.end);
            return Err(wrong_shape(tensor, &[stored.rows(), stored.cols()], expected));
        }
        if rows.is_empty() {
            let source = FormatError::EmptyMatrix { rows: 0, cols: *cols };
            return Err(WeightError::Format { tensor: (*tensor).to_owned(), source });
        }
        let (matrix, rounded) = quantized::pack(tensor, stored, rows, *format)?;
        if let Some(reason) = rounded {
            let (tensor, scheme) = ((*tensor).to_owned(), stored.scheme());
            self.tell(vec![super::Notice::RoundedAgain { tensor, scheme, format: *format, reason }]);
        }
        Ok(matrix)
    }
}

/// A tensor read as a matrix.
struct Tensor<'a> {
    name: &'a str,
    dtype: Dense,
    /// Where it starts in its file.
    start: usize,
    rows: usize,
    cols: usize,
}

impl<'a> Tensor<'a> {
    /// Fails unless it has these rows and columns.
    fn of(
        name: &'a str,
        info: &TensorInfo,
        dtype: Dense,
        wanted: &Range<usize>,
        cols: usize,
    ) -> Result<Self, WeightError> {
        let rows = match *info.shape.as_slice() {
            [rows, found_cols] if found_cols == cols => Some(rows),
            [experts, rows, found_cols] if found_cols == cols => experts.checked_mul(rows),
            _ => None,
        };
        match rows {
            Some(rows) if wanted.start <= wanted.end && wanted.end <= rows => {
                Ok(Self { name, dtype, start: info.range.start, rows, cols })
            }
            _ => Err(wrong_shape(name, &info.shape, format!("[at least {}, {cols}]", wanted.end))),
        }
    }

    /// Some of its rows, which it has.
    fn rows<'f>(&'f self, file: &'f WeightFile, rows: &Range<usize>) -> DenseRows<'f> {
        let row_bytes = self.cols * self.dtype.bytes();
        DenseRows {
            tensor: self.name,
            dtype: self.dtype,
            file: &file.bytes,
            range: self.start + rows.start * row_bytes..self.start + rows.end * row_bytes,
            first_row: rows.start,
            rows: rows.len(),
            cols: self.cols,
        }
    }
}

/// Some rows of a packed matrix, which shares its bytes.
pub(super) fn rows_of(matrix: &PackedMatrix, rows: Range<usize>) -> Result<PackedMatrix, FormatError> {
    let (format, cols) = (matrix.format(), matrix.cols());
    let bytes_of = |stride: usize| rows.start * stride..rows.end * stride;
    let codes = matrix.codes().slice(bytes_of(format.row_bytes(cols)))?;
    let scales = matrix.scales().slice(bytes_of(format.scale_bytes_per_row(cols)))?;
    PackedMatrix::from_parts(format, rows.len(), cols, codes, scales)
}

fn wrong_shape(tensor: &str, shape: &[usize], expected: String) -> WeightError {
    WeightError::Shape { tensor: tensor.to_owned(), found: format!("{shape:?}"), expected }
}

fn damaged(tensor: &str, fault: String) -> WeightError {
    WeightError::Damaged { tensor: tensor.to_owned(), fault }
}
