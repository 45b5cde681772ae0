//! Printing a plan so that a person can read it: operators, shapes, buffers, bytes.
//!
//! Layers that repeat are printed once. Two neighbouring layers are the same when their nodes agree in
//! everything but the numbers of values, weights and caches.

use std::fmt;

use super::{BatchLimits, MemoryPlan, Node, Op, Operand, Plan, RopeScaling, ValueId};
use crate::CacheOptions;

/// A plan with what it takes to run it, ready to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    pub plan: &'a Plan,
    pub cache: CacheOptions,
    pub limits: BatchLimits,
}

/// One line of the listing: columns, or a heading across all of them.
enum Line {
    Cells([String; 6]),
    Heading(String),
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = MemoryPlan::new(self.plan, &self.limits);
        let lines = self.lines(&memory);
        let mut widths = [0; 6];
        for line in &lines {
            if let Line::Cells(cells) = line {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
        }
        for line in lines {
            match line {
                Line::Heading(text) => writeln!(f, "{text}")?,
                Line::Cells(cells) => {
                    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
                    writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
                }
            }
        }
        self.summary(f, &memory)
    }
}

impl Listing<'_> {
    fn lines(&self, memory: &MemoryPlan) -> Vec<Line> {
        let titles = ["part", "operator", "reads", "writes", "buffer", "weights"];
        let mut lines = vec![Line::Cells(titles.map(str::to_owned))];
        let scopes = scopes(&self.plan.nodes);
        let nodes_of = |at: usize| &self.plan.nodes[scopes[at].clone()];
        let mut at = 0;
        while at < scopes.len() {
            let signature = self.signature(nodes_of(at));
            let repeats =
                (at..scopes.len()).take_while(|i| self.signature(nodes_of(*i)) == signature).count();
            if repeats > 1 {
                let name = |i: usize| scope_of(&nodes_of(i)[0].name);
                let (first, last) = (name(at), name(at + repeats - 1));
                lines.push(Line::Heading(format!("── {first} to {last}, {repeats} alike")));
            }
            lines.extend(nodes_of(at).iter().map(|node| Line::Cells(self.cells(node, memory))));
            if repeats > 1 {
                lines.push(Line::Heading("──".to_owned()));
            }
            at += repeats;
        }
        lines
    }

    fn cells(&self, node: &Node, memory: &MemoryPlan) -> [String; 6] {
        let plan = self.plan;
        let join = |words: Vec<String>| words.join(" ");
        let outputs = node.op.outputs();
        let weights = node.op.matrix().map_or(String::new(), |m| {
            let matrix = &plan.matrices[m.index()];
            format!("{} {}", mebibytes(matrix.bytes()), matrix.format)
        });
        [
            node.name.clone(),
            format!("{} {}", node.op.name(), attributes(plan, &node.op)).trim_end().to_owned(),
            join(node.op.inputs().iter().map(|o| operand(plan, *o)).collect()),
            join(outputs.iter().map(|v| value(plan, *v)).collect()),
            join(outputs.iter().map(|v| format!("b{}", memory.buffer_of[v.index()])).collect()),
            weights,
        ]
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
            say(true, o.function.name().to_owned());
            say(o.quantize.is_some(), "+quantize".into());
        }
        Op::Activate(o) => say(true, o.function.name().to_owned()),
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
