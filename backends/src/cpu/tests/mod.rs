//! Whole plans against the oracle, and the life of a runner.

mod life;
mod models;
mod operators;

use std::sync::Arc;

use super::CpuBackend;
use super::reference::ReferenceBackend;
use crate::format::{CacheFormat, WeightFormat};
use crate::plan::{
    Attention, BatchLimits, Columns, ExpertOutput, MatrixPart, Plan, PlanBuilder, RopeId, RopeLayout,
    RopeSpec, Scoring, VectorId,
};
use crate::sampling::Sampling;
use crate::{
    Backend, Batch, CacheOptions, DeviceId, LogitRows, PrepareOptions, Runner, SequenceStep,
    SyntheticWeights, Tokens, no_progress,
};

const VOCABULARY: usize = 131;

/// A small decoder with all that varies between families.
#[derive(Clone, Copy)]
struct Model {
    format: WeightFormat,
    hidden: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    layout: RopeLayout,
    window: Option<u32>,
    softcap: Option<f32>,
    sinks: bool,
    biases: bool,
    experts: Option<Scoring>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            format: WeightFormat::F32,
            hidden: 80,
            heads: 4,
            kv_heads: 2,
            head_dim: 24,
            layout: RopeLayout::Halves,
            window: None,
            softcap: None,
            sinks: false,
            biases: false,
            experts: None,
        }
    }
}

impl Model {
    fn plan(self) -> Plan {
        let mut plan = PlanBuilder::new();
        let table = plan.matrix("embedding", VOCABULARY, self.hidden, WeightFormat::F16);
        let rope = RopeSpec { layout: self.layout, rotary_dim: 16, ..RopeSpec::new(self.head_dim, 1e4) };
        let rope = plan.rope_spec(rope);
        let mut x = plan.embed_scaled(table, 2.0);
        for layer in 0..2 {
            plan.scope(format!("{layer}"));
            let norm = plan.vector(format!("{layer}.norm1"), self.hidden);
            let h = plan.rms_norm(x, norm, 1e-6);
            let attended = self.attention(&mut plan, layer, h, rope);
            let attended = plan.scale(attended, 0.7);
            x = plan.add(x, attended);
            let weight = plan.vector(format!("{layer}.norm2"), self.hidden);
            let h = if self.biases {
                let bias = plan.vector(format!("{layer}.norm2.bias"), self.hidden);
                plan.layer_norm(x, weight, Some(bias), 1e-5)
            } else {
                plan.rms_norm_offset(x, weight, 1e-6)
            };
            let h = if self.experts.is_some() {
                self.experts(&mut plan, layer, h)
            } else {
                let gate = plan.matrix(format!("{layer}.gate"), 200, self.hidden, self.format);
                let up = plan.matrix(format!("{layer}.up"), 200, self.hidden, self.format);
                let down = plan.matrix(format!("{layer}.down"), self.hidden, 200, self.format);
                let (gate, up) = (plan.linear(h, gate), plan.linear(h, up));
                let h = plan.gelu_mul(gate, up);
                plan.linear(h, down)
            };
            x = plan.add(x, h);
        }
        plan.scope("");
        let norm = plan.vector("norm", self.hidden);
        let h = plan.rms_norm(x, norm, 1e-6);
        let mut logits = plan.logits(h, table);
        if let Some(cap) = self.softcap {
            logits = plan.softcap(logits, cap);
            plan.hand_out_logits(logits);
        }
        plan.sample(logits);
        plan.finish().unwrap()
    }

    fn attention(self, plan: &mut PlanBuilder, layer: usize, h: Columns, rope: RopeId) -> Columns {
        let (hidden, head_dim) = (self.hidden, self.head_dim);
        let bias = |plan: &mut PlanBuilder, name: String, rows: usize| -> Option<VectorId> {
            self.biases.then(|| plan.vector(name, rows))
        };
        let [q, k, v] =
            [("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads)].map(|(name, heads)| {
                let matrix = plan.matrix(format!("{layer}.{name}"), heads * head_dim, hidden, self.format);
                let bias = bias(plan, format!("{layer}.{name}.bias"), heads * head_dim);
                plan.linear(h, crate::plan::LinearWeights { matrix, bias })
            });
        let head_norm = plan.vector(format!("{layer}.head_norm"), head_dim);
        let q = plan.head_norm(q, head_dim, head_norm, 0.0, 1e-6);
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let cache = plan.cache(self.kv_heads, head_dim);
        let sinks = self.sinks.then(|| plan.vector(format!("{layer}.sinks"), self.heads));
        let attention = Attention {
            query: q,
            cache,
            heads: self.heads,
            scale: 0.3,
            window: self.window,
            softcap: self.softcap,
            sinks,
            output: q.value,
        };
        let attended = plan.attend(k, v, attention);
        let out = plan.matrix(format!("{layer}.out"), hidden, self.heads * head_dim, self.format);
        plan.linear(attended, out)
    }

    fn experts(self, plan: &mut PlanBuilder, layer: usize, h: Columns) -> Columns {
        const EXPERTS: usize = 7;
        let router = plan.matrix(format!("{layer}.router"), EXPERTS, self.hidden, WeightFormat::F32);
        let logits = plan.linear(h, router);
        let selection_bias = Some(plan.vector(format!("{layer}.selection.bias"), EXPERTS));
        let scoring = self.experts.unwrap();
        let how = ExpertOutput { top_k: 3, scoring, selection_bias, renormalize: true, factor: 1.5 };
        let routed = plan.route(logits, how);
        let mut of = |part: &str, rows, cols| {
            let part = |e| MatrixPart { tensor: format!("{layer}.{part}.{e}"), first_row: 0, rows };
            plan.matrix_of((0..EXPERTS).map(part).collect(), cols, self.format)
        };
        let (gate, up, down) =
            (of("gate", 40, self.hidden), of("up", 40, self.hidden), of("down", self.hidden, 40));
        let gate = plan.expert_linear(h, routed, EXPERTS, gate);
        let up = plan.expert_linear(h, routed, EXPERTS, up);
        let h = plan.silu_mul(gate, up);
        let h = plan.expert_linear(h, routed, EXPERTS, down);
        plan.expert_combine(h, routed)
    }
}

fn options(format: CacheFormat) -> PrepareOptions {
    PrepareOptions {
        cache: CacheOptions { format, page_tokens: 8, pages: 64 },
        limits: BatchLimits { rows: 128, selected: 128, sequences: 8 },
        tier: None,
    }
}

fn cpu(plan: &Plan, options: &PrepareOptions) -> Box<dyn Runner> {
    let backend = CpuBackend::with_threads(2);
    let device = DeviceId { backend: "cpu", index: 0 };
    let weights = SyntheticWeights::default();
    backend.prepare(&device, Arc::new(plan.clone()), &weights, options, &mut no_progress).unwrap()
}

fn oracle(plan: &Plan, options: &PrepareOptions) -> Box<dyn Runner> {
    let device = DeviceId { backend: "reference", index: 0 };
    let options = PrepareOptions { tier: None, ..options.clone() };
    let weights = SyntheticWeights::default();
    ReferenceBackend.prepare(&device, Arc::new(plan.clone()), &weights, &options, &mut no_progress).unwrap()
}

/// Tokens that a sequence adds, with all their logits; its pages are the numbers from `first_page` on.
fn ask(tokens: &[u32], start: u32, first_page: u32) -> SequenceStep {
    let pages = (start + tokens.len() as u32).div_ceil(8);
    SequenceStep {
        tokens: Tokens::Ids(tokens.to_vec()),
        start,
        // In an order that is not that of their numbers.
        pages: (first_page..first_page + pages).rev().collect(),
        logits: LogitRows::All,
        sample: None,
    }
}

fn batch(sequences: Vec<SequenceStep>) -> Batch {
    Batch { sequences, inputs: vec![] }
}

/// `count` tokens of some text.
fn text(count: usize, salt: u32) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 37 + salt * 11 + i * i) % VOCABULARY as u32).collect()
}

fn sampled(temperature: f32) -> Sampling {
    Sampling { temperature, seed: 5, ..Sampling::greedy() }
}

/// The largest difference, relative to the largest of the expected numbers.
fn distance(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    let difference = got.iter().zip(expected).fold(0.0, |max: f32, (a, b)| {
        let d = (a - b).abs();
        if d.is_nan() || d > max { d } else { max }
    });
    difference / largest
}
