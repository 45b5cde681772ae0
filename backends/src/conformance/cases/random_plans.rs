//! Plans that nobody thought of: operators put together at random, so that memory is reused, columns are
//! read and rows leave early in ways that no model has; plain, and fused beside the plain form.

use super::FORMATS;
use crate::CacheOptions;
use crate::batch::{Batch, LogitRows, Tokens};
use crate::conformance::case::{
    Case, CaseSpec, Group, Growing, PageShuffle, Step, input_rows, random_weights, usual_spread,
};
use crate::conformance::random::Random;
use crate::format::{ActivationScale, CacheFormat, WeightFormat};
use crate::plan::{
    Columns, ExpertOutput, Function, FusionSet, LinearWeights, Plan, PlanBuilder, PlanError, RopeSpec,
    Scoring, ValueId,
};

const PLANS: usize = 150;
const VOCABULARY: usize = 50;

pub(super) fn cases() -> Vec<CaseSpec> {
    let plans = (0..PLANS).flat_map(|number| [(number, false), (number, true)]);
    let spec = |(number, fused): (usize, bool)| {
        let name = format!("{number}{}", if fused { " fused" } else { "" });
        CaseSpec::new(Group::Random, name, move |_| {
            case(fused, &mut Random::named(&format!("random plan {number}")))
        })
    };
    plans.map(spec).collect()
}

/// A plan that grows at random.
struct Growth<'a> {
    plan: PlanBuilder,
    random: &'a mut Random,
    /// What may be read: f32 rows of tokens.
    values: Vec<Columns>,
    names: usize,
}

fn case(fused: bool, random: &mut Random) -> Result<Case, PlanError> {
    let plan = drawn_plan(random)?;
    let format = [CacheFormat::F16, CacheFormat::Int8][random.below(2)];
    let cache = CacheOptions { format, page_tokens: 1 + random.below(8), pages: 80 };
    let weights = random_weights(&plan, random, usual_spread);
    let steps = steps(&plan, &cache, random);
    let case = Case::new(plan, weights, cache, steps);
    if !fused {
        return Ok(case);
    }
    let plain = (*case.plan).clone();
    let fused = plain.fused(FusionSet::all())?;
    let steps = case.steps.iter().map(|step| match step {
        Step::Run(batch) => Step::Run(crate::conformance::record::translated(batch, &plain, &fused)),
        other => other.clone(),
    });
    let steps = steps.collect();
    Ok(Case { plan: fused.into(), steps, ..case }.with_reference(plain))
}

fn drawn_plan(random: &mut Random) -> Result<Plan, PlanError> {
    let mut growth = Growth { plan: PlanBuilder::new(), random, values: vec![], names: 0 };
    let width = growth.width();
    let x = growth.plan.input("x", width);
    let table = growth.plan.matrix("embedding", VOCABULARY, width, FORMATS[growth.random.below(7)]);
    let embedded = growth.plan.embed(table);
    growth.values.extend([x, embedded]);
    for _ in 0..4 + growth.random.below(14) {
        growth.operator();
    }
    let Growth { mut plan, random, values, .. } = growth;
    // Few values, or there would be little that fusion may take away.
    for _ in 0..random.below(3) {
        plan.tap(values[random.below(values.len())]);
    }
    if let Some(last) = values.last() {
        let head = plan.matrix("head", VOCABULARY + 3, last.width, FORMATS[random.below(FORMATS.len())]);
        plan.logits(*last, head);
    }
    let mut plan = plan.finish()?;
    tap_some_of_what_nobody_reads(&mut plan, random);
    Ok(plan)
}

/// The values that nothing reads and nobody is handed.
fn unread(plan: &Plan) -> Vec<ValueId> {
    let mut read = vec![false; plan.values.len()];
    let operands = plan.nodes.iter().flat_map(|node| node.op.inputs()).map(|operand| operand.value);
    for value in operands.chain(plan.taps.iter().copied()).chain(plan.logits) {
        read[value.index()] = true;
    }
    let outputs = plan.nodes.iter().flat_map(|node| node.op.outputs());
    outputs.filter(|value| !read[value.index()]).collect()
}

/// Hands out about half of the values that nothing reads, one at least; the others are computed for nobody.
fn tap_some_of_what_nobody_reads(plan: &mut Plan, random: &mut Random) {
    let unread = unread(plan);
    let some = unread.iter().copied().filter(|_| random.below(2) == 0).collect::<Vec<_>>();
    let one = if some.is_empty() { unread.get(random.below(unread.len())).copied() } else { None };
    plan.taps.extend(some.into_iter().chain(one));
}

/// Two sequences that grow by turns.
fn steps(plan: &Plan, cache: &CacheOptions, random: &mut Random) -> Vec<Step> {
    let mut pool = PageShuffle::new(cache, random);
    let mut growing = [Growing::default(), Growing::default()];
    let mut steps = vec![];
    for counts in [[7, 0], [1, 5], [1, 1], [3, 1]] {
        let mut sequences = vec![];
        for (count, growing) in counts.into_iter().zip(&mut growing).filter(|(count, _)| *count > 0) {
            let ids = (0..count).map(|_| random.below(VOCABULARY) as u32).collect();
            let mut sequence = growing.add(Tokens::Ids(ids), &mut pool);
            if plan.caches.is_empty() {
                sequence.pages.clear();
            }
            sequence.logits = [LogitRows::None, LogitRows::Last, LogitRows::All][random.below(3)];
            sequences.push(sequence);
        }
        let inputs = input_rows(plan, counts.iter().sum(), &mut |count| random.normals(count, 1.0));
        steps.push(Step::Run(Batch { sequences, inputs }));
    }
    steps
}

impl Growth<'_> {
    fn width(&mut self) -> usize {
        [5, 8, 16, 24, 32, 33, 48, 65][self.random.below(8)]
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("t{}", self.names)
    }

    /// A value, or columns of one; often the last, so that chains come about.
    fn any(&mut self) -> Columns {
        let last = self.values.len() - 1;
        let value = self.values[if self.random.below(3) == 0 { last } else { self.random.below(last + 1) }];
        if self.random.below(4) > 0 || value.width < 3 {
            return value;
        }
        let width = 1 + self.random.below(value.width - 1);
        value.columns(self.random.below(value.width - width + 1), width)
    }

    /// Something of this width: a value that has it by chance, or a projection to it.
    fn of_width(&mut self, width: usize) -> Columns {
        let fitting = self.values.iter().filter(|value| value.width >= width).copied().collect::<Vec<_>>();
        if !fitting.is_empty() && self.random.below(3) > 0 {
            let value = fitting[self.random.below(fitting.len())];
            return value.columns(self.random.below(value.width - width + 1), width);
        }
        self.project(width)
    }

    fn project(&mut self, width: usize) -> Columns {
        let (input, format) = (self.any(), self.format());
        self.project_from(input, width, format)
    }

    fn format(&mut self) -> WeightFormat {
        FORMATS[self.random.below(FORMATS.len())]
    }

    fn project_from(&mut self, input: Columns, width: usize, format: WeightFormat) -> Columns {
        let name = self.name();
        let matrix = self.plan.matrix(name.clone(), width, input.width, format);
        let bias = (self.random.below(3) == 0).then(|| self.plan.vector(format!("{name}.bias"), width));
        self.plan.linear(input, LinearWeights { matrix, bias })
    }

    fn function(&mut self) -> Function {
        use Function::{Gelu, GeluTanh, Relu, ReluSquared, Sigmoid, Silu, Tanh};
        [Silu, Gelu, GeluTanh, Relu, ReluSquared, Sigmoid, Tanh][self.random.below(7)]
    }

    fn operator(&mut self) {
        let value = match self.random.below(14) {
            0 | 1 => {
                let width = self.width();
                self.project(width)
            }
            2 | 3 => {
                let a = self.any();
                let b = self.of_width(a.width);
                self.plan.add(a, b)
            }
            4 => {
                let gate = self.any();
                let up = self.of_width(gate.width);
                let function = self.function();
                self.plan.gated(gate, up, function)
            }
            5 => {
                let (x, function) = (self.any(), self.function());
                self.plan.activate(x, function)
            }
            6 => {
                let x = self.any();
                if self.random.below(2) == 0 { self.plan.scale(x, 0.75) } else { self.plan.softcap(x, 2.0) }
            }
            7 | 8 => {
                let x = self.any();
                self.norm(x)
            }
            9 => self.attention(),
            10 => self.mixture(),
            _ => self.chain(),
        };
        self.values.push(value);
    }

    /// Neighbours as models have them, of which nobody else reads what they pass on: what fusion is made for.
    fn chain(&mut self) -> Columns {
        let width = self.width();
        match self.random.below(4) {
            0 => {
                let (residual, y) = (self.of_width(width), self.project(width));
                let y = self.plan.scale(y, 0.5);
                self.plan.add(residual, y)
            }
            1 => {
                let a = self.any();
                let b = self.of_width(a.width);
                let sum = self.plan.add(a, b);
                if self.random.below(2) == 0 {
                    self.values.push(sum);
                }
                self.norm(sum)
            }
            2 => {
                let x = self.any();
                let h = self.norm(x);
                let scales = [ActivationScale::PerToken, ActivationScale::PerTensor(0.05)];
                let format = WeightFormat::W8a8(scales[self.random.below(2)]);
                let y = self.project_from(h, width, format);
                if self.random.below(2) == 0 {
                    return y;
                }
                let z = self.project_from(h, width, format);
                self.plan.add(y, z)
            }
            _ => {
                let (x, format) = (self.any(), self.format());
                let (gate, up) = (self.project_from(x, width, format), self.project_from(x, width, format));
                let function = self.function();
                let h = self.plan.gated(gate, up, function);
                self.project_from(h, x.width, format)
            }
        }
    }

    fn norm(&mut self, x: Columns) -> Columns {
        let name = self.name();
        let weight = self.plan.vector(name.clone(), x.width);
        match self.random.below(3) {
            0 => self.plan.rms_norm(x, weight, 1e-3),
            1 => self.plan.rms_norm_offset(x, weight, 1e-3),
            _ => {
                let bias = self.plan.vector(format!("{name}.bias"), x.width);
                self.plan.layer_norm(x, weight, Some(bias), 1e-3)
            }
        }
    }

    fn attention(&mut self) -> Columns {
        let (kv_heads, shared) = (1 + self.random.below(3), 1 + self.random.below(3));
        let dim = [4, 8, 16][self.random.below(3)];
        let mut q = self.of_width(kv_heads * shared * dim);
        let mut k = self.of_width(kv_heads * dim);
        let v = self.of_width(kv_heads * dim);
        if self.random.below(2) == 0 {
            let rope = self.plan.rope_spec(RopeSpec::new(dim, 10_000.0));
            q = self.plan.rope(q, rope);
            k = self.plan.rope(k, rope);
        }
        let cache = self.plan.cache(kv_heads, dim);
        self.plan.attention(q, k, v, cache, kv_heads * shared)
    }

    fn mixture(&mut self) -> Columns {
        const EXPERTS: usize = 4;
        // Routed by the caller's own numbers: a choice among numbers that are not exact may turn either
        // way, and everything after it with it.
        let input = self.values[0].columns(0, EXPERTS);
        let how = ExpertOutput {
            top_k: 1 + self.random.below(3),
            scoring: [Scoring::Softmax, Scoring::Sigmoid][self.random.below(2)],
            renormalize: self.random.below(2) == 0,
            factor: 1.0,
            selection_bias: None,
        };
        let routed = self.plan.route(input, how);
        let (x, width, name) = (self.any(), self.width(), self.name());
        let format = FORMATS[self.random.below(FORMATS.len())];
        let up = self.plan.matrix(format!("{name}_up"), EXPERTS * width, x.width, format);
        let down = self.plan.matrix(format!("{name}_down"), EXPERTS * 24, width, format);
        let h = self.plan.expert_linear(x, routed, EXPERTS, up);
        let h = if self.random.below(2) == 0 { self.plan.activate(h, Function::Silu) } else { h };
        let y = self.plan.expert_linear(h, routed, EXPERTS, down);
        self.plan.expert_combine(y, routed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Fusion;

    #[test]
    fn every_rewrite_is_at_work_in_many_plans() {
        let plans = (0..PLANS).map(|number| {
            let plan = drawn_plan(&mut Random::named(&format!("random plan {number}"))).unwrap();
            let fused = plan.fused(FusionSet::all()).unwrap();
            (plan, fused)
        });
        let plans = plans.collect::<Vec<_>>();
        for (fusion, least) in [
            (Fusion::SelectEarly, 100),
            (Fusion::MergeProjections, 40),
            (Fusion::FoldScales, 50),
            (Fusion::FoldResiduals, 90),
            (Fusion::AddNorm, 45),
            (Fusion::RotateStore, 40),
            (Fusion::Quantize, 60),
        ] {
            // A rewrite is at work where the plan would be another without it.
            let without = FusionSet::all().without(fusion);
            let at_work = plans.iter().filter(|(plan, fused)| plan.fused(without).unwrap() != *fused).count();
            assert!(at_work >= least, "{} is at work in {at_work} of {PLANS} plans only", fusion.name());
        }
        let with_dead_values = plans.iter().filter(|(plan, _)| !unread(plan).is_empty()).count();
        assert!(with_dead_values >= 75, "only {with_dead_values} plans compute what nobody reads");
        let with_taps = plans.iter().filter(|(plan, _)| !plan.taps.is_empty()).count();
        assert!(with_taps >= 125, "only {with_taps} plans hand out more than logits");
    }
}
