//! Rotation of heads by their rows' positions.
//!
//! The cosines and sines of a step are computed once for each rotation of the plan, in f64, and used by
//! all layers.

use rayon::prelude::*;

use super::share::RowBlock;
use super::simd::{Isa, Kernel, LANES, Simd};
use super::values::{FloatRows, RowsMut, Values, grow};
use crate::format::FormatError;
use crate::plan::{Operand, Plan, RopeLayout, RopeSpec, ValueId};

/// Pairs whose angles one task computes at least: a sine and a cosine take about 30 nanoseconds.
const PAIRS_PER_TASK: usize = 1 << 9;

/// One of a plan's rotations, and its angles at the positions of this step.
pub(super) struct Rotation {
    spec: RopeSpec,
    inverse_frequencies: Vec<f64>,
    magnitude: f64,
    /// For each row the cosines of all pairs, then the sines.
    angles: Vec<f32>,
}

impl Rotation {
    /// The rotations of a plan, with room for the angles of so many rows.
    pub(super) fn all_of(plan: &Plan, rows: usize) -> Result<Vec<Self>, FormatError> {
        let rotation = |spec: &RopeSpec| {
            let mut angles = vec![];
            grow(&mut angles, rows.saturating_mul(spec.rotary_dim))?;
            let inverse_frequencies = spec.inverse_frequencies();
            Ok(Self { inverse_frequencies, magnitude: spec.magnitude(), spec: spec.clone(), angles })
        };
        plan.ropes.iter().map(rotation).collect()
    }

    /// Bytes of the angles of so many rows in all of a plan's rotations.
    pub(super) fn bytes(plan: &Plan, rows: usize) -> u64 {
        let per_row = plan.ropes.iter().map(|spec| 4 * spec.rotary_dim as u64).fold(0, u64::saturating_add);
        per_row.saturating_mul(rows as u64)
    }

    /// Computes the angles of a step.
    pub(super) fn begin(&mut self, positions: &[u32]) {
        let Self { spec, inverse_frequencies, magnitude, angles } = self;
        let pairs = inverse_frequencies.len();
        angles.resize(positions.len() * spec.rotary_dim, 0.0);
        let row = |(out, position): (&mut [f32], &u32)| {
            RopeSpec::angles_at(inverse_frequencies, *magnitude, *position, out);
        };
        if positions.len() * pairs <= PAIRS_PER_TASK {
            angles.chunks_exact_mut(spec.rotary_dim).zip(positions).for_each(row);
        } else {
            angles
                .par_chunks_exact_mut(spec.rotary_dim)
                .zip(positions)
                .with_min_len(PAIRS_PER_TASK.div_ceil(pairs))
                .for_each(row);
        }
    }

    /// Rotates all heads of a row.
    pub(super) fn rotate_row(&self, isa: Isa, row: usize, x: &[f32], out: &mut [f32]) {
        let angles = &self.angles[row * self.spec.rotary_dim..][..self.spec.rotary_dim];
        isa.run_float(RotateRow { spec: &self.spec, angles, x, out });
    }
}

/// `y = rotated x`.
pub(super) fn rotate(isa: Isa, values: &mut Values, rotation: &Rotation, input: Operand, output: ValueId) {
    let (shape, rows) = (values.shape(output), values.rows(output));
    let mut buffer = values.take(output);
    let x = values.floats(input);
    let out = RowsMut::new(&mut buffer, &shape, rows);
    let block = RowBlock { first: 0, rows, width: shape.width, beside: None, out };
    block.share(&|block| rotate_block(isa, rotation, x, block));
    values.put(output, buffer);
}

fn rotate_block(isa: Isa, rotation: &Rotation, x: FloatRows<'_>, block: RowBlock<'_>) {
    let RowsMut::Floats(out) = block.out else { return };
    for (row, out) in (block.first..).zip(out.chunks_exact_mut(block.width)) {
        rotation.rotate_row(isa, row, x.row(row), out);
    }
}

/// Rotates the heads of one row.
struct RotateRow<'a> {
    spec: &'a RopeSpec,
    angles: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for RotateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let RopeSpec { head_dim, rotary_dim, layout, .. } = *self.spec;
        let (cosines, sines) = self.angles.split_at(rotary_dim / 2);
        for (x, out) in self.x.chunks_exact(head_dim).zip(self.out.chunks_exact_mut(head_dim)) {
            let ((x, x_rest), (out, out_rest)) = (x.split_at(rotary_dim), out.split_at_mut(rotary_dim));
            out_rest.copy_from_slice(x_rest);
            match layout {
                RopeLayout::Halves => rotate_halves(s, x, cosines, sines, out),
                RopeLayout::Interleaved => rotate_interleaved(x, cosines, sines, out),
            }
        }
    }
}

#[inline(always)]
fn rotate_halves<S: Simd>(s: S, x: &[f32], cosines: &[f32], sines: &[f32], out: &mut [f32]) {
    let half = cosines.len();
    let (a, b) = x.split_at(half);
    let (out_a, out_b) = out.split_at_mut(half);
    let (vectors, _) = cosines.as_chunks::<LANES>();
    let whole = vectors.len() * LANES;
    let parts = a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0);
    let angles = vectors.iter().zip(sines.as_chunks::<LANES>().0);
    let outs = out_a.as_chunks_mut::<LANES>().0.iter_mut().zip(out_b.as_chunks_mut::<LANES>().0);
    for (((a, b), (cosine, sine)), (out_a, out_b)) in parts.zip(angles).zip(outs) {
        let (a, b, cosine, sine) = (s.load(a), s.load(b), s.load(cosine), s.load(sine));
        s.store(s.sub(s.mul(a, cosine), s.mul(b, sine)), out_a);
        s.store(s.fma(b, cosine, s.mul(a, sine)), out_b);
    }
    for i in whole..half {
        out_a[i] = a[i] * cosines[i] - b[i] * sines[i];
        out_b[i] = b[i] * cosines[i] + a[i] * sines[i];
    }
}

#[inline(always)]
fn rotate_interleaved(x: &[f32], cosines: &[f32], sines: &[f32], out: &mut [f32]) {
    let pairs = x.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<2>().0);
    for (([a, b], [out_a, out_b]), (cosine, sine)) in pairs.zip(cosines.iter().zip(sines)) {
        *out_a = a * cosine - b * sine;
        *out_b = b * cosine + a * sine;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_turn_by_their_angle_and_the_rest_stays() {
        for layout in [RopeLayout::Halves, RopeLayout::Interleaved] {
            for (head_dim, rotary_dim) in [(64, 64), (80, 40), (8, 6), (96, 32)] {
                let spec = RopeSpec { rotary_dim, layout, ..RopeSpec::new(head_dim, 10_000.0) };
                let mut rotation = Rotation {
                    inverse_frequencies: spec.inverse_frequencies(),
                    magnitude: 1.5,
                    spec: spec.clone(),
                    angles: vec![],
                };
                rotation.begin(&[3, 1000]);
                let x: Vec<f32> = (0..2 * head_dim).map(|i| (i as f32 * 0.7).cos()).collect();
                for isa in Isa::available() {
                    let mut out = vec![f32::NAN; 2 * head_dim];
                    rotation.rotate_row(isa, 1, &x, &mut out);
                    let mut expected: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
                    for head in expected.chunks_exact_mut(head_dim) {
                        for (i, frequency) in rotation.inverse_frequencies.iter().enumerate() {
                            let (sine, cosine) = (1000.0 * frequency).sin_cos();
                            let (a, b) = spec.pair(i);
                            let (x, y) = (head[a], head[b]);
                            head[a] = 1.5 * (x * cosine - y * sine);
                            head[b] = 1.5 * (y * cosine + x * sine);
                        }
                    }
                    for (got, expected) in out.iter().zip(expected) {
                        assert!((f64::from(*got) - expected).abs() < 1e-6, "{layout:?} {head_dim}");
                    }
                }
            }
        }
    }
}
