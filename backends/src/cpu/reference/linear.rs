//! Products with weight matrices, and embedding look-ups.

use rayon::prelude::*;

use super::quantize::quantize_rows;
use super::step::Step;
use crate::BackendError;
use crate::format::{MatrixView, ViewData};
use crate::plan::{Element, Embed, Linear};

/// One row of a matrix, each weight exactly what its format says; NaN where there is no such row.
pub fn weight_row(matrix: &MatrixView<'_>, row: usize) -> Vec<f64> {
    (0..matrix.cols).map(|col| matrix.weight(row, col)).collect()
}

/// `Σ a·b`.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x · Wᵀ` for rows of `x`, which are taken as they are.
pub fn product(x: &[f64], matrix: &MatrixView<'_>) -> Vec<f64> {
    let rows = x.len() / matrix.cols;
    if rows == 0 {
        return vec![];
    }
    // Decoding a row of weights costs as much as some products with it, so each is decoded once.
    let by_feature = (0..matrix.rows)
        .into_par_iter()
        .map(|feature| {
            let weights = weight_row(matrix, feature);
            x.chunks_exact(matrix.cols).map(|x| dot(x, &weights)).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    (0..rows).flat_map(|row| by_feature.iter().map(move |feature| feature[row])).collect()
}

/// `x · Wᵀ` for rows of f32 activations: where W is `w8a8` they are quantised first.
pub fn product_of_activations(x: &[f64], matrix: &MatrixView<'_>) -> Vec<f64> {
    match matrix.data {
        ViewData::W8a8 { activation, .. } => product(&quantize_rows(x, matrix.cols, activation), matrix),
        _ => product(x, matrix),
    }
}

/// `y = factor · table[token]`.
pub(super) fn embed(op: &Embed, step: &mut Step<'_>) {
    let table = step.weights.matrices[op.table.index()].view();
    let factor = f64::from(op.factor);
    let rows = step.tokens.iter().flat_map(|token| weight_row(&table, *token as usize));
    let rows = rows.map(|x| factor * x).collect();
    step.values.write(op.output, rows);
}

/// `y = factor · (x · Wᵀ + bias) + residual`.
pub(super) fn linear(op: &Linear, step: &mut Step<'_>) -> Result<(), BackendError> {
    let matrix = &step.weights.matrices[op.matrix.index()];
    let view = matrix.view();
    view.check()?;
    let x = step.values.operand(op.input);
    let mut y = match step.values.shape(op.input).element {
        // Already the numbers that codes stand for.
        Element::Int8Rows => product(&x, &view),
        Element::F32 | Element::Index => product_of_activations(&x, &view),
    };
    if let Some(bias) = op.bias {
        add_to_rows(&mut y, &step.weights.vectors[bias.index()]);
    }
    let factor = f64::from(op.factor);
    for y in &mut y {
        *y *= factor;
    }
    if let Some(residual) = op.residual {
        for (y, residual) in y.iter_mut().zip(step.values.operand(residual)) {
            *y += residual;
        }
    }
    step.values.write(op.output, y);
    Ok(())
}

/// Adds a vector to each row.
fn add_to_rows(rows: &mut [f64], vector: &[f32]) {
    for row in rows.chunks_exact_mut(vector.len()) {
        for (x, v) in row.iter_mut().zip(vector) {
            *x += f64::from(*v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::reference::testing::{Bench, assert_close};
    use crate::format::{ActivationScale, Int8Group, PackedMatrix, WeightFormat};
    use crate::plan::{Function, Gated, Op, Rows, Shape};

    #[test]
    fn a_product_by_hand() {
        let w = PackedMatrix::quantize(WeightFormat::F32, 2, 3, &[1.0, 2.0, 3.0, -1.0, 0.5, 0.0]).unwrap();
        let y = product(&[1.0, 1.0, 1.0, 2.0, 0.0, -1.0], &w.view());
        assert_eq!(y, [6.0, -0.5, -1.0, -2.0]);
        assert!(product(&[], &w.view()).is_empty());
    }

    #[test]
    fn every_format_multiplies_what_it_decodes_to() {
        let (rows, cols) = (5, 130);
        let weights =
            (0..rows * cols).map(|i| ((i * 7919 % 1009) as f32 - 500.0) / 700.0).collect::<Vec<_>>();
        let x = (0..3 * cols).map(|i| f64::from((i * 31 % 97) as u16) / 48.0 - 1.0).collect::<Vec<_>>();
        for format in [
            WeightFormat::F32,
            WeightFormat::F16,
            WeightFormat::Bf16,
            WeightFormat::Int8(Int8Group::G32),
            WeightFormat::Int8(Int8Group::G128),
            WeightFormat::Nf4,
            WeightFormat::Int4(crate::format::Int4Group::G64),
        ] {
            let w = PackedMatrix::quantize(format, rows, cols, &weights).unwrap();
            let mut decoded = vec![0.0; rows * cols];
            w.dequantize_rows(0..rows, &mut decoded).unwrap();
            let y = product_of_activations(&x, &w.view());
            for (t, x) in x.chunks_exact(cols).enumerate() {
                for (n, w) in decoded.chunks_exact(cols).enumerate() {
                    let expected = x.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum::<f64>();
                    // The decoded weights are rounded to f32, the oracle's are not.
                    assert!((y[t * rows + n] - expected).abs() < 1e-5, "{format}");
                }
            }
        }
    }

    #[test]
    fn w8a8_is_a_whole_number_times_both_scales() {
        let format = WeightFormat::W8a8(ActivationScale::PerToken);
        // A code of the weights is worth 2 and one of the activations 1/4: 15.9 becomes 16.
        let w = PackedMatrix::quantize(format, 1, 3, &[254.0, 128.0, -64.0]).unwrap();
        let y = product_of_activations(&[31.75, -15.9, 16.1], &w.view());
        let whole = 127.0 * 127.0 - 64.0 * 64.0 - 64.0 * 32.0;
        assert_close(&y, &[whole * 0.5], 1e-15);
    }

    #[test]
    fn int8_rows_are_not_quantised_again() {
        let mut bench = Bench::new();
        let x = bench.input(2, &[254.0, 3.9]);
        let shape = Shape { element: Element::Int8Rows, ..Shape::rows_of(Rows::Tokens, 2) };
        let codes = bench.plan.value("codes", shape);
        // Activations of 3 a code, where finding the scale anew would make other codes of the 254.
        let quantize = Some(ActivationScale::PerTensor(3.0));
        let gated = Gated { gate: x, up: x, function: Function::Relu, quantize, output: codes.value };
        bench.plan.push("gated", Op::Gated(gated));
        let format = WeightFormat::W8a8(ActivationScale::PerToken);
        let matrix = bench.matrix(1, 2, format, &[127.0, 127.0]);
        let y = bench.plan.linear(codes, matrix);
        // 254² is clamped to 127 codes; 3.9² is 15.21, which is 5 codes.
        assert_eq!(bench.run(codes), [381.0, 15.0]);
        assert_eq!(bench.run(y), [127.0 * 396.0]);
    }

    #[test]
    fn bias_then_factor_then_residual() {
        let mut bench = Bench::new();
        let input = bench.input(2, &[1.0, 2.0, 3.0, 4.0]);
        let residual = bench.input(1, &[100.0, 200.0]);
        let matrix = bench.matrix(1, 2, WeightFormat::F32, &[1.0, 1.0]);
        let bias = bench.vector(&[10.0]);
        let y = bench.plan.value("y", Shape::rows_of(Rows::Tokens, 1));
        let linear = Linear {
            input,
            matrix,
            bias: Some(bias),
            factor: 0.5,
            residual: Some(residual),
            output: y.value,
        };
        bench.plan.push("linear", Op::Linear(linear));
        assert_eq!(bench.run(y), [106.5, 208.5]);
    }

    #[test]
    fn a_product_reads_just_its_columns() {
        let mut bench = Bench::new();
        let x = bench.input(4, &[9.0, 1.0, 2.0, 9.0, 9.0, 3.0, 4.0, 9.0]);
        let matrix = bench.matrix(1, 2, WeightFormat::F16, &[1.0, 10.0]);
        let y = bench.plan.linear(x.columns(1, 2), matrix);
        assert_eq!(bench.run(y), [21.0, 43.0]);
    }

    #[test]
    fn embeddings_are_rows_of_the_table_times_a_factor() {
        let mut bench = Bench::new();
        let table = bench.matrix(3, 2, WeightFormat::Bf16, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let x = bench.plan.embed_scaled(table, 1.5);
        bench.tokens = vec![2, 0, 2];
        assert_eq!(bench.run(x), [7.5, 9.0, 1.5, 3.0, 7.5, 9.0]);
    }
}
