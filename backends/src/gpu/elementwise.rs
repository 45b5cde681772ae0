//! Operators that look at one element at a time: one kernel does them all, and is told which by a number.
//!
//! `shaders/lib/functions.wesl` and `functions.cuh` number the functions likewise, `shaders/activation/elementwise.wesl` and
//! `elementwise.cu` the operations beyond them.

use crate::plan::{Activate, Add, Function, Gated, Operand, Scale, Softcap, ValueId};

/// The product of two elements; of one that has no second, the element itself.
pub(crate) const PRODUCT: u32 = 7;
const SUM: u32 = 8;
const FACTOR: u32 = 9;
const CAP: u32 = 10;

/// The number of a function.
pub(crate) const fn number(function: Function) -> u32 {
    match function {
        Function::Silu => 0,
        Function::Gelu => 1,
        Function::GeluTanh => 2,
        Function::Relu => 3,
        Function::ReluSquared => 4,
        Function::Sigmoid => 5,
        Function::Tanh => 6,
    }
}

/// What is done with each element of one operand, or with the elements of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elementwise {
    pub(crate) first: Operand,
    pub(crate) second: Option<Operand>,
    pub(crate) output: ValueId,
    /// Which function or operation.
    pub(crate) operation: u32,
    /// The factor or the cap, for operations that have one.
    pub(crate) factor: f32,
}

impl From<&Gated> for Elementwise {
    fn from(op: &Gated) -> Self {
        let operation = number(op.function);
        Self { first: op.gate, second: Some(op.up), output: op.output, operation, factor: 1.0 }
    }
}

impl From<&Activate> for Elementwise {
    fn from(op: &Activate) -> Self {
        let operation = number(op.function);
        Self { first: op.input, second: None, output: op.output, operation, factor: 1.0 }
    }
}

impl From<&Add> for Elementwise {
    fn from(op: &Add) -> Self {
        Self { first: op.a, second: Some(op.b), output: op.output, operation: SUM, factor: 1.0 }
    }
}

impl From<&Scale> for Elementwise {
    fn from(op: &Scale) -> Self {
        Self { first: op.input, second: None, output: op.output, operation: FACTOR, factor: op.factor }
    }
}

impl From<&Softcap> for Elementwise {
    fn from(op: &Softcap) -> Self {
        Self { first: op.input, second: None, output: op.output, operation: CAP, factor: op.cap }
    }
}
