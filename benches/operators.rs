//! The operators of the CPU backend, beside a plain read of memory in the same run.
//!
//! `cargo bench --bench operators` measures each operator through the contract, as an engine would run
//! it, and closes with a table of bytes per second and their share of the plain read. Each case is a
//! plan that runs one operator over and over with other weights each time, more than caches hold, so
//! that memory is what is measured. `INGLE_BENCH_BACKEND` names a device other than `cpu`.

#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

mod summary;

use std::sync::Arc;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::backend::plan::{BatchLimits, Columns, Plan, PlanBuilder, RopeSpec, StepShape, ValueId};
use inglenook::backend::sampling::Sampling;
use inglenook::backend::{
    Batch, CacheOptions, InputRows, LogitRows, PrepareOptions, Runner, SequenceStep, SyntheticWeights,
    Tokens, no_progress,
};
use inglenook::{Device, find_device};

/// Adds an operator to a plan.
type Build = fn(&mut PlanBuilder, Columns) -> Columns;

/// Bytes of weights that a step reads: well beyond any last-level cache.
const WORKING_SET: u64 = 1 << 30;

fn main() {
    let name = std::env::var("INGLE_BENCH_BACKEND").unwrap_or_else(|_| "cpu".to_owned());
    let device = find_device(&name).unwrap();
    let bandwidth = device.backend.measure_bandwidth(&device.info.id).unwrap();
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    linear(&mut criterion, &device);
    attention(&mut criterion, &device);
    small_operators(&mut criterion, &device);
    sampling(&mut criterion, &device);
    criterion.final_summary();
    let after = device.backend.measure_bandwidth(&device.info.id).unwrap();
    summary::print(&device.info.name, bandwidth.max(after));
}

/// Projections in every format, for one row, a few, and a prompt's worth.
fn linear(criterion: &mut Criterion, device: &Device) {
    const ROWS: usize = 8192;
    const COLS: usize = 2048;
    let mut group = criterion.benchmark_group("linear 8192x2048");
    for name in ["f32", "f16", "bf16", "int8", "nf4", "w8a8"] {
        let format: WeightFormat = name.parse().unwrap();
        let one = format.bytes(ROWS, COLS) as u64;
        for (tokens, working_set) in [(1, WORKING_SET), (4, WORKING_SET), (128, WORKING_SET / 8)] {
            let count = working_set.div_ceil(one);
            let mut plan = PlanBuilder::new();
            let x = plan.input("x", COLS);
            for index in 0..count {
                let matrix = plan.matrix(format!("w{index}"), ROWS, COLS, format);
                plan.linear(x, matrix);
            }
            bench(&mut group, device, &format!("{name} rows {tokens}"), plan.finish().unwrap(), tokens, 0);
        }
    }
}

/// One row's attention over contexts of both page formats, as in a Llama of 8 billion.
fn attention(criterion: &mut Criterion, device: &Device) {
    let mut group = criterion.benchmark_group("attention 32/8x128");
    for format in [CacheFormat::F16, CacheFormat::Int8] {
        for context in [1024, 4096] {
            // As many layers as it takes to leave the caches behind.
            let layers = (WORKING_SET as usize / 2 / (context * 8 * 128 * 4)).clamp(1, 64);
            let mut plan = PlanBuilder::new();
            let q = plan.input("q", 32 * 128);
            let kv = plan.input("kv", 8 * 128);
            for _ in 0..layers {
                let cache = plan.cache(8, 128);
                plan.attention(q, kv, kv, cache, 32);
            }
            let name = format!("{format} context {context}");
            bench_with_cache(&mut group, device, &name, plan.finish().unwrap(), 1, context, format);
        }
    }
}

/// What stands between the projections, for one row and for a prompt's worth.
fn small_operators(criterion: &mut Criterion, device: &Device) {
    let mut group = criterion.benchmark_group("width 4096");
    let operators: [(&str, Build); 3] = [
        ("rms_norm", |plan, x| {
            let weight = plan.vector("norm", 4096);
            plan.rms_norm(x, weight, 1e-5)
        }),
        ("silu_mul", |plan, x| plan.silu_mul(x, x)),
        ("rope", |plan, x| {
            let rope = plan.rope_spec(RopeSpec::new(128, 500_000.0));
            plan.rope(x, rope)
        }),
    ];
    for (name, build) in operators {
        for tokens in [1, 128] {
            let mut plan = PlanBuilder::new();
            let x = plan.input("x", 4096);
            for _ in 0..16 {
                build(&mut plan, x);
            }
            bench(&mut group, device, &format!("{name} rows {tokens}"), plan.finish().unwrap(), tokens, 0);
        }
    }
}

/// Drawing a token from a vocabulary of Llama 3's size.
fn sampling(criterion: &mut Criterion, device: &Device) {
    let mut group = criterion.benchmark_group("sample 128256");
    let options = [
        ("greedy", Sampling::greedy()),
        ("top-p 0.95", Sampling { temperature: 0.8, top_p: 0.95, ..Sampling::greedy() }),
        ("top-k 40", Sampling { temperature: 0.8, top_k: 40, ..Sampling::greedy() }),
    ];
    for (name, sampling) in options {
        let mut plan = PlanBuilder::new();
        let logits = plan.input("logits", 128_256);
        plan.sample(logits);
        let plan = Arc::new(plan.finish().unwrap());
        let mut batch = batch(&plan, 1, 0, &CacheOptions::default());
        batch.sequences[0].sample = Some(sampling);
        let mut runner = prepare(device, &plan, 1, CacheOptions::default());
        group.throughput(Throughput::Bytes(4 * 128_256));
        group.bench_function(name, |bencher| bencher.iter(|| runner.step(&batch).unwrap()));
    }
}

fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    device: &Device,
    name: &str,
    plan: Plan,
    tokens: usize,
    context: usize,
) {
    bench_with_cache(group, device, name, plan, tokens, context, CacheFormat::F16);
}

/// Steps a plan with `tokens` rows at `context`, and states the bytes that its nodes must move.
fn bench_with_cache(
    group: &mut BenchmarkGroup<'_, WallTime>,
    device: &Device,
    name: &str,
    plan: Plan,
    tokens: usize,
    context: usize,
    format: CacheFormat,
) {
    let plan = Arc::new(plan);
    let cache = CacheOptions { format, page_tokens: 16, pages: (context + tokens).div_ceil(16) };
    let mut runner = prepare(device, &plan, tokens, cache);
    if context > 0 {
        // Fills the pages, so that what is read later has been written.
        let mut at = 0;
        while at < context {
            let mut filling = batch(&plan, tokens, at, &cache);
            filling.sequences[0].pages.truncate((at + tokens).div_ceil(16));
            runner.step(&filling).unwrap();
            at += tokens;
        }
    }
    let batch = batch(&plan, tokens, context, &cache);
    let step = StepShape { sequences: vec![(tokens, context)], selected: 0, cache };
    group.throughput(Throughput::Bytes(plan.total_cost(&step).bytes() as u64));
    group.bench_function(name, |bencher| bencher.iter(|| runner.step(&batch).unwrap()));
}

fn prepare(device: &Device, plan: &Arc<Plan>, rows: usize, cache: CacheOptions) -> Box<dyn Runner> {
    let limits = BatchLimits { rows, selected: 1, sequences: 1 };
    let options = PrepareOptions { cache, limits, tier: None };
    let weights = SyntheticWeights::default();
    let backend = &device.backend;
    backend.prepare(&device.info.id, Arc::clone(plan), &weights, &options, &mut no_progress).unwrap()
}

/// One sequence of `tokens` rows with inputs of a fixed pattern.
fn batch(plan: &Plan, tokens: usize, start: usize, cache: &CacheOptions) -> Batch {
    let pages = if plan.caches.is_empty() { 0 } else { (start + tokens).div_ceil(cache.page_tokens) };
    let sequence = SequenceStep {
        tokens: Tokens::Ids(vec![0; tokens]),
        start: start as u32,
        pages: (0..pages as u32).collect(),
        logits: LogitRows::None,
        sample: None,
    };
    let pattern = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0;
    let rows = |value: ValueId| {
        let width = plan.values[value.index()].shape.width;
        InputRows { value, data: (0..tokens * width).map(pattern).collect() }
    };
    Batch { sequences: vec![sequence], inputs: plan.inputs().map(rows).collect() }
}
