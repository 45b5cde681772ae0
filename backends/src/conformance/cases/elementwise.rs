//! Functions, gates, sums, scales and caps: on ordinary numbers, on large and small ones, and on zeros.

use crate::conformance::case::{
    Case, CaseSpec, Group, NO_CACHE, Step, input_batch, random_weights, usual_spread,
};
use crate::conformance::random::Random;
use crate::format::{ActivationScale, WeightFormat};
use crate::plan::{Columns, Element, Function, Gated, Op, Plan, PlanBuilder, PlanError, Rows, Shape};

const FUNCTIONS: [Function; 7] = [
    Function::Silu,
    Function::Gelu,
    Function::GeluTanh,
    Function::Relu,
    Function::ReluSquared,
    Function::Sigmoid,
    Function::Tanh,
];

/// Widths that vectors and work groups do not divide.
const WIDTHS: [usize; 5] = [1, 3, 64, 65, 1000];

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    let mut try_out = |name: String, build: Build| {
        for width in WIDTHS {
            cases.push(CaseSpec::new(Group::Elementwise, format!("{name} {width}"), move |random| {
                let mut plan = PlanBuilder::new();
                build(&mut plan, width);
                Ok(case(plan.finish()?, random))
            }));
        }
    };
    try_out("add".to_owned(), |plan, width| {
        let (a, b) = (plan.input("a", width), plan.input("b", width + 2));
        let sum = plan.add(a, b.columns(1, width));
        plan.tap(sum);
        let twice = plan.add(sum, sum);
        plan.tap(twice);
    });
    try_out("add in place".to_owned(), |plan, width| {
        let (a, b) = (plan.input("a", width), plan.input("b", width));
        let a = plan.add(a, b);
        let a = plan.add(a, b);
        plan.tap(a);
    });
    try_out("scale".to_owned(), |plan, width| {
        let x = plan.input("x", width + 5);
        for factor in [0.0, 1.0, -2.5, 1e-4] {
            let y = plan.scale(x.columns(2, width), factor);
            plan.tap(y);
        }
    });
    try_out("scale in place".to_owned(), |plan, width| {
        let x = plan.input("x", width);
        let x = plan.scale(x, 3.0);
        let x = plan.activate(x, Function::Relu);
        let x = plan.scale(x, 0.5);
        plan.tap(x);
    });
    try_out("softcap".to_owned(), |plan, width| {
        let x = plan.input("x", width);
        for cap in [0.5, 30.0, 1e4] {
            let y = plan.softcap(x, cap);
            plan.tap(y);
        }
    });
    for function in FUNCTIONS {
        let name = format!("activate {function:?}");
        cases.extend(with_function(&name, function, |plan, function, width| {
            let x = plan.input("x", width + 1);
            let y = plan.activate(x.columns(1, width), function);
            plan.tap(y);
        }));
        let name = format!("gated {function:?}");
        cases.extend(with_function(&name, function, |plan, function, width| {
            let x = plan.input("x", 2 * width);
            let y = plan.gated(x.columns(0, width), x.columns(width, width), function);
            plan.tap(y);
        }));
        for scale in [ActivationScale::PerToken, ActivationScale::PerTensor(0.1)] {
            let name = format!("gated {function:?} quantized {scale:?}");
            cases.push(CaseSpec::new(Group::Elementwise, name, move |random| {
                Ok(case(quantized(function, scale)?, random))
            }));
            let name = format!("gated {function:?} for w8a8 {scale:?}");
            cases.push(CaseSpec::new(Group::Elementwise, name, move |random| {
                into_product(function, scale, random)
            }));
        }
    }
    cases
}

type Build = fn(&mut PlanBuilder, usize);

fn with_function(
    name: &str,
    function: Function,
    build: fn(&mut PlanBuilder, Function, usize),
) -> Vec<CaseSpec> {
    let spec = |width: usize| {
        CaseSpec::new(Group::Elementwise, format!("{name} {width}"), move |random| {
            let mut plan = PlanBuilder::new();
            build(&mut plan, function, width);
            Ok(case(plan.finish()?, random))
        })
    };
    WIDTHS.map(spec).into_iter().collect()
}

/// Numbers at which functions bend, vanish or overflow.
const HARD: [f32; 16] =
    [0.0, -0.0, 1.0, -1.0, 88.7, -88.7, 104.0, -104.0, 1e-8, -1e-8, 1e-30, 5.5, -5.5, 1e4, -1e4, 0.3];

fn case(plan: Plan, random: &mut Random) -> Case {
    let mut steps = vec![];
    for rows in [1, 2, 17, 70] {
        let numbers = |count: usize| {
            let mut x = random.normals(count, 3.0);
            // A third of the first step's numbers, and some of the others', are hard ones.
            for (i, x) in x.iter_mut().enumerate() {
                if random.below(3 + rows / 2) == 0 {
                    *x = HARD[(i + rows) % HARD.len()];
                }
            }
            x
        };
        steps.push(Step::Run(input_batch(&plan, rows, numbers)));
    }
    let weights = random_weights(&plan, random, usual_spread);
    Case::new(plan, weights, NO_CACHE, steps)
}

fn quantized(function: Function, scale: ActivationScale) -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    for width in [1, 64, 100] {
        let (gate, up) = (plan.input("gate", width), plan.input("up", width));
        let output = quantized_gate(&mut plan, gate, up, function, scale);
        plan.tap(output);
    }
    plan.finish()
}

fn quantized_gate(
    plan: &mut PlanBuilder,
    gate: Columns,
    up: Columns,
    function: Function,
    scale: ActivationScale,
) -> Columns {
    let shape = Shape { element: Element::Int8Rows, ..Shape::rows_of(Rows::Tokens, gate.width) };
    let output = plan.value("codes", shape);
    let gated = Gated { gate, up, function, quantize: Some(scale), output: output.value };
    plan.push("gated", Op::Gated(gated));
    output
}

/// Int8 rows straight into a product, beside the unfused form on the oracle.
fn into_product(function: Function, scale: ActivationScale, random: &mut Random) -> Result<Case, PlanError> {
    let build = |fused: bool| {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 150);
        let (gate, up) = (x.columns(0, 75), x.columns(75, 75));
        let h = if fused {
            quantized_gate(&mut plan, gate, up, function, scale)
        } else {
            plan.gated(gate, up, function)
        };
        let matrix = plan.matrix("down", 40, 75, WeightFormat::W8a8(scale));
        let y = plan.linear(h, matrix);
        plan.tap(y);
        plan.finish()
    };
    let (fused, plain) = (build(true)?, build(false)?);
    let weights = random_weights(&fused, random, usual_spread);
    let batch = |rows: usize| Step::Run(input_batch(&fused, rows, |count| random.activations(count)));
    let steps = [1, 6, 33].map(batch).to_vec();
    Ok(Case::new(fused.clone(), weights, NO_CACHE, steps).with_reference(plain))
}
