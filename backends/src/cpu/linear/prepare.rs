//! Activations brought into the form that the kernels read: rows padded to whole vectors and aligned, gathered, in the
//! order of the weights, or quantised.

use rayon::prelude::*;

use super::weights::NF4_VECTORS;
use super::{Activations, QuantizedActivations};
use crate::cpu::simd::{CodeLine, Isa, Kernel, LANES, Line, Simd, SimdSlices};
use crate::format::ActivationScale;

/// Elements below which handing rows to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 16;
/// Codes in a cache line.
pub(super) const LINE_CODES: usize = 64;

/// Calls `prepare` for each row of `rows`, in parallel if there is much to do.
fn for_rows<T: Send>(
    rows: &mut [T],
    row_len: usize,
    elements: usize,
    prepare: impl Fn(usize, &mut [T]) + Sync,
) {
    if elements < WORTH_SHARING {
        rows.chunks_exact_mut(row_len).enumerate().for_each(|(row, to)| prepare(row, to));
    } else {
        rows.par_chunks_exact_mut(row_len).enumerate().for_each(|(row, to)| prepare(row, to));
    }
}

/// Copies rows into rows of `row_lines`, the rest zero; in the order of NF4 weights if `permuted`.
pub(super) fn floats(
    isa: Isa,
    x: &Activations<'_>,
    cols: usize,
    row_lines: usize,
    permuted: bool,
    to: &mut [Line],
) {
    for_rows(to, row_lines, x.rows() * cols, |row, to| {
        let from = &x.row(row)[..cols];
        let to: &mut [f32] = bytemuck::cast_slice_mut(to);
        if permuted {
            isa.run_float(Permute { from, to });
        } else {
            let (used, padding) = to.split_at_mut(cols);
            used.copy_from_slice(from);
            padding.fill(0.0);
        }
    });
}

/// Copies a row into the order in which the instruction set looks NF4 weights up, and fills its last block up with zeros.
struct Permute<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Permute<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        const BLOCK: usize = NF4_VECTORS * LANES;
        let (whole, rest) = self.from.as_chunks::<BLOCK>();
        let mut last = [0.0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        for (from, to) in whole.iter().chain([&last]).zip(self.to.as_chunks_mut::<BLOCK>().0) {
            for vector in 0..NF4_VECTORS {
                for lane in 0..LANES {
                    to[vector * LANES + lane] = from[S::nf4_order(vector, lane)];
                }
            }
        }
    }
}

/// Quantises rows of activations into rows of `row_lines`, as [`crate::format::quantize_activations`]
/// defines it, with the instruction set's offset added to the codes.
pub(super) fn quantized(
    isa: Isa,
    x: &Activations<'_>,
    cols: usize,
    scale: ActivationScale,
    row_lines: usize,
    codes: &mut [CodeLine],
    scales: &mut [f32],
) {
    let prepare = |(row, (to, row_scale)): (usize, (&mut [CodeLine], &mut f32))| {
        let codes = bytemuck::cast_slice_mut(to);
        *row_scale = isa.run(Quantize { x: &x.row(row)[..cols], scale, codes });
    };
    if x.rows() * cols < WORTH_SHARING {
        codes.chunks_exact_mut(row_lines).zip(scales).enumerate().for_each(prepare);
    } else {
        codes.par_chunks_exact_mut(row_lines).zip(scales).enumerate().for_each(prepare);
    }
}

/// Quantises a row and returns its scale.
struct Quantize<'a> {
    x: &'a [f32],
    scale: ActivationScale,
    /// Not shorter than `x`; what is longer becomes code 0.
    codes: &'a mut [i8],
}

impl Kernel for Quantize<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let largest = s.max_magnitude_of(self.x);
        let (scale, factor) = match self.scale {
            _ if !largest.is_finite() => (f32::NAN, None),
            ActivationScale::PerTensor(scale) => (scale, Some(1.0 / scale)),
            ActivationScale::PerToken => {
                let factor = 127.0 / largest;
                if factor.is_finite() { (largest / 127.0, Some(factor)) } else { (0.0, None) }
            }
        };
        if let Some(factor) = factor {
            let (used, padding) = self.codes.split_at_mut(self.x.len());
            s.quantize(self.x, factor, used);
            padding.fill(0);
        } else {
            self.codes.fill(0);
        }
        add_offset::<S>(self.codes);
        scale
    }
}

/// Adds the instruction set's offset to codes.
#[inline(always)]
fn add_offset<S: Simd>(codes: &mut [i8]) {
    if S::CODE_OFFSET != 0 {
        for code in codes {
            *code = code.wrapping_add(S::CODE_OFFSET as i8);
        }
    }
}

/// Copies rows of codes into rows of `row_lines`, the rest zero, and adds the instruction set's offset to all.
pub(super) fn codes(
    isa: Isa,
    x: &QuantizedActivations<'_>,
    cols: usize,
    row_lines: usize,
    to: &mut [CodeLine],
    scales: &mut [f32],
) {
    for (row, scale) in scales.iter_mut().enumerate() {
        *scale = x.scale(row);
    }
    for_rows(to, row_lines, x.rows() * cols, |row, to| {
        isa.run(CopyCodes { from: &x.row(row)[..cols], to: bytemuck::cast_slice_mut(to) });
    });
}

/// Copies a row of codes.
struct CopyCodes<'a> {
    from: &'a [i8],
    to: &'a mut [i8],
}

impl Kernel for CopyCodes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (used, padding) = self.to.split_at_mut(self.from.len());
        used.copy_from_slice(self.from);
        padding.fill(0);
        add_offset::<S>(self.to);
    }
}
