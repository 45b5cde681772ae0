//! One step: which function carries out which operator, and what is handed out at the end.

use std::ops::Range;

use super::attention::attention;
use super::cache::LayerCache;
use super::linear::{Activations, Epilogue, LinearError, QuantizedActivations, linear, linear_quantized};
use super::rope::{Rotation, rotate};
use super::scratch::Scratch;
use super::share::{GRAIN, RowBlock, pieces};
use super::simd::{Kernel, Simd, SimdSlices, lines, reserve_lines};
use super::values::{RowsMut, Values, numbers_mut};
use super::{Isa, LoadedWeights, elementwise, moe, norm};
use crate::plan::{
    Element, Embed, ExpertLinear, Input, Linear, Op, Plan, Sample, SelectRows, StoreKv, ValueId,
};
use crate::{BackendError, Batch, BatchLayout, StepOutput, Tap, Tokens};

/// All that an operator may look at or write to.
pub(super) struct Step<'a> {
    pub(super) plan: &'a Plan,
    pub(super) weights: &'a LoadedWeights,
    pub(super) isa: Isa,
    pub(super) batch: &'a Batch,
    pub(super) layout: &'a BatchLayout,
    /// The token of each row.
    pub(super) tokens: &'a [u32],
    pub(super) page_tokens: usize,
    pub(super) values: &'a mut Values,
    pub(super) caches: &'a mut [LayerCache],
    pub(super) rotations: &'a mut [Rotation],
    pub(super) scratch: &'a mut Scratch,
    /// For each sequence, the token that was drawn for it.
    pub(super) drawn: Vec<Option<u32>>,
}

impl Step<'_> {
    /// Computes what all layers share.
    pub(super) fn begin(&mut self) {
        self.values.begin(self.layout.rows(), self.layout.selected.len());
        for rotation in &mut *self.rotations {
            rotation.begin(&self.layout.position);
        }
        self.scratch.places.clear();
        if !self.caches.is_empty() {
            let rows = self.layout.position.iter().zip(&self.layout.sequence);
            let place = |(position, sequence): (&u32, &u32)| {
                let position = *position as usize;
                let page = self.batch.sequences[*sequence as usize].pages[position / self.page_tokens];
                (page as usize, position % self.page_tokens)
            };
            self.scratch.places.extend(rows.map(place));
        }
    }

    /// Carries out one operator.
    pub(super) fn run(&mut self, op: &Op) -> Result<(), BackendError> {
        let (isa, vectors) = (self.isa, self.weights.vectors.as_slice());
        match op {
            Op::Input(o) => self.input(o),
            Op::Embed(o) => self.embed(o),
            Op::Norm(o) => norm::norm(isa, self.values, vectors, o),
            Op::Linear(o) => self.linear(o).map_err(refused)?,
            Op::Rope(o) => rotate(isa, self.values, &self.rotations[o.rope.index()], o.input, o.output),
            Op::StoreKv(o) => self.store_kv(o),
            Op::Attention(o) => {
                let sinks = o.sinks.map(|id| vectors[id.index()].as_slice());
                let step = (self.batch, self.layout);
                let cache = &self.caches[o.cache.index()];
                attention(isa, self.values, o, cache, sinks, step, &mut self.scratch.attention);
            }
            Op::Gated(o) => elementwise::gated(isa, self.values, o),
            Op::Activate(o) => elementwise::activate(isa, self.values, o),
            Op::Add(o) => elementwise::add(isa, self.values, o),
            Op::Scale(o) => elementwise::scale(isa, self.values, o),
            Op::Softcap(o) => elementwise::softcap(isa, self.values, o),
            Op::Route(o) => moe::route(self.values, vectors, o, &mut self.scratch.router),
            Op::ExpertLinear(o) => self.expert_linear(o).map_err(refused)?,
            Op::ExpertCombine(o) => moe::expert_combine(isa, self.values, o),
            Op::SelectRows(o) => self.select_rows(o),
            Op::Sample(o) => self.sample(o)?,
        }
        Ok(())
    }

    /// Takes in the rows that the caller supplied; that they are there and complete was checked.
    fn input(&mut self, op: &Input) {
        let rows = self.batch.inputs.iter().find(|input| input.value == op.output);
        let mut buffer = self.values.take(op.output);
        if let Some(rows) = rows {
            numbers_mut(&mut buffer, rows.data.len()).copy_from_slice(&rows.data);
        }
        self.values.put(op.output, buffer);
    }

    /// `y = factor · table[token]`.
    #[allow(clippy::float_cmp, reason = "off is this very number")]
    fn embed(&mut self, op: &Embed) {
        let table = self.weights.matrices[op.table.index()].view();
        let (shape, rows) = (self.values.shape(op.output), self.values.rows(op.output));
        let mut buffer = self.values.take(op.output);
        let out = RowsMut::new(&mut buffer, &shape, rows);
        let block = RowBlock { first: 0, rows, width: shape.width, beside: None, out };
        let (isa, tokens) = (self.isa, self.tokens);
        block.share(&|block| {
            let RowsMut::Floats(out) = block.out else { return };
            for (token, out) in tokens[block.first..].iter().zip(out.chunks_exact_mut(block.width)) {
                // Tokens were checked against the table's rows, so this cannot fail; NaN would show it.
                if table.row_f32(*token as usize, out).is_err() {
                    out.fill(f32::NAN);
                }
                if op.factor != 1.0 {
                    isa.run_float(ScaleBy(op.factor, out));
                }
            }
        });
        self.values.put(op.output, buffer);
    }

    /// `y = factor · (x · Wᵀ + bias) + residual`.
    #[allow(clippy::float_cmp, reason = "off is this very number")]
    fn linear(&mut self, op: &Linear) -> Result<(), LinearError> {
        let width = self.values.shape(op.output).width;
        let count = self.values.rows(op.output) * width;
        let in_place = op.residual.is_some_and(|residual| self.values.share(residual.value, op.output));
        let mut buffer = self.values.take(op.output);
        let out = numbers_mut::<f32>(&mut buffer, count);
        let residual = op.residual.filter(|_| !in_place).map(|residual| self.values.floats(residual));
        if let Some(residual) = residual {
            let copy = |row: usize, column: usize, out: &mut [f32]| {
                out.copy_from_slice(&residual.row(row)[column..][..out.len()]);
            };
            pieces(out, width, GRAIN, copy);
        }
        let add = op.residual.is_some();
        let result = if op.factor == 1.0 {
            self.product(op, add, out)
        } else if add {
            // The factor is not the residual's, so the product must be had by itself.
            let mut product = std::mem::take(&mut self.scratch.product);
            let scratch = numbers_mut(reserve_lines(&mut product, lines(count)), count);
            let result = self.product(op, false, scratch);
            let (isa, scratch) = (self.isa, &*scratch);
            pieces(out, width, GRAIN, |row, column, out| {
                let x = &scratch[row * width + column..][..out.len()];
                isa.run_float(AddTimes { factor: op.factor, x, out });
            });
            self.scratch.product = product;
            result
        } else {
            let result = self.product(op, false, out);
            pieces(out, width, GRAIN, |_, _, out| self.isa.run_float(ScaleBy(op.factor, out)));
            result
        };
        self.values.put(op.output, buffer);
        result
    }

    /// `x · Wᵀ + bias`, added to what `out` holds or in its place.
    fn product(&mut self, op: &Linear, add: bool, out: &mut [f32]) -> Result<(), LinearError> {
        let weights = self.weights.matrices[op.matrix.index()].view();
        let bias = op.bias.map(|id| self.weights.vectors[id.index()].as_slice());
        let (epilogue, scratch) = (Epilogue { bias, add }, &mut self.scratch.linear);
        if self.values.shape(op.input.value).element == Element::Int8Rows {
            let x = self.values.codes(op.input.value);
            let x = QuantizedActivations::new(x.codes, x.scales, x.scales.len(), x.stride);
            linear_quantized(self.isa, x, weights, epilogue, out, scratch)
        } else {
            let x = self.values.floats(op.input);
            let x = Activations::new(x.span(), x.count(), x.stride());
            linear(self.isa, x, weights, epilogue, out, scratch)
        }
    }

    fn expert_linear(&mut self, op: &ExpertLinear) -> Result<(), LinearError> {
        let matrix = &self.weights.matrices[op.matrix.index()];
        let bias = op.bias.map(|id| self.weights.vectors[id.index()].as_slice());
        let Scratch { experts, linear, .. } = &mut *self.scratch;
        moe::expert_linear(self.isa, self.values, op, (matrix, bias), experts, linear)
    }

    /// Writes keys and values to the cache, rotating the keys and the query beside them if fused.
    fn store_kv(&mut self, op: &StoreKv) {
        let rotation = op.rotate.as_ref().map(|rotate| &self.rotations[rotate.rope.index()]);
        let (keys, values) = (self.values.floats(op.key), self.values.floats(op.value));
        self.caches[op.cache.index()].store(self.isa, &self.scratch.places, keys, values, rotation);
        if let (Some(op), Some(rotation)) = (&op.rotate, rotation) {
            rotate(self.isa, self.values, rotation, op.query, op.output);
        }
    }

    /// Keeps the rows whose logits somebody asked for.
    fn select_rows(&mut self, op: &SelectRows) {
        let shape = self.values.shape(op.output);
        let rows = self.values.rows(op.output);
        let mut buffer = self.values.take(op.output);
        let selected =
            |row: usize| self.layout.selected[row / shape.slots] as usize * shape.slots + row % shape.slots;
        match shape.element {
            Element::F32 => {
                let x = self.values.floats(op.input);
                let out = numbers_mut::<f32>(&mut buffer, rows * shape.width);
                for (row, out) in out.chunks_exact_mut(shape.width).enumerate() {
                    out.copy_from_slice(x.row(selected(row)));
                }
            }
            Element::Index => {
                let x = self.values.indices(op.input.value);
                let out = numbers_mut::<u32>(&mut buffer, rows * shape.width);
                for (row, out) in out.chunks_exact_mut(shape.width).enumerate() {
                    out.copy_from_slice(&x[selected(row) * shape.width..][..shape.width]);
                }
            }
            Element::Int8Rows => {
                let x = self.values.codes(op.input.value);
                if let RowsMut::Codes { codes, scales } = RowsMut::new(&mut buffer, &shape, rows) {
                    for (row, (codes, scale)) in codes.chunks_exact_mut(x.stride).zip(scales).enumerate() {
                        codes.copy_from_slice(&x.codes[selected(row) * x.stride..][..x.stride]);
                        *scale = x.scales[selected(row)];
                    }
                }
            }
        }
        self.values.put(op.output, buffer);
    }

    /// Draws one token per sequence that asked for one; rows that draw nothing hold 0.
    fn sample(&mut self, op: &Sample) -> Result<(), BackendError> {
        let rows_of = self.values.shape(op.logits.value).rows;
        let count = self.values.rows(op.output);
        let mut buffer = self.values.take(op.output);
        let out = numbers_mut::<u32>(&mut buffer, count);
        out.fill(0);
        let logits = self.values.floats(op.logits);
        let mut failed = None;
        for (sequence, asked) in self.batch.sequences.iter().enumerate() {
            let Some(options) = &asked.sample else { continue };
            let token_rows =
                self.layout.first_row[sequence] as usize..self.layout.first_row[sequence + 1] as usize;
            let sampled = match asked.tokens {
                Tokens::Sampled(_) => Some(self.tokens[token_rows.start]),
                Tokens::Ids(_) => None,
            };
            let row = self.layout.rows_of(rows_of, sequence).end - 1;
            let position = self.layout.position[token_rows.end - 1] + 1;
            let token = self.scratch.sampler.draw(self.isa, logits.row(row), options, sampled, position);
            match token {
                Some(token) => out[row] = token,
                None => failed = failed.or(Some(BackendError::NotFinite { sequence })),
            }
            self.drawn[sequence] = token;
        }
        self.values.put(op.output, buffer);
        failed.map_or(Ok(()), Err)
    }

    /// What the step gives to its caller.
    pub(super) fn output(&mut self) -> StepOutput {
        let taps =
            self.plan.taps.iter().map(|value| Tap { value: *value, data: self.values.as_numbers(*value) });
        StepOutput { taps: taps.collect(), logits: self.logits(), tokens: std::mem::take(&mut self.drawn) }
    }

    /// For each sequence, the rows of logits that it asked for.
    fn logits(&self) -> Vec<Vec<f32>> {
        let of_sequence = |(sequence, asked): (usize, &crate::SequenceStep)| {
            let Some(logits) = self.plan.logits else { return vec![] };
            let rows = self.plan.values[logits.index()].shape.rows;
            self.row_numbers(logits, self.layout.asked_rows(rows, sequence, asked.logits))
        };
        self.batch.sequences.iter().enumerate().map(of_sequence).collect()
    }

    /// Some rows of a value as numbers.
    fn row_numbers(&self, value: ValueId, rows: Range<usize>) -> Vec<f32> {
        let shape = self.values.shape(value);
        let row = shape.slots * shape.width;
        if shape.element == Element::F32 {
            let whole = crate::plan::Operand { value, first: 0, width: shape.width };
            self.values.floats(whole).span()[rows.start * row..rows.end * row].to_vec()
        } else {
            self.values.as_numbers(value)[rows.start * row..rows.end * row].to_vec()
        }
    }
}

/// A product that was refused, which a sound plan does not cause.
fn refused(error: LinearError) -> BackendError {
    match error {
        LinearError::Weights(error) => error.into(),
        other => BackendError::Unsupported { device: "cpu:0".to_owned(), what: other.to_string() },
    }
}

/// `x *= factor`
struct ScaleBy<'a>(f32, &'a mut [f32]);

impl Kernel for ScaleBy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.scale(self.1, self.0);
    }
}

/// `out += factor · x`
struct AddTimes<'a> {
    factor: f32,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for AddTimes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.axpy(self.out, self.factor, self.x);
    }
}
