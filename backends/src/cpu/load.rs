//! A plan's weights in memory.

use crate::format::{PackedBuilder, PackedMatrix};
use crate::load::{Loader, PIECE_BYTES, format_error};
use crate::plan::{Matrix, Plan};
use crate::{BackendError, ProgressFn, WeightSource};

/// The weights of a plan, in the order of its tables.
#[derive(Clone, Debug)]
pub struct LoadedWeights {
    /// Packed as the plan says.
    pub matrices: Vec<PackedMatrix>,
    /// In f32, parts joined.
    pub vectors: Vec<Vec<f32>>,
}

impl LoadedWeights {
    /// Bytes of all matrices and vectors.
    pub fn bytes(&self) -> u64 {
        let matrices = self.matrices.iter().map(|m| m.bytes() as u64);
        let vectors = self.vectors.iter().map(|v| 4 * v.len() as u64);
        matrices.chain(vectors).sum()
    }
}

/// Asks for all weights of a plan.
pub(crate) fn load_weights(
    plan: &Plan,
    weights: &dyn WeightSource,
    progress: &mut ProgressFn<'_>,
) -> Result<LoadedWeights, BackendError> {
    let mut loader = Loader::new(plan, weights, progress, PIECE_BYTES);
    let loaded = load_all(&mut loader, plan)?;
    loader.report("weights loaded")?;
    Ok(loaded)
}

fn load_all(loader: &mut Loader<'_, '_>, plan: &Plan) -> Result<LoadedWeights, BackendError> {
    let matrices = plan.matrices.iter().map(|m| load_matrix(loader, m)).collect::<Result<_, _>>()?;
    let vectors = plan.vectors.iter().map(|v| loader.vector(v)).collect::<Result<_, _>>()?;
    Ok(LoadedWeights { matrices, vectors })
}

fn load_matrix(loader: &mut Loader<'_, '_>, matrix: &Matrix) -> Result<PackedMatrix, BackendError> {
    let cuts = loader.cuts(matrix);
    // A matrix that comes in one piece is kept as it comes: it may share a memory-mapped file.
    if let [cut] = cuts.as_slice() {
        return loader.piece(matrix, cut.clone());
    }
    let mut builder = PackedBuilder::new(matrix.format, matrix.rows, matrix.cols)?;
    for (part, rows) in cuts {
        let piece = loader.piece(matrix, (part, rows))?;
        builder.append(&piece).map_err(|source| format_error(part, source))?;
    }
    Ok(builder.finish()?)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::format::WeightFormat;
    use crate::plan::{MatrixPart, PlanBuilder, Vector};
    use crate::{MatrixRequest, Progress, WeightError, WeightMap, no_progress};

    fn counting(rows: usize, cols: usize, from: f32) -> Vec<f32> {
        (0..rows * cols).map(|i| from + i as f32).collect()
    }

    /// A matrix of rows 1..4 of `a` and all of `b`, and a vector of two tensors.
    fn plan() -> (Plan, WeightMap) {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 3);
        let part = |tensor: &str, first_row, rows| MatrixPart { tensor: tensor.into(), first_row, rows };
        let w = plan.matrix_of(vec![part("a", 1, 3), part("b", 0, 2)], 3, WeightFormat::F32);
        let y = plan.linear(x, w);
        plan.tap(y);
        let mut plan = plan.finish().unwrap();
        plan.vectors.push(Vector { parts: vec![("v".into(), 2), ("w".into(), 1)], len: 3 });
        let mut weights = WeightMap::default();
        weights.insert("a", 3, counting(5, 3, 0.0));
        weights.insert("b", 3, counting(2, 3, 100.0));
        weights.insert("v", 1, vec![1.0, 2.0]);
        weights.insert("w", 1, vec![3.0]);
        (plan, weights)
    }

    #[test]
    fn parts_follow_one_another_however_small_the_pieces() {
        let (plan, weights) = plan();
        let expected = [counting(3, 3, 3.0), counting(2, 3, 100.0)].concat();
        for piece_bytes in [1, 24, PIECE_BYTES] {
            let mut doing = vec![];
            let mut progress = |p: &Progress<'_>| {
                doing.push((p.doing.to_owned(), p.done_bytes));
                ControlFlow::Continue(())
            };
            let mut loader = Loader::new(&plan, &weights, &mut progress, piece_bytes);
            assert_eq!(loader.total_bytes, 72);
            let loaded = load_all(&mut loader, &plan).unwrap();
            assert_eq!(loader.done_bytes, 72);
            assert_eq!(loaded.bytes(), 72);
            let mut rows = vec![0.0; 15];
            loaded.matrices[0].dequantize_rows(0..5, &mut rows).unwrap();
            assert_eq!(rows, expected);
            assert_eq!(loaded.vectors, [[1.0, 2.0, 3.0]]);
            assert_eq!(doing[0], ("loading a".to_owned(), 0));
            assert_eq!(doing.last(), Some(&("loading w".to_owned(), 68)));
        }
    }

    #[test]
    fn cancelling_stops_at_any_call() {
        let (plan, weights) = plan();
        for allowed in 0..5 {
            let mut calls = 0;
            let mut progress = |p: &Progress<'_>| {
                assert!(p.done_bytes <= p.total_bytes);
                calls += 1;
                if calls > allowed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let result = load_weights(&plan, &weights, &mut progress);
            assert!(matches!(result, Err(BackendError::Cancelled)), "{allowed}");
            assert_eq!(calls, allowed + 1);
        }
        assert!(load_weights(&plan, &weights, &mut no_progress).is_ok());
    }

    #[test]
    fn missing_and_misshapen_tensors_are_named() {
        let (plan, mut weights) = plan();
        weights.insert("b", 3, counting(1, 3, 0.0));
        let error = load_weights(&plan, &weights, &mut no_progress).unwrap_err();
        assert!(matches!(&error, BackendError::Weights(WeightError::Shape { tensor, .. }) if tensor == "b"));
        let error = load_weights(&plan, &WeightMap::default(), &mut no_progress).unwrap_err();
        assert!(matches!(&error, BackendError::Weights(WeightError::Missing(tensor)) if tensor == "a"));
    }

    #[test]
    fn a_source_that_hands_out_the_wrong_thing_is_caught() {
        struct Wrong;
        impl WeightSource for Wrong {
            fn matrix(&self, r: &MatrixRequest<'_>) -> Result<PackedMatrix, WeightError> {
                PackedMatrix::quantize(r.format, 1, r.cols, &vec![0.0; r.cols])
                    .map_err(|source| WeightError::Format { tensor: r.tensor.to_owned(), source })
            }

            fn vector(&self, _: &str, _: usize) -> Result<Vec<f32>, WeightError> {
                Ok(vec![])
            }
        }
        let (mut plan, _) = plan();
        let shape = |plan: &Plan| {
            let error = load_weights(plan, &Wrong, &mut no_progress).unwrap_err();
            matches!(error, BackendError::Weights(WeightError::Shape { .. }))
        };
        assert!(shape(&plan));
        plan.matrices.clear();
        assert!(shape(&plan));
    }
}
