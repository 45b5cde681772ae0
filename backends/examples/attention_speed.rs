//! How fast the CPU backend attends: a plan of nothing but attention, over contexts of several lengths.
//!
//! `cargo run --release --example attention_speed -p ingle-backends -- [heads] [kv heads] [head dim] [threads] [tier]`

use std::sync::Arc;

use ingle_backends::cpu::CpuBackend;
use ingle_backends::format::CacheFormat;
use ingle_backends::plan::{BatchLimits, Columns, Op, Plan, PlanBuilder, StepShape};
use ingle_backends::{
    Backend, Batch, CacheOptions, InputRows, LogitRows, PrepareOptions, Runner, SequenceStep,
    SyntheticWeights, Tokens, no_progress,
};

const PAGE_TOKENS: usize = 16;
const LONGEST: usize = 8192;
const ROWS: usize = 512;

fn step(inputs: [Columns; 3], rows: usize, start: usize) -> Batch {
    let numbers = |input: Columns| {
        let number = |i: usize| ((i * 7919 + input.width) % 2003) as f32 / 1001.5 - 1.0;
        InputRows { value: input.value, data: (0..rows * input.width).map(number).collect() }
    };
    let sequence = SequenceStep {
        tokens: Tokens::Ids(vec![0; rows]),
        start: start as u32,
        pages: (0..(start + rows).div_ceil(PAGE_TOKENS) as u32).collect(),
        logits: LogitRows::None,
        sample: None,
    };
    Batch { sequences: vec![sequence], inputs: inputs.map(numbers).to_vec() }
}

/// The best time of the attention node, in seconds.
fn best(runner: &mut dyn Runner, plan: &Plan, batch: &Batch) -> Result<f64, Box<dyn std::error::Error>> {
    let node = plan.nodes.iter().position(|node| matches!(node.op, Op::Attention(_))).unwrap_or(0);
    let mut best = f64::INFINITY;
    for _ in 0..30 {
        runner.step(batch)?;
        best = runner.profile().map_or(best, |profile| best.min(profile.seconds[node]));
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (heads, kv_heads, head_dim) = (number(0, 32)?, number(1, 8)?, number(2, 64)?);
    let threads = number(3, 2)?;
    for format in [CacheFormat::F16, CacheFormat::Int8] {
        let mut plan = PlanBuilder::new();
        let q = plan.input("q", heads * head_dim);
        let (k, v) = (plan.input("k", kv_heads * head_dim), plan.input("v", kv_heads * head_dim));
        let cache = plan.cache(kv_heads, head_dim);
        let attended = plan.attention(q, k, v, cache, heads);
        plan.tap(attended);
        let plan = Arc::new(plan.finish()?);
        let options = PrepareOptions {
            cache: CacheOptions { format, page_tokens: PAGE_TOKENS, pages: LONGEST / PAGE_TOKENS + 64 },
            limits: BatchLimits { rows: ROWS, selected: 1, sequences: 1 },
            tier: arguments.get(4).cloned(),
        };
        let backend = CpuBackend::with_threads(threads);
        let device = backend.devices().remove(0);
        let weights = SyntheticWeights::default();
        let mut runner =
            backend.prepare(&device.id, Arc::clone(&plan), &weights, &options, &mut no_progress)?;
        runner.set_profiling(true);
        for start in (0..LONGEST).step_by(ROWS) {
            runner.step(&step([q, k, v], ROWS, start))?;
        }
        for (rows, context) in
            [(1, 128), (1, 1024), (1, 4096), (1, LONGEST - 1), (128, 0), (512, 0), (512, 3584)]
        {
            let seconds = best(&mut *runner, &plan, &step([q, k, v], rows, context))?;
            let shape = StepShape { sequences: vec![(rows, context)], selected: 1, cache: options.cache };
            let cost = plan.total_cost(&shape);
            println!(
                "{format} cache, {rows:3} rows after {context:5}: {:9.1} µs, {:6.2} GB/s of cache, {:6.1} GFLOP/s",
                seconds * 1e6,
                cost.cache_bytes_read / seconds / 1e9,
                cost.operations / seconds / 1e9
            );
        }
    }
    Ok(())
}
