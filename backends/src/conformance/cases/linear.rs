//! Projections: every format, sizes that fit no tile, every attribute.

use super::{FORMATS, ROWS};
use crate::conformance::case::{
    Case, CaseSpec, Group, NO_CACHE, Step, input_batch, random_weights, usual_spread,
};
use crate::conformance::random::Random;
use crate::format::WeightFormat;
use crate::plan::{Columns, Linear, MatrixPart, Op, Plan, PlanBuilder, PlanError, Rows, Shape};

/// Output and input features.
const SHAPES: [(usize, usize); 8] =
    [(1, 1), (5, 3), (33, 65), (130, 127), (96, 192), (67, 300), (256, 256), (17, 2049)];

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for format in FORMATS {
        for (n, k) in SHAPES {
            cases.push(CaseSpec::new(Group::Linear, format!("{format} {n}×{k}"), move |random| {
                let (mut plan, x) = one_input(k);
                let matrix = plan.matrix("w", n, k, format);
                let y = plan.linear(x, matrix);
                plan.tap(y);
                // Long rows of activations are enough in a few regimes.
                let rows = if k > 1000 { &ROWS[..5] } else { &ROWS[..] };
                Ok(over_rows(plan.finish()?, rows, random))
            }));
        }
        for epilogue in Epilogue::ALL {
            for (n, k) in [(33, 65), (128, 96)] {
                let name = format!("{format} {n}×{k} {epilogue:?}");
                cases.push(CaseSpec::new(Group::Linear, name, move |random| {
                    Ok(over_rows(epilogue.plan(format, n, k)?, &[1, 3, 8, 17, 64], random))
                }));
            }
        }
        cases.push(CaseSpec::new(Group::Linear, format!("{format} parts of tensors"), move |random| {
            let (mut plan, x) = one_input(70);
            let part = |tensor: &str, first_row, rows| MatrixPart { tensor: tensor.into(), first_row, rows };
            let parts = vec![part("a", 3, 9), part("b", 0, 30), part("a", 0, 2)];
            let matrix = plan.matrix_of(parts, 70, format);
            let y = plan.linear(x, matrix);
            plan.tap(y);
            Ok(over_rows(plan.finish()?, &[1, 5, 33], random))
        }));
    }
    cases.push(CaseSpec::new(Group::Linear, "large, small and zero rows", hard_rows));
    cases.push(CaseSpec::new(Group::Linear, "wide", |random| {
        let (mut plan, x) = one_input(192);
        let y = FORMATS.map(|format| {
            let matrix = plan.matrix(tensor_name(format), 1031, 192, format);
            plan.linear(x, matrix)
        });
        for y in y {
            plan.tap(y);
        }
        Ok(over_rows(plan.finish()?, &[1, 4, 33], random))
    }));
    cases
}

/// A matrix of more features than any kernel has workgroups for in one dimension: heads are like this, and may have kernels of
/// their own.
pub(super) fn many_features(format: WeightFormat) -> CaseSpec {
    const FEATURES: usize = 65_541;
    const COLUMNS: usize = 24;
    CaseSpec::new(Group::Linear, format!("{format} {FEATURES}×{COLUMNS}"), move |random| {
        let (mut plan, x) = one_input(COLUMNS);
        let matrix = plan.matrix("w", FEATURES, COLUMNS, format);
        let y = plan.linear(x, matrix);
        plan.tap(y);
        Ok(over_rows(plan.finish()?, &[1, 2], random))
    })
}

/// Without dots: the builder calls a node by what follows the last one.
fn tensor_name(format: WeightFormat) -> String {
    format!("w {format}").replace('.', ",")
}

fn one_input(width: usize) -> (PlanBuilder, Columns) {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", width);
    (plan, x)
}

fn over_rows(plan: Plan, rows: &[usize], random: &mut Random) -> Case {
    let weights = random_weights(&plan, random, usual_spread);
    let batch = |rows: &usize| Step::Run(input_batch(&plan, *rows, |count| random.activations(count)));
    let steps = rows.iter().map(batch).collect();
    Case::new(plan, weights, NO_CACHE, steps)
}

/// What goes with a product.
#[derive(Clone, Copy, Debug)]
enum Epilogue {
    Bias,
    Factor,
    BiasAndFactor,
    Residual,
    /// The residual dies here, so that the result may take over its memory.
    ResidualInPlace,
    /// The residual is the product's own input.
    ResidualIsInput,
    /// The residual is part of a wider value.
    ResidualColumns,
    Everything,
    /// The input is part of a wider value, at an odd place.
    Columns,
    ColumnsAndEverything,
}

impl Epilogue {
    const ALL: [Self; 10] = [
        Self::Bias,
        Self::Factor,
        Self::BiasAndFactor,
        Self::Residual,
        Self::ResidualInPlace,
        Self::ResidualIsInput,
        Self::ResidualColumns,
        Self::Everything,
        Self::Columns,
        Self::ColumnsAndEverything,
    ];

    fn plan(self, format: WeightFormat, n: usize, k: usize) -> Result<Plan, PlanError> {
        let mut plan = PlanBuilder::new();
        let n = if matches!(self, Self::ResidualIsInput) { k } else { n };
        let wide = matches!(self, Self::Columns | Self::ColumnsAndEverything);
        let x = plan.input("x", if wide { k + 12 } else { k });
        let x = if wide { x.columns(5, k) } else { x };
        let matrix = plan.matrix("w", n, k, format);
        let has_bias =
            matches!(self, Self::Bias | Self::BiasAndFactor | Self::Everything | Self::ColumnsAndEverything);
        let bias = has_bias.then(|| plan.vector("bias", n));
        let has_factor = matches!(
            self,
            Self::Factor | Self::BiasAndFactor | Self::Everything | Self::ColumnsAndEverything
        );
        let residual = match self {
            Self::Bias | Self::Factor | Self::BiasAndFactor | Self::Columns => None,
            Self::Residual | Self::Everything | Self::ColumnsAndEverything => {
                let residual = plan.input("residual", n);
                plan.tap(residual);
                Some(residual)
            }
            Self::ResidualInPlace => {
                let residual = plan.input("residual", n);
                Some(plan.scale(residual, 0.5))
            }
            Self::ResidualIsInput => Some(x),
            Self::ResidualColumns => Some(plan.input("residual", n + 7).columns(3, n)),
        };
        let factor = if has_factor { -0.37 } else { 1.0 };
        let y = plan.value("y", Shape::rows_of(Rows::Tokens, n));
        plan.push("linear", Op::Linear(Linear { input: x, matrix, bias, factor, residual, output: y.value }));
        plan.tap(y);
        plan.finish()
    }
}

/// Rows of all sizes in one batch: zeros, tiny and huge numbers, one element alone.
fn hard_rows(random: &mut Random) -> Result<Case, PlanError> {
    let (n, k) = (40, 130);
    let (mut plan, x) = one_input(k);
    for format in FORMATS {
        let matrix = plan.matrix(tensor_name(format), n, k, format);
        let y = plan.linear(x, matrix);
        plan.tap(y);
    }
    let plan = plan.finish()?;
    let weights = random_weights(&plan, random, usual_spread);
    let sizes = [0.0, 1.0, 1e-4, 1e-7, 300.0, 3e4, 1.0, 0.0, 1e-3];
    let mut batch = input_batch(&plan, sizes.len(), |count| random.normals(count, 1.0));
    for rows in &mut batch.inputs {
        for (row, size) in rows.data.chunks_mut(k).zip(sizes) {
            for x in row {
                *x = (*x * size).clamp(-60_000.0, 60_000.0);
            }
        }
        // The sixth row has one element that is not zero, the last one of its columns.
        rows.data[6 * k..7 * k - 1].fill(0.0);
    }
    Ok(Case::new(plan, weights, NO_CACHE, vec![Step::Run(batch)]))
}
