//! Weights with their channels scaled otherwise than the files have them.
//!
//! A channel that one operator writes and others read may be divided by a factor where it is written and multiplied where it is
//! read: the model computes the same, and quantising finds other numbers. Which channels these are is for whoever makes a
//! [`Rescaling`] to know; here the factors are only applied, so that a runner and a folder that is written get the very same numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use ingle_backends::format::{PackedBuilder, PackedMatrix, WeightFormat};
use ingle_backends::{MatrixRequest, WeightError, WeightSource};

use super::convert::moved_down;

/// Weights that are held as f32 at a time.
const WIDENED: usize = 1 << 20;

/// Factors for rows and columns of matrices, and vectors in place of those of the files. Tensors are named as models name them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rescaling {
    matrices: BTreeMap<String, Factors>,
    vectors: BTreeMap<String, Vec<f32>>,
}

/// What the weights of a matrix are multiplied by.
#[derive(Clone, Debug, Default, PartialEq)]
struct Factors {
    /// Rows, and a factor for each column of them.
    columns: Vec<(Range<usize>, Arc<[f32]>)>,
    /// The first of some rows, and a factor for each of them.
    rows: Vec<(usize, Arc<[f32]>)>,
}

impl Rescaling {
    /// Whether everything stays as it is.
    pub fn is_empty(&self) -> bool {
        self.matrices.is_empty() && self.vectors.is_empty()
    }

    /// Multiplies the columns of some rows of a matrix.
    pub fn scale_columns(&mut self, tensor: &str, rows: Range<usize>, factors: Arc<[f32]>) {
        self.matrices.entry(tensor.to_owned()).or_default().columns.push((rows, factors));
    }

    /// Multiplies rows of a matrix, from the first on.
    pub fn scale_rows(&mut self, tensor: &str, first: usize, factors: Arc<[f32]>) {
        self.matrices.entry(tensor.to_owned()).or_default().rows.push((first, factors));
    }

    /// Takes these numbers for a vector.
    pub fn replace_vector(&mut self, tensor: &str, values: Vec<f32>) {
        self.vectors.insert(tensor.to_owned(), values);
    }

    /// The matrices that are scaled.
    pub fn matrices(&self) -> BTreeSet<&str> {
        self.matrices.keys().map(String::as_str).collect()
    }

    /// The vectors that are replaced, with what replaces them.
    pub fn vectors(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.vectors.iter().map(|(tensor, values)| (tensor.as_str(), values.as_slice()))
    }

    /// A source of weights with this done to them.
    pub fn of<'a>(&'a self, source: &'a dyn WeightSource) -> Rescaled<'a> {
        Rescaled { rescaling: self, source }
    }
}

impl Factors {
    /// Multiplies rows of so many columns, the first of which is this one of the tensor.
    fn apply(&self, first: usize, cols: usize, weights: &mut [f32]) {
        for (row, weights) in (first..).zip(weights.chunks_exact_mut(cols)) {
            for (_, factors) in self.columns.iter().filter(|(rows, _)| rows.contains(&row)) {
                for (weight, factor) in weights.iter_mut().zip(&**factors) {
                    *weight *= factor;
                }
            }
            for (from, factors) in &self.rows {
                if let Some(factor) = row.checked_sub(*from).and_then(|row| factors.get(row)) {
                    weights.iter_mut().for_each(|weight| *weight *= factor);
                }
            }
        }
    }
}

/// A source of weights with factors applied to them.
#[derive(Clone, Copy)]
pub struct Rescaled<'a> {
    rescaling: &'a Rescaling,
    source: &'a dyn WeightSource,
}

impl WeightSource for Rescaled<'_> {
    fn matrix(&self, request: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
        let MatrixRequest { tensor, rows, cols, format } = request;
        let factors = self.rescaling.matrices.get(*tensor).filter(|_| !rows.is_empty() && *cols > 0);
        let Some(factors) = factors else { return self.source.matrix(request) };
        let failed = |first: usize| {
            move |fault| WeightError::Format {
                tensor: (*tensor).to_owned(),
                source: moved_down(fault, first),
            }
        };
        let mut builder = PackedBuilder::new(*format, rows.len(), *cols).map_err(failed(0))?;
        let rows_at_once = (WIDENED / cols).clamp(1, rows.len());
        let mut weights = vec![0.0; rows_at_once * cols];
        for first in rows.clone().step_by(rows_at_once) {
            let piece = first..(first + rows_at_once).min(rows.end);
            let part = &mut weights[..piece.len() * cols];
            let plain = MatrixRequest { tensor, rows: piece.clone(), cols: *cols, format: WeightFormat::F32 };
            self.source.matrix(&plain)?.dequantize_rows(0..piece.len(), part).map_err(failed(first))?;
            factors.apply(first, *cols, part);
            builder.append_f32(part).map_err(failed(rows.start))?;
        }
        builder.finish().map_err(failed(0))
    }

    fn vector(&self, tensor: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        match self.rescaling.vectors.get(tensor) {
            Some(values) if values.len() == len => Ok(values.clone()),
            _ => self.source.vector(tensor, len),
        }
    }
}

#[cfg(test)]
mod tests {
    use ingle_backends::WeightMap;

    use super::*;

    #[test]
    fn rows_and_columns_are_multiplied_however_they_are_asked_for() {
        let mut weights = WeightMap::default();
        weights.insert("w", 3, (1..=12).map(|i| i as f32).collect());
        weights.insert("v", 1, vec![1.0, 2.0]);
        let mut rescaling = Rescaling::default();
        assert!(rescaling.is_empty());
        rescaling.scale_columns("w", 1..3, [2.0, 1.0, 0.5].into());
        rescaling.scale_rows("w", 2, [4.0, 8.0].into());
        rescaling.replace_vector("v", vec![5.0, 6.0]);
        let source = rescaling.of(&weights);
        let expected = [1., 2., 3., 8., 5., 3., 56., 32., 18., 80., 88., 96.];
        for rows in [0..4, 0..1, 1..2, 2..4, 3..4] {
            let request =
                MatrixRequest { tensor: "w", rows: rows.clone(), cols: 3, format: WeightFormat::F32 };
            let mut found = vec![0.0; rows.len() * 3];
            source.matrix(&request).unwrap().dequantize_rows(0..rows.len(), &mut found).unwrap();
            assert_eq!(found, expected[rows.start * 3..rows.end * 3], "{rows:?}");
        }
        assert_eq!(source.vector("v", 2).unwrap(), [5.0, 6.0]);
        assert!(source.vector("v", 3).is_err() && source.vector("u", 2).is_err());
        assert_eq!(rescaling.matrices().into_iter().collect::<Vec<_>>(), ["w"]);
    }

    #[test]
    fn what_is_scaled_out_of_range_is_named_by_its_row() {
        let mut weights = WeightMap::default();
        weights.insert("w", 2, vec![1.0; 8]);
        let mut rescaling = Rescaling::default();
        rescaling.scale_rows("w", 3, [f32::MAX].into());
        let request = MatrixRequest { tensor: "w", rows: 2..4, cols: 2, format: WeightFormat::F16 };
        let error = rescaling.of(&weights).matrix(&request).unwrap_err().to_string();
        assert!(error.contains("`w`") && error.contains("row 3"), "{error}");
    }
}
