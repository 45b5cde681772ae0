//! How far a backend may be from the elementwise functions.

use super::{F32_UNIT, FLOOR, Units};
use crate::cpu::reference::apply;
use crate::plan::Function;

fn gelu_argument(x: f64) -> f64 {
    (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)
}

/// How far from `function(x)` a backend may be, given an exact x.
///
/// `f` is the relative error of an elementary function at an exact argument, `a` one rounding.
/// - exp, and sigmoid with it: the argument is scaled before, which rounds it: `f + 2a·|x|`. The sum and
///   the quotient round once each: `2a`, and the product of silu once more.
/// - tanh: `f`, and a rounding or two on the way.
/// - gelu: `1 + erf` and `1 + tanh` cancel for negative x, so what counts is an error relative to 1:
///   `|x|/2 · (f + 2a)`; the argument of tanh, three roundings, weighs with its slope.
/// - relu is exact, its square rounds once.
pub(crate) fn tolerance(function: Function, x: f64, units: &Units) -> f64 {
    let (f, a) = (units.function, units.accumulate);
    let y = apply(function, x).abs();
    let own = match function {
        Function::Silu | Function::Sigmoid => (f + 4.0 * a + 2.0 * a * x.abs()) * y,
        Function::Tanh => (f + 2.0 * a) * y,
        Function::Gelu => 0.5 * x.abs() * (f + 2.0 * a) + 2.0 * a * y,
        Function::GeluTanh => {
            let z = gelu_argument(x);
            let slope = 1.0 - z.tanh() * z.tanh();
            0.5 * x.abs() * (f + 2.0 * a + slope * 6.0 * a * z.abs()) + 2.0 * a * y
        }
        Function::Relu => 0.0,
        Function::ReluSquared => 2.0 * a * y,
    };
    let d = units.input * x.abs();
    let moved = |by: f64| (apply(function, x + by) - apply(function, x)).abs();
    let moved = if d > 0.0 { moved(d).max(moved(-d)) } else { 0.0 };
    own + moved
}

/// A result of one function.
pub(crate) fn activated(function: Function, x: f64, units: &Units) -> f64 {
    if function == Function::Relu {
        return units.single_operation(x.max(0.0), 0.0);
    }
    tolerance(function, x, units) + units.stored(apply(function, x)) + FLOOR
}

/// A gated result before any quantisation: `function(gate) · up`.
pub(crate) fn gated(function: Function, gate: f64, up: f64, units: &Units) -> f64 {
    let value = apply(function, gate);
    if function == Function::Relu {
        return units.single_operation(value * up, units.input * (value * up).abs() * 2.0);
    }
    let product = value * up;
    tolerance(function, gate, units) * up.abs()
        + (2.0 * units.accumulate + units.input) * product.abs()
        + units.stored(product)
        + FLOOR * (1.0 + up.abs())
}

/// `cap · tanh(x / cap)`: the quotient and the product round once each, doubled.
pub(crate) fn softcapped(cap: f64, x: f64, units: &Units) -> f64 {
    let y = cap * (x / cap).tanh();
    (units.function + 4.0 * units.accumulate + units.input) * y.abs() + units.stored(y) + FLOOR
}

/// What an f32 can hold exactly.
pub(crate) fn is_f32(x: f64) -> bool {
    // Rounding to f32 and back gives the same bits for nothing else.
    f64::from(x as f32).to_bits() == x.to_bits()
}

impl Units {
    /// What is stored, rounded once; and the oracle's own result is handed out in f32.
    pub(crate) fn stored(&self, y: f64) -> f64 {
        (self.value + F32_UNIT) * y.abs()
    }

    /// The result of one operation that every device rounds correctly: exact where f32 can hold it.
    pub(crate) fn single_operation(&self, y: f64, moved: f64) -> f64 {
        if moved == 0.0 && self.value <= F32_UNIT && is_f32(y) && (y == 0.0 || y.abs() > FLOOR) {
            return 0.0;
        }
        moved + self.stored(y) + FLOOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Numerics;

    #[test]
    fn f32_arithmetic_stays_within() {
        let units = Units::new(&Numerics::F32);
        let mut x = -30.0f32;
        while x < 30.0 {
            let silu = f64::from(x / (1.0 + (-x).exp()));
            let exact = apply(Function::Silu, f64::from(x));
            assert!((silu - exact).abs() <= activated(Function::Silu, f64::from(x), &units), "{x}");
            let z = 0.797_884_6_f32 * (x + 0.044_715 * x * x * x);
            let gelu = f64::from(0.5 * x * (1.0 + z.tanh()));
            let exact = apply(Function::GeluTanh, f64::from(x));
            assert!((gelu - exact).abs() <= activated(Function::GeluTanh, f64::from(x), &units), "{x}");
            x += 0.137;
        }
    }

    #[test]
    fn exact_results_have_no_tolerance() {
        let units = Units::new(&Numerics::F32);
        assert_eq!(activated(Function::Relu, 1.5, &units).to_bits(), 0);
        assert_eq!(gated(Function::Relu, 1.0, 0.1f32.into(), &units).to_bits(), 0);
        assert!(gated(Function::Relu, 0.1f32.into(), 0.1f32.into(), &units) > 0.0);
    }
}
