//! A tiny model on the CPU, and what it writes when it is stepped by hand.

use std::sync::Arc;

use inglenook::backend::cpu::CpuBackend;
use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::backend::plan::{BatchLimits, Function, FusionSet, Plan, RopeSpec};
use inglenook::backend::sampling::Sampling;
use inglenook::backend::{
    Backend, Batch, CacheOptions, LogitRows, PrepareOptions, Runner, SequenceStep, SyntheticWeights, Tokens,
    no_progress,
};
use inglenook::engine::Request;
use inglenook::models::arch::Dimensions;
use inglenook::models::arch::llama::Llama;
use inglenook::models::{Architecture, WeightFormats};

pub(crate) const PAGE_TOKENS: usize = 4;

pub(crate) fn architecture() -> Llama {
    Llama::from(Dimensions {
        hidden: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        feed_forward: 96,
        activation: Function::Silu,
        vocabulary: 300,
        context: 512,
        epsilon: 1e-5,
        rope: RopeSpec::new(16, 10_000.0).into(),
        tied: false,
    })
}

pub(crate) fn plan() -> Arc<Plan> {
    let plan = architecture().plan(&WeightFormats::uniform(WeightFormat::F32).into()).unwrap();
    Arc::new(plan.fused(FusionSet::all()).unwrap())
}

pub(crate) fn options(pages: usize) -> PrepareOptions {
    PrepareOptions {
        cache: CacheOptions { format: CacheFormat::F16, page_tokens: PAGE_TOKENS, pages },
        limits: BatchLimits { rows: 24, selected: 8, sequences: 8 },
        tier: None,
    }
}

pub(crate) fn runner(plan: &Arc<Plan>, options: &PrepareOptions) -> Box<dyn Runner> {
    let backend = CpuBackend::default();
    let device = backend.devices().remove(0).id;
    let weights = SyntheticWeights { seed: 5 };
    backend.prepare(&device, Arc::clone(plan), &weights, options, &mut no_progress).unwrap()
}

pub(crate) fn prompt(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| (i * 7919 + seed * 104_729 + i * i) % 300).collect()
}

/// What a runner of its own writes after a prompt, one token at a time from the start.
pub(crate) fn by_hand(prompt: &[u32], count: usize, sampling: &Sampling) -> Vec<u32> {
    let plan = plan();
    let options = options(128);
    let mut runner = runner(&plan, &options);
    let mut tokens = prompt.to_vec();
    let mut done = 0;
    while tokens.len() < prompt.len() + count {
        let end = (done + 1).min(tokens.len());
        let step = SequenceStep {
            tokens: Tokens::Ids(tokens[done..end].to_vec()),
            start: done as u32,
            pages: (0..end.div_ceil(PAGE_TOKENS) as u32).collect(),
            logits: LogitRows::None,
            sample: (end == tokens.len()).then(|| sampling.clone()),
        };
        let output = runner.step(&Batch { sequences: vec![step], inputs: vec![] }).unwrap();
        tokens.extend(output.tokens[0]);
        done = end;
    }
    tokens[prompt.len()..].to_vec()
}

pub(crate) fn request(tokens: Vec<u32>, max_tokens: usize) -> Request {
    Request { max_tokens, ..Request::new(tokens) }
}
