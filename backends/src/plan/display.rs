//! Printing a plan so that a person can read it: operators, shapes, buffers, bytes.
//!
//! Layers that repeat are printed once. Two neighbouring layers are the same when their nodes agree in
//! everything but the numbers of values, weights and caches.

use std::fmt;

use super::{BatchLimits, MemoryPlan, Node, NormKind, Op, Operand, Plan, RopeScaling, ValueId};
use crate::CacheOptions;

/// A plan with what it takes to run it, ready to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    pub plan: &'a Plan,
    pub cache: CacheOptions,
    pub limits: BatchLimits,
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = MemoryPlan::new(self.plan, &self.limits);
        let rows = |nodes: &[Node]| nodes.iter().map(|n| self.row(n, &memory)).collect::<Vec<_>>();
        writeln!(f, "{:<34} {:<42} {:<22} {:>7} {:>12}", "operator", "reads", "writes", "buffer", "weights")?;
        let scopes = scopes(&self.plan.nodes);
        let mut at = 0;
        while at < scopes.len() {
            let nodes = &self.plan.nodes[scopes[at].clone()];
            let signature = self.signature(nodes);
            let same =
                |range: &std::ops::Range<usize>| self.signature(&self.plan.nodes[range.clone()]) == signature;
            let repeats = scopes[at..].iter().take_while(|range| same(range)).count();
            if repeats > 1 {
                let name = |i: usize| scope_of(&self.plan.nodes[scopes[i].start].name);
                writeln!(f, "── {} … {} ({repeats} alike)", name(at), name(at + repeats - 1))?;
            }
            for row in rows(nodes) {
                writeln!(f, "{row}")?;
            }
            if repeats > 1 {
                writeln!(f, "──")?;
            }
            at += repeats;
        }
        self.summary(f, &memory)
    }
}

impl Listing<'_> {
    fn row(&self, node: &Node, memory: &MemoryPlan) -> String {
        let plan = self.plan;
        let reads = node.op.inputs().iter().map(|o| operand(plan, *o)).collect::<Vec<_>>().join(" ");
        let writes: Vec<String> = node.op.outputs().iter().map(|v| value(plan, *v)).collect();
        let buffers: Vec<String> =
            node.op.outputs().iter().map(|v| format!("b{}", memory.buffer_of[v.index()])).collect();
        let weights = node.op.matrix().map_or(String::new(), |m| {
            let matrix = &plan.matrices[m.index()];
            format!("{} {}", mebibytes(matrix.bytes()), matrix.format)
        });
        let name = format!("{} {}", node.name, attributes(plan, &node.op));
        let line = format!(
            "{:<34} {:<42} {:<22} {:>7} {:>12}",
            name.trim_end(),
            reads,
            writes.join(" "),
            buffers.join(" "),
            weights
        );
        line.trim_end().to_owned()
    }

    /// What a run of nodes looks like without the numbers that differ from layer to layer.
    fn signature(&self, nodes: &[Node]) -> Vec<String> {
        let plan = self.plan;
        let one = |node: &Node| {
            let shapes = |values: Vec<ValueId>| {
                values.iter().map(|v| plan.values[v.index()].shape.to_string()).collect::<Vec<_>>().join(" ")
            };
            let matrix = node.op.matrix().map(|m| {
                let m = &plan.matrices[m.index()];
                (m.rows, m.cols, m.format.to_string())
            });
            let local = node.name.rsplit('.').next().unwrap_or_default().to_owned();
            let reads = node.op.inputs().iter().map(|o| plan.shape(*o).to_string()).collect::<Vec<_>>();
            format!(
                "{local} {} {reads:?} {} {matrix:?}",
                attributes(plan, &node.op),
                shapes(node.op.outputs())
            )
        };
        nodes.iter().map(one).collect()
    }

    fn summary(&self, f: &mut fmt::Formatter<'_>, memory: &MemoryPlan) -> fmt::Result {
        let (plan, limits, cache) = (self.plan, self.limits, self.cache);
        let footprint = plan.footprint(&cache, &limits);
        writeln!(
            f,
            "{} operators, {} values in {} buffers",
            plan.nodes.len(),
            plan.values.len(),
            memory.buffers.len()
        )?;
        writeln!(f, "weights      {:>16} bytes  {}", footprint.weights, mebibytes(footprint.weights))?;
        let tokens = cache.pages.saturating_mul(cache.page_tokens);
        writeln!(
            f,
            "cache        {:>16} bytes  {}  for {tokens} tokens in {}",
            footprint.cache,
            mebibytes(footprint.cache),
            cache.format
        )?;
        writeln!(
            f,
            "activations  {:>16} bytes  {}  for {} rows, {} with logits",
            footprint.activations,
            mebibytes(footprint.activations),
            limits.rows,
            limits.selected
        )?;
        writeln!(f, "total        {:>16} bytes  {}", footprint.total(), mebibytes(footprint.total()))
    }
}

/// Runs of nodes that belong to one part of the model.
fn scopes(nodes: &[Node]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = vec![];
    for (index, node) in nodes.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if scope_of(&nodes[run.start].name) == scope_of(&node.name) => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

fn scope_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(scope, _)| scope)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn value(plan: &Plan, id: ValueId) -> String {
    format!("{id}[{}]", plan.values[id.index()].shape)
}

fn operand(plan: &Plan, operand: Operand) -> String {
    if plan.is_whole(operand) {
        return operand.value.to_string();
    }
    format!("{}[{}..{}]", operand.value, operand.first, operand.first + operand.width)
}

/// The attributes that tell this operator from others of its kind.
fn attributes(plan: &Plan, op: &Op) -> String {
    let mut words: Vec<String> = vec![];
    let mut say = |condition: bool, word: String| {
        if condition {
            words.push(word);
        }
    };
    match op {
        Op::Norm(o) => {
            say(o.kind == NormKind::Layer, "layer".into());
            say(o.group != o.input.width, format!("per {}", o.group));
            say(o.add.is_some(), "+add".into());
            say(o.quantize.is_some(), "+quantize".into());
        }
        Op::Linear(o) => {
            say(o.bias.is_some(), "+bias".into());
            #[allow(clippy::float_cmp, reason = "the factor is exactly 1 where it is off")]
            say(o.factor != 1.0, format!("×{}", o.factor));
            say(o.residual.is_some(), "+residual".into());
        }
        Op::Rope(o) => say(true, rotation(plan, o.rope)),
        Op::StoreKv(o) => {
            let rope = o.rotate.as_ref().map(|r| rotation(plan, r.rope));
            say(rope.is_some(), format!("+rope {}", rope.unwrap_or_default()));
        }
        Op::Attention(o) => {
            let cache = plan.caches[o.cache.index()];
            say(true, format!("{}/{}×{}", o.heads, cache.kv_heads, cache.head_dim));
            say(o.window.is_some(), format!("window {}", o.window.unwrap_or_default()));
            say(o.softcap.is_some(), format!("cap {}", o.softcap.unwrap_or_default()));
            say(o.sinks.is_some(), "+sinks".into());
        }
        Op::Gated(o) => {
            say(true, format!("{:?}", o.function).to_lowercase());
            say(o.quantize.is_some(), "+quantize".into());
        }
        Op::Activate(o) => say(true, format!("{:?}", o.function).to_lowercase()),
        Op::Scale(o) => say(true, format!("×{}", o.factor)),
        Op::Softcap(o) => say(true, format!("at {}", o.cap)),
        Op::Route(o) => say(true, format!("best {}", o.top_k)),
        Op::ExpertLinear(o) => say(true, format!("of {}", o.experts)),
        Op::ExpertCombine(o) => say(o.residual.is_some(), "+residual".into()),
        Op::Input(_) | Op::Embed(_) | Op::Add(_) | Op::SelectRows(_) | Op::Sample(_) => {}
    }
    words.join(" ")
}

fn rotation(plan: &Plan, rope: super::RopeId) -> String {
    let spec = &plan.ropes[rope.index()];
    let scaling = match spec.scaling {
        RopeScaling::None => "",
        RopeScaling::Linear { .. } => " linear",
        RopeScaling::Llama3 { .. } => " llama3",
        RopeScaling::Yarn { .. } => " yarn",
        RopeScaling::PerFrequency { .. } => " per frequency",
    };
    format!("{}/{}{scaling}", spec.rotary_dim, spec.head_dim)
}
