//! Every instruction set that this machine has against plain loops.

#![allow(clippy::float_cmp, reason = "what is compared so is exact")]

use half::{bf16, f16};

use super::{Isa, Kernel, LANES, Simd, SimdSlices};

/// Deterministic numbers between -1 and 1.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}

struct Exp<'a>(&'a [[f32; LANES]]);
impl Kernel for Exp<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        self.0.iter().flat_map(|x| s.to_array(s.exp(s.load(x)))).collect()
    }
}

#[test]
fn exp_is_accurate_and_has_the_right_limits() {
    let mut x: Vec<f32> = (0..200_000).map(|i| -104.0 + i as f32 * (193.0 / 200_000.0)).collect();
    x.extend(noise(1, 200_000));
    let x = x.as_chunks::<LANES>().0;
    for isa in Isa::available() {
        let mut worst = 0.0_f64;
        for (x, y) in x.as_flattened().iter().zip(isa.run(Exp(x))) {
            let exact = f64::from(*x).exp();
            if exact > f64::from(f32::MAX) {
                assert!(y >= f32::MAX, "{isa}: exp({x}) = {y}");
            } else if exact >= f64::from(f32::MIN_POSITIVE) {
                let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
                worst = worst.max((f64::from(y) - exact).abs() / ulp);
            } else {
                assert!((f64::from(y) - exact).abs() <= 2e-45, "{isa}: exp({x}) = {y}");
            }
        }
        // Half an ulp from the last rounding, the rest from the terms before it; without fused operations more.
        assert!(worst < if isa == Isa::Portable { 2.0 } else { 1.0 }, "{isa}: {worst} ulp");
        let mut special = [0.0; LANES];
        special[..6].copy_from_slice(&[f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0, -1e30, 1e30]);
        let y = isa.run(Exp(&[special]));
        assert_eq!((y[0], y[1], y[3], y[4], y[5]), (0.0, f32::INFINITY, 1.0, 0.0, f32::INFINITY), "{isa}");
        assert!(y[2].is_nan(), "{isa}");
    }
}

struct Halves<'a>(&'a [f16]);
impl Kernel for Halves<'_> {
    type Output = (Vec<f32>, Vec<f16>);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let (mut wide, mut back) = (Vec::new(), Vec::new());
        for halves in self.0.as_chunks::<LANES>().0 {
            let vector = s.load_f16(halves);
            let mut narrow = [f16::ZERO; LANES];
            s.store_f16(vector, &mut narrow);
            wide.extend(s.to_array(vector));
            back.extend(narrow);
        }
        (wide, back)
    }
}

#[test]
fn every_half_widens_exactly_and_comes_back() {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for isa in Isa::available() {
        let (wide, back) = isa.run(Halves(&all));
        for ((half, wide), back) in all.iter().zip(wide).zip(back) {
            if half.is_nan() {
                assert!(wide.is_nan() && back.is_nan(), "{isa}");
            } else {
                assert_eq!(half.to_f32().to_bits(), wide.to_bits(), "{isa}: {half:?}");
                assert_eq!(half.to_bits(), back.to_bits(), "{isa}: {half:?}");
            }
        }
    }
}

struct Slices<'a> {
    x: &'a [f32],
    y: &'a [f32],
}
impl Kernel for Slices<'_> {
    type Output = (Vec<f32>, Vec<f32>, Vec<i8>);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let (x, y) = (self.x, self.y);
        let f16s: Vec<f16> = y.iter().map(|y| f16::from_f32(*y)).collect();
        let bf16s: Vec<bf16> = y.iter().map(|y| bf16::from_f32(*y)).collect();
        let mut codes = vec![0; y.len()];
        s.quantize(y, 100.0, &mut codes);
        let numbers = vec![
            s.dot(x, y),
            s.dot(x, &f16s),
            s.dot(x, &bf16s),
            s.dot(x, &codes),
            s.sum(x),
            s.max_of(x),
            s.max_magnitude_of(x),
        ];
        let mut sum = x.to_vec();
        s.axpy(&mut sum, 0.5, y);
        s.axpy(&mut sum, 0.25, &f16s);
        s.axpy(&mut sum, -2.0, &bf16s);
        s.axpy(&mut sum, 0.125, &codes);
        s.scale(&mut sum, 3.0);
        (numbers, sum, codes)
    }
}

#[test]
fn slices_of_every_length_agree_with_plain_loops() {
    for len in (0..70).chain([127, 128, 129, 1000]) {
        let (x, y) = (noise(2 * len as u64, len), noise(2 * len as u64 + 1, len));
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let f16s: Vec<f64> = y.iter().map(|y| f16::from_f32(*y).to_f64()).collect();
        let bf16s: Vec<f64> = y.iter().map(|y| bf16::from_f32(*y).to_f64()).collect();
        let codes: Vec<i8> = y.iter().map(|y| (y * 100.0).round_ties_even() as i8).collect();
        let code_values: Vec<f64> = codes.iter().map(|code| f64::from(*code)).collect();
        let (xs, ys) = (wide(&x), wide(&y));
        let expected = [
            dot(&xs, &ys),
            dot(&xs, &f16s),
            dot(&xs, &bf16s),
            dot(&xs, &code_values),
            xs.iter().sum(),
            xs.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            xs.iter().fold(0.0, |max: f64, x| max.max(x.abs())),
        ];
        for isa in Isa::available() {
            let (numbers, sums, quantized) = isa.run(Slices { x: &x, y: &y });
            assert_eq!(quantized, codes, "{isa}, {len}");
            for (index, (found, expected)) in numbers.iter().zip(expected).enumerate() {
                // Terms are at most 1, in the product with codes 100; each addition rounds a partial sum once.
                let size = if index == 3 { 100.0 } else { 1.0 };
                let tolerance = f64::from(f32::EPSILON) * size * (1.0 + len as f64).sqrt() * 2.0;
                let close = (f64::from(*found) - expected).abs() <= tolerance;
                assert!(close || f64::from(*found) == expected, "{isa}, {len}: {index}: {found} {expected}");
            }
            for (at, found) in sums.iter().enumerate() {
                let expected = 3.0
                    * (xs[at] + 0.5 * ys[at] + 0.25 * f16s[at] - 2.0 * bf16s[at] + 0.125 * code_values[at]);
                assert!((f64::from(*found) - expected).abs() < 2e-5, "{isa}, {len}: {found} {expected}");
            }
        }
    }
}

#[test]
fn magnitudes_show_what_is_not_finite() {
    struct Largest<'a>(&'a [f32]);
    impl Kernel for Largest<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            s.max_magnitude_of(self.0)
        }
    }
    for isa in Isa::available() {
        for at in [0, 17, 69, 70] {
            let mut x = noise(5, 71);
            x[at] = f32::NEG_INFINITY;
            assert_eq!(isa.run(Largest(&x)), f32::INFINITY, "{isa}");
            x[at] = -f32::NAN;
            assert!(isa.run(Largest(&x)).is_nan(), "{isa}");
        }
        assert_eq!(isa.run(Largest(&[])), 0.0);
    }
}

#[test]
fn names_lead_back() {
    for isa in Isa::ALL {
        assert_eq!(isa.to_string().parse::<Isa>().unwrap(), isa);
    }
    assert!("sse9".parse::<Isa>().is_err());
    assert!(Isa::detect().is_available());
}
