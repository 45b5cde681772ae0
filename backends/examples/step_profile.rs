//! Where a step of the CPU backend spends its time, on a model of a real one's shape with made-up weights.
//!
//! `cargo run --release --example step_profile -p ingle-backends -- [format] [context] [tier] [times]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ingle_backends::cpu::CpuBackend;
use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{BatchLimits, FusionSet, Plan, PlanBuilder, RopeSpec};
use ingle_backends::sampling::Sampling;
use ingle_backends::{
    Backend, Batch, CacheOptions, LogitRows, PrepareOptions, Runner, SequenceStep, SyntheticWeights, Tokens,
    no_progress,
};

const HIDDEN: usize = 2048;
const LAYERS: usize = 16;
const HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 64;
const MLP: usize = 8192;
const VOCABULARY: usize = 128_256;
const PAGE_TOKENS: usize = 16;

/// The shape of Llama 3.2 1B.
fn plan(format: WeightFormat) -> Result<Plan, Box<dyn std::error::Error>> {
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", VOCABULARY, HIDDEN, format);
    let rope = plan.rope_spec(RopeSpec::new(HEAD_DIM, 500_000.0));
    let mut x = plan.embed(table);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("{layer}.{part}");
        let norm = plan.vector(name("norm1"), HIDDEN);
        let h = plan.rms_norm(x, norm, 1e-5);
        let [q, k, v] = [("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)].map(|(part, heads)| {
            let matrix = plan.matrix(name(part), heads * HEAD_DIM, HIDDEN, format);
            plan.linear(h, matrix)
        });
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let cache = plan.cache(KV_HEADS, HEAD_DIM);
        let attended = plan.attention(q, k, v, cache, HEADS);
        let out = plan.matrix(name("out"), HIDDEN, HEADS * HEAD_DIM, format);
        let attended = plan.linear(attended, out);
        x = plan.add(x, attended);
        let norm = plan.vector(name("norm2"), HIDDEN);
        let h = plan.rms_norm(x, norm, 1e-5);
        let gate = plan.matrix(name("gate"), MLP, HIDDEN, format);
        let up = plan.matrix(name("up"), MLP, HIDDEN, format);
        let down = plan.matrix(name("down"), HIDDEN, MLP, format);
        let (gate, up) = (plan.linear(h, gate), plan.linear(h, up));
        let h = plan.silu_mul(gate, up);
        let h = plan.linear(h, down);
        x = plan.add(x, h);
    }
    let norm = plan.vector("norm", HIDDEN);
    let h = plan.rms_norm(x, norm, 1e-5);
    let logits = plan.logits(h, table);
    plan.sample(logits);
    Ok(plan.finish()?.fused(FusionSet::all())?)
}

fn step(tokens: usize, start: usize) -> Batch {
    let pages = (start + tokens).div_ceil(PAGE_TOKENS) as u32;
    let sequence = SequenceStep {
        tokens: Tokens::Ids((0..tokens as u32).map(|i| i * 97 % 1000).collect()),
        start: start as u32,
        pages: (0..pages).collect(),
        logits: LogitRows::None,
        sample: Some(Sampling::greedy()),
    };
    Batch { sequences: vec![sequence], inputs: vec![] }
}

/// Milliseconds: of the best step, and of each kind of operator.
type Times = (f64, BTreeMap<&'static str, f64>);

/// Milliseconds of several steps: of the best one, and per operator, of the best run of each node. The
/// sum of the latter is what an undisturbed machine would take.
fn measure(
    runner: &mut dyn Runner,
    plan: &Plan,
    batch: &Batch,
    times: usize,
) -> Result<Times, Box<dyn std::error::Error>> {
    let mut best = f64::INFINITY;
    let mut nodes = vec![f64::INFINITY; plan.nodes.len()];
    for _ in 0..times {
        let start = Instant::now();
        runner.step(batch)?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
        let Some(profile) = runner.profile() else { continue };
        for (best, seconds) in nodes.iter_mut().zip(&profile.seconds) {
            *best = best.min(seconds * 1e3);
        }
    }
    let mut by_operator = BTreeMap::new();
    for (node, ms) in plan.nodes.iter().zip(nodes) {
        *by_operator.entry(node.op.name()).or_insert(0.0) += ms;
    }
    Ok((best, by_operator))
}

fn report(what: &str, tokens: usize, (total, by_operator): &Times) {
    println!("{what}: best step {total:.2} ms, {:.1} tokens/s", tokens as f64 / total * 1e3);
    let sum: f64 = by_operator.values().sum();
    for (operator, ms) in by_operator {
        println!("  {operator:11} {ms:9.3} ms {:6.2} %", ms / sum * 100.0);
    }
    let outside = sum - by_operator.get("linear").copied().unwrap_or(0.0);
    println!(
        "  best of each node: {sum:.2} ms, outside of linear {outside:.3} ms, {:.2} %",
        outside / sum * 100.0
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let format: WeightFormat = arguments.first().map_or("int8", String::as_str).parse()?;
    let context: usize = arguments.get(1).map_or("128", String::as_str).parse()?;
    let plan = Arc::new(plan(format)?);
    let options = PrepareOptions {
        cache: CacheOptions {
            format: CacheFormat::F16,
            page_tokens: PAGE_TOKENS,
            pages: (context + 512) / PAGE_TOKENS + 1,
        },
        limits: BatchLimits { rows: 512, selected: 1, sequences: 1 },
        tier: arguments.get(2).filter(|tier| *tier != "best").cloned(),
    };
    let backend = CpuBackend::default();
    let device = backend.devices().remove(0);
    println!("{} with {:?} cores, {format}", device.name, device.parallel_units);
    let weights = SyntheticWeights::default();
    let start = Instant::now();
    let mut runner = backend.prepare(&device.id, Arc::clone(&plan), &weights, &options, &mut no_progress)?;
    println!("prepared in {:.1} s: {}", start.elapsed().as_secs_f64(), runner.memory());
    runner.set_profiling(true);
    let weight_bytes = runner.memory().weights as f64;
    let bandwidth = backend.measure_bandwidth(&device.id)?;
    println!(
        "plain read {:.1} GB/s, floor of a decode {:.2} ms",
        bandwidth / 1e9,
        weight_bytes / bandwidth * 1e3
    );
    let repeat: usize = arguments.get(3).map_or("12", String::as_str).parse()?;
    report("prefill of 128", 128, &measure(&mut *runner, &plan, &step(128, 0), repeat.div_ceil(4))?);
    for first in (0..context).step_by(512) {
        runner.step(&step(512.min(context - first), first))?;
    }
    let decode = measure(&mut *runner, &plan, &step(1, context), repeat)?;
    report(&format!("decode at {context}"), 1, &decode);
    println!("  {:.1} % of the plain read", weight_bytes / (decode.0 / 1e3) / bandwidth * 100.0);
    Ok(())
}
