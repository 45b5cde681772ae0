//! Asking for a plan's weights, a piece at a time, with progress: what all backends share. Where the pieces go is a backend's own
//! affair.

use std::ops::{ControlFlow, Range};

use crate::format::{FormatError, PackedMatrix};
use crate::plan::{Matrix, MatrixPart, Plan, Vector};
use crate::{BackendError, MatrixRequest, Progress, ProgressFn, WeightError, WeightSource};

/// Rows are asked for until their f32 form would take this many bytes: the source may hold a piece in
/// that form while it converts it.
pub(crate) const PIECE_BYTES: usize = 64 << 20;

/// Asks for weights and tells how far it has come.
pub(crate) struct Loader<'a, 'p> {
    weights: &'a dyn WeightSource,
    progress: &'a mut ProgressFn<'p>,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
    piece_bytes: usize,
}

impl<'a, 'p> Loader<'a, 'p> {
    /// For the weights of a plan, in pieces of about `piece_bytes`.
    pub(crate) fn new(
        plan: &Plan,
        weights: &'a dyn WeightSource,
        progress: &'a mut ProgressFn<'p>,
        piece_bytes: usize,
    ) -> Self {
        Self { weights, progress, done_bytes: 0, total_bytes: plan.weight_bytes(), piece_bytes }
    }

    pub(crate) fn report(&mut self, doing: &str) -> Result<(), BackendError> {
        let progress = Progress { doing, done_bytes: self.done_bytes, total_bytes: self.total_bytes };
        match (self.progress)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackendError::Cancelled),
        }
    }

    /// How a matrix is cut into pieces: the part that each is of, and its rows, counted in the part.
    pub(crate) fn cuts<'m>(&self, matrix: &'m Matrix) -> Vec<(&'m MatrixPart, Range<usize>)> {
        let rows_per_piece = (self.piece_bytes / matrix.cols.saturating_mul(4).max(1)).max(1);
        let of_part = |part: &'m MatrixPart| {
            let cut = move |first: usize| (part, first..part.rows.min(first.saturating_add(rows_per_piece)));
            (0..part.rows).step_by(rows_per_piece).map(cut)
        };
        matrix.parts.iter().flat_map(of_part).collect()
    }

    /// Some rows of a part of a matrix.
    pub(crate) fn piece(
        &mut self,
        matrix: &Matrix,
        (part, rows): (&MatrixPart, Range<usize>),
    ) -> Result<PackedMatrix, BackendError> {
        self.report(&format!("loading {}", part.tensor))?;
        let start = part.first_row.checked_add(rows.start);
        let wanted = start.zip(part.first_row.checked_add(rows.end)).map(|(start, end)| start..end);
        let Some(wanted) = wanted else {
            let source = FormatError::TooLarge { rows: usize::MAX, cols: matrix.cols };
            return Err(format_error(part, source));
        };
        let request =
            MatrixRequest { tensor: &part.tensor, rows: wanted, cols: matrix.cols, format: matrix.format };
        let rows = rows.len();
        let piece = self.weights.matrix(&request)?;
        if (piece.rows(), piece.cols(), piece.format()) != (rows, matrix.cols, matrix.format) {
            let found = format!("{}×{} in {}", piece.rows(), piece.cols(), piece.format());
            let expected = format!("{rows}×{} in {}", matrix.cols, matrix.format);
            return Err(WeightError::Shape { tensor: part.tensor.clone(), found, expected }.into());
        }
        self.done_bytes = self.done_bytes.saturating_add(piece.bytes() as u64);
        Ok(piece)
    }

    /// A vector, its parts joined.
    pub(crate) fn vector(&mut self, vector: &Vector) -> Result<Vec<f32>, BackendError> {
        let mut values = Vec::new();
        for (tensor, len) in &vector.parts {
            self.report(&format!("loading {tensor}"))?;
            let part = self.weights.vector(tensor, *len)?;
            if part.len() != *len {
                let (found, expected) = (part.len().to_string(), len.to_string());
                return Err(WeightError::Shape { tensor: tensor.clone(), found, expected }.into());
            }
            self.done_bytes = self.done_bytes.saturating_add(4 * *len as u64);
            values.extend(part);
        }
        Ok(values)
    }
}

pub(crate) fn format_error(part: &MatrixPart, source: FormatError) -> BackendError {
    WeightError::Format { tensor: part.tensor.clone(), source }.into()
}
