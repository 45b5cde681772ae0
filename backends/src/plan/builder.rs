//! The builder: model code that reads like the paper.
//!
//! ```
//! use ingle_backends::format::WeightFormat;
//! use ingle_backends::plan::{PlanBuilder, RopeSpec};
//!
//! let mut plan = PlanBuilder::new();
//! let table = plan.matrix("embedding", 100, 64, WeightFormat::F16);
//! let norm = plan.vector("norm", 64);
//! let q = plan.matrix("q", 64, 64, WeightFormat::F16);
//! let k = plan.matrix("k", 32, 64, WeightFormat::F16);
//! let v = plan.matrix("v", 32, 64, WeightFormat::F16);
//! let rope = plan.rope_spec(RopeSpec::new(16, 10_000.0));
//! let cache = plan.cache(2, 16);
//!
//! let x = plan.embed(table);
//! let h = plan.rms_norm(x, norm, 1e-5);
//! let (q, k, v) = (plan.linear(h, q), plan.linear(h, k), plan.linear(h, v));
//! let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
//! let attended = plan.attention(q, k, v, cache, 4);
//! let x = plan.add(x, attended);
//! let logits = plan.logits(x, table);
//! plan.sample(logits);
//! let plan = plan.finish()?;
//! # Ok::<(), ingle_backends::plan::PlanError>(())
//! ```
//!
//! No method returns an error: the first mistake is kept and [`PlanBuilder::finish`] returns it, named by
//! the part of the model in which it was made. Until then the results of a mistaken call are empty.

use super::check::{check, check_op};
use super::{
    Activate, Add, Attention, Cache, CacheId, Element, Embed, ExpertCombine, ExpertLinear, Function, Gated,
    Input, Matrix, MatrixId, MatrixPart, Node, Norm, NormKind, Op, Operand, Plan, PlanError, Rope, RopeId,
    RopeSpec, Route, Rows, Sample, Scale, Scoring, SelectRows, Shape, Softcap, StoreKv, Value, ValueId,
    Vector, VectorId,
};
use crate::format::WeightFormat;

/// What an operator gives and the next one takes.
pub type Columns = Operand;
/// A declared weight matrix.
pub type Weight = MatrixId;
/// A declared weight vector.
pub type WeightVector = VectorId;

/// A projection: a matrix and, in some families, a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    pub matrix: MatrixId,
    pub bias: Option<VectorId>,
}

impl From<MatrixId> for Linear {
    fn from(matrix: MatrixId) -> Self {
        Self { matrix, bias: None }
    }
}

/// The experts that each row chose and their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    pub experts: Operand,
    pub weights: Operand,
}

/// How [`PlanBuilder::route`] turns router logits into choices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertOutput {
    pub top_k: usize,
    pub scoring: Scoring,
    pub renormalize: bool,
    pub factor: f32,
    pub selection_bias: Option<VectorId>,
}

/// Collects operators into a [`Plan`].
#[derive(Debug)]
pub struct PlanBuilder {
    plan: Plan,
    scope: String,
    error: Option<PlanError>,
}

impl Default for PlanBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanBuilder {
    pub fn new() -> Self {
        let plan = Plan {
            nodes: vec![],
            values: vec![],
            matrices: vec![],
            vectors: vec![],
            ropes: vec![],
            caches: vec![],
            logits: None,
            taps: vec![],
        };
        Self { plan, scope: String::new(), error: None }
    }

    /// Names the part of the model that the following operators belong to, such as `layers.3`.
    pub fn scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// Declares a weight matrix that is one tensor of the checkpoint.
    pub fn matrix(
        &mut self,
        tensor: impl Into<String>,
        rows: usize,
        cols: usize,
        format: WeightFormat,
    ) -> Weight {
        self.matrix_of(vec![MatrixPart { tensor: tensor.into(), first_row: 0, rows }], cols, format)
    }

    /// Declares a weight matrix put together from rows of several tensors.
    pub fn matrix_of(&mut self, parts: Vec<MatrixPart>, cols: usize, format: WeightFormat) -> Weight {
        // A sum that overflows is caught by the check, which adds up the parts again.
        let rows = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.rows));
        self.plan.matrices.push(Matrix { parts, rows, cols, format });
        MatrixId(self.plan.matrices.len() as u32 - 1)
    }

    /// Declares a weight vector.
    pub fn vector(&mut self, tensor: impl Into<String>, len: usize) -> WeightVector {
        self.plan.vectors.push(Vector { parts: vec![(tensor.into(), len)], len });
        VectorId(self.plan.vectors.len() as u32 - 1)
    }

    /// Declares a rotation.
    pub fn rope_spec(&mut self, spec: RopeSpec) -> RopeId {
        self.plan.ropes.push(spec);
        RopeId(self.plan.ropes.len() as u32 - 1)
    }

    /// Declares the key-value cache of one layer.
    pub fn cache(&mut self, kv_heads: usize, head_dim: usize) -> CacheId {
        self.plan.caches.push(Cache { kv_heads, head_dim });
        CacheId(self.plan.caches.len() as u32 - 1)
    }

    /// Rows of `width` columns that the caller supplies with each batch.
    pub fn input(&mut self, name: &str, width: usize) -> Columns {
        let output = self.value(name, Shape::rows_of(Rows::Tokens, width));
        self.push(name, Op::Input(Input { output: output.value }));
        output
    }

    /// The embedding of each token.
    pub fn embed(&mut self, table: Weight) -> Columns {
        self.embed_scaled(table, 1.0)
    }

    /// The embedding of each token, times a factor.
    pub fn embed_scaled(&mut self, table: Weight, factor: f32) -> Columns {
        let width = self.plan.matrices.get(table.index()).map_or(0, |m| m.cols);
        let output = self.value("embedding", Shape::rows_of(Rows::Tokens, width));
        self.push("embed", Op::Embed(Embed { table, factor, output: output.value }));
        output
    }

    /// RMS normalisation of whole rows.
    pub fn rms_norm(&mut self, input: Columns, weight: WeightVector, epsilon: f32) -> Columns {
        self.norm(input, Norm { weight: Some(weight), epsilon, ..plain_norm(input) })
    }

    /// RMS normalisation with weights stored as `w − 1`.
    pub fn rms_norm_offset(&mut self, input: Columns, weight: WeightVector, epsilon: f32) -> Columns {
        self.norm(input, Norm { weight: Some(weight), epsilon, weight_offset: 1.0, ..plain_norm(input) })
    }

    /// RMS normalisation of each head by itself.
    pub fn head_norm(
        &mut self,
        input: Columns,
        head_dim: usize,
        weight: WeightVector,
        weight_offset: f32,
        epsilon: f32,
    ) -> Columns {
        let norm =
            Norm { weight: Some(weight), group: head_dim, weight_offset, epsilon, ..plain_norm(input) };
        self.norm(input, norm)
    }

    /// Layer normalisation.
    pub fn layer_norm(
        &mut self,
        input: Columns,
        weight: WeightVector,
        bias: Option<WeightVector>,
        epsilon: f32,
    ) -> Columns {
        let norm = Norm { kind: NormKind::Layer, weight: Some(weight), bias, epsilon, ..plain_norm(input) };
        self.norm(input, norm)
    }

    fn norm(&mut self, input: Columns, mut norm: Norm) -> Columns {
        let output = self.like(input, "norm");
        norm.output = output.value;
        self.push("norm", Op::Norm(norm));
        output
    }

    /// A projection with an optional bias.
    pub fn linear(&mut self, input: Columns, weights: impl Into<Linear>) -> Columns {
        let Linear { matrix, bias } = weights.into();
        let rows = self.plan.matrices.get(matrix.index()).map_or(0, |m| m.rows);
        let name = self.matrix_name(matrix);
        let output = self.shaped(input, |shape| Shape { width: rows, ..shape }, &name);
        let op = super::Linear { input, matrix, bias, factor: 1.0, residual: None, output: output.value };
        self.push(&name, Op::Linear(op));
        output
    }

    /// Rotates each head by its row's position.
    pub fn rope(&mut self, input: Columns, rope: RopeId) -> Columns {
        let output = self.like(input, "rotated");
        self.push("rope", Op::Rope(Rope { input, rope, output: output.value }));
        output
    }

    /// Writes keys and values to the cache, then attends with the usual scale of `1/√head_dim`.
    pub fn attention(
        &mut self,
        query: Columns,
        key: Columns,
        value: Columns,
        cache: CacheId,
        heads: usize,
    ) -> Columns {
        let head_dim = self.plan.caches.get(cache.index()).map_or(1, |c| c.head_dim);
        let scale = 1.0 / (head_dim as f32).sqrt();
        let attention = Attention {
            query,
            cache,
            heads,
            scale,
            window: None,
            softcap: None,
            sinks: None,
            output: query.value, // replaced by `attend`
        };
        self.attend(key, value, attention)
    }

    /// Writes keys and values to the cache, then attends as the attributes of `attention` say; its
    /// `output` is ignored and a fresh one returned.
    pub fn attend(&mut self, key: Columns, value: Columns, mut attention: Attention) -> Columns {
        let cache = attention.cache;
        self.push("store_kv", Op::StoreKv(StoreKv { key, value, cache, rotate: None }));
        let output = self.like(attention.query, "attended");
        attention.output = output.value;
        self.push("attention", Op::Attention(attention));
        output
    }

    /// `silu(gate) · up`.
    pub fn silu_mul(&mut self, gate: Columns, up: Columns) -> Columns {
        self.gated(gate, up, Function::Silu)
    }

    /// `gelu(gate) · up`, with the tanh approximation.
    pub fn gelu_mul(&mut self, gate: Columns, up: Columns) -> Columns {
        self.gated(gate, up, Function::GeluTanh)
    }

    /// `function(gate) · up`.
    pub fn gated(&mut self, gate: Columns, up: Columns, function: Function) -> Columns {
        let output = self.like(gate, "gated");
        self.push("gated", Op::Gated(Gated { gate, up, function, quantize: None, output: output.value }));
        output
    }

    /// `function(x)`.
    pub fn activate(&mut self, input: Columns, function: Function) -> Columns {
        let output = self.like(input, "activated");
        self.push("activate", Op::Activate(Activate { input, function, output: output.value }));
        output
    }

    /// `a + b`.
    pub fn add(&mut self, a: Columns, b: Columns) -> Columns {
        let output = self.like(a, "sum");
        self.push("add", Op::Add(Add { a, b, output: output.value }));
        output
    }

    /// `factor · x`.
    pub fn scale(&mut self, input: Columns, factor: f32) -> Columns {
        let output = self.like(input, "scaled");
        self.push("scale", Op::Scale(Scale { input, factor, output: output.value }));
        output
    }

    /// `cap · tanh(x / cap)`.
    pub fn softcap(&mut self, input: Columns, cap: f32) -> Columns {
        let output = self.like(input, "capped");
        self.push("softcap", Op::Softcap(Softcap { input, cap, output: output.value }));
        output
    }

    /// Chooses experts from router logits.
    pub fn route(&mut self, logits: Columns, how: ExpertOutput) -> Routed {
        let width = how.top_k;
        let index = |shape| Shape { width, element: Element::Index, ..shape };
        let experts = self.shaped(logits, index, "experts");
        let weights = self.shaped(logits, |shape| Shape { width, ..shape }, "expert_weights");
        let op = Route {
            logits,
            top_k: how.top_k,
            scoring: how.scoring,
            selection_bias: how.selection_bias,
            renormalize: how.renormalize,
            factor: how.factor,
            experts: experts.value,
            weights: weights.value,
        };
        self.push("route", Op::Route(op));
        Routed { experts, weights }
    }

    /// A projection by each chosen expert.
    pub fn expert_linear(
        &mut self,
        input: Columns,
        routed: Routed,
        experts: usize,
        weights: impl Into<Linear>,
    ) -> Columns {
        let Linear { matrix, bias } = weights.into();
        let rows = self.plan.matrices.get(matrix.index()).map_or(0, |m| m.rows);
        let width = rows.checked_div(experts).unwrap_or(0);
        let name = self.matrix_name(matrix);
        let output = self.shaped(input, |s| Shape { slots: routed.experts.width, width, ..s }, &name);
        let op = ExpertLinear { input, chosen: routed.experts, matrix, experts, bias, output: output.value };
        self.push(&name, Op::ExpertLinear(op));
        output
    }

    /// The weighted sum of what the chosen experts gave.
    pub fn expert_combine(&mut self, input: Columns, routed: Routed) -> Columns {
        let output = self.shaped(input, |shape| Shape { slots: 1, ..shape }, "combined");
        let op = ExpertCombine { input, weights: routed.weights, residual: None, output: output.value };
        self.push("combine", Op::ExpertCombine(op));
        output
    }

    /// The rows whose logits somebody asked for.
    pub fn select_rows(&mut self, input: Columns) -> Columns {
        let output = self.shaped(input, |shape| Shape { rows: Rows::Selected, ..shape }, "selected");
        self.push("select", Op::SelectRows(SelectRows { input, output: output.value }));
        output
    }

    /// The logits of the rows that somebody asked for: selects, projects, and makes them the plan's.
    pub fn logits(&mut self, input: Columns, head: impl Into<Linear>) -> Columns {
        let selected = self.select_rows(input);
        let logits = self.linear(selected, head);
        self.hand_out_logits(logits);
        logits
    }

    /// Makes these the plan's logits: for families that scale or cap them after the projection.
    pub fn hand_out_logits(&mut self, logits: Columns) {
        self.plan.logits = Some(logits.value);
    }

    /// Draws a token per sequence.
    pub fn sample(&mut self, logits: Columns) -> Columns {
        let token = |shape| Shape { width: 1, element: Element::Index, ..shape };
        let output = self.shaped(logits, token, "token");
        self.push("sample", Op::Sample(Sample { logits, output: output.value }));
        output
    }

    /// Hands a value to the caller after each step.
    pub fn tap(&mut self, columns: Columns) {
        self.plan.taps.push(columns.value);
    }

    /// Puts any operator in; its outputs must be fresh values of [`PlanBuilder::value`].
    pub fn push(&mut self, name: &str, op: Op) {
        let name = match self.scope.as_str() {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        };
        if self.error.is_none()
            && let Err(fault) = check_op(&self.plan, &op)
        {
            self.error = Some(PlanError::Unsound { node: format!("{name} ({})", op.name()), fault });
        }
        self.plan.nodes.push(Node { name, op });
    }

    /// A fresh value.
    pub fn value(&mut self, name: &str, shape: Shape) -> Columns {
        let value = ValueId(self.plan.values.len() as u32);
        self.plan.values.push(Value { name: name.to_owned(), shape });
        Operand { value, first: 0, width: shape.width }
    }

    /// The plan, or the first mistake in it.
    pub fn finish(self) -> Result<Plan, PlanError> {
        match self.error {
            Some(error) => Err(error),
            None => check(&self.plan).map(|()| self.plan),
        }
    }

    /// A fresh value in the shape of an operand.
    fn like(&mut self, operand: Operand, name: &str) -> Operand {
        self.shaped(operand, |shape| shape, name)
    }

    /// A fresh value whose shape derives from an operand's.
    fn shaped(&mut self, operand: Operand, change: impl FnOnce(Shape) -> Shape, name: &str) -> Operand {
        let of = self.plan.values.get(operand.value.index()).map_or(
            Shape::rows_of(Rows::Tokens, operand.width), // the check will name the missing value
            |value| value.shape,
        );
        self.value(name, change(Shape { width: operand.width, element: Element::F32, ..of }))
    }

    /// What a matrix is called in node names: the telling part of its tensor's name.
    fn matrix_name(&self, matrix: MatrixId) -> String {
        let part = self.plan.matrices.get(matrix.index()).and_then(|m| m.parts.first());
        let tensor = part.map_or("linear", |part| part.tensor.as_str());
        tensor.trim_end_matches(".weight").rsplit('.').next().unwrap_or("linear").to_owned()
    }
}

/// RMS normalisation of whole rows without weights; callers override what differs.
const fn plain_norm(input: Operand) -> Norm {
    Norm {
        input,
        kind: NormKind::Rms,
        group: input.width,
        weight: None,
        bias: None,
        weight_offset: 0.0,
        epsilon: 0.0,
        add: None,
        sum: None,
        quantize: None,
        output: input.value, // replaced by the caller
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_mistake_is_named_by_its_place() {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 64);
        let w = plan.matrix("model.layers.7.mlp.up_proj.weight", 128, 63, WeightFormat::F16);
        plan.scope("layers.7");
        let y = plan.linear(x, w);
        plan.tap(y);
        let error = plan.finish().unwrap_err().to_string();
        assert_eq!(error, "layers.7.up_proj (linear): T×64 times a matrix of 63 columns");
    }

    #[test]
    fn an_empty_plan_is_refused() {
        assert_eq!(PlanBuilder::new().finish(), Err(PlanError::Empty));
    }

    #[test]
    fn absurd_matrices_are_refused() {
        for (rows, cols) in [(0, 4), (4, 0), (usize::MAX, 2), (1 << 40, 1 << 30)] {
            let mut plan = PlanBuilder::new();
            let x = plan.input("x", cols.clamp(1, 4));
            let w = plan.matrix("w", rows, cols, WeightFormat::F16);
            plan.linear(x, w);
            assert!(plan.finish().is_err(), "{rows}×{cols}");
        }
    }
}
