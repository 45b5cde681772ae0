//! Normalisation, with the sum before it and the quantisation after it where they are fused.

use super::elementwise::add_to;
use super::quantize::quantize_row;
use super::share::{RowBlock, with_scratch};
use super::simd::{Isa, Kernel, LANES, Simd, SimdSlices};
use super::values::{FloatRows, RowsMut, Values, numbers_mut};
use crate::format::ActivationScale;
use crate::plan::{Norm, NormKind};

/// Carries out a [`Norm`]; `vectors` are the plan's.
pub(super) fn norm(isa: Isa, values: &mut Values, vectors: &[Vec<f32>], op: &Norm) {
    let (shape, rows) = (values.shape(op.output), values.rows(op.output));
    let in_place = op.sum.is_some_and(|sum| values.share(op.input.value, sum));
    let mut buffer = values.take(op.output);
    let mut sum_buffer = op.sum.map(|sum| values.take(sum));
    let block = RowBlock {
        first: 0,
        rows,
        width: shape.width,
        beside: sum_buffer.as_mut().map(|buffer| numbers_mut(buffer, rows * shape.width)),
        out: RowsMut::new(&mut buffer, &shape, rows),
    };
    let row = NormRow {
        op,
        weight: op.weight.map(|id| vectors[id.index()].as_slice()),
        bias: op.bias.map(|id| vectors[id.index()].as_slice()),
    };
    let input = (!in_place).then(|| values.floats(op.input));
    let add = op.add.map(|add| values.floats(add));
    block.share(&|block| norm_block(isa, row, input, add, block));
    values.put(op.output, buffer);
    if let (Some(sum), Some(buffer)) = (op.sum, sum_buffer) {
        values.put(sum, buffer);
    }
}

/// Some rows. An `input` of `None` lies in the block's second output already.
fn norm_block(
    isa: Isa,
    norm: NormRow<'_>,
    input: Option<FloatRows<'_>>,
    add: Option<FloatRows<'_>>,
    block: RowBlock<'_>,
) {
    let RowBlock { first, rows, width, mut beside, mut out } = block;
    // Room for a sum that nobody keeps, and for a row before it is quantised.
    with_scratch(2 * width, |scratch| {
        let (sum, normalized) = scratch.split_at_mut(width);
        for row in 0..rows {
            let input = input.map(|input| input.row(first + row));
            let sum = match &mut beside {
                Some(beside) => &mut beside[row * width..][..width],
                None => &mut *sum,
            };
            let x = RowInput { input, add: add.map(|add| add.row(first + row)), sum };
            match &mut out {
                RowsMut::Floats(out) => {
                    let out = &mut out[row * width..][..width];
                    isa.run_float(NormFloats { norm, x, out });
                }
                RowsMut::Codes { codes, scales } => {
                    let Some(scale) = norm.op.quantize else { return };
                    let stride = codes.len() / rows;
                    let codes = &mut codes[row * stride..][..stride];
                    let out = &mut *normalized;
                    scales[row] = isa.run_float(NormCodes { norm, x, out, scale, codes });
                }
            }
        }
    });
}

/// What all rows have in common.
#[derive(Clone, Copy)]
struct NormRow<'a> {
    op: &'a Norm,
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
}

/// What goes into one row.
struct RowInput<'a> {
    /// `None` where it lies in `sum` already.
    input: Option<&'a [f32]>,
    add: Option<&'a [f32]>,
    /// Where `input + add` goes, or scratch memory.
    sum: &'a mut [f32],
}

/// A row in f32.
struct NormFloats<'a> {
    norm: NormRow<'a>,
    x: RowInput<'a>,
    out: &'a mut [f32],
}

impl Kernel for NormFloats<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { norm, x: RowInput { input, add, sum }, out } = self;
        let x = match (input, add) {
            (Some(input), None) => input,
            (input, add) => {
                if let Some(input) = input {
                    sum.copy_from_slice(input);
                }
                if let Some(add) = add {
                    add_to(s, add, sum);
                }
                sum
            }
        };
        let group = norm.op.group;
        for (x, out) in x.chunks_exact(group).zip(out.chunks_exact_mut(group)) {
            norm_group(s, norm, x, out);
        }
    }
}

/// A row in codes; returns their scale.
struct NormCodes<'a> {
    norm: NormRow<'a>,
    x: RowInput<'a>,
    /// Room for the row in f32.
    out: &'a mut [f32],
    scale: ActivationScale,
    codes: &'a mut [i8],
}

impl Kernel for NormCodes<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Self { norm, x, out, scale, codes } = self;
        NormFloats { norm, x, out: &mut *out }.run(s);
        quantize_row(s, out, scale, codes)
    }
}

/// Normalises one group.
#[inline(always)]
fn norm_group<S: Simd>(s: S, norm: NormRow<'_>, x: &[f32], out: &mut [f32]) {
    let count = x.len() as f32;
    let mean = match norm.op.kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => s.sum(x) / count,
    };
    let squares = match norm.op.kind {
        NormKind::Rms => s.dot(x, x),
        NormKind::Layer => squared_distance(s, x, mean),
    };
    let factor = 1.0 / (squares / count + norm.op.epsilon).sqrt();
    let offset = norm.op.weight_offset;
    let (mean, factor, offset) = (s.splat(mean), s.splat(factor), s.splat(offset));
    for at in (0..x.len()).step_by(LANES) {
        let mut y = s.mul(s.sub(vector_at(s, x, at), mean), factor);
        if let Some(weight) = norm.weight {
            y = s.mul(y, s.add(vector_at(s, weight, at), offset));
        }
        if let Some(bias) = norm.bias {
            y = s.add(y, vector_at(s, bias, at));
        }
        match out[at..].first_chunk_mut() {
            Some(whole) => s.store(y, whole),
            None => s.store_partial(y, &mut out[at..]),
        }
    }
}

/// The 16 numbers from `at` on, or as many as there are.
#[inline(always)]
fn vector_at<S: Simd>(s: S, from: &[f32], at: usize) -> S::F32 {
    match from[at..].first_chunk() {
        Some(whole) => s.load(whole),
        None => s.load_partial(&from[at..]),
    }
}

/// Σ (x − mean)²
#[inline(always)]
fn squared_distance<S: Simd>(s: S, x: &[f32], mean: f32) -> f32 {
    let (vectors, tail) = x.as_chunks::<LANES>();
    let mean_lanes = s.splat(mean);
    let mut sums = [s.zero(); 2];
    for (index, vector) in vectors.iter().enumerate() {
        let distance = s.sub(s.load(vector), mean_lanes);
        sums[index % 2] = s.fma(distance, distance, sums[index % 2]);
    }
    let rest: f32 = tail.iter().map(|x| (x - mean) * (x - mean)).sum();
    s.reduce_sum(s.add(sums[0], sums[1])) + rest
}
