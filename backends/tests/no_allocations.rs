//! What a step allocates on the CPU once a plan is prepared: tables of the batch and the results, nothing that operators
//! work in. A test of its own, since it counts what the whole process asks of its allocator.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ingle_backends::cpu::CpuBackend;
use ingle_backends::format::{ActivationScale, CacheFormat, Int4Group, Int8Group, WeightFormat};
use ingle_backends::plan::{
    BatchLimits, Columns, ExpertOutput, FusionSet, MatrixPart, Plan, PlanBuilder, PlanError, RopeId,
    RopeSpec, Scoring,
};
use ingle_backends::sampling::Sampling;
use ingle_backends::{
    Backend, BackendError, Batch, CacheOptions, DeviceId, LogitRows, PrepareOptions, Runner, SequenceStep,
    SyntheticWeights, Tokens, no_progress,
};

/// The system's allocator, which notes how many bytes it is asked for and how many at once at most.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

fn note(bytes: usize) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
    LARGEST.fetch_max(bytes, Ordering::Relaxed);
}

// SAFETY: everything is handed on to the system's allocator, whose promises these are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size.saturating_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that were asked for during a call, and the largest single request.
fn counted(call: impl FnOnce()) -> (usize, usize) {
    BYTES.store(0, Ordering::Relaxed);
    LARGEST.store(0, Ordering::Relaxed);
    call();
    (BYTES.load(Ordering::Relaxed), LARGEST.load(Ordering::Relaxed))
}

const HIDDEN: usize = 512;
const HEAD_DIM: usize = 64;
const HEADS: usize = 8;
const KV_HEADS: usize = 2;
const FEATURES: usize = 640;
const EXPERTS: usize = 6;
const VOCABULARY: usize = 3000;
const LIMITS: BatchLimits = BatchLimits { rows: 200, selected: 24, sequences: 24 };
const CONTEXT: usize = 1500;
const CACHE: CacheOptions = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 400 };

/// What rayon asks for now and then, whatever it runs: a block of 63 jobs in its queue.
const RAYON: usize = 63 * 24 + 8;

/// One layer of attention and a feed-forward part in a format; a residual factor where `factor` says so.
fn layer(
    plan: &mut PlanBuilder,
    name: &str,
    x: Columns,
    rope: RopeId,
    format: WeightFormat,
    factor: f32,
) -> Columns {
    let norm = plan.vector(format!("{name}.norm"), HIDDEN);
    let h = plan.rms_norm(x, norm, 1e-6);
    let project = |plan: &mut PlanBuilder, part: &str, rows: usize| {
        let matrix = plan.matrix(format!("{name}.{part}"), rows, HIDDEN, format);
        plan.linear(h, matrix)
    };
    let (q, k) = (project(plan, "q", HEADS * HEAD_DIM), project(plan, "k", KV_HEADS * HEAD_DIM));
    let v = project(plan, "v", KV_HEADS * HEAD_DIM);
    let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
    let cache = plan.cache(KV_HEADS, HEAD_DIM);
    let h = plan.attention(q, k, v, cache, HEADS);
    let out = plan.matrix(format!("{name}.out"), HIDDEN, HEADS * HEAD_DIM, format);
    let h = plan.linear(h, out);
    let h = plan.scale(h, factor);
    let x = plan.add(x, h);
    let norm = plan.vector(format!("{name}.norm2"), HIDDEN);
    let h = plan.rms_norm(x, norm, 1e-6);
    let gate = plan.matrix(format!("{name}.gate"), FEATURES, HIDDEN, format);
    let up = plan.matrix(format!("{name}.up"), FEATURES, HIDDEN, format);
    let down = plan.matrix(format!("{name}.down"), HIDDEN, FEATURES, format);
    let (gate, up) = (plan.linear(h, gate), plan.linear(h, up));
    let h = plan.silu_mul(gate, up);
    let h = plan.linear(h, down);
    plan.add(x, h)
}

/// A mixture of experts.
fn experts(plan: &mut PlanBuilder, x: Columns, format: WeightFormat) -> Columns {
    let router = plan.matrix("router", EXPERTS, HIDDEN, WeightFormat::F32);
    let logits = plan.linear(x, router);
    let how = ExpertOutput {
        top_k: 2,
        scoring: Scoring::Softmax,
        selection_bias: None,
        renormalize: true,
        factor: 1.0,
    };
    let routed = plan.route(logits, how);
    let part = |e| MatrixPart { tensor: format!("expert.{e}"), first_row: 0, rows: HIDDEN };
    let matrix = plan.matrix_of((0..EXPERTS).map(part).collect(), HIDDEN, format);
    let h = plan.expert_linear(x, routed, EXPERTS, matrix);
    let h = plan.expert_combine(h, routed);
    plan.add(x, h)
}

/// A decoder that has a layer in each kind of format, all fusions applied.
fn plan() -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", VOCABULARY, HIDDEN, WeightFormat::F16);
    let rope = plan.rope_spec(RopeSpec::new(HEAD_DIM, 1e4));
    let mut x = plan.embed(table);
    for (index, format) in [
        WeightFormat::F32,
        WeightFormat::Bf16,
        WeightFormat::Int8(Int8Group::G32),
        WeightFormat::Nf4,
        WeightFormat::Int4(Int4Group::G32),
        WeightFormat::W8a8(ActivationScale::PerToken),
    ]
    .into_iter()
    .enumerate()
    {
        let factor = if index % 2 == 0 { 1.0 } else { 0.5 };
        x = layer(&mut plan, &index.to_string(), x, rope, format, factor);
    }
    x = experts(&mut plan, x, WeightFormat::Int8(Int8Group::G64));
    let logits = plan.logits(x, table);
    plan.sample(logits);
    plan.finish()?.fused(FusionSet::all())
}

/// Hands pages out, and makes sequences that end in a draw with everything that it may need.
struct Sequences {
    next_page: u32,
}

impl Sequences {
    fn of(&mut self, start: usize, tokens: usize) -> SequenceStep {
        let pages = (start + tokens).div_ceil(CACHE.page_tokens) as u32;
        let first = self.next_page;
        self.next_page += pages;
        let sampling = Sampling {
            temperature: 0.8,
            repetition_penalty: 1.1,
            bias: vec![(3, 1.0)],
            history: (0..start as u32).map(|token| token % VOCABULARY as u32).collect(),
            ..Sampling::greedy()
        };
        SequenceStep {
            tokens: Tokens::Ids((0..tokens as u32).map(|token| token * 7 % VOCABULARY as u32).collect()),
            start: start as u32,
            pages: (first..self.next_page).collect(),
            logits: LogitRows::None,
            sample: Some(sampling),
        }
    }
}

/// A batch of sequences, each given by its start and its number of tokens.
fn batch(sequences: &[(usize, usize)]) -> Batch {
    let mut pages = Sequences { next_page: 0 };
    Batch {
        sequences: sequences.iter().map(|(start, tokens)| pages.of(*start, *tokens)).collect(),
        inputs: vec![],
    }
}

/// The kinds of steps, each as large as it can be.
fn largest_steps() -> Vec<(&'static str, Batch)> {
    let decodes = |count: usize| vec![(100, 1); count];
    let mixed = [decodes(LIMITS.sequences - 1), vec![(0, LIMITS.rows + 1 - LIMITS.sequences)]].concat();
    let prompts = [vec![(0, 12); 14], vec![(0, 32)]].concat();
    vec![
        ("a prompt", batch(&[(0, LIMITS.rows)])),
        ("a piece of a long prompt", batch(&[(CONTEXT, LIMITS.rows)])),
        ("decoding", batch(&decodes(LIMITS.sequences))),
        ("decoding one with a long context", batch(&[(CONTEXT, 1)])),
        ("decoding beside a prompt", batch(&mixed)),
        ("prompts", batch(&prompts)),
    ]
}

fn prepare(plan: &Arc<Plan>, cache: CacheFormat, threads: usize) -> Result<Box<dyn Runner>, BackendError> {
    let device = DeviceId { backend: "cpu", index: 0 };
    let options =
        PrepareOptions { cache: CacheOptions { format: cache, ..CACHE }, limits: LIMITS, tier: None };
    let backend = CpuBackend::with_threads(threads);
    let weights = SyntheticWeights::default();
    backend.prepare(&device, Arc::clone(plan), &weights, &options, &mut no_progress)
}

/// The contract: memory is reserved in `prepare`, and nowhere else.
///
/// What a step may still ask for is the tables of its batch, some numbers for each row, sequence and page, and its
/// results; all of that is gone when the next step comes, so every step of the same batch asks for the same. An operator's
/// memory, on the other hand, is kept, so it would show as a first step that asks for more than those after it,
/// and, as soon as it holds anything for each element of a row, as more than a few numbers for each row.
#[test]
fn steps_allocate_nothing_that_operators_work_in() {
    let (bytes, largest) = counted(|| drop(std::hint::black_box(vec![0_u8; 12_345])));
    assert!(bytes >= 12_345 && largest >= 12_345, "the counting counts");

    let plan = Arc::new(plan().unwrap());
    for (cache, threads) in [(CacheFormat::F16, 1), (CacheFormat::Int8, 2), (CacheFormat::F16, 3)] {
        let mut runner = prepare(&plan, cache, threads).unwrap();
        // The smallest step there is starts what starts once.
        runner.step(&batch(&[(0, 1)])).unwrap();
        for (name, batch) in largest_steps() {
            let mut step = || {
                counted(|| {
                    runner.step(&batch).unwrap();
                })
            };
            let (first, largest) = step();
            let later = (0..4).map(|_| step().0).collect::<Vec<_>>();
            let least = *later.iter().min().unwrap();
            println!(
                "{threads} threads, {cache}: {name}: {first} bytes, then {later:?}; at most {largest} at once"
            );
            assert!(
                first <= least + RAYON,
                "{name}: the first step asks for {first} bytes, later ones for {later:?}"
            );
            let tokens = batch.sequences.iter().map(|sequence| sequence.tokens.len()).sum::<usize>();
            let pages =
                batch.sequences.iter().map(|sequence| sequence.pages.len()).sum::<usize>() + CACHE.pages;
            let tables = 32 * tokens + 32 * pages + 256 * batch.sequences.len() + RAYON;
            assert!(first <= tables, "{name}: {first} bytes are more than tables of {tables}");
        }
    }
}
