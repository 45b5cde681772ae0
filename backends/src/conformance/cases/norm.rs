//! Normalisation: both kinds, whole rows and heads, every attribute.

use super::FORMATS;
use crate::conformance::case::{
    Case, CaseSpec, Group, NO_CACHE, Step, input_batch, random_weights, usual_spread,
};
use crate::conformance::random::Random;
use crate::format::{ActivationScale, WeightFormat};
use crate::plan::{Element, Norm, NormKind, Op, Plan, PlanBuilder, PlanError, Rows, Shape};

/// What is normalised, and how.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is an attribute that is on or off")]
struct Variant {
    kind: NormKind,
    width: usize,
    groups: usize,
    weight: bool,
    bias: bool,
    offset: f32,
    epsilon: f32,
    add: bool,
    keep_sum: bool,
    quantize: Option<ActivationScale>,
    numbers: Numbers,
}

/// What the rows hold.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    Ordinary,
    /// A mean a hundred times the deviation.
    FarFromZero,
    Tiny,
    Huge,
    WithZeroRows,
}

const PLAIN: Variant = Variant {
    kind: NormKind::Rms,
    width: 64,
    groups: 1,
    weight: true,
    bias: false,
    offset: 0.0,
    epsilon: 1e-5,
    add: false,
    keep_sum: false,
    quantize: None,
    numbers: Numbers::Ordinary,
};

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    let mut try_out = |name: String, variant: Variant| {
        cases.push(CaseSpec::new(Group::Norm, name, move |random| case(&variant, random)));
    };
    for kind in [NormKind::Rms, NormKind::Layer] {
        let plain = Variant { kind, ..PLAIN };
        for width in [1, 2, 7, 64, 130, 1000, 4099] {
            try_out(format!("{kind:?} {width}"), Variant { width, ..plain });
        }
        for (groups, width) in [(3, 8), (4, 80), (32, 128), (5, 33)] {
            let width = groups * width;
            try_out(format!("{kind:?} {groups} heads of {width}"), Variant { width, groups, ..plain });
        }
        try_out(format!("{kind:?} without weight"), Variant { weight: false, ..plain });
        try_out(format!("{kind:?} offset"), Variant { offset: 1.0, width: 130, ..plain });
        try_out(format!("{kind:?} bias"), Variant { bias: true, width: 130, ..plain });
        try_out(format!("{kind:?} bias and offset"), Variant { bias: true, offset: 1.0, ..plain });
        try_out(format!("{kind:?} large epsilon"), Variant { epsilon: 0.5, ..plain });
        try_out(format!("{kind:?} add"), Variant { add: true, width: 130, ..plain });
        try_out(
            format!("{kind:?} add, sum kept"),
            Variant { add: true, keep_sum: true, width: 130, ..plain },
        );
        for numbers in [Numbers::FarFromZero, Numbers::Tiny, Numbers::Huge, Numbers::WithZeroRows] {
            try_out(format!("{kind:?} {numbers:?}"), Variant { numbers, width: 256, ..plain });
        }
        for scale in [ActivationScale::PerToken, ActivationScale::PerTensor(0.02)] {
            let quantize = Some(scale);
            for width in [5, 64, 200] {
                try_out(
                    format!("{kind:?} {width} quantized {scale:?}"),
                    Variant { width, quantize, ..plain },
                );
            }
            let all =
                Variant { quantize, add: true, keep_sum: true, bias: true, offset: 1.0, width: 96, ..plain };
            try_out(format!("{kind:?} everything {scale:?}"), all);
            let zeros = Variant { quantize, numbers: Numbers::WithZeroRows, ..plain };
            try_out(format!("{kind:?} quantized zero rows {scale:?}"), zeros);
        }
    }
    for format in FORMATS {
        if matches!(format, WeightFormat::W8a8(_)) {
            cases.push(CaseSpec::new(Group::Norm, format!("quantized for {format}"), move |random| {
                into_product(format, random)
            }));
        }
    }
    cases
}

fn case(variant: &Variant, random: &mut Random) -> Result<Case, PlanError> {
    let plan = plan(variant)?;
    let weights = random_weights(&plan, random, usual_spread);
    let width = variant.width;
    let mut steps = vec![];
    for rows in [1, 3, 17, 65] {
        let mut numbers = |count: usize| {
            let mut x = random.activations(count);
            match variant.numbers {
                Numbers::Ordinary => {}
                Numbers::FarFromZero => x.iter_mut().for_each(|x| *x += 100.0),
                Numbers::Tiny => x.iter_mut().for_each(|x| *x *= 1e-12),
                Numbers::Huge => x.iter_mut().for_each(|x| *x *= 1e12),
                Numbers::WithZeroRows => x.chunks_mut(width).step_by(2).for_each(|row| row.fill(0.0)),
            }
            x
        };
        steps.push(Step::Run(input_batch(&plan, rows, &mut numbers)));
    }
    Ok(Case::new(plan, weights, NO_CACHE, steps))
}

fn plan(variant: &Variant) -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", variant.width);
    let add = variant.add.then(|| plan.input("added", variant.width));
    let group = variant.width / variant.groups;
    let shape = Shape::rows_of(Rows::Tokens, variant.width);
    let element = if variant.quantize.is_some() { Element::Int8Rows } else { Element::F32 };
    let sum = variant.keep_sum.then(|| plan.value("sum", shape));
    let output = plan.value("norm", Shape { element, ..shape });
    let norm = Norm {
        input: x,
        kind: variant.kind,
        group,
        weight: variant.weight.then(|| plan.vector("weight", group)),
        bias: variant.bias.then(|| plan.vector("bias", group)),
        weight_offset: variant.offset,
        epsilon: variant.epsilon,
        add,
        sum: sum.map(|s| s.value),
        quantize: variant.quantize,
        output: output.value,
    };
    plan.push("norm", Op::Norm(norm));
    sum.into_iter().chain([output]).for_each(|value| plan.tap(value));
    plan.finish()
}

/// Int8 rows straight into a product, beside the unfused form on the oracle.
fn into_product(format: WeightFormat, random: &mut Random) -> Result<Case, PlanError> {
    let WeightFormat::W8a8(scale) = format else { return Err(PlanError::Empty) };
    let build = |fused: bool| {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 100);
        let weight = plan.vector("weight", 100);
        let matrix = plan.matrix("w", 70, 100, format);
        let element = if fused { Element::Int8Rows } else { Element::F32 };
        let h = plan.value("h", Shape { element, ..Shape::rows_of(Rows::Tokens, 100) });
        let norm = Norm {
            input: x,
            kind: NormKind::Rms,
            group: 100,
            weight: Some(weight),
            bias: None,
            weight_offset: 0.0,
            epsilon: 1e-5,
            add: None,
            sum: None,
            quantize: fused.then_some(scale),
            output: h.value,
        };
        plan.push("norm", Op::Norm(norm));
        let y = plan.linear(h, matrix);
        plan.tap(y);
        plan.finish()
    };
    let (fused, plain) = (build(true)?, build(false)?);
    let weights = random_weights(&fused, random, usual_spread);
    let batch = |rows: usize| Step::Run(input_batch(&fused, rows, |count| random.activations(count)));
    let steps = [1, 2, 9, 40].map(batch).to_vec();
    Ok(Case::new(fused.clone(), weights, NO_CACHE, steps).with_reference(plain))
}
