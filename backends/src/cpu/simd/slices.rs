//! Operations on whole slices, of any length: what attention, norms and softmax are made of.
//!
//! Where two slices go in, the work stops at the end of the shorter.

use half::f16;

use super::vector::{LANES, Simd};

/// Vectors summed side by side, so that an addition need not wait for the one before it.
const CHAINS: usize = 4;

/// Elements that can be multiplied with floats.
pub(crate) trait Element: Copy {
    /// Widens 16.
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::F32;
    /// Widens up to 16; the other lanes are zero.
    fn load_partial<S: Simd>(s: S, from: &[Self]) -> S::F32;
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::F32 {
        s.load(from)
    }

    #[inline(always)]
    fn load_partial<S: Simd>(s: S, from: &[Self]) -> S::F32 {
        s.load_partial(from)
    }
}

impl Element for f16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::F32 {
        s.load_f16(from)
    }

    #[inline(always)]
    fn load_partial<S: Simd>(s: S, from: &[Self]) -> S::F32 {
        s.load_f16_partial(from)
    }
}

impl Element for half::bf16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::F32 {
        s.load_bf16(from)
    }

    #[inline(always)]
    fn load_partial<S: Simd>(s: S, from: &[Self]) -> S::F32 {
        s.load_bf16_partial(from)
    }
}

impl Element for i8 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::F32 {
        s.load_i8(from)
    }

    #[inline(always)]
    fn load_partial<S: Simd>(s: S, from: &[Self]) -> S::F32 {
        s.load_i8(&super::portable::padded(from))
    }
}

/// Methods on slices that every instruction set has.
pub(crate) trait SimdSlices: Simd {
    /// Σ x·y; y may be f32, f16, bf16 or i8.
    #[inline(always)]
    fn dot<T: Element>(self, x: &[f32], y: &[T]) -> f32 {
        let len = x.len().min(y.len());
        let ((x, x_tail), (y, y_tail)) = (x[..len].as_chunks::<LANES>(), y[..len].as_chunks::<LANES>());
        let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<CHAINS>(), y.as_chunks::<CHAINS>());
        let mut sums = [self.zero(); CHAINS];
        for (x, y) in x.iter().zip(y) {
            for chain in 0..CHAINS {
                sums[chain] = self.fma(self.load(&x[chain]), T::load(self, &y[chain]), sums[chain]);
            }
        }
        for (x, y) in x_rest.iter().zip(y_rest) {
            sums[0] = self.fma(self.load(x), T::load(self, y), sums[0]);
        }
        if !x_tail.is_empty() {
            sums[1] = self.fma(self.load_partial(x_tail), T::load_partial(self, y_tail), sums[1]);
        }
        self.reduce_sum(self.add(self.add(sums[0], sums[1]), self.add(sums[2], sums[3])))
    }

    /// y += a·x; x may be f32, f16, bf16 or i8.
    #[inline(always)]
    fn axpy<T: Element>(self, y: &mut [f32], a: f32, x: &[T]) {
        let len = x.len().min(y.len());
        let a = self.splat(a);
        let ((y, y_tail), (x, x_tail)) = (y[..len].as_chunks_mut::<LANES>(), x[..len].as_chunks::<LANES>());
        for (y, x) in y.iter_mut().zip(x) {
            self.store(self.fma(a, T::load(self, x), self.load(y)), y);
        }
        if !y_tail.is_empty() {
            let sum = self.fma(a, T::load_partial(self, x_tail), self.load_partial(y_tail));
            self.store_partial(sum, y_tail);
        }
    }

    /// y *= a
    #[inline(always)]
    fn scale(self, y: &mut [f32], a: f32) {
        let a = self.splat(a);
        let (y, tail) = y.as_chunks_mut::<LANES>();
        for y in y {
            self.store(self.mul(a, self.load(y)), y);
        }
        let scaled = self.mul(a, self.load_partial(tail));
        self.store_partial(scaled, tail);
    }

    /// Σ x
    #[inline(always)]
    fn sum(self, x: &[f32]) -> f32 {
        let (x, tail) = x.as_chunks::<LANES>();
        let (x, rest) = x.as_chunks::<CHAINS>();
        let mut sums = [self.zero(); CHAINS];
        for x in x {
            for chain in 0..CHAINS {
                sums[chain] = self.add(sums[chain], self.load(&x[chain]));
            }
        }
        for x in rest {
            sums[0] = self.add(sums[0], self.load(x));
        }
        sums[1] = self.add(sums[1], self.load_partial(tail));
        self.reduce_sum(self.add(self.add(sums[0], sums[1]), self.add(sums[2], sums[3])))
    }

    /// The largest element, -∞ for none; NaN may be ignored.
    #[inline(always)]
    fn max_of(self, x: &[f32]) -> f32 {
        let (x, tail) = x.as_chunks::<LANES>();
        let mut max = self.splat(f32::NEG_INFINITY);
        for x in x {
            max = self.max(self.load(x), max);
        }
        tail.iter().fold(self.reduce_max(max), |max, x| if *x > max { *x } else { max })
    }

    /// The largest magnitude, 0 for none; infinite or NaN if an element is.
    #[inline(always)]
    fn max_magnitude_of(self, x: &[f32]) -> f32 {
        let (x, tail) = x.as_chunks::<LANES>();
        let (x, rest) = x.as_chunks::<CHAINS>();
        let mut max = [self.zero(); CHAINS];
        for x in x {
            for chain in 0..CHAINS {
                max[chain] = self.max_magnitude(max[chain], self.load(&x[chain]));
            }
        }
        for x in rest {
            max[0] = self.max_magnitude(max[0], self.load(x));
        }
        max[1] = self.max_magnitude(max[1], self.load_partial(tail));
        let (a, b) = (self.max_magnitude(max[0], max[1]), self.max_magnitude(max[2], max[3]));
        self.reduce_max_magnitude(self.max_magnitude(a, b))
    }

    /// codes = x × factor, rounded to integers (ties to even) within ±127. A NaN gives an unspecified code.
    #[inline(always)]
    fn quantize(self, x: &[f32], factor: f32, codes: &mut [i8]) {
        let len = x.len().min(codes.len());
        let factor = self.splat(factor);
        let ((x, x_tail), (codes, code_tail)) =
            (x[..len].as_chunks::<LANES>(), codes[..len].as_chunks_mut::<LANES>());
        for (x, codes) in x.iter().zip(codes) {
            self.store_i8(self.mul(self.load(x), factor), codes);
        }
        if !x_tail.is_empty() {
            let mut last = [0; LANES];
            self.store_i8(self.mul(self.load_partial(x_tail), factor), &mut last);
            code_tail.copy_from_slice(&last[..code_tail.len()]);
        }
    }
}

impl<S: Simd> SimdSlices for S {}
