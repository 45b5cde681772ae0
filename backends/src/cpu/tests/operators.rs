//! Operators at sizes that are shared among threads.

use super::*;
use crate::InputRows;
use crate::format::ActivationScale;
use crate::plan::{Element, Function, Norm, NormKind, Op, Rows, Shape};

/// Taps of a plan over one input, from both backends.
fn taps(plan: PlanBuilder, input: Columns, rows: usize) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let plan = plan.finish().unwrap();
    let data = (0..rows * input.width).map(|i| ((i * 7919) % 1009) as f32 / 252.0 - 2.0).collect();
    let batch = Batch {
        sequences: vec![SequenceStep {
            tokens: Tokens::Ids(vec![0; rows]),
            start: 0,
            pages: vec![],
            logits: LogitRows::None,
            sample: None,
        }],
        inputs: vec![InputRows { value: input.value, data }],
    };
    let run = |mut runner: Box<dyn Runner>| {
        runner.step(&batch).unwrap().taps.into_iter().map(|tap| tap.data).collect::<Vec<_>>()
    };
    (run(cpu(&plan, &options(CacheFormat::F16))), run(oracle(&plan, &options(CacheFormat::F16))))
}

fn assert_taps_close(plan: PlanBuilder, input: Columns, rows: usize, tolerance: f32) {
    let (got, expected) = taps(plan, input, rows);
    for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let distance = distance(got, expected);
        assert!(distance < tolerance, "tap {index}, {rows} rows: {distance:e}");
    }
}

#[test]
fn elementwise_operators_of_any_size() {
    for (rows, width) in [(1, 3), (3, 1000), (128, 1500)] {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 2 * width + 5);
        let (a, b) = (x.columns(2, width), x.columns(width + 4, width));
        for function in [
            Function::Silu,
            Function::Gelu,
            Function::GeluTanh,
            Function::Relu,
            Function::ReluSquared,
            Function::Sigmoid,
            Function::Tanh,
        ] {
            let y = plan.gated(a, b, function);
            plan.tap(y);
            let y = plan.scale(b, 1.5);
            let y = plan.activate(y, function);
            plan.tap(y);
        }
        let sum = plan.add(a, b);
        let sum = plan.add(sum, b);
        let sum = plan.softcap(sum, 1.5);
        plan.tap(sum);
        assert_taps_close(plan, x, rows, 1e-6);
    }
}

#[test]
fn norms_of_any_size_with_everything_fused() {
    for (rows, width, group) in [(1, 70, 70), (3, 96, 24), (100, 1100, 1100), (100, 1100, 11)] {
        for kind in [NormKind::Rms, NormKind::Layer] {
            for quantize in [None, Some(ActivationScale::PerToken)] {
                let mut plan = PlanBuilder::new();
                let x = plan.input("x", 2 * width);
                let (weight, bias) = (plan.vector("w", group), plan.vector("w.bias", group));
                let element = if quantize.is_some() { Element::Int8Rows } else { Element::F32 };
                let shape = Shape { element, ..Shape::rows_of(Rows::Tokens, width) };
                for keep in [true, false] {
                    let output = plan.value("norm", shape);
                    let sum = plan.value("sum", Shape::rows_of(Rows::Tokens, width));
                    let norm = Norm {
                        input: x.columns(0, width),
                        kind,
                        group,
                        weight: Some(weight),
                        bias: keep.then_some(bias),
                        weight_offset: 0.5,
                        epsilon: 1e-5,
                        add: Some(x.columns(width, width)),
                        sum: keep.then_some(sum.value),
                        quantize,
                        output: output.value,
                    };
                    plan.push("norm", Op::Norm(norm));
                    plan.tap(output);
                    if keep {
                        plan.tap(sum);
                    }
                }
                // A code that rounds the other way is 1/127 of the largest.
                let tolerance = if quantize.is_some() { 1e-2 } else { 3e-6 };
                assert_taps_close(plan, x, rows, tolerance);
            }
        }
    }
}
