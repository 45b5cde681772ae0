//! Mixtures of experts: routing with all its attributes, products by chosen experts in every format, and
//! the weighted sum.

use super::FORMATS;
use crate::batch::Batch;
use crate::conformance::case::{
    Case, CaseSpec, Group, NO_CACHE, Step, input_rows, plain_rows, random_weights, usual_spread,
};
use crate::conformance::random::Random;
use crate::format::WeightFormat;
use crate::plan::{
    ExpertCombine, ExpertOutput, Function, LinearWeights, Op, Plan, PlanBuilder, PlanError, Rows, Scoring,
    Shape,
};

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for scoring in [Scoring::Softmax, Scoring::Sigmoid] {
        for (experts, top_k) in [(1, 1), (8, 2), (60, 4), (128, 8), (5, 5)] {
            for renormalize in [false, true] {
                for biased in [false, true] {
                    let route = Routing { scoring, experts, top_k, renormalize, biased };
                    let mut name = format!("route {scoring:?} {top_k} of {experts}");
                    name += if renormalize { " renormalized" } else { "" };
                    name += if biased { " biased" } else { "" };
                    cases.push(CaseSpec::new(Group::Experts, &name, move |random| route.case(false, random)));
                    if !biased {
                        cases.push(CaseSpec::new(Group::Experts, format!("{name} ties"), move |random| {
                            route.case(true, random)
                        }));
                    }
                }
            }
        }
    }
    for format in FORMATS {
        for bias in [false, true] {
            let name = format!("{format}{}", if bias { " with bias" } else { "" });
            cases.push(CaseSpec::new(Group::Experts, name, move |random| mixture(format, bias, random)));
        }
    }
    cases
}

#[derive(Clone, Copy, Debug)]
struct Routing {
    scoring: Scoring,
    experts: usize,
    top_k: usize,
    renormalize: bool,
    biased: bool,
}

impl Routing {
    /// Routing alone. With `ties`, logits are few different numbers.
    fn case(self, ties: bool, random: &mut Random) -> Result<Case, PlanError> {
        let mut plan = PlanBuilder::new();
        let wide = plan.input("logits", self.experts + 3);
        let selection_bias = self.biased.then(|| plan.vector("selection_bias", self.experts));
        let how = ExpertOutput {
            top_k: self.top_k,
            scoring: self.scoring,
            renormalize: self.renormalize,
            factor: 2.5,
            selection_bias,
        };
        let routed = plan.route(wide.columns(2, self.experts), how);
        plan.tap(routed.experts);
        plan.tap(routed.weights);
        let plan = plan.finish()?;
        let weights = random_weights(&plan, random, usual_spread);
        let steps = [1, 4, 17, 130].map(|rows| {
            let mut numbers = |count: usize| {
                let mut logits = random.normals(count, 2.0);
                if ties {
                    for logit in &mut logits {
                        *logit = logit.round();
                    }
                }
                logits
            };
            let inputs = input_rows(&plan, rows, &mut numbers);
            Step::Run(Batch { sequences: vec![plain_rows(rows)], inputs })
        });
        Ok(Case::new(plan, weights, NO_CACHE, steps.to_vec()))
    }
}

/// A whole block: route, up, activate, down, combine, with and without a residual.
fn mixture(format: WeightFormat, bias: bool, random: &mut Random) -> Result<Case, PlanError> {
    let plan = mixture_plan(format, bias)?;
    let weights = random_weights(&plan, random, usual_spread);
    let steps = [1, 2, 9, 50].map(|rows| {
        let inputs = input_rows(&plan, rows, &mut |count| random.normals(count, 1.5));
        Step::Run(Batch { sequences: vec![plain_rows(rows)], inputs })
    });
    Ok(Case::new(plan, weights, NO_CACHE, steps.to_vec()))
}

fn mixture_plan(format: WeightFormat, bias: bool) -> Result<Plan, PlanError> {
    const EXPERTS: usize = 6;
    let (hidden, inner) = (70, 45);
    let mut plan = PlanBuilder::new();
    let (x, logits) = (plan.input("x", hidden + 3), plan.input("logits", EXPERTS));
    let x = x.columns(3, hidden);
    let how = ExpertOutput {
        top_k: 3,
        scoring: Scoring::Softmax,
        renormalize: true,
        factor: 1.0,
        selection_bias: None,
    };
    let routed = plan.route(logits, how);
    let expert = |plan: &mut PlanBuilder, name: &str, rows: usize, cols: usize| LinearWeights {
        matrix: plan.matrix(name, EXPERTS * rows, cols, format),
        bias: bias.then(|| plan.vector(format!("{name}.bias"), EXPERTS * rows)),
    };
    let up = expert(&mut plan, "up", inner, hidden);
    let down = expert(&mut plan, "down", hidden, inner);
    let up = plan.expert_linear(x, routed, EXPERTS, up);
    let h = plan.activate(up, Function::Silu);
    let down = plan.expert_linear(h, routed, EXPERTS, down);
    let plain = plan.expert_combine(down, routed);
    let added = plan.value("combined with residual", Shape::rows_of(Rows::Tokens, hidden));
    let combine =
        ExpertCombine { input: down, weights: routed.weights, residual: Some(x), output: added.value };
    plan.push("combine", Op::ExpertCombine(combine));
    let scaled = plan.scale(added, 0.5);
    let in_place = plan.value("in place", Shape::rows_of(Rows::Tokens, hidden));
    let combine = ExpertCombine {
        input: down,
        weights: routed.weights,
        residual: Some(scaled),
        output: in_place.value,
    };
    plan.push("combine", Op::ExpertCombine(combine));
    for value in [routed.experts, routed.weights, up, down, plain, added, in_place] {
        plan.tap(value);
    }
    plan.finish()
}
