//! Elementary functions on vectors, each good to a few units in the last place over its whole range.

use super::simd::Simd;

/// A function of one number, on 16 at once.
pub(super) trait VectorFunction: Copy + Send + Sync {
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32;
}

macro_rules! vector_function {
    ($(#[$doc:meta])* $name:ident, |$self:ident, $s:ident, $x:ident| $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl VectorFunction for $name {
            #[inline(always)]
            fn apply<S: Simd>(self, $s: S, $x: S::F32) -> S::F32 {
                $body
            }
        }
    };
}

vector_function!(
    /// `x · sigmoid(x)`
    Silu, |self, s, x| s.div(x, one_plus_exp_minus(s, x))
);
vector_function!(
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid, |self, s, x| s.div(s.splat(1.0), one_plus_exp_minus(s, x))
);
vector_function!(Tanh, |self, s, x| tanh(s, x));
vector_function!(Gelu, |self, s, x| gelu(s, x));
vector_function!(GeluTanh, |self, s, x| gelu_tanh(s, x));
vector_function!(Relu, |self, s, x| s.max(s.zero(), x));
vector_function!(
    /// `relu(x)²`
    ReluSquared, |self, s, x| {
        let positive = s.max(s.zero(), x);
        s.mul(positive, positive)
    }
);

/// `factor · x`
#[derive(Clone, Copy)]
pub(super) struct Times(pub(super) f32);

impl VectorFunction for Times {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.mul(s.splat(self.0), x)
    }
}

/// `cap · tanh(x / cap)`
#[derive(Clone, Copy)]
pub(super) struct Capped(pub(super) f32);

impl VectorFunction for Capped {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let cap = s.splat(self.0);
        s.mul(cap, tanh(s, s.div(x, cap)))
    }
}

/// 1 + e⁻ˣ
#[inline(always)]
fn one_plus_exp_minus<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.add(s.splat(1.0), s.exp(s.sub(s.zero(), x)))
}

/// tanh by way of `e²ˣ − 1`, so that small numbers keep all their digits.
#[inline(always)]
pub(super) fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Beyond ±10 the result is ±1. The bound comes first, so that NaN stays NaN.
    let x = s.min(s.splat(10.0), s.max(s.splat(-10.0), x));
    let less_one = exp_minus_one(s, s.add(x, x));
    s.div(less_one, s.add(less_one, s.splat(2.0)))
}

/// eˣ − 1 for x in ±20, with all digits where it is small.
#[inline(always)]
fn exp_minus_one<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // x = n·ln2 + r as in `Simd::exp`; then eˣ − 1 = 2ⁿ·(eʳ − 1) + (2ⁿ − 1), and n is 0 where x is small.
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-0.693_359_4), x);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let mut q = s.splat(1.381_455_7e-3);
    for coefficient in [8.368_736e-3, 4.166_839e-2, 1.666_652e-1, 4.999_999_3e-1] {
        q = s.fma(q, r, s.splat(coefficient));
    }
    let power = s.fma(s.mul(r, r), q, r);
    let two_to_n = s.scale_by_power_of_two(s.splat(1.0), n);
    s.fma(two_to_n, power, s.sub(two_to_n, s.splat(1.0)))
}

/// `x/2 · (1 + erf(x/√2))`
#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // With Q(u) the normal distribution's tail beyond u ≥ 0, the result is max(x, 0) − |x|·Q(|x|): no
    // difference of nearly equal numbers on either side.
    let u = s.max(s.sub(s.zero(), x), x);
    // Q(u) = e^(−u²/2) · t·P(t) with t = 1 / (1 + 0.35u): P is within 4·10⁻⁸ of the true quotient.
    let t = s.div(s.splat(1.0), s.fma(s.splat(0.35), u, s.splat(1.0)));
    let mut p = s.splat(-0.029_679_522);
    for coefficient in [
        0.146_545_83,
        -0.260_961_23,
        0.165_051,
        -0.027_046_608,
        0.107_114_59,
        0.119_444_92,
        0.139_912_3,
        0.139_618_71,
    ] {
        p = s.fma(p, t, s.splat(coefficient));
    }
    // What u² loses to rounding is put back to first order, or far out the exponential would show it.
    // Beyond 15 the tail is 0; infinity must not meet it.
    let u = s.min(s.splat(15.0), u);
    let square = s.mul(u, u);
    let lost = s.fma(u, u, s.sub(s.zero(), square));
    let half = s.splat(-0.5);
    let bell = s.exp(s.mul(half, square));
    let tail = s.mul(s.mul(s.fma(bell, s.mul(half, lost), bell), t), p);
    s.sub(s.max(s.zero(), x), s.mul(u, tail))
}

/// The usual approximation: `x · sigmoid(E)` with `E = √(8/π)·(x + 0.044715·x³)`.
///
/// In this form nothing cancels for negative x, unlike in `1 + tanh`: there the result is nearly `x·e^E`, all of whose
/// factors are good to a few roundings. What is left is that of the exponent: an error of E *relative* to E is one of
/// the result that is |E| times as large. With u = 2⁻²⁴ (one rounding), `w = 0.044715·x² / (1 + 0.044715·x²)` the
/// cubic term's share of E, and to first order:
///
/// - E is computed as `x·(C + D·x²)`. The constants as f32 are off by 0.48u (C) and 0.57u (D), the square rounds
///   once, the sum once, the product once; where multiply-and-add is not fused, `D·x²` rounds once more. So E is
///   within `η = 2u + 0.48u·(1 − w) + (1.57u or 2.57u)·w` of itself.
/// - `e⁻ᴱ` is within `|E|·η + ε`, ε being that of `Simd::exp`: 2u, or 4u where nothing is fused.
/// - It reaches the result only as far as it is in `1 + e⁻ᴱ`: times `sigmoid(−E)`. The sum and the quotient round once each.
///
/// So the result is within `sigmoid(−E)·(|E|·η + ε) + 2u` of itself: 2u for large x, 3u (4u) near 0, and in the negative
/// tail up to 303u (378u) of numbers that have become as small as 10⁻³⁷, where E is −88. Measured at 1 it is less: for
/// negative x the error is never above 1.2u (1.5u), since the tail shrinks faster than its relative error grows. Beyond
/// E = −88.7 the exponential is infinite and the result 0; the true one is below |x| / `f32::MAX`.
#[inline(always)]
fn gelu_tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // √(8/π), and 0.044715 times that.
    let slope = s.fma(s.splat(0.071_354_814), s.mul(x, x), s.splat(1.595_769_2));
    s.div(x, one_plus_exp_minus(s, s.mul(x, slope)))
}

#[cfg(test)]
mod tests {
    use super::super::simd::{Isa, Kernel, LANES};
    use super::*;

    struct Apply<F>(F, [f32; LANES]);

    impl<F: VectorFunction> Kernel for Apply<F> {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; LANES] {
            s.to_array(self.0.apply(s, s.load(&self.1)))
        }
    }

    /// The largest error of a function over ±12, in units of f32 rounding at the result (or at 10⁻³⁰).
    fn worst(f: impl VectorFunction, exact: impl Fn(f64) -> f64) -> f64 {
        let mut worst: f64 = 0.0;
        for isa in Isa::available() {
            for block in 0..4000 {
                let x: [f32; LANES] = std::array::from_fn(|lane| {
                    let i = block * LANES + lane;
                    let x = (i as f32 / 64_000.0 - 0.5) * 24.0;
                    // Every other number is small, where cancellation would show.
                    if i.is_multiple_of(2) { x } else { x * 1e-3 }
                });
                for (got, x) in isa.run(Apply(f, x)).into_iter().zip(x) {
                    let expected = exact(f64::from(x));
                    let unit = f64::from(f32::EPSILON) * expected.abs().max(1e-30);
                    worst = worst.max((f64::from(got) - expected).abs() / unit);
                }
            }
        }
        worst
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn functions_are_good_to_a_few_units() {
        assert!(worst(Silu, |x| x * sigmoid(x)) < 4.0);
        assert!(worst(Sigmoid, sigmoid) < 4.0);
        assert!(worst(Tanh, f64::tanh) < 4.0);
        assert!(worst(Capped(30.0), |x| 30.0 * (x / 30.0).tanh()) < 6.0);
    }

    /// The bound that [`gelu_tanh`] states for its error relative to the result, and that result.
    fn gelu_tanh_bound(x: f64, isa: Isa) -> (f64, f64) {
        let u = f64::from(f32::EPSILON) / 2.0;
        let (unfused, exp) = if isa == Isa::Portable { (1.0, 4.0 * u) } else { (0.0, 2.0 * u) };
        let cubic = 0.044_715 * x * x;
        let share = cubic / (1.0 + cubic);
        let exponent = (8.0 / std::f64::consts::PI).sqrt() * x * (1.0 + cubic);
        let eta = u * (2.0 + 0.48 * (1.0 - share) + (1.57 + unfused) * share);
        // The square of the largest term is what first order leaves out.
        let first = exponent.abs() * eta + exp;
        (sigmoid(-exponent) * (first + first * first) + 2.0 * u, x * sigmoid(exponent))
    }

    #[test]
    fn gelu_tanh_keeps_to_its_derived_bounds() {
        for isa in Isa::available() {
            let (mut used, mut used_far_out, mut negative) = (0.0_f64, 0.0_f64, 0.0_f64);
            for block in 0..40_000 {
                let x: [f32; LANES] = std::array::from_fn(|lane| {
                    // The tail is at 0 from -10.4 on; some numbers are small.
                    let x = ((block * LANES + lane) as f32 / 640_000.0 - 0.5) * 26.0;
                    if lane % 4 == 0 { x * 1e-3 } else { x }
                });
                for (got, x) in isa.run(Apply(GeluTanh, x)).into_iter().zip(x) {
                    let x = f64::from(x);
                    let (bound, exact) = gelu_tanh_bound(x, isa);
                    let error = (f64::from(got) - exact).abs();
                    let bound = bound * exact.abs() + x.abs() / f64::from(f32::MAX);
                    assert!(error <= bound, "{isa}: {got} for {x} is off by {error}, more than {bound}");
                    if x != 0.0 {
                        used = used.max(error / bound);
                    }
                    if (-9.0..-8.0).contains(&x) {
                        used_far_out = used_far_out.max(error / bound);
                    }
                    if x < 0.0 {
                        negative = negative.max(error);
                    }
                }
            }
            // A bound that nothing comes near would say little.
            assert!(used > 0.5 && used_far_out > 0.4, "{isa}: {used} and {used_far_out} of the bounds");
            let most = if isa == Isa::Portable { 1.5 } else { 1.2 } * f64::from(f32::EPSILON) / 2.0;
            assert!(negative <= most, "{isa}: off by {negative} for a negative number");
        }
    }

    #[test]
    fn gelu_matches_published_values_of_the_normal_distribution() {
        // x and the distribution function at x.
        for (x, phi) in [
            (-9.0, 1.128_588_405_953_840_6e-19),
            (-5.0, 2.866_515_718_791_939e-7),
            (-2.0, 0.022_750_131_948_179_21),
            (-1.0, 0.158_655_253_931_457_05),
            (-1e-3, 0.499_601_057_784_893_7),
            (0.5, 0.691_462_461_274_013),
            (3.0, 0.998_650_101_968_369_9),
        ] {
            for isa in Isa::available() {
                let got = f64::from(isa.run(Apply(Gelu, [x as f32; LANES]))[3]);
                let expected = f64::from(x as f32) * phi;
                assert!((got / expected - 1.0).abs() < 4e-7, "{x}: {got} {expected} in {isa}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_passed_on() {
        for isa in Isa::available() {
            let run = |x: f32| isa.run(Apply(Gelu, [x; LANES]))[0];
            assert!(run(f32::NAN).is_nan());
            assert!(run(f32::INFINITY).is_infinite());
            assert!(run(f32::NEG_INFINITY).abs() < 1e-30);
            assert!(isa.run(Apply(Tanh, [f32::NAN; LANES]))[0].is_nan());
            assert!(isa.run(Apply(Relu, [f32::NAN; LANES]))[0].is_nan());
            assert!((isa.run(Apply(Tanh, [f32::NEG_INFINITY; LANES]))[0] + 1.0).abs() < 1e-6);
        }
    }
}
