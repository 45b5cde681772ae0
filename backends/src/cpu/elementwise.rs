//! Operators that work element by element, in place where the plan lets them.

use super::functions::{
    Capped, Gelu, GeluTanh, Relu, ReluSquared, Sigmoid, Silu, Tanh, Times, VectorFunction,
};
use super::quantize::quantize_row;
use super::share::{GRAIN, RowBlock, pieces, with_scratch};
use super::simd::{Isa, Kernel, LANES, Simd};
use super::values::{FloatRows, RowsMut, Values, numbers_mut};
use crate::format::ActivationScale;
use crate::plan::{Activate, Add, Element, Function, Gated, Operand, Scale, Softcap, ValueId};

/// Numbers per task of an operator that computes an exponential of each.
const FUNCTION_GRAIN: usize = GRAIN / 4;

/// Evaluates `$body` with `$f` standing for the vector function that a [`Function`] names.
macro_rules! with_function {
    ($function:expr, $f:ident => $body:expr) => {
        match $function {
            Function::Silu => {
                let $f = Silu;
                $body
            }
            Function::Gelu => {
                let $f = Gelu;
                $body
            }
            Function::GeluTanh => {
                let $f = GeluTanh;
                $body
            }
            Function::Relu => {
                let $f = Relu;
                $body
            }
            Function::ReluSquared => {
                let $f = ReluSquared;
                $body
            }
            Function::Sigmoid => {
                let $f = Sigmoid;
                $body
            }
            Function::Tanh => {
                let $f = Tanh;
                $body
            }
        }
    };
}

pub(super) fn activate(isa: Isa, values: &mut Values, op: &Activate) {
    with_function!(op.function, f => map(isa, values, op.input, op.output, FUNCTION_GRAIN, f));
}

pub(super) fn scale(isa: Isa, values: &mut Values, op: &Scale) {
    map(isa, values, op.input, op.output, GRAIN, Times(op.factor));
}

pub(super) fn softcap(isa: Isa, values: &mut Values, op: &Softcap) {
    map(isa, values, op.input, op.output, FUNCTION_GRAIN, Capped(op.cap));
}

/// `y = f(x)`.
fn map(isa: Isa, values: &mut Values, input: Operand, output: ValueId, grain: usize, f: impl VectorFunction) {
    let in_place = values.share(input.value, output);
    let count = values.rows(output) * input.width;
    let mut buffer = values.take(output);
    let out = numbers_mut(&mut buffer, count);
    let x = (!in_place).then(|| values.floats(input));
    pieces(out, input.width, grain, |row, column, out| {
        if let Some(x) = x {
            out.copy_from_slice(&x.row(row)[column..][..out.len()]);
        }
        isa.run_float(Map { f, out });
    });
    values.put(output, buffer);
}

/// `y = a + b`.
pub(super) fn add(isa: Isa, values: &mut Values, op: &Add) {
    let in_place = values.share(op.a.value, op.output);
    let count = values.rows(op.output) * op.a.width;
    let mut buffer = values.take(op.output);
    let out = numbers_mut(&mut buffer, count);
    let a = (!in_place).then(|| values.floats(op.a));
    let b = values.floats(op.b);
    pieces(out, op.a.width, GRAIN, |row, column, out| {
        if let Some(a) = a {
            out.copy_from_slice(&a.row(row)[column..][..out.len()]);
        }
        isa.run_float(AddTo { x: &b.row(row)[column..][..out.len()], out });
    });
    values.put(op.output, buffer);
}

/// `y = f(gate) · up`, quantised if fused.
pub(super) fn gated(isa: Isa, values: &mut Values, op: &Gated) {
    with_function!(op.function, f => gated_with(isa, values, op, f));
}

fn gated_with(isa: Isa, values: &mut Values, op: &Gated, f: impl VectorFunction) {
    let shape = values.shape(op.output);
    let rows = values.rows(op.output);
    let mut buffer = values.take(op.output);
    let (gate, up) = (values.floats(op.gate), values.floats(op.up));
    if let (Element::Int8Rows, Some(scale)) = (shape.element, op.quantize) {
        let out = RowsMut::new(&mut buffer, &shape, rows);
        let block = RowBlock { first: 0, rows, width: shape.width, beside: None, out };
        block.share(&|block| quantized_block(isa, (gate, up), f, scale, block));
    } else {
        let out = numbers_mut(&mut buffer, rows * shape.width);
        pieces(out, shape.width, FUNCTION_GRAIN, |row, column, out| {
            let (gate, up) = (&gate.row(row)[column..][..out.len()], &up.row(row)[column..][..out.len()]);
            isa.run_float(Product { f, gate, up, out });
        });
    }
    values.put(op.output, buffer);
}

/// Rows of a gated product as codes.
fn quantized_block(
    isa: Isa,
    (gate, up): (FloatRows<'_>, FloatRows<'_>),
    f: impl VectorFunction,
    scale: ActivationScale,
    block: RowBlock<'_>,
) {
    let RowsMut::Codes { codes, scales } = block.out else { return };
    let stride = codes.len() / block.rows.max(1);
    with_scratch(block.width, |product| {
        let rows = codes.chunks_exact_mut(stride.max(1)).zip(scales).enumerate();
        for (row, (codes, row_scale)) in rows {
            let (gate, up) = (gate.row(block.first + row), up.row(block.first + row));
            *row_scale = isa.run_float(QuantizedProduct { f, gate, up, product, scale, codes });
        }
    });
}

/// Applies a function in place.
struct Map<'a, F> {
    f: F,
    out: &'a mut [f32],
}

impl<F: VectorFunction> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (vectors, tail) = self.out.as_chunks_mut::<LANES>();
        for vector in vectors {
            s.store(self.f.apply(s, s.load(vector)), vector);
        }
        if !tail.is_empty() {
            let y = self.f.apply(s, s.load_partial(tail));
            s.store_partial(y, tail);
        }
    }
}

/// Adds to the output.
struct AddTo<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for AddTo<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        add_to(s, self.x, self.out);
    }
}

/// `out += x`
#[inline(always)]
pub(super) fn add_to<S: Simd>(s: S, x: &[f32], out: &mut [f32]) {
    let ((x, x_tail), (out, out_tail)) = (x.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
    for (x, out) in x.iter().zip(out) {
        s.store(s.add(s.load(out), s.load(x)), out);
    }
    for (x, out) in x_tail.iter().zip(out_tail) {
        *out += x;
    }
}

/// `out = f(gate) · up`
struct Product<'a, F> {
    f: F,
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl<F: VectorFunction> Kernel for Product<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (gate, gate_tail) = self.gate.as_chunks::<LANES>();
        let (up, up_tail) = self.up.as_chunks::<LANES>();
        let (out, out_tail) = self.out.as_chunks_mut::<LANES>();
        for ((gate, up), out) in gate.iter().zip(up).zip(out) {
            s.store(s.mul(self.f.apply(s, s.load(gate)), s.load(up)), out);
        }
        if !out_tail.is_empty() {
            let y = s.mul(self.f.apply(s, s.load_partial(gate_tail)), s.load_partial(up_tail));
            s.store_partial(y, out_tail);
        }
    }
}

/// A row of `f(gate) · up` as codes; returns their scale.
struct QuantizedProduct<'a, F> {
    f: F,
    gate: &'a [f32],
    up: &'a [f32],
    /// Room for the row in f32.
    product: &'a mut [f32],
    scale: ActivationScale,
    codes: &'a mut [i8],
}

impl<F: VectorFunction> Kernel for QuantizedProduct<'_, F> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Self { f, gate, up, product, scale, codes } = self;
        Product { f, gate, up, out: &mut *product }.run(s);
        quantize_row(s, product, scale, codes)
    }
}
