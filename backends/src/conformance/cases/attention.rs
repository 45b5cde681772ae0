//! Attention and the cache under it: head counts and sizes, page sizes and formats, pages in any order,
//! windows, caps, sinks, shared prefixes, one sequence and a hundred, long contexts.

use crate::CacheOptions;
use crate::batch::{Batch, SequenceStep, Tokens};
use crate::conformance::case::{
    Case, CaseSpec, Group, Growing, PageShuffle, Spread, Step, input_rows, random_weights,
};
use crate::conformance::random::Random;
use crate::format::CacheFormat;
use crate::plan::{
    Attention, Cache, Op, Plan, PlanBuilder, PlanError, RopeLayout, RopeSpec, RotateQuery, Rows, Shape,
    StoreKv,
};

/// Heads, pages and attributes of one layer.
#[derive(Clone, Copy, Debug)]
struct Layer {
    heads: usize,
    kv_heads: usize,
    dim: usize,
    format: CacheFormat,
    page_tokens: usize,
    scale: Option<f32>,
    window: Option<u32>,
    softcap: Option<f32>,
    sinks: bool,
    /// Rotates in the cache's operator.
    rotate: Option<RopeLayout>,
    /// q, k and v are columns of one value.
    merged: bool,
    /// How large queries and keys are: large ones make sharp distributions.
    size: f64,
}

const PLAIN: Layer = Layer {
    heads: 4,
    kv_heads: 2,
    dim: 16,
    format: CacheFormat::F16,
    page_tokens: 4,
    scale: None,
    window: None,
    softcap: None,
    sinks: false,
    rotate: None,
    merged: false,
    size: 1.0,
};

/// A prompt, then one token at a time, across page borders.
const ONE: &[&[usize]] = &[&[17], &[1], &[1], &[3], &[1], &[9]];
/// Prompts being read and replies being written in the same step; a 0 sits a step out.
const MIXED: &[&[usize]] = &[&[7, 0, 1], &[1, 20, 1], &[1, 5, 1], &[1, 1, 1], &[0, 1, 30], &[2, 1, 1]];

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    let mut try_out = |name: String, layer: Layer, schedule: &'static [&'static [usize]]| {
        cases.push(CaseSpec::new(Group::Attention, name, move |random| layer.case(schedule, random)));
    };
    let mut turn = 0;
    for (heads, kv_heads) in [(1, 1), (3, 3), (4, 1), (8, 2), (8, 1), (10, 2)] {
        for dim in [8, 16, 64, 80, 128] {
            for format in [CacheFormat::F16, CacheFormat::Int8] {
                // Page sizes take turns, so that each meets each of the others' values somewhere.
                let page_tokens = [4, 16, 32, 1][turn % 4];
                turn += 1;
                let schedule = if turn % 3 == 0 { MIXED } else { ONE };
                let name = format!("{heads}:{kv_heads} of {dim}, {format}, pages of {page_tokens}");
                try_out(name, Layer { heads, kv_heads, dim, format, page_tokens, ..PLAIN }, schedule);
            }
        }
    }
    for format in [CacheFormat::F16, CacheFormat::Int8] {
        let plain = Layer { format, ..PLAIN };
        for window in [1, 2, 5, 16, 1000] {
            try_out(format!("window {window} {format}"), Layer { window: Some(window), ..plain }, MIXED);
        }
        try_out(format!("softcap {format}"), Layer { softcap: Some(2.0), size: 2.0, ..plain }, MIXED);
        try_out(format!("sinks {format}"), Layer { sinks: true, ..plain }, MIXED);
        try_out(format!("scale {format}"), Layer { scale: Some(1.0), ..plain }, MIXED);
        try_out(format!("negative scale {format}"), Layer { scale: Some(-0.1), ..plain }, ONE);
        try_out(format!("sharp {format}"), Layer { size: 6.0, ..plain }, MIXED);
        try_out(format!("merged input {format}"), Layer { merged: true, ..plain }, MIXED);
        for layout in [RopeLayout::Halves, RopeLayout::Interleaved] {
            let rotate = Some(layout);
            try_out(format!("rotate {layout:?} {format}"), Layer { rotate, ..plain }, MIXED);
            let merged = Layer { rotate, merged: true, dim: 80, page_tokens: 16, ..plain };
            try_out(format!("rotate {layout:?} merged {format}"), merged, MIXED);
        }
        let all = Layer {
            window: Some(9),
            softcap: Some(5.0),
            sinks: true,
            scale: Some(0.3),
            rotate: Some(RopeLayout::Halves),
            merged: true,
            ..plain
        };
        try_out(format!("everything {format}"), all, MIXED);
        let long = Layer { heads: 4, kv_heads: 1, dim: 8, page_tokens: 16, ..plain };
        try_out(format!("long {format}"), long, &[&[700], &[780], &[1], &[1], &[5]]);
        let many_pages =
            Layer { heads: 2, kv_heads: 2, page_tokens: 4, sinks: true, window: Some(600), ..long };
        try_out(format!("long with window {format}"), many_pages, &[&[500], &[500], &[1], &[7]]);
        // Scores by far larger than all before them turn up again and again.
        for dim in [16, 128] {
            let sharp = Layer { heads: 2, kv_heads: 1, dim, page_tokens: 16, size: 6.0, ..plain };
            try_out(format!("long and sharp of {dim} {format}"), sharp, &[&[200], &[1], &[150], &[9]]);
        }
    }
    for format in [CacheFormat::F16, CacheFormat::Int8] {
        let plain = Layer { format, ..PLAIN };
        cases.push(CaseSpec::new(Group::Attention, format!("100 sequences {format}"), move |random| {
            Layer { page_tokens: 4, dim: 8, ..plain }.hundred(random)
        }));
        cases.push(CaseSpec::new(Group::Attention, format!("shared prefix {format}"), move |random| {
            plain.shared_prefix(random)
        }));
        cases.push(CaseSpec::new(Group::Attention, format!("two layers {format}"), move |random| {
            two_layers(format, random)
        }));
    }
    cases
}

/// A layer with a plan's own heads, pages and attributes. Its window is a short one, so that the case's few tokens reach beyond it.
pub(super) fn like(
    op: &Attention,
    shape: Cache,
    rotate: Option<RopeLayout>,
    cache: &CacheOptions,
) -> CaseSpec {
    let layer = Layer {
        heads: op.heads,
        kv_heads: shape.kv_heads,
        dim: shape.head_dim,
        format: cache.format,
        page_tokens: cache.page_tokens,
        window: op.window.map(|_| 9),
        softcap: op.softcap,
        sinks: op.sinks.is_some(),
        rotate,
        merged: rotate.is_some(),
        ..PLAIN
    };
    let mut name = format!(
        "{}:{} of {}, {}, pages of {}",
        layer.heads, layer.kv_heads, layer.dim, layer.format, layer.page_tokens
    );
    for (on, attribute) in
        [(op.window.is_some(), "window"), (op.softcap.is_some(), "softcap"), (layer.sinks, "sinks")]
    {
        name += if on { ", " } else { "" };
        name += if on { attribute } else { "" };
    }
    if let Some(layout) = rotate {
        name += &format!(", rotate {layout:?}");
    }
    CaseSpec::new(Group::Attention, name, move |random| layer.case(MIXED, random))
}

impl Layer {
    fn cache(&self, pages: usize) -> CacheOptions {
        CacheOptions { format: self.format, page_tokens: self.page_tokens, pages }
    }

    fn plan(&self) -> Result<Plan, PlanError> {
        let mut plan = PlanBuilder::new();
        let (q_width, kv_width) = (self.heads * self.dim, self.kv_heads * self.dim);
        let (q, k, v) = if self.merged {
            let all = plan.input("qkv", q_width + 2 * kv_width);
            (
                all.columns(0, q_width),
                all.columns(q_width, kv_width),
                all.columns(q_width + kv_width, kv_width),
            )
        } else {
            (plan.input("q", q_width), plan.input("k", kv_width), plan.input("v", kv_width))
        };
        let cache = plan.cache(self.kv_heads, self.dim);
        let sinks = self.sinks.then(|| plan.vector("sinks", self.heads));
        let mut query = q;
        let rotate = self.rotate.map(|layout| {
            let rope = plan.rope_spec(RopeSpec { layout, ..RopeSpec::new(self.dim, 10_000.0) });
            query = plan.value("rotated", Shape::rows_of(Rows::Tokens, q_width));
            RotateQuery { rope, query: q, output: query.value }
        });
        plan.push("store", Op::StoreKv(StoreKv { key: k, value: v, cache, rotate }));
        let output = plan.value("attended", Shape::rows_of(Rows::Tokens, q_width));
        let attention = Attention {
            query,
            cache,
            heads: self.heads,
            scale: self.scale.unwrap_or(1.0 / (self.dim as f32).sqrt()),
            window: self.window,
            softcap: self.softcap,
            sinks,
            output: output.value,
        };
        plan.push("attention", Op::Attention(attention));
        if self.rotate.is_some() {
            plan.tap(query);
        }
        plan.tap(output);
        plan.finish()
    }

    /// Runs batches of sequences, each with as many rows as it adds.
    fn with_batches(
        &self,
        cache: CacheOptions,
        batches: Vec<Vec<SequenceStep>>,
        random: &mut Random,
    ) -> Result<Case, PlanError> {
        let plan = self.plan()?;
        let weights = random_weights(&plan, random, |_| Spread::Zero(3.0));
        let steps = batches.into_iter().map(|sequences| {
            let rows = sequences.iter().map(|s| s.tokens.len()).sum();
            let inputs = input_rows(&plan, rows, &mut |count| random.normals(count, self.size));
            Step::Run(Batch { sequences, inputs })
        });
        let steps = steps.collect();
        Ok(Case::new(plan, weights, cache, steps))
    }

    /// Sequences that grow as the schedule says, each number being the tokens that one adds in a step.
    fn case(&self, schedule: &[&[usize]], random: &mut Random) -> Result<Case, PlanError> {
        let sequences = schedule.iter().map(|step| step.len()).max().unwrap_or(0);
        let length = |s: usize| schedule.iter().filter_map(|step| step.get(s)).sum::<usize>();
        // Three pages more than needed: what lies there must not matter.
        let pages = (0..sequences).map(|s| length(s).div_ceil(self.page_tokens)).sum::<usize>() + 3;
        let cache = self.cache(pages);
        let mut pool = PageShuffle::new(&cache, random);
        let mut growing = vec![Growing::default(); sequences];
        let batches = schedule.iter().map(|step| {
            let adding = step.iter().zip(&mut growing).filter(|(count, _)| **count > 0);
            adding.map(|(count, s)| s.add(Tokens::Ids(vec![0; *count]), &mut pool)).collect()
        });
        let batches = batches.collect();
        self.with_batches(cache, batches, random)
    }

    /// A hundred sequences of all lengths, each adding one token, after prompts in two steps.
    fn hundred(&self, random: &mut Random) -> Result<Case, PlanError> {
        let cache = self.cache(100 * 6 + 1);
        let mut pool = PageShuffle::new(&cache, random);
        let mut growing = vec![Growing::default(); 100];
        let mut batches = vec![];
        for half in 0..2 {
            let prompts = growing.iter_mut().skip(half * 50).take(50);
            let prompts = prompts.map(|s| s.add(Tokens::Ids(vec![0; 1 + random.below(17)]), &mut pool));
            batches.push(prompts.collect());
        }
        for _ in 0..2 {
            batches.push(growing.iter_mut().map(|s| s.add(Tokens::Ids(vec![0]), &mut pool)).collect());
        }
        self.with_batches(cache, batches, random)
    }

    /// Three sequences that read the same first pages, and go on each by itself.
    fn shared_prefix(&self, random: &mut Random) -> Result<Case, PlanError> {
        let cache = self.cache(40);
        let mut pool = PageShuffle::new(&cache, random);
        let mut first = Growing::default();
        let mut batches = vec![vec![first.add(Tokens::Ids(vec![0; 3 * self.page_tokens + 2]), &mut pool)]];
        let mut second = Growing::sharing(&first, 3, self.page_tokens);
        let mut third = Growing::sharing(&first, 1, self.page_tokens);
        for counts in [[1, 5, 2], [1, 1, 9], [2, 1, 1]] {
            let mut add = |s: &mut Growing, count| s.add(Tokens::Ids(vec![0; count]), &mut pool);
            batches.push(vec![
                add(&mut second, counts[0]),
                add(&mut first, counts[1]),
                add(&mut third, counts[2]),
            ]);
        }
        self.with_batches(cache, batches, random)
    }
}

/// Two caches of different shapes under one page table.
fn two_layers(format: CacheFormat, random: &mut Random) -> Result<Case, PlanError> {
    let mut plan = PlanBuilder::new();
    let (a, b) = (plan.input("a", 3 * 32), plan.input("b", 48 + 2 * 24));
    let (small, large) = (plan.cache(4, 8), plan.cache(1, 24));
    let first = plan.attention(a.columns(0, 32), a.columns(32, 32), a.columns(64, 32), small, 4);
    let second = plan.attention(b.columns(0, 48), b.columns(48, 24), b.columns(72, 24), large, 2);
    plan.tap(first);
    plan.tap(second);
    let plan = plan.finish()?;
    let cache = CacheOptions { format, page_tokens: 8, pages: 12 };
    let mut pool = PageShuffle::new(&cache, random);
    let mut growing = [Growing::default(), Growing::default()];
    let mut steps = vec![];
    for counts in [[9, 4], [1, 1], [12, 1], [1, 6]] {
        let sequences = counts.iter().zip(&mut growing);
        let sequences =
            sequences.map(|(count, s)| s.add(Tokens::Ids(vec![0; *count]), &mut pool)).collect::<Vec<_>>();
        let inputs = input_rows(&plan, counts.iter().sum(), &mut |count| random.normals(count, 1.0));
        steps.push(Step::Run(Batch { sequences, inputs }));
    }
    let weights = random_weights(&plan, random, |_| Spread::Zero(1.0));
    Ok(Case::new(plan, weights, cache, steps))
}
