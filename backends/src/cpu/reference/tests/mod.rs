//! Whole plans on the oracle: caches, pages, run-ahead, and what goes wrong.

mod attention;
mod errors;
mod fusion;
mod steps;

use std::sync::Arc;

use super::{ReferenceBackend, ReferenceRunner};
use crate::format::{CacheFormat, WeightFormat};
use crate::plan::{BatchLimits, Plan, PlanBuilder, RopeSpec};
use crate::sampling::Sampling;
use crate::{
    Batch, CacheOptions, LogitRows, PrepareOptions, SequenceStep, SyntheticWeights, Tokens, no_progress,
};

const VOCABULARY: usize = 40;
const CACHE: CacheOptions = CacheOptions { format: CacheFormat::F16, page_tokens: 4, pages: 8 };

/// A small model of two layers with grouped heads, a window in the second layer, and sampling.
fn model() -> Plan {
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", VOCABULARY, 16, WeightFormat::F16);
    let rope = plan.rope_spec(RopeSpec::new(8, 10_000.0));
    let mut x = plan.embed_scaled(table, 4.0);
    for layer in 0..2 {
        let name = |part: &str| format!("{layer}.{part}");
        let norm = plan.vector(name("norm"), 16);
        let qkv = plan.matrix(name("qkv"), 32, 16, WeightFormat::F16);
        let out = plan.matrix(name("out"), 16, 16, WeightFormat::F16);
        let up = plan.matrix(name("up"), 48, 16, WeightFormat::Nf4);
        let down = plan.matrix(name("down"), 16, 24, WeightFormat::F16);
        let cache = plan.cache(1, 8);
        let h = plan.rms_norm(x, norm, 1e-6);
        let qkv = plan.linear(h, qkv);
        let (q, k) = (plan.rope(qkv.columns(0, 16), rope), plan.rope(qkv.columns(16, 8), rope));
        let attention = crate::plan::Attention {
            query: q,
            cache,
            heads: 2,
            scale: 0.35,
            window: (layer == 1).then_some(3),
            softcap: None,
            sinks: None,
            output: q.value,
        };
        let attended = plan.attend(k, qkv.columns(24, 8), attention);
        let attended = plan.linear(attended, out);
        x = plan.add(x, attended);
        let h = plan.rms_norm(x, norm, 1e-6);
        let gate_up = plan.linear(h, up);
        let h = plan.silu_mul(gate_up.columns(0, 24), gate_up.columns(24, 24));
        let h = plan.linear(h, down);
        x = plan.add(x, h);
    }
    let logits = plan.logits(x, table);
    plan.sample(logits);
    plan.finish().unwrap()
}

fn options(cache: CacheOptions) -> PrepareOptions {
    let limits = BatchLimits { rows: 32, selected: 16, sequences: 4 };
    PrepareOptions { cache, limits, tier: None }
}

fn prepared_with(plan: Plan, cache: CacheOptions) -> ReferenceRunner {
    let weights = SyntheticWeights { seed: 5 };
    ReferenceBackend.prepare_reference(Arc::new(plan), &weights, &options(cache), &mut no_progress).unwrap()
}

fn prepared() -> ReferenceRunner {
    prepared_with(model(), CACHE)
}

/// A sequence that wants all its logits and no token.
fn ask(tokens: &[u32], start: u32, pages: &[u32]) -> SequenceStep {
    let tokens = Tokens::Ids(tokens.to_vec());
    SequenceStep { tokens, start, pages: pages.to_vec(), logits: LogitRows::All, sample: None }
}

/// A sequence that wants one token and no logits.
fn draw(tokens: Tokens, start: u32, pages: &[u32], sampling: &Sampling) -> SequenceStep {
    let pages = pages.to_vec();
    SequenceStep { tokens, start, pages, logits: LogitRows::None, sample: Some(sampling.clone()) }
}

fn batch(sequences: Vec<SequenceStep>) -> Batch {
    Batch { sequences, inputs: vec![] }
}
