//! The operators: what a decoder-only model is made of.
//!
//! One variant per operator, one struct per variant with named fields. A field marked *fused* is off in
//! a freshly built plan and switched on by a rewrite in [`fusion`](super::fusion): the fused form is the
//! same operator with an attribute set, so a backend implements each operator once.
//!
//! In the formulas below `x` is one row of the input, and every operator works row by row unless its
//! text says otherwise.

use super::value::{CacheId, MatrixId, Operand, RopeId, ValueId, VectorId};
use crate::format::ActivationScale;

/// An operator with its operands, attributes and results.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Input(Input),
    Embed(Embed),
    Norm(Norm),
    Linear(Linear),
    Rope(Rope),
    StoreKv(StoreKv),
    Attention(Attention),
    Gated(Gated),
    Activate(Activate),
    Add(Add),
    Scale(Scale),
    Softcap(Softcap),
    Route(Route),
    ExpertLinear(ExpertLinear),
    ExpertCombine(ExpertCombine),
    SelectRows(SelectRows),
    Sample(Sample),
}

/// Rows that the caller supplies with each batch: embeddings from elsewhere, or a test's operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub output: ValueId,
}

/// `y = factor · table[token]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed {
    pub table: MatrixId,
    pub factor: f32,
    pub output: ValueId,
}

/// Which statistic a [`Norm`] divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + ε)`
    Rms,
    /// `(x − mean(x)) / sqrt(var(x) + ε)`
    Layer,
}

/// Normalisation of `group` neighbouring columns at a time: `y = norm(x) · (offset + weight) + bias`.
///
/// `group` is the row's width, or the size of a head for the q/k norms of some families; `weight` and
/// `bias` have `group` elements and are reused for every group of the row.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub input: Operand,
    pub kind: NormKind,
    pub group: usize,
    pub weight: Option<VectorId>,
    pub bias: Option<VectorId>,
    /// Added to each weight: 1 in families that store `w − 1`, else 0.
    pub weight_offset: f32,
    pub epsilon: f32,
    /// *Fused*: `x = input + add` is what gets normalised …
    pub add: Option<Operand>,
    /// … and is kept here, being the residual stream.
    pub sum: Option<ValueId>,
    /// *Fused*: the output is int8 rows with a scale each, as a `w8a8` product wants them.
    pub quantize: Option<ActivationScale>,
    pub output: ValueId,
}

/// `y = factor · (x · Wᵀ + bias) + residual`.
///
/// The input is f32 rows, or int8 rows where W is `w8a8`. With f32 rows and a `w8a8` matrix the
/// operator quantises its input itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    pub input: Operand,
    pub matrix: MatrixId,
    pub bias: Option<VectorId>,
    /// *Fused*, 1 when off.
    pub factor: f32,
    /// *Fused*.
    pub residual: Option<Operand>,
    pub output: ValueId,
}

/// Rotates each head of the input by its row's position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub input: Operand,
    pub rope: RopeId,
    pub output: ValueId,
}

/// Writes the rows' keys and values into the cache pages of their positions.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreKv {
    pub key: Operand,
    pub value: Operand,
    pub cache: CacheId,
    /// *Fused*: the key is rotated on its way into the cache, and so is the query.
    pub rotate: Option<RotateQuery>,
}

/// The fused part of [`StoreKv`]: rotation of the key, and of the query beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct RotateQuery {
    pub rope: RopeId,
    pub query: Operand,
    pub output: ValueId,
}

/// Causal attention of each row's query heads over the cached keys and values of its own sequence:
/// `softmax(cap(scale · q·kᵀ)) · v`, where query head h reads key head `h / (heads / kv_heads)`.
///
/// The row at position p sees positions `max(0, p + 1 − window) ..= p`. Reads what [`StoreKv`] wrote for
/// the same cache in this step and before. `cap(s) = c · tanh(s / c)` where a softcap is given.
/// A `sink` is one more logit per query head that takes part in the softmax and has no value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    pub query: Operand,
    pub cache: CacheId,
    pub heads: usize,
    pub scale: f32,
    pub window: Option<u32>,
    pub softcap: Option<f32>,
    pub sinks: Option<VectorId>,
    pub output: ValueId,
}

/// The elementwise functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `x · sigmoid(x)`
    Silu,
    /// `x/2 · (1 + erf(x/√2))`
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    Relu,
    /// `relu(x)²`
    ReluSquared,
    Sigmoid,
    Tanh,
}

impl Function {
    /// A short name for listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu-tanh",
            Self::Relu => "relu",
            Self::ReluSquared => "relu²",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
        }
    }
}

/// `y = function(gate) · up`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gated {
    pub gate: Operand,
    pub up: Operand,
    pub function: Function,
    /// *Fused*: see [`Norm::quantize`].
    pub quantize: Option<ActivationScale>,
    pub output: ValueId,
}

/// `y = function(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Activate {
    pub input: Operand,
    pub function: Function,
    pub output: ValueId,
}

/// `y = a + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    pub a: Operand,
    pub b: Operand,
    pub output: ValueId,
}

/// `y = factor · x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    pub input: Operand,
    pub factor: f32,
    pub output: ValueId,
}

/// `y = cap · tanh(x / cap)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Softcap {
    pub input: Operand,
    pub cap: f32,
    pub output: ValueId,
}

/// How router logits become the experts' probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    Softmax,
    Sigmoid,
}

/// Mixture-of-experts routing: the `top_k` highest scored experts of each row, best first, equal scores
/// by lower index, and the weight of each.
///
/// Scores are softmax or sigmoid of the logits; `selection_bias`, where given, takes part in choosing
/// but not in the weights; `renormalize` divides the chosen weights by their sum; `factor` multiplies them.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub logits: Operand,
    pub top_k: usize,
    pub scoring: Scoring,
    pub selection_bias: Option<VectorId>,
    pub renormalize: bool,
    pub factor: f32,
    pub experts: ValueId,
    pub weights: ValueId,
}

/// One product per slot of a row, with the matrix of the expert that the row's slot chose.
///
/// The matrix holds the experts' matrices one after another. The input has one slot (every expert sees
/// the same row) or as many as the output.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertLinear {
    pub input: Operand,
    pub chosen: Operand,
    pub matrix: MatrixId,
    pub experts: usize,
    pub bias: Option<VectorId>,
    pub output: ValueId,
}

/// `y = Σ_slot weight[slot] · x[slot] + residual`: the slots of a row become one.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertCombine {
    pub input: Operand,
    pub weights: Operand,
    /// *Fused*.
    pub residual: Option<Operand>,
    pub output: ValueId,
}

/// Keeps the rows whose logits somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectRows {
    pub input: Operand,
    pub output: ValueId,
}

/// Draws one token per sequence that asked for one, from the logits of its last row.
/// What it computes is defined in [`sampling`](crate::sampling).
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub logits: Operand,
    pub output: ValueId,
}

impl Op {
    /// A short name for tables and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Embed(_) => "embed",
            Self::Norm(Norm { kind: NormKind::Rms, .. }) => "rms_norm",
            Self::Norm(Norm { kind: NormKind::Layer, .. }) => "layer_norm",
            Self::Linear(_) => "linear",
            Self::Rope(_) => "rope",
            Self::StoreKv(_) => "store_kv",
            Self::Attention(_) => "attention",
            Self::Gated(_) => "gated",
            Self::Activate(_) => "activate",
            Self::Add(_) => "add",
            Self::Scale(_) => "scale",
            Self::Softcap(_) => "softcap",
            Self::Route(_) => "route",
            Self::ExpertLinear(_) => "expert_linear",
            Self::ExpertCombine(_) => "expert_combine",
            Self::SelectRows(_) => "select_rows",
            Self::Sample(_) => "sample",
        }
    }

    /// The operands it reads.
    pub fn inputs(&self) -> Vec<Operand> {
        // One list serves readers and rewriters; the clone is a few words, and steps never come here.
        self.clone().inputs_mut().into_iter().map(|operand| *operand).collect()
    }

    /// The values it writes.
    pub fn outputs(&self) -> Vec<ValueId> {
        self.clone().outputs_mut().into_iter().map(|value| *value).collect()
    }

    /// The weight matrix it multiplies with or looks up.
    pub fn matrix(&self) -> Option<MatrixId> {
        self.clone().matrix_mut().copied()
    }

    /// The weight vectors it reads.
    pub fn vectors(&self) -> Vec<VectorId> {
        self.clone().vectors_mut().into_iter().map(|vector| *vector).collect()
    }

    /// The operands it reads, for rewrites that point them elsewhere.
    pub(crate) fn inputs_mut(&mut self) -> Vec<&mut Operand> {
        match self {
            Self::Input(_) | Self::Embed(_) => vec![],
            Self::Norm(o) => [Some(&mut o.input), o.add.as_mut()].into_iter().flatten().collect(),
            Self::Linear(o) => [Some(&mut o.input), o.residual.as_mut()].into_iter().flatten().collect(),
            Self::Rope(o) => vec![&mut o.input],
            Self::StoreKv(o) => {
                let query = o.rotate.as_mut().map(|r| &mut r.query);
                [Some(&mut o.key), Some(&mut o.value), query].into_iter().flatten().collect()
            }
            Self::Attention(o) => vec![&mut o.query],
            Self::Gated(o) => vec![&mut o.gate, &mut o.up],
            Self::Activate(o) => vec![&mut o.input],
            Self::Add(o) => vec![&mut o.a, &mut o.b],
            Self::Scale(o) => vec![&mut o.input],
            Self::Softcap(o) => vec![&mut o.input],
            Self::Route(o) => vec![&mut o.logits],
            Self::ExpertLinear(o) => vec![&mut o.input, &mut o.chosen],
            Self::ExpertCombine(o) => {
                let fixed = [Some(&mut o.input), Some(&mut o.weights), o.residual.as_mut()];
                fixed.into_iter().flatten().collect()
            }
            Self::SelectRows(o) => vec![&mut o.input],
            Self::Sample(o) => vec![&mut o.logits],
        }
    }

    pub(crate) fn outputs_mut(&mut self) -> Vec<&mut ValueId> {
        match self {
            Self::Input(o) => vec![&mut o.output],
            Self::Embed(o) => vec![&mut o.output],
            Self::Norm(o) => [o.sum.as_mut(), Some(&mut o.output)].into_iter().flatten().collect(),
            Self::Linear(o) => vec![&mut o.output],
            Self::Rope(o) => vec![&mut o.output],
            Self::StoreKv(o) => o.rotate.iter_mut().map(|r| &mut r.output).collect(),
            Self::Attention(o) => vec![&mut o.output],
            Self::Gated(o) => vec![&mut o.output],
            Self::Activate(o) => vec![&mut o.output],
            Self::Add(o) => vec![&mut o.output],
            Self::Scale(o) => vec![&mut o.output],
            Self::Softcap(o) => vec![&mut o.output],
            Self::Route(o) => vec![&mut o.experts, &mut o.weights],
            Self::ExpertLinear(o) => vec![&mut o.output],
            Self::ExpertCombine(o) => vec![&mut o.output],
            Self::SelectRows(o) => vec![&mut o.output],
            Self::Sample(o) => vec![&mut o.output],
        }
    }

    pub(crate) fn matrix_mut(&mut self) -> Option<&mut MatrixId> {
        match self {
            Self::Embed(o) => Some(&mut o.table),
            Self::Linear(o) => Some(&mut o.matrix),
            Self::ExpertLinear(o) => Some(&mut o.matrix),
            _ => None,
        }
    }

    pub(crate) fn vectors_mut(&mut self) -> Vec<&mut VectorId> {
        match self {
            Self::Norm(o) => [o.weight.as_mut(), o.bias.as_mut()].into_iter().flatten().collect(),
            Self::Linear(o) => o.bias.iter_mut().collect(),
            Self::Attention(o) => o.sinks.iter_mut().collect(),
            Self::Route(o) => o.selection_bias.iter_mut().collect(),
            Self::ExpertLinear(o) => o.bias.iter_mut().collect(),
            _ => vec![],
        }
    }

    /// The operand whose elements it reads exactly where it writes the output's: where that operand is
    /// a whole value that nobody reads afterwards, the output may take over its memory.
    pub fn in_place(&self) -> Option<(Operand, ValueId)> {
        match self {
            Self::Activate(o) => Some((o.input, o.output)),
            Self::Add(o) => Some((o.a, o.output)),
            Self::Scale(o) => Some((o.input, o.output)),
            Self::Softcap(o) => Some((o.input, o.output)),
            Self::Linear(o) => o.residual.map(|r| (r, o.output)),
            Self::ExpertCombine(o) => o.residual.map(|r| (r, o.output)),
            Self::Norm(o) => o.sum.map(|sum| (o.input, sum)),
            _ => None,
        }
    }
}
