//! What a backend says of its devices.

use std::fmt;

/// Names a device: the backend, and the device's place in that backend's list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId {
    pub backend: &'static str,
    pub index: usize,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.index)
    }
}

/// What kind of thing computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    Discrete,
    Integrated,
    /// A GPU driver that computes on the CPU.
    Software,
    Cpu,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Software => "software GPU",
            Self::Cpu => "CPU",
        })
    }
}

/// A device and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    pub id: DeviceId,
    pub name: String,
    pub vendor: String,
    pub driver: String,
    pub kind: DeviceKind,
    pub memory: DeviceMemory,
    /// The sets of kernels it can run, best first; never empty.
    pub tiers: Vec<Tier>,
    /// What it can do beyond the least that is asked, by the names that its makers use.
    pub features: Vec<String>,
    pub limits: DeviceLimits,
    /// Units that work at once: cores or multiprocessors, where known.
    pub parallel_units: Option<usize>,
    /// Bytes per second of a plain read of memory, where it has been measured.
    pub bandwidth: Option<f64>,
}

/// Memory in bytes; unknown where the driver does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    pub total: Option<u64>,
    /// Free at the time of asking.
    pub available: Option<u64>,
    /// The same memory that the CPU uses, so that it must not be counted twice.
    pub shared_with_cpu: bool,
}

/// The largest sizes that a device takes; `None` where there is no limit but memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DeviceLimits {
    /// Bytes of one allocation.
    pub buffer: Option<u64>,
    /// Bytes that one kernel argument can see.
    pub binding: Option<u64>,
}

/// A set of kernels that a device can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// What a user types to force it.
    pub name: String,
    pub numerics: Numerics,
}

/// How precisely a tier computes, as unit roundoffs (half the distance from 1 to the next number).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numerics {
    /// Rounding of the activations that enter a product; 0 where they enter as they are.
    pub operand_unit: f64,
    /// Rounding of the decoded weights, and of values of the cache, that enter a product, where their format holds more than
    /// f16; 0 where they enter as they are.
    pub weight_unit: f64,
    /// Rounding of each addition within a sum.
    pub accumulate_unit: f64,
    /// Rounding of what is passed between operators.
    pub value_unit: f64,
    /// Relative error of exp, tanh, sine and the like.
    pub function_unit: f64,
}

impl Numerics {
    /// f32 throughout, and elementary functions good to a few units in the last place.
    pub const F32: Self = Self {
        operand_unit: 0.0,
        weight_unit: 0.0,
        accumulate_unit: f32::EPSILON as f64 / 2.0,
        value_unit: f32::EPSILON as f64 / 2.0,
        function_unit: 4.0 * f32::EPSILON as f64,
    };
    /// f64 throughout.
    pub const F64: Self = Self {
        operand_unit: 0.0,
        weight_unit: 0.0,
        accumulate_unit: f64::EPSILON / 2.0,
        value_unit: f64::EPSILON / 2.0,
        function_unit: f64::EPSILON,
    };
}

/// A device that one might expect and cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    pub what: String,
    /// Why, and what the user can do.
    pub reason: String,
}
