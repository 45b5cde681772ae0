//! How far a sound backend may be from the oracle.
//!
//! The *local* tolerance of a node is derived from what its device says of its arithmetic
//! ([`Numerics`]) and from the oracle's own numbers, element by element; each file derives what it
//! computes. It holds for exact inputs. Nothing here knows a backend's results, and no constant is chosen
//! for one: a backend that does not fit is a finding.
//!
//! The letters: `a` is the rounding of an addition within a sum, `f` the relative error of an elementary
//! function, `u` that of an operand or a stored value. "Six times" a standard deviation of independent
//! roundings is a bound that is not met by chance in any number of runs that anyone will do; "doubled"
//! leaves room for an operation that a device computes in two steps.

mod attention;
mod functions;
mod products;
mod route;
mod rows;

pub(crate) use attention::CachePool;
pub(crate) use route::{Choice, RoutedRow, Routing};

use attention::{Attended, head_tolerance};
use products::{F16_UNIT, ORACLE_UNIT, Product, epilogue, product, quantize_row, w8a8_product};
use rows::{NormShape, norm_group, quantized_output, rotate_row};

use super::record::StepRecord;
use crate::cpu::LoadedWeights;
use crate::cpu::reference::apply;
use crate::format::{CacheFormat, MatrixView, ViewData, WeightFormat};
use crate::plan::{
    Attention, Element, ExpertCombine, ExpertLinear, Linear, MatrixId, Norm, Op, Operand, Plan, RotateQuery,
    Route, StoreKv, ValueId, VectorId,
};
use crate::{CacheOptions, Numerics, PageCopy};

/// Half the distance from 1 to the next f32.
pub(crate) const F32_UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// Numbers below this may be flushed to zero anywhere on the way: the smallest normal f32 is 1.2·10⁻³⁸,
/// and up to a few hundred of them may be lost in one result.
pub(crate) const FLOOR: f64 = 1e-35;

/// [`Numerics`] as the formulas use them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Units {
    pub accumulate: f64,
    pub operand: f64,
    pub weight: f64,
    pub value: f64,
    pub function: f64,
    /// Rounding of what an operator reads: inputs are f32, so there is none unless values are kept coarser.
    pub input: f64,
}

impl Units {
    pub(crate) fn new(numerics: &Numerics) -> Self {
        let coarse = numerics.value_unit > F32_UNIT;
        Self {
            accumulate: numerics.accumulate_unit,
            operand: numerics.operand_unit,
            weight: numerics.weight_unit,
            value: numerics.value_unit,
            function: numerics.function_unit,
            input: if coarse { numerics.value_unit } else { 0.0 },
        }
    }
}

/// The tolerance of each element of each value that a node wrote.
pub(crate) type NodeTolerance = Vec<(ValueId, Vec<f64>)>;

/// Derives local tolerances along a recorded run, with a cache of its own beside the oracle's that knows
/// what each element may differ by.
#[derive(Debug)]
pub(crate) struct Local<'a> {
    plan: &'a Plan,
    weights: &'a LoadedWeights,
    units: Units,
    page_tokens: usize,
    decoded: Vec<Vec<f32>>,
    keys: Vec<CachePool>,
    values: Vec<CachePool>,
}

impl<'a> Local<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        weights: &'a LoadedWeights,
        cache: &CacheOptions,
        numerics: &Numerics,
    ) -> Self {
        let pool = |c: &crate::plan::Cache| CachePool::new(c.layout(cache), cache.pages);
        let decoded = weights.matrices.iter().map(|matrix| {
            let mut values = vec![0.0; matrix.rows() * matrix.cols()];
            // The lengths fit by construction; a broken matrix stays zero and its products show it.
            let _ = matrix.dequantize_rows(0..matrix.rows(), &mut values);
            values
        });
        Self {
            plan,
            weights,
            units: Units::new(numerics),
            page_tokens: cache.page_tokens.max(1),
            decoded: decoded.collect(),
            keys: plan.caches.iter().map(pool).collect(),
            values: plan.caches.iter().map(pool).collect(),
        }
    }

    pub(crate) fn copy_pages(&mut self, copies: &[PageCopy]) {
        for copy in copies {
            for pool in self.keys.iter_mut().chain(&mut self.values) {
                pool.copy_page(copy.from as usize, copy.to as usize);
            }
        }
    }

    /// The tolerance of what a node wrote, its inputs being what the record says.
    pub(crate) fn node(&mut self, step: &StepRecord, op: &Op) -> NodeTolerance {
        let units = self.units;
        let map = |value: ValueId, f: &dyn Fn(f64) -> f64| {
            vec![(value, step.value(value).iter().map(|y| f(*y)).collect())]
        };
        match op {
            Op::Input(o) => map(o.output, &|y| units.input * y.abs()),
            Op::Embed(o) => {
                let moved = if o.factor.to_bits() == 1f32.to_bits() { 0.0 } else { 2.0 * units.accumulate };
                map(o.output, &|y| units.single_operation(y, moved * y.abs()))
            }
            Op::SelectRows(o) => map(o.output, &|y| units.input * y.abs()),
            Op::Sample(o) => map(o.output, &|_| 0.0),
            Op::Scale(o) => map(o.output, &|y| units.single_operation(y, units.input * y.abs())),
            Op::Add(o) => {
                let sums = step.pairs(o.a, o.b).map(|(a, b)| (a + b, units.input * (a.abs() + b.abs())));
                vec![(o.output, sums.map(|(y, moved)| units.single_operation(y, moved)).collect())]
            }
            Op::Activate(o) => {
                let x = step.operand(o.input).into_iter();
                vec![(o.output, x.map(|x| functions::activated(o.function, x, &units)).collect())]
            }
            Op::Softcap(o) => {
                let x = step.operand(o.input).into_iter();
                vec![(o.output, x.map(|x| functions::softcapped(f64::from(o.cap), x, &units)).collect())]
            }
            Op::Gated(o) => {
                let pairs = step.pairs(o.gate, o.up);
                let mut tolerance =
                    pairs.map(|(g, u)| functions::gated(o.function, g, u, &units)).collect::<Vec<_>>();
                if let Some(scale) = o.quantize {
                    let exact = step.pairs(o.gate, o.up);
                    let exact = exact.map(|(g, u)| apply(o.function, g) * u).collect::<Vec<_>>();
                    tolerance = by_rows(&exact, &tolerance, o.gate.width, scale);
                }
                vec![(o.output, tolerance)]
            }
            Op::Norm(o) => self.norm(step, o),
            Op::Linear(o) => vec![(o.output, self.linear(step, o))],
            Op::Rope(o) => vec![(o.output, self.rotated(step, o.input, o.rope).1)],
            Op::StoreKv(o) => self.store(step, o),
            Op::Attention(o) => vec![(o.output, self.attention(step, o))],
            Op::Route(o) => self.route(step, o),
            Op::ExpertLinear(o) => vec![(o.output, self.expert_linear(step, o))],
            Op::ExpertCombine(o) => vec![(o.output, self.combine(step, o))],
        }
    }

    fn vector(&self, id: Option<VectorId>) -> Option<&[f32]> {
        id.and_then(|id| self.weights.vectors.get(id.index())).map(Vec::as_slice)
    }

    fn norm(&self, step: &StepRecord, o: &Norm) -> NodeTolerance {
        let units = &self.units;
        let mut x = step.operand(o.input);
        let (mut sums, mut x_unit) = (vec![], units.input);
        if let Some(add) = o.add {
            for (x, add) in x.iter_mut().zip(step.operand(add)) {
                let moved = units.input * (x.abs() + add.abs());
                *x += add;
                sums.push(units.single_operation(*x, moved));
            }
            x_unit += units.accumulate;
        }
        let shape = NormShape {
            kind: o.kind,
            weight: self.vector(o.weight),
            bias: self.vector(o.bias),
            offset: f64::from(o.weight_offset),
            epsilon: f64::from(o.epsilon),
        };
        let (mut y, mut tolerance) = (vec![], vec![]);
        for group in x.chunks(o.group.max(1)) {
            let (values, slack) = norm_group(group, x_unit, &shape, units);
            y.extend(values);
            tolerance.extend(slack);
        }
        if let Some(scale) = o.quantize {
            tolerance = by_rows(&y, &tolerance, o.input.width, scale);
        }
        let sum = o.sum.map(|sum| (sum, sums));
        sum.into_iter().chain([(o.output, tolerance)]).collect()
    }

    fn linear(&self, step: &StepRecord, o: &Linear) -> Vec<f64> {
        let residual = o.residual.map(|r| step.operand(r));
        let bias = self.vector(o.bias);
        let quantized = self.plan.shape(o.input).element == Element::Int8Rows;
        let x = step.operand(o.input);
        let mut tolerance = vec![];
        for x in x.chunks(o.input.width) {
            let products =
                self.products(o.matrix, 0..self.plan.matrices[o.matrix.index()].rows, x, quantized);
            for (n, product) in products.into_iter().enumerate() {
                let residual = residual.as_ref().map_or(0.0, |r| r[tolerance.len()]);
                let bias = bias.map_or(0.0, |b| f64::from(b[n]));
                tolerance.push(epilogue(product, f64::from(o.factor), bias, residual, &self.units));
            }
        }
        tolerance
    }

    /// The products of one row of activations with some rows of a matrix.
    fn products(
        &self,
        id: MatrixId,
        rows: std::ops::Range<usize>,
        x: &[f64],
        quantized: bool,
    ) -> Vec<Product> {
        let matrix = &self.weights.matrices[id.index()];
        let cols = matrix.cols();
        if let MatrixView { data: ViewData::W8a8 { codes, scales, activation }, .. } = matrix.view() {
            let stride = codes.len() / matrix.rows().max(1);
            if quantized {
                // Codes and scale are given: nothing is rounded but the scaling of the exact sum.
                return rows
                    .map(|n| {
                        let terms = x.iter().zip(&codes[n * stride..]).map(|(x, w)| x * f64::from(*w));
                        let (sum, magnitudes) = terms.fold((0.0, 0.0), |(s, m), t| (s + t, m + t.abs()));
                        let (sum, magnitudes) =
                            (sum * f64::from(scales[n]), magnitudes * f64::from(scales[n]));
                        let oracle = ORACLE_UNIT * cols as f64 * magnitudes;
                        Product { sum, tolerance: 6.0 * F32_UNIT * sum.abs() + oracle + FLOOR }
                    })
                    .collect();
            }
            let x = quantize_row(x, |i| self.units.input * x[i].abs(), activation);
            return rows.map(|n| w8a8_product(&x, &codes[n * stride..][..cols], scales[n])).collect();
        }
        // An f32 matrix is multiplied as it is: the contract lets no backend round its operands.
        let (operand, weight) = match matrix.format() {
            WeightFormat::F32 => (0.0, 0.0),
            // What f16 holds needs no rounding to f16 or to anything finer.
            WeightFormat::F16 if self.units.weight <= F16_UNIT => (self.units.operand, 0.0),
            _ => (self.units.operand, self.units.weight),
        };
        let decoded = &self.decoded[id.index()];
        rows.map(|n| {
            product(x, &decoded[n * cols..][..cols], &self.units, operand + self.units.input, weight)
        })
        .collect()
    }

    /// The rows of an operand, rotated, and their tolerance.
    fn rotated(&self, step: &StepRecord, input: Operand, rope: crate::plan::RopeId) -> (Vec<f64>, Vec<f64>) {
        let spec = &self.plan.ropes[rope.index()];
        let x = step.operand(input);
        let mut out = (vec![], vec![]);
        for (x, position) in x.chunks(input.width).zip(&step.layout.position) {
            let (y, tolerance) = rotate_row(x, spec, *position, &self.units);
            out.0.extend(y);
            out.1.extend(tolerance);
        }
        out
    }

    fn store(&mut self, step: &StepRecord, o: &StoreKv) -> NodeTolerance {
        let (keys, key_slack) = match &o.rotate {
            Some(rotate) => self.rotated(step, o.key, rotate.rope),
            None => as_given(step.operand(o.key), self.units.input),
        };
        let (values, value_slack) = as_given(step.operand(o.value), self.units.input);
        let cache = o.cache.index();
        for (pool, x, slack) in
            [(&mut self.keys[cache], &keys, &key_slack), (&mut self.values[cache], &values, &value_slack)]
        {
            let dim = pool.layout.head_dim;
            let heads = pool.layout.kv_heads;
            for (vector, (x, slack)) in x.chunks(dim).zip(slack.chunks(dim)).enumerate() {
                let (row, head) = (vector / heads, vector % heads);
                let position = step.layout.position[row] as usize;
                let pages = &step.batch.sequences[step.layout.sequence[row] as usize].pages;
                if let Some(page) = pages.get(position / self.page_tokens) {
                    pool.store(*page as usize, head, position % self.page_tokens, x, slack);
                }
            }
        }
        let rotated = |r: &RotateQuery| (r.output, self.rotated(step, r.query, r.rope).1);
        o.rotate.iter().map(rotated).collect()
    }

    fn attention(&self, step: &StepRecord, o: &Attention) -> Vec<f64> {
        let (keys, values) = (&self.keys[o.cache.index()], &self.values[o.cache.index()]);
        let dim = keys.layout.head_dim;
        let shared = o.heads / keys.layout.kv_heads.max(1);
        let sinks = self.vector(o.sinks);
        let mut tolerance = vec![];
        for (vector, query) in step.operand(o.query).chunks(dim).enumerate() {
            let (row, head) = (vector / o.heads, vector % o.heads);
            let position = step.layout.position[row] as usize;
            let pages = &step.batch.sequences[step.layout.sequence[row] as usize].pages;
            let first = o.window.map_or(0, |w| (position + 1).saturating_sub(w as usize));
            let seen = (first..=position).map(|p| {
                let page = pages.get(p / self.page_tokens).map_or(usize::MAX >> 32, |page| *page as usize);
                let (k, k_slack) = keys.vector(page, head / shared.max(1), p % self.page_tokens);
                let (v, v_slack) = values.vector(page, head / shared.max(1), p % self.page_tokens);
                (k, k_slack, v, v_slack)
            });
            let head = Attended {
                query,
                seen: &seen.collect::<Vec<_>>(),
                scale: f64::from(o.scale),
                softcap: o.softcap.map(f64::from),
                sink: sinks.map(|s| f64::from(s[head])),
                // What an f16 cache holds needs no rounding.
                value_unit: match values.layout.format {
                    CacheFormat::F16 => 0.0,
                    CacheFormat::Int8 => self.units.weight,
                },
            };
            tolerance.extend(head_tolerance(&head, &self.units).1);
        }
        tolerance
    }

    fn route(&self, step: &StepRecord, o: &Route) -> NodeTolerance {
        let routing = routing(self.weights, o);
        let mut weights = vec![];
        for logits in step.operand(o.logits).chunks(o.logits.width) {
            let row = RoutedRow::new(logits, 0.0, &routing, &self.units);
            let chosen = row.chosen(o.top_k);
            weights.extend(row.weights(&chosen, &routing, &self.units).into_iter().map(|(_, t)| t));
        }
        vec![(o.experts, vec![0.0; step.value(o.experts).len()]), (o.weights, weights)]
    }

    fn expert_linear(&self, step: &StepRecord, o: &ExpertLinear) -> Vec<f64> {
        let rows = self.plan.matrices[o.matrix.index()].rows / o.experts.max(1);
        let bias = self.vector(o.bias);
        let input_slots = self.plan.shape(o.input).slots;
        let x = step.operand(o.input);
        let mut tolerance = vec![];
        for (at, expert) in step.operand(o.chosen).iter().enumerate() {
            let (row, slot) = (at / o.chosen.width, at % o.chosen.width);
            let slot = if input_slots == 1 { row } else { row * input_slots + slot };
            let x = &x[slot * o.input.width..][..o.input.width];
            let first = *expert as usize * rows;
            for (n, product) in self.products(o.matrix, first..first + rows, x, false).into_iter().enumerate()
            {
                let bias = bias.map_or(0.0, |b| f64::from(b[first + n]));
                tolerance.push(epilogue(product, 1.0, bias, 0.0, &self.units));
            }
        }
        tolerance
    }

    /// A product over the slots.
    fn combine(&self, step: &StepRecord, o: &ExpertCombine) -> Vec<f64> {
        let units = &self.units;
        let (x, weights) = (step.operand(o.input), step.operand(o.weights));
        let residual = o.residual.map(|r| step.operand(r));
        let (slots, width) = (o.weights.width, o.input.width);
        let mut tolerance = vec![];
        for (row, weights) in weights.chunks(slots).enumerate() {
            for column in 0..width {
                let terms =
                    weights.iter().enumerate().map(|(s, w)| w * x[(row * slots + s) * width + column]);
                let (sum, squares) = terms.fold((0.0, 0.0), |(s, q), t| (s + t, q + t * t));
                let norm = f64::sqrt(squares);
                let rounding = 6.0 * units.accumulate * (slots as f64).sqrt() * (norm + f64::abs(sum));
                let own = Product { sum, tolerance: rounding + 8.0 * units.input * norm + FLOOR };
                let residual = residual.as_ref().map_or(0.0, |r| r[row * width + column]);
                tolerance.push(epilogue(own, 1.0, 0.0, residual, units));
            }
        }
        tolerance
    }
}

/// The routing attributes of an operator, its bias looked up.
pub(crate) fn routing(weights: &LoadedWeights, o: &Route) -> Routing {
    let bias = o.selection_bias.and_then(|id| weights.vectors.get(id.index()));
    Routing {
        top_k: o.top_k,
        scoring: o.scoring,
        bias: bias.cloned(),
        renormalize: o.renormalize,
        factor: f64::from(o.factor),
    }
}

/// Numbers that come as they are, unless values are kept coarser than f32.
fn as_given(x: Vec<f64>, unit: f64) -> (Vec<f64>, Vec<f64>) {
    let slack = x.iter().map(|x| unit * x.abs()).collect();
    (x, slack)
}

/// What quantised rows may differ by.
fn by_rows(y: &[f64], slack: &[f64], width: usize, scale: crate::format::ActivationScale) -> Vec<f64> {
    let rows = y.chunks(width).zip(slack.chunks(width));
    rows.flat_map(|(y, slack)| quantized_output(y, slack, scale)).collect()
}
