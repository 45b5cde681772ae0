//! Where weights come from: a checkpoint, a test's own tables, or a generator.

use std::collections::HashMap;
use std::ops::Range;

use thiserror::Error;

use crate::format::{FormatError, PackedBuilder, PackedMatrix, WeightFormat};

/// Why a tensor could not be had.
#[derive(Debug, Error)]
pub enum WeightError {
    #[error("there is no tensor `{0}`")]
    Missing(String),
    #[error("tensor `{tensor}` is {found}, the model needs {expected}")]
    Shape { tensor: String, found: String, expected: String },
    #[error("tensor `{tensor}`: {fault}")]
    Damaged { tensor: String, fault: String },
    /// It is sound, but stored in a way that cannot be read, or not as asked.
    #[error("tensor `{tensor}`: {fault}")]
    Unsupported { tensor: String, fault: String },
    #[error("tensor `{tensor}`: {source}")]
    Format { tensor: String, source: FormatError },
}

/// Some rows of one tensor, wanted in a format.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixRequest<'a> {
    pub tensor: &'a str,
    /// Rows of the tensor.
    pub rows: Range<usize>,
    pub cols: usize,
    pub format: WeightFormat,
}

/// Hands out the tensors of a model, converted as asked.
///
/// Backends ask for pieces of large tensors, several at a time, so that neither side ever holds much
/// more than the pieces in flight.
pub trait WeightSource: Sync {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError>;

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError>;
}

/// Tensors in memory as f32, quantised when asked for.
#[derive(Clone, Debug, Default)]
pub struct WeightMap {
    tensors: HashMap<String, (usize, Vec<f32>)>,
}

impl WeightMap {
    /// Puts a tensor in, `cols` columns wide.
    pub fn insert(&mut self, tensor: impl Into<String>, cols: usize, values: Vec<f32>) {
        self.tensors.insert(tensor.into(), (cols, values));
    }

    fn get(&self, tensor: &str) -> Result<&(usize, Vec<f32>), WeightError> {
        self.tensors.get(tensor).ok_or_else(|| WeightError::Missing(tensor.to_owned()))
    }
}

impl WeightSource for WeightMap {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        let MatrixRequest { tensor, rows, cols, format } = request;
        let (found_cols, values) = self.get(tensor)?;
        let piece = (*found_cols == *cols)
            .then(|| values.get(rows.start.checked_mul(*cols)?..rows.end.checked_mul(*cols)?))
            .flatten()
            .ok_or_else(|| WeightError::Shape {
                tensor: (*tensor).to_owned(),
                found: format!("{}×{found_cols}", values.len() / (*found_cols).max(1)),
                expected: format!("at least {}×{cols}", rows.end),
            })?;
        PackedMatrix::quantize(*format, rows.len(), *cols, piece)
            .map_err(|source| WeightError::Format { tensor: (*tensor).to_owned(), source })
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        let (_, values) = self.get(tensor)?;
        if values.len() == len {
            return Ok(values.clone());
        }
        let (found, expected) = (values.len().to_string(), len.to_string());
        Err(WeightError::Shape { tensor: tensor.to_owned(), found, expected })
    }
}

/// Random weights of any shape: for measuring speed where no model is at hand.
///
/// Each tensor is a function of its name, so two runs compute with the same numbers. Matrices are
/// uniform with a variance of 1/cols, which keeps activations in range through any number of layers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SyntheticWeights {
    pub seed: u64,
}

/// How many rows of random numbers are made before they repeat: enough for caches not to notice, little
/// enough for a model of gigabytes to be made in seconds.
const DISTINCT_ROWS: usize = 512;

impl SyntheticWeights {
    fn values(self, tensor: &str, count: usize, bound: f32) -> Vec<f32> {
        let mut state = tensor.bytes().fold(self.seed ^ 0x9e37_79b9_7f4a_7c15, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut next = || {
            // SplitMix64: every state gives a good number, so a hash of the name may start it.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next() * bound).collect()
    }
}

impl WeightSource for SyntheticWeights {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        let MatrixRequest { tensor, rows, cols, format } = request;
        let failed = |source| WeightError::Format { tensor: (*tensor).to_owned(), source };
        let bound = (3.0 / *cols as f32).sqrt();
        // Row r of a tensor is row r modulo DISTINCT_ROWS of the block, however the request was cut.
        let values = self.values(tensor, DISTINCT_ROWS * cols, bound);
        let block = PackedMatrix::quantize(*format, DISTINCT_ROWS, *cols, &values).map_err(failed)?;
        let mut matrix = PackedBuilder::new(*format, rows.len(), *cols).map_err(failed)?;
        while matrix.rows_done() < rows.len() {
            let first = (rows.start + matrix.rows_done()) % DISTINCT_ROWS;
            let count = (DISTINCT_ROWS - first).min(rows.len() - matrix.rows_done());
            if count == DISTINCT_ROWS {
                matrix.append(&block).map_err(failed)?;
            } else {
                let piece = &values[first * cols..(first + count) * cols];
                matrix.append_f32(piece).map_err(failed)?;
            }
        }
        matrix.finish().map_err(failed)
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        // Norm weights are near 1 and biases near 0; 1 ± 0.1 and ± 0.1 are both ordinary.
        let around = if tensor.ends_with("bias") { 0.0 } else { 1.0 };
        Ok(self.values(tensor, len, 0.1).into_iter().map(|v| around + v).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_rows_do_not_depend_on_how_they_are_asked_for() {
        let weights = SyntheticWeights { seed: 3 };
        let row = |rows: Range<usize>, wanted: usize| {
            let request =
                MatrixRequest { tensor: "w", rows: rows.clone(), cols: 70, format: WeightFormat::Nf4 };
            let matrix = weights.matrix(&request).unwrap();
            assert_eq!(matrix.rows(), rows.len());
            (0..70).map(|col| matrix.view().weight(wanted - rows.start, col)).collect::<Vec<_>>()
        };
        for wanted in [600, 1023, 1024, 1100] {
            assert_eq!(row(0..2000, wanted), row(600..1101, wanted), "row {wanted}");
            assert_eq!(row(0..2000, wanted), row(wanted..wanted + 1, wanted), "row {wanted}");
        }
    }
}
