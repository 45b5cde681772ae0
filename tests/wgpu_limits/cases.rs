//! Small plans whose matrices do not fit a binding of [`TINY`] bytes, so that each is cut into several pieces.

use ingle_backends::conformance::{Case, CaseSpec, Group, Random, Step};
use ingle_backends::format::{ActivationScale, CacheFormat, Int4Group, Int8Group, WeightFormat};
use ingle_backends::plan::{
    ExpertOutput, Function, FusionSet, Linear, LinearWeights, Op, Plan, PlanBuilder, PlanError, RopeSpec,
    Rows, Scoring, Shape,
};
use ingle_backends::sampling::Sampling;
use ingle_backends::{Batch, CacheOptions, InputRows, LogitRows, SequenceStep, Tokens, WeightMap};
use inglenook::models::arch::Dimensions;
use inglenook::models::arch::llama::Llama;
use inglenook::models::{Architecture, WeightFormats};

/// What a kernel is shown at most in these cases.
pub(crate) const TINY: u64 = 128 << 10;

/// A format for each way that codes and scales are laid out.
const FORMATS: [WeightFormat; 7] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Int8(Int8Group::G64),
    WeightFormat::Nf4,
    WeightFormat::Int4(Int4Group::G128),
    WeightFormat::W8a8(ActivationScale::PerToken),
];

/// Plans without a cache get the smallest there is.
const NO_CACHE: CacheOptions = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 1 };

/// Products, embeddings, experts, logits, and whole models.
pub(crate) fn cut() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for format in FORMATS {
        let named = |what: &str| format!("{what} {format} in pieces");
        cases.push(CaseSpec::new(Group::Linear, named("linear"), move |random| linear(format, random)));
        cases.push(CaseSpec::new(Group::Embed, named("embed"), move |random| embed(format, random)));
    }
    for format in [WeightFormat::F16, FORMATS[3], WeightFormat::Nf4, FORMATS[6]] {
        let name = format!("experts {format} in pieces");
        cases.push(CaseSpec::new(Group::Experts, name, move |random| experts(format, random)));
    }
    cases
        .push(CaseSpec::new(Group::Rows, "logits and tokens in pieces", |random| logits(FORMATS[3], random)));
    cases.push(CaseSpec::new(Group::Sequences, "llama in pieces", |random| model(WeightFormat::Nf4, random)));
    cases
}

/// One matrix of `rows` rows of 4 KiB, for limits that only a large one exceeds.
pub(crate) fn large(rows: usize) -> CaseSpec {
    CaseSpec::new(Group::Linear, format!("{rows} rows of 4 KiB"), move |random| {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 1024);
        let matrix = plan.matrix("w", rows, 1024, WeightFormat::F32);
        let y = plan.linear(x, matrix);
        plan.tap(y);
        Ok(over_rows(plan.finish()?, &[1], random))
    })
}

/// Rows of a matrix in one piece.
pub(crate) fn rows_per_piece(format: WeightFormat, cols: usize) -> usize {
    let row = format.row_bytes(cols).next_multiple_of(16);
    (TINY as usize / row) & !1
}

/// A product plain, and one with everything that may go with it.
fn linear(format: WeightFormat, random: &mut Random) -> Result<Case, PlanError> {
    let (n, k) = (301, 960);
    assert!(rows_per_piece(format, k) < n, "{format} is not cut");
    let mut plan = PlanBuilder::new();
    let (x, residual) = (plan.input("x", k), plan.input("residual", n));
    let (matrix, bias) = (plan.matrix("w", n, k, format), plan.vector("bias", n));
    let plain = plan.linear(x, matrix);
    let y = plan.value("y", Shape::rows_of(Rows::Tokens, n));
    let everything = Linear {
        input: x,
        matrix,
        bias: Some(bias),
        factor: -0.37,
        residual: Some(residual),
        output: y.value,
    };
    plan.push("linear", Op::Linear(everything));
    plan.tap(plain);
    plan.tap(y);
    Ok(over_rows(plan.finish()?, &[1, 3, 33], random))
}

fn embed(format: WeightFormat, random: &mut Random) -> Result<Case, PlanError> {
    let (vocabulary, width) = (1500, 192);
    let piece = rows_per_piece(format, width);
    assert!(piece < vocabulary, "{format} is not cut");
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", vocabulary, width, format);
    let x = plan.embed(table);
    plan.tap(x);
    let plan = plan.finish()?;
    // Tokens of all pieces, and those on both sides of a border.
    let spread = (0..100).map(|i| (i * vocabulary / 100) as u32).chain([vocabulary as u32 - 1]).collect();
    let border = (piece as u32 - 2..piece as u32 + 2).collect();
    let steps = [spread, border]
        .map(|ids: Vec<u32>| Step::Run(Batch { sequences: vec![rows_of(ids)], inputs: vec![] }));
    let weights = weights(&plan, random);
    Ok(Case::new(plan, weights, NO_CACHE, steps.to_vec()))
}

/// A whole mixture; the matrices of some experts begin in one piece and end in another.
fn experts(format: WeightFormat, random: &mut Random) -> Result<Case, PlanError> {
    const EXPERTS: usize = 6;
    let (hidden, inner) = (420, 130);
    for (rows, cols) in [(inner, hidden), (hidden, inner)] {
        let piece = rows_per_piece(format, cols);
        assert!(piece < EXPERTS * rows && !piece.is_multiple_of(rows), "{format}: no expert is cut");
    }
    let mut plan = PlanBuilder::new();
    let (x, logits) = (plan.input("x", hidden), plan.input("logits", EXPERTS));
    let how = ExpertOutput {
        top_k: 3,
        scoring: Scoring::Softmax,
        renormalize: true,
        factor: 1.0,
        selection_bias: None,
    };
    let routed = plan.route(logits, how);
    let mut expert = |name: &str, rows: usize, cols: usize| LinearWeights {
        matrix: plan.matrix(name, EXPERTS * rows, cols, format),
        bias: Some(plan.vector(format!("{name}.bias"), EXPERTS * rows)),
    };
    let (up, down) = (expert("up", inner, hidden), expert("down", hidden, inner));
    let up = plan.expert_linear(x, routed, EXPERTS, up);
    let h = plan.activate(up, Function::Silu);
    let down = plan.expert_linear(h, routed, EXPERTS, down);
    let y = plan.expert_combine(down, routed);
    for value in [up, down, y] {
        plan.tap(value);
    }
    Ok(over_rows(plan.finish()?, &[1, 24], random))
}

/// From tokens to drawn tokens, the table and the head in pieces.
fn logits(format: WeightFormat, random: &mut Random) -> Result<Case, PlanError> {
    let (vocabulary, width) = (3000, 192);
    assert!(rows_per_piece(format, width) < vocabulary, "{format} is not cut");
    let mut plan = PlanBuilder::new();
    let (table, head) =
        (plan.matrix("embedding", vocabulary, width, format), plan.matrix("head", vocabulary, width, format));
    let x = plan.embed(table);
    let logits = plan.logits(x, head);
    plan.sample(logits);
    let plan = plan.finish()?;
    let mut ids = |count: usize| (0..count).map(|_| random.below(vocabulary) as u32).collect::<Vec<_>>();
    let warm = Sampling { temperature: 0.8, top_k: 40, seed: 3, ..Sampling::greedy() };
    let first = SequenceStep { logits: LogitRows::All, sample: Some(Sampling::greedy()), ..rows_of(ids(8)) };
    let second = SequenceStep { logits: LogitRows::Last, sample: Some(warm), ..rows_of(ids(3)) };
    let one = SequenceStep { logits: LogitRows::Last, sample: Some(Sampling::greedy()), ..rows_of(ids(1)) };
    let steps =
        [vec![first, second], vec![one]].map(|sequences| Step::Run(Batch { sequences, inputs: vec![] }));
    let weights = weights(&plan, random);
    Ok(Case::new(plan, weights, NO_CACHE, steps.to_vec()))
}

/// A model as it is loaded, fused: two prompts, and replies that go on from tokens nobody has read.
fn model(format: WeightFormat, random: &mut Random) -> Result<Case, PlanError> {
    let llama = llama();
    let plain = llama.plan(&WeightFormats::usual(format).into())?;
    let fused = plain.clone().fused(FusionSet::all())?;
    let pieces = |m: &ingle_backends::plan::Matrix| m.rows.div_ceil(rows_per_piece(m.format, m.cols));
    assert!(fused.matrices.iter().filter(|m| pieces(m) > 1).count() > 2, "hardly anything is cut");
    let weights = weights(&plain, random);
    let mut prompt = |count: usize| (0..count).map(|_| random.below(2000) as u32).collect::<Vec<_>>();
    let step = |tokens: Tokens, start: u32, pages: std::ops::Range<u32>, seed: Option<u64>| SequenceStep {
        tokens,
        start,
        pages: pages.collect(),
        logits: LogitRows::Last,
        sample: Some(seed.map_or_else(Sampling::greedy, |seed| Sampling {
            temperature: 0.7,
            seed,
            ..Sampling::greedy()
        })),
    };
    let batch = |sequences| Batch { sequences, inputs: vec![] };
    let mut steps = vec![
        Step::Run(batch(vec![step(Tokens::Ids(prompt(15)), 0, 0..4, None)])),
        Step::Ahead(batch(vec![
            step(Tokens::Ids(prompt(1)), 15, 0..4, None),
            step(Tokens::Ids(prompt(9)), 0, 8..11, Some(7)),
        ])),
    ];
    for done in 0..3 {
        steps.push(Step::Ahead(batch(vec![
            step(Tokens::Sampled(0), 16 + done, 0..5, None),
            step(Tokens::Sampled(1), 9 + done, 8..11, Some(7)),
        ])));
    }
    let cache = CacheOptions { format: CacheFormat::F16, page_tokens: 4, pages: 12 };
    Ok(Case::new(fused, weights, cache, steps).with_reference(plain))
}

/// A model of two layers.
pub(crate) fn llama() -> Llama {
    Llama::from(Dimensions {
        hidden: 256,
        layers: 2,
        heads: 16,
        kv_heads: 4,
        head_dim: 16,
        feed_forward: 704,
        activation: Function::Silu,
        vocabulary: 2000,
        context: 512,
        epsilon: 1e-5,
        rope: RopeSpec::new(16, 10_000.0).into(),
        tied: false,
    })
}

/// A sequence of these tokens, for plans without a cache.
fn rows_of(ids: Vec<u32>) -> SequenceStep {
    SequenceStep { tokens: Tokens::Ids(ids), start: 0, pages: vec![], logits: LogitRows::None, sample: None }
}

/// Steps of so many rows of input.
fn over_rows(plan: Plan, rows: &[usize], random: &mut Random) -> Case {
    let weights = weights(&plan, random);
    let batch = |rows: &usize| {
        let inputs = plan.inputs().map(|value| {
            let count = rows * plan.values[value.index()].shape.width;
            InputRows { value, data: random.activations(count) }
        });
        let inputs = inputs.collect();
        Step::Run(Batch { sequences: vec![rows_of(vec![0; *rows])], inputs })
    };
    let steps = rows.iter().map(batch).collect();
    Case::new(plan, weights, NO_CACHE, steps)
}

/// Random numbers for all that a plan names; products keep the size of their inputs.
fn weights(plan: &Plan, random: &mut Random) -> WeightMap {
    let mut weights = WeightMap::default();
    for matrix in &plan.matrices {
        let bound = (3.0 / matrix.cols as f64).sqrt();
        for part in &matrix.parts {
            let count = (part.first_row + part.rows) * matrix.cols;
            let numbers = (0..count).map(|_| random.symmetric(bound) as f32).collect();
            weights.insert(part.tensor.clone(), matrix.cols, numbers);
        }
    }
    for (tensor, len) in plan.vectors.iter().flat_map(|vector| &vector.parts) {
        let around = if tensor.contains("bias") { 0.0 } else { 1.0 };
        let numbers = (0..*len).map(|_| (around + random.symmetric(0.5)) as f32).collect();
        weights.insert(tensor.clone(), *len, numbers);
    }
    weights
}
