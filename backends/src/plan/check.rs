//! What makes a plan sound, in one place: the builder checks each operator as it is added, a rewrite is
//! checked after it, and backends rely on it.
//!
//! A sound plan defines each value once and before its use; its operands lie within their values; widths,
//! slots, rows and elements of each operator's operands fit one another; its weights have the sizes that
//! their operators need, and their parts add up; caches, rotations and weights exist.

use thiserror::Error;

use super::{
    Attention, Element, ExpertCombine, ExpertLinear, Linear, Norm, Op, Operand, Plan, Route, Rows, Shape,
    StoreKv, ValueId, VectorId,
};
use crate::format::{ActivationScale, WeightFormat};

/// Why a plan cannot be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    #[error("{node}: {fault}")]
    Unsound { node: String, fault: String },
    #[error("the plan has no operators")]
    Empty,
    #[error("rotation: {0}")]
    Rope(String),
    #[error("weight `{name}`: {fault}")]
    Weight { name: String, fault: String },
    #[error("cache: {0}")]
    Cache(String),
}

type Verdict = Result<(), String>;

fn require(condition: bool, fault: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(fault()) }
}

/// Checks the whole plan.
pub fn check(plan: &Plan) -> Result<(), PlanError> {
    if plan.nodes.is_empty() {
        return Err(PlanError::Empty);
    }
    check_tables(plan)?;
    let mut defined = vec![false; plan.values.len()];
    for node in &plan.nodes {
        let unsound =
            |fault| PlanError::Unsound { node: format!("{} ({})", node.name, node.op.name()), fault };
        for operand in node.op.inputs() {
            let known = defined.get(operand.value.index()).copied().unwrap_or(false);
            require(known, || format!("reads {} before it is written", operand.value)).map_err(unsound)?;
        }
        check_op(plan, &node.op).map_err(unsound)?;
        for output in node.op.outputs() {
            let fresh = defined.get_mut(output.index()).is_some_and(|d| !std::mem::replace(d, true));
            require(fresh, || format!("writes {output} a second time")).map_err(unsound)?;
        }
    }
    for value in plan.taps.iter().chain(&plan.logits) {
        if !defined.get(value.index()).copied().unwrap_or(false) {
            let fault = format!("{value} is handed out but never written");
            return Err(PlanError::Unsound { node: "outputs".to_owned(), fault });
        }
    }
    Ok(())
}

/// Checks weights, rotations and caches by themselves.
fn check_tables(plan: &Plan) -> Result<(), PlanError> {
    for matrix in &plan.matrices {
        let name = || matrix.parts.first().map_or_else(String::new, |p| p.tensor.clone());
        let total = matrix.parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.rows));
        if matrix.rows == 0 || matrix.cols == 0 {
            let fault = format!("a {}×{} matrix has no elements", matrix.rows, matrix.cols);
            return Err(PlanError::Weight { name: name(), fault });
        }
        if total != Some(matrix.rows) {
            let fault = format!("its parts do not add up to {} rows", matrix.rows);
            return Err(PlanError::Weight { name: name(), fault });
        }
        // Sizes are multiplied freely from here on: 2^48 elements stay far from overflow in bytes.
        if matrix.rows.checked_mul(matrix.cols).is_none_or(|n| n > 1 << 48) {
            let fault = format!("{}×{} is not a size that can be stored", matrix.rows, matrix.cols);
            return Err(PlanError::Weight { name: name(), fault });
        }
        if let Err(fault) = matrix.format.check() {
            return Err(PlanError::Weight { name: name(), fault: fault.to_string() });
        }
    }
    for vector in &plan.vectors {
        let total = vector.parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.1));
        if vector.len == 0 || total != Some(vector.len) {
            let name = vector.parts.first().map_or_else(String::new, |p| p.0.clone());
            return Err(PlanError::Weight { name, fault: format!("its parts do not make {}", vector.len) });
        }
    }
    for rope in &plan.ropes {
        if let Some(fault) = rope.fault() {
            return Err(PlanError::Rope(fault));
        }
    }
    for cache in &plan.caches {
        if cache.kv_heads == 0 || cache.head_dim == 0 {
            return Err(PlanError::Cache(format!("{} heads of {}", cache.kv_heads, cache.head_dim)));
        }
    }
    Ok(())
}

/// Checks one operator against the tables of its plan.
pub(super) fn check_op(plan: &Plan, op: &Op) -> Verdict {
    let scope = Scope { plan };
    for operand in op.inputs() {
        scope.operand(operand)?;
    }
    for output in op.outputs() {
        let shape = scope.value(output)?;
        let elements = shape.width.checked_mul(shape.slots);
        require(elements.is_some_and(|n| n > 0 && n <= 1 << 32), || format!("a row of {shape}"))?;
    }
    match op {
        Op::Input(o) => {
            let shape = scope.value(o.output)?;
            scope.writes(o.output, Shape::rows_of(Rows::Tokens, shape.width))
        }
        Op::Embed(o) => {
            let table = scope.matrix(o.table)?;
            scope.writes(o.output, Shape::rows_of(Rows::Tokens, table.1))
        }
        Op::Norm(o) => scope.norm(o),
        Op::Linear(o) => scope.linear(o),
        Op::Rope(o) => {
            scope.rotates(o.input, o.rope)?;
            scope.writes(o.output, scope.float(o.input)?)
        }
        Op::StoreKv(o) => scope.store_kv(o),
        Op::Attention(o) => scope.attention(o),
        Op::Gated(o) => {
            let shape = scope.float(o.gate)?;
            scope.alike(o.gate, o.up)?;
            scope.writes(o.output, quantized(shape, o.quantize))
        }
        Op::Activate(o) => scope.writes(o.output, scope.float(o.input)?),
        Op::Add(o) => {
            scope.alike(o.a, o.b)?;
            scope.writes(o.output, scope.float(o.a)?)
        }
        Op::Scale(o) => scope.writes(o.output, scope.float(o.input)?),
        Op::Softcap(o) => {
            require(o.cap.is_finite() && o.cap > 0.0, || format!("a softcap of {}", o.cap))?;
            scope.writes(o.output, scope.float(o.input)?)
        }
        Op::Route(o) => scope.route(o),
        Op::ExpertLinear(o) => scope.expert_linear(o),
        Op::ExpertCombine(o) => scope.expert_combine(o),
        Op::SelectRows(o) => {
            let shape = scope.shape(o.input)?;
            require(shape.rows == Rows::Tokens, || "selects from rows already selected".into())?;
            scope.writes(o.output, Shape { rows: Rows::Selected, ..shape })
        }
        Op::Sample(o) => {
            let shape = scope.float(o.logits)?;
            require(shape.slots == 1, || "samples from one slot".into())?;
            scope.writes(o.output, Shape { width: 1, element: Element::Index, ..shape })
        }
    }
}

/// The shape after an optional fused quantisation.
fn quantized(shape: Shape, quantize: Option<ActivationScale>) -> Shape {
    Shape { element: if quantize.is_some() { Element::Int8Rows } else { shape.element }, ..shape }
}

/// Look-ups that name what is missing.
struct Scope<'a> {
    plan: &'a Plan,
}

impl Scope<'_> {
    fn value(&self, id: ValueId) -> Result<Shape, String> {
        self.plan.values.get(id.index()).map(|v| v.shape).ok_or_else(|| format!("{id} does not exist"))
    }

    fn operand(&self, operand: Operand) -> Verdict {
        let shape = self.value(operand.value)?;
        let end = operand.first.checked_add(operand.width);
        require(operand.width > 0 && end.is_some_and(|end| end <= shape.width), || {
            let Operand { value, first, width } = operand;
            format!("{width} columns from {first} of {value}, which has {}", shape.width)
        })?;
        let whole = operand.first == 0 && operand.width == shape.width;
        require(whole || shape.element == Element::F32, || format!("part of {}", operand.value))
    }

    fn shape(&self, operand: Operand) -> Result<Shape, String> {
        Ok(Shape { width: operand.width, ..self.value(operand.value)? })
    }

    /// The shape of an operand that must be f32.
    fn float(&self, operand: Operand) -> Result<Shape, String> {
        let shape = self.shape(operand)?;
        require(shape.element == Element::F32, || format!("{} is not f32 rows", operand.value))?;
        Ok(shape)
    }

    fn alike(&self, a: Operand, b: Operand) -> Verdict {
        let (x, y) = (self.float(a)?, self.float(b)?);
        require(x == y, || format!("{} is {x} and {} is {y}", a.value, b.value))
    }

    fn writes(&self, output: ValueId, expected: Shape) -> Verdict {
        let shape = self.value(output)?;
        require(shape == expected, || format!("{output} is {shape}, the operator makes {expected}"))
    }

    fn matrix(&self, id: super::MatrixId) -> Result<(usize, usize, WeightFormat), String> {
        let matrix = self.plan.matrices.get(id.index()).ok_or_else(|| format!("{id} does not exist"))?;
        Ok((matrix.rows, matrix.cols, matrix.format))
    }

    fn vector(&self, id: VectorId, len: usize) -> Verdict {
        let vector = self.plan.vectors.get(id.index()).ok_or_else(|| format!("{id} does not exist"))?;
        require(vector.len == len, || format!("{id} has {} elements, {len} are needed", vector.len))
    }

    fn rotates(&self, operand: Operand, rope: super::RopeId) -> Verdict {
        let spec = self.plan.ropes.get(rope.index()).ok_or_else(|| format!("{rope} does not exist"))?;
        let shape = self.float(operand)?;
        require(spec.head_dim > 0 && shape.width % spec.head_dim == 0 && shape.slots == 1, || {
            format!("{shape} is not a number of heads of {}", spec.head_dim)
        })?;
        // A selected row no longer stands at its position in the batch.
        require(shape.rows == Rows::Tokens, || "rotates rows already selected".into())
    }

    fn norm(&self, o: &Norm) -> Verdict {
        let shape = self.float(o.input)?;
        require(o.group > 0 && shape.width.is_multiple_of(o.group), || {
            format!("{} columns are not groups of {}", shape.width, o.group)
        })?;
        require(o.epsilon.is_finite() && o.epsilon >= 0.0, || format!("an epsilon of {}", o.epsilon))?;
        for vector in [o.weight, o.bias].into_iter().flatten() {
            self.vector(vector, o.group)?;
        }
        if let Some(add) = o.add {
            self.alike(o.input, add)?;
        }
        if let Some(sum) = o.sum {
            require(o.add.is_some(), || "keeps a sum but adds nothing".into())?;
            self.writes(sum, shape)?;
        }
        self.writes(o.output, quantized(shape, o.quantize))
    }

    fn linear(&self, o: &Linear) -> Verdict {
        let (rows, cols, format) = self.matrix(o.matrix)?;
        let shape = self.shape(o.input)?;
        require(shape.width == cols, || format!("{shape} times a matrix of {cols} columns"))?;
        let w8a8 = matches!(format, WeightFormat::W8a8(_));
        require(shape.element == Element::F32 || (shape.element == Element::Int8Rows && w8a8), || {
            format!("{shape} times a matrix in {format}")
        })?;
        if let Some(bias) = o.bias {
            self.vector(bias, rows)?;
        }
        let output = Shape { width: rows, element: Element::F32, ..shape };
        if let Some(residual) = o.residual {
            let residual = self.float(residual)?;
            require(residual == output, || format!("adds {residual} to {output}"))?;
        }
        self.writes(o.output, output)
    }

    fn store_kv(&self, o: &StoreKv) -> Verdict {
        self.alike(o.key, o.value)?;
        let shape = self.float(o.key)?;
        let cache =
            self.plan.caches.get(o.cache.index()).ok_or_else(|| format!("{} does not exist", o.cache))?;
        let expected = Shape::rows_of(Rows::Tokens, cache.kv_heads.saturating_mul(cache.head_dim));
        require(shape == expected, || format!("{shape} into a cache of {expected}"))?;
        if let Some(rotate) = &o.rotate {
            self.rotates(o.key, rotate.rope)?;
            self.rotates(rotate.query, rotate.rope)?;
            self.writes(rotate.output, self.float(rotate.query)?)?;
        }
        Ok(())
    }

    fn attention(&self, o: &Attention) -> Verdict {
        let cache =
            self.plan.caches.get(o.cache.index()).ok_or_else(|| format!("{} does not exist", o.cache))?;
        require(o.heads > 0 && cache.kv_heads > 0 && o.heads.is_multiple_of(cache.kv_heads), || {
            format!("{} query heads over {} key heads", o.heads, cache.kv_heads)
        })?;
        let expected = Shape::rows_of(Rows::Tokens, o.heads.saturating_mul(cache.head_dim));
        let shape = self.float(o.query)?;
        require(shape == expected, || format!("queries of {shape}, {expected} expected"))?;
        require(o.scale.is_finite(), || format!("a scale of {}", o.scale))?;
        require(o.window != Some(0), || "a window of no tokens".into())?;
        if let Some(cap) = o.softcap {
            require(cap.is_finite() && cap > 0.0, || format!("a softcap of {cap}"))?;
        }
        if let Some(sinks) = o.sinks {
            self.vector(sinks, o.heads)?;
        }
        self.writes(o.output, expected)
    }

    fn route(&self, o: &Route) -> Verdict {
        let shape = self.float(o.logits)?;
        require(o.top_k > 0 && o.top_k <= shape.width && shape.slots == 1, || {
            format!("the best {} of {shape}", o.top_k)
        })?;
        if let Some(bias) = o.selection_bias {
            self.vector(bias, shape.width)?;
        }
        let chosen = Shape { width: o.top_k, ..shape };
        self.writes(o.experts, Shape { element: Element::Index, ..chosen })?;
        self.writes(o.weights, chosen)
    }

    fn expert_linear(&self, o: &ExpertLinear) -> Verdict {
        let (rows, cols, _) = self.matrix(o.matrix)?;
        require(o.experts > 0 && rows % o.experts == 0, || format!("{rows} rows for {} experts", o.experts))?;
        let (input, chosen) = (self.float(o.input)?, self.shape(o.chosen)?);
        // Indices from anywhere else could name experts that do not exist.
        let routed = self.plan.nodes.iter().any(|node| match &node.op {
            Op::Route(route) => route.experts == o.chosen.value && route.logits.width == o.experts,
            _ => false,
        });
        require(routed && chosen.slots == 1, || format!("needs a choice among {} experts", o.experts))?;
        require(input.width == cols && input.rows == chosen.rows, || {
            format!("{input} times expert matrices of {cols} columns, chosen by {chosen}")
        })?;
        require(input.slots == 1 || input.slots == chosen.width, || {
            format!("{input} for {} chosen experts", chosen.width)
        })?;
        if let Some(bias) = o.bias {
            self.vector(bias, rows)?;
        }
        self.writes(o.output, Shape { slots: chosen.width, width: rows / o.experts, ..input })
    }

    fn expert_combine(&self, o: &ExpertCombine) -> Verdict {
        let (input, weights) = (self.float(o.input)?, self.float(o.weights)?);
        require(weights.slots == 1 && weights.rows == input.rows && weights.width == input.slots, || {
            format!("{weights} weights for {input}")
        })?;
        let output = Shape { slots: 1, ..input };
        if let Some(residual) = o.residual {
            let residual = self.float(residual)?;
            require(residual == output, || format!("adds {residual} to {output}"))?;
        }
        self.writes(o.output, output)
    }
}
