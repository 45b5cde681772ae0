//! Whole tiny models of each family, over prompts and replies, fused and not, in every weight format.
//!
//! The models have everything that the real ones have and hardly any size: two layers, a vocabulary of
//! 97. What is tested is that operators fit together: page tables, rows that leave early, memory that is
//! reused, fused forms beside plain ones.

use super::FORMATS;
use crate::batch::{Batch, LogitRows, SequenceStep, Tokens};
use crate::conformance::case::{
    Case, CaseSpec, Group, Growing, PageShuffle, Spread, Step, greedily, random_weights,
};
use crate::conformance::random::Random;
use crate::format::{CacheFormat, WeightFormat};
use crate::plan::{
    Attention, CacheId, Columns, ExpertOutput, Function, FusionSet, LinearWeights, Plan, PlanBuilder,
    PlanError, RopeId, RopeLayout, RopeSpec, Scoring,
};
use crate::sampling::Sampling;
use crate::{CacheOptions, PageCopy};

const VOCABULARY: usize = 97;
const HIDDEN: usize = 48;
const INNER: usize = 80;
const LAYERS: usize = 2;
const EXPERTS: usize = 5;

/// What distinguishes the families.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is something that a family has or has not")]
struct Family {
    name: &'static str,
    heads: usize,
    kv_heads: usize,
    dim: usize,
    norm: Norm,
    head_norm: bool,
    post_norm: bool,
    bias: bool,
    mlp: Mlp,
    /// Attention and MLP read the same norm.
    parallel: bool,
    window: Option<u32>,
    softcap: Option<f32>,
    sinks: bool,
    logit_cap: Option<f32>,
    residual_scale: Option<f32>,
    embed_factor: f32,
    rope: Option<(usize, RopeLayout)>,
    tied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Norm {
    Rms,
    RmsOffset,
    Layer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mlp {
    Gated(Function),
    Plain(Function),
    Experts,
}

const LLAMA: Family = Family {
    name: "llama-like",
    heads: 6,
    kv_heads: 2,
    dim: 8,
    norm: Norm::Rms,
    head_norm: false,
    post_norm: false,
    bias: false,
    mlp: Mlp::Gated(Function::Silu),
    parallel: false,
    window: None,
    softcap: None,
    sinks: false,
    logit_cap: None,
    residual_scale: None,
    embed_factor: 1.0,
    rope: Some((8, RopeLayout::Halves)),
    tied: false,
};

const FAMILIES: [Family; 8] = [
    LLAMA,
    Family {
        name: "qwen3-like",
        head_norm: true,
        heads: 4,
        dim: 16,
        rope: Some((16, RopeLayout::Halves)),
        ..LLAMA
    },
    Family { name: "qwen2-like", bias: true, tied: true, ..LLAMA },
    Family {
        name: "gemma-like",
        norm: Norm::RmsOffset,
        post_norm: true,
        mlp: Mlp::Gated(Function::GeluTanh),
        window: Some(6),
        softcap: Some(5.0),
        logit_cap: Some(3.0),
        embed_factor: 6.928_203,
        tied: true,
        ..LLAMA
    },
    Family { name: "mixture-like", mlp: Mlp::Experts, sinks: true, ..LLAMA },
    Family {
        name: "starcoder-like",
        norm: Norm::Layer,
        bias: true,
        mlp: Mlp::Plain(Function::GeluTanh),
        ..LLAMA
    },
    Family {
        name: "parallel",
        norm: Norm::Layer,
        parallel: true,
        rope: Some((4, RopeLayout::Interleaved)),
        mlp: Mlp::Plain(Function::Gelu),
        bias: true,
        ..LLAMA
    },
    Family { name: "scaled residuals", residual_scale: Some(0.7), rope: None, ..LLAMA },
];

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for (turn, format) in FORMATS.into_iter().enumerate() {
        for (place, family) in FAMILIES.into_iter().enumerate() {
            // Every format meets the first two families, and each other family every second format.
            if place > 1 && (turn + place) % 2 == 1 {
                continue;
            }
            let cache = if (turn + place) % 3 == 0 { CacheFormat::Int8 } else { CacheFormat::F16 };
            for fused in [false, true] {
                let name =
                    format!("{} {format}, cache {cache}{}", family.name, if fused { ", fused" } else { "" });
                cases.push(CaseSpec::new(Group::Sequences, name, move |_| {
                    // Not by the full name: the fused form gets the plain one's numbers.
                    let random = &mut Random::named(&format!("{} {format}", family.name));
                    let case = conversation(family.plan(format)?, cache, random);
                    if !fused {
                        return Ok(case);
                    }
                    let plain = (*case.plan).clone();
                    let fused = plain.fused(FusionSet::all())?;
                    Ok(Case { plan: fused.into(), ..case }.with_reference(plain))
                }));
            }
        }
    }
    cases
}

/// A conversation with the plainest family.
pub(super) fn small_conversation(random: &mut Random) -> Result<Case, PlanError> {
    Ok(conversation(LLAMA.plan(WeightFormat::F16)?, CacheFormat::F16, random))
}

/// A prompt; its reply beside a second prompt in chunks; a branch that copies a page; run ahead on drawn
/// tokens at the end.
fn conversation(plan: Plan, format: CacheFormat, random: &mut Random) -> Case {
    let cache = CacheOptions { format, page_tokens: 4, pages: 40 };
    let mut pool = PageShuffle::new(&cache, random);
    let weights = random_weights(&plan, random, |tensor| match tensor {
        t if t.contains("bias") || t.contains("offset") => Spread::Zero(0.3),
        t if t.contains("sinks") => Spread::Zero(2.0),
        _ => Spread::One(0.3),
    });
    let (mut first, mut second) = (Growing::default(), Growing::default());
    let mut steps = vec![];
    let mut add = |s: &mut Growing, count| s.add_random(count, VOCABULARY, &mut pool, random);
    let prompt = SequenceStep { logits: LogitRows::All, ..add(&mut first, 11) };
    steps.push(Step::Run(batch(vec![prompt])));
    let chunk = add(&mut second, 9);
    steps.push(Step::Run(batch([greedily(vec![add(&mut first, 1)]), vec![chunk]].concat())));
    let more = greedily(vec![add(&mut second, 6), add(&mut first, 1)]);
    steps.push(Step::Run(batch(more)));
    // The branch shares two full pages, copies the third, and goes on from there.
    let mut branch = Growing { length: 11, pages: first.pages[..2].to_vec() };
    if let (Some(page), Some(from)) = (pool.page(), first.pages.get(2)) {
        steps.push(Step::Copy(vec![PageCopy { from: *from, to: page }]));
        branch.pages.push(page);
    }
    let mut add = |s: &mut Growing, count| s.add_random(count, VOCABULARY, &mut pool, random);
    let all = vec![add(&mut branch, 1), add(&mut second, 1), add(&mut first, 1)];
    steps.push(Step::Ahead(batch(greedily(all))));
    for _ in 0..2 {
        // The places in the batch stay, so that each goes on from its own draw.
        let all = [&mut branch, &mut second, &mut first].into_iter().enumerate();
        let all = all.map(|(draw, s)| s.add(Tokens::Sampled(draw as u32), &mut pool)).collect();
        let mut all = greedily(all);
        all[1].sample = Some(Sampling { temperature: 0.7, top_k: 5, seed: 4, ..Sampling::greedy() });
        all[2].logits = LogitRows::None;
        steps.push(Step::Ahead(batch(all)));
    }
    Case::new(plan, weights, cache, steps)
}

fn batch(sequences: Vec<SequenceStep>) -> Batch {
    Batch { sequences, inputs: vec![] }
}

/// A family's plan while it is being built.
struct Builder {
    family: Family,
    format: WeightFormat,
    plan: PlanBuilder,
    rope: Option<RopeId>,
    layer: usize,
}

impl Family {
    fn plan(self, format: WeightFormat) -> Result<Plan, PlanError> {
        let mut plan = PlanBuilder::new();
        // As models do: the table stays dense where the rest is quantised.
        let table_format = if matches!(format, WeightFormat::W8a8(_)) { WeightFormat::F16 } else { format };
        let table = plan.matrix("embedding", VOCABULARY, HIDDEN, table_format);
        let rope = self.rope.map(|(rotary_dim, layout)| {
            plan.rope_spec(RopeSpec { rotary_dim, layout, ..RopeSpec::new(self.dim, 10_000.0) })
        });
        let mut builder = Builder { family: self, format, plan, rope, layer: 0 };
        let mut x = builder.plan.embed_scaled(table, self.embed_factor);
        for layer in 0..LAYERS {
            builder.layer = layer;
            builder.plan.scope(format!("layers.{layer}"));
            x = builder.block(x);
        }
        let x = builder.norm(x, "final_norm");
        let mut plan = builder.plan;
        let head = if self.tied { table } else { plan.matrix("head", VOCABULARY, HIDDEN, format) };
        let mut logits = plan.logits(x, head);
        if let Some(cap) = self.logit_cap {
            logits = plan.softcap(logits, cap);
            plan.hand_out_logits(logits);
        }
        plan.sample(logits);
        plan.finish()
    }
}

impl Builder {
    fn name(&self, tensor: &str) -> String {
        format!("layers.{}.{tensor}", self.layer)
    }

    fn norm(&mut self, x: Columns, name: &str) -> Columns {
        let offset = if self.family.norm == Norm::RmsOffset { ".offset" } else { "" };
        let weight = self.plan.vector(self.name(&format!("{name}{offset}")), HIDDEN);
        match self.family.norm {
            Norm::Rms => self.plan.rms_norm(x, weight, 1e-5),
            Norm::RmsOffset => self.plan.rms_norm_offset(x, weight, 1e-6),
            Norm::Layer => {
                let bias = self.plan.vector(self.name(&format!("{name}.bias")), HIDDEN);
                self.plan.layer_norm(x, weight, Some(bias), 1e-5)
            }
        }
    }

    fn linear(&mut self, x: Columns, name: &str, rows: usize) -> Columns {
        let matrix = self.plan.matrix(self.name(name), rows, x.width, self.format);
        let bias = self.family.bias.then(|| self.plan.vector(self.name(&format!("{name}.bias")), rows));
        self.plan.linear(x, LinearWeights { matrix, bias })
    }

    fn block(&mut self, x: Columns) -> Columns {
        let family = self.family;
        let h = self.norm(x, "attention_norm");
        let attended = self.attention(h);
        if family.parallel {
            let mlp = self.mlp(h);
            let sum = self.plan.add(attended, mlp);
            return self.plan.add(x, sum);
        }
        let x = self.add(x, attended, "post_attention_norm");
        let h = self.norm(x, "mlp_norm");
        let mlp = self.mlp(h);
        self.add(x, mlp, "post_mlp_norm")
    }

    fn add(&mut self, x: Columns, mut y: Columns, post_norm: &str) -> Columns {
        if self.family.post_norm {
            y = self.norm(y, post_norm);
        }
        if let Some(scale) = self.family.residual_scale {
            y = self.plan.scale(y, scale);
        }
        self.plan.add(x, y)
    }

    fn attention(&mut self, h: Columns) -> Columns {
        let Family { heads, kv_heads, dim, .. } = self.family;
        let mut q = self.linear(h, "q", heads * dim);
        let mut k = self.linear(h, "k", kv_heads * dim);
        let v = self.linear(h, "v", kv_heads * dim);
        if self.family.head_norm {
            let weights = ["q_norm", "k_norm"].map(|name| self.plan.vector(self.name(name), dim));
            q = self.plan.head_norm(q, dim, weights[0], 0.0, 1e-6);
            k = self.plan.head_norm(k, dim, weights[1], 0.0, 1e-6);
        }
        if let Some(rope) = self.rope {
            q = self.plan.rope(q, rope);
            k = self.plan.rope(k, rope);
        }
        let cache: CacheId = self.plan.cache(kv_heads, dim);
        let attention = Attention {
            query: q,
            cache,
            heads,
            scale: 1.0 / (dim as f32).sqrt(),
            // Every second layer sees only its neighbourhood.
            window: self.family.window.filter(|_| self.layer.is_multiple_of(2)),
            softcap: self.family.softcap,
            sinks: self.family.sinks.then(|| self.plan.vector(self.name("sinks"), heads)),
            output: q.value,
        };
        let attended = self.plan.attend(k, v, attention);
        self.linear(attended, "o", HIDDEN)
    }

    fn mlp(&mut self, h: Columns) -> Columns {
        match self.family.mlp {
            Mlp::Gated(function) => {
                let (gate, up) = (self.linear(h, "gate", INNER), self.linear(h, "up", INNER));
                let gated = self.plan.gated(gate, up, function);
                self.linear(gated, "down", HIDDEN)
            }
            Mlp::Plain(function) => {
                let up = self.linear(h, "up", INNER);
                let activated = self.plan.activate(up, function);
                self.linear(activated, "down", HIDDEN)
            }
            Mlp::Experts => self.experts(h),
        }
    }

    fn experts(&mut self, h: Columns) -> Columns {
        // Routers stay dense in every format.
        let router = self.plan.matrix(self.name("router"), EXPERTS, HIDDEN, WeightFormat::F32);
        let logits = self.plan.linear(h, router);
        let how = ExpertOutput {
            top_k: 2,
            scoring: Scoring::Softmax,
            renormalize: true,
            factor: 1.0,
            selection_bias: None,
        };
        let routed = self.plan.route(logits, how);
        let mut matrix = |name: &str, rows: usize, cols: usize| {
            self.plan.matrix(format!("layers.{}.{name}", self.layer), EXPERTS * rows, cols, self.format)
        };
        let gate = matrix("experts.gate", INNER, HIDDEN);
        let up = matrix("experts.up", INNER, HIDDEN);
        let down = matrix("experts.down", HIDDEN, INNER);
        let gate = self.plan.expert_linear(h, routed, EXPERTS, gate);
        let up = self.plan.expert_linear(h, routed, EXPERTS, up);
        let gated = self.plan.silu_mul(gate, up);
        let down = self.plan.expert_linear(gated, routed, EXPERTS, down);
        self.plan.expert_combine(down, routed)
    }
}
