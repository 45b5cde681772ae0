//! What a device can do, and the sets of kernels that follow from it.

use std::fmt;

use super::driver::DeviceFacts;
use crate::{Numerics, Tier};

/// Sets of kernels, each of which includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KernelTier {
    /// Threads alone: products in f32, and of int8 four at a time.
    Simt,
    /// Matrix units that a warp feeds: `sm_75` and later.
    Mma,
    /// Matrix units that a group of four warps feeds from shared memory: `sm_90` alone.
    Wgmma,
}

impl KernelTier {
    pub(crate) const ALL: [Self; 3] = [Self::Simt, Self::Mma, Self::Wgmma];

    /// What a user types.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Simt => "simt",
            Self::Mma => "mma",
            Self::Wgmma => "wgmma",
        }
    }

    /// Matrix units take operands as f16, and cut off what their sums cannot hold instead of rounding it.
    pub(crate) fn numerics(self) -> Numerics {
        let half = f64::from(half::f16::EPSILON.to_f32()) / 2.0;
        match self {
            Self::Simt => super::CUDA_F32,
            Self::Mma | Self::Wgmma => Numerics {
                operand_unit: half,
                weight_unit: half,
                accumulate_unit: f64::from(f32::EPSILON),
                ..super::CUDA_F32
            },
        }
    }

    pub(crate) fn tier(self) -> Tier {
        Tier { name: self.name().to_owned(), numerics: self.numerics() }
    }
}

impl fmt::Display for KernelTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Such as 90 for `sm_90`.
    pub(crate) arch: u32,
    pub(crate) tier: KernelTier,
}

impl Target {
    /// The architecture as the compiler calls it. That of `sm_90` is the one with `wgmma`, which runs on nothing else.
    pub(crate) fn architecture(self) -> String {
        let own = if self.arch == 90 { "a" } else { "" };
        format!("sm_{}{own}", self.arch)
    }
}

/// What kernels may use on a device in a tier.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Capabilities {
    pub(crate) target: Target,
    pub(crate) multiprocessors: u32,
    /// Bytes of shared memory that a block can ask for.
    pub(crate) shared_memory: u32,
    /// Whether launches may begin early (programmatic dependent launch).
    pub(crate) early_launches: bool,
}

/// The first version of the driver in which early launches can be captured into graphs.
const EARLY_LAUNCHES_SINCE: u32 = 12_030;

impl Capabilities {
    /// The best of a device, for a driver of this version. `arch` is what the compiler makes for it.
    pub(crate) fn new(facts: &DeviceFacts, arch: u32, driver: u32) -> Self {
        let tier = if arch == 90 { KernelTier::Wgmma } else { KernelTier::Mma };
        Self {
            target: Target { arch, tier },
            multiprocessors: facts.multiprocessors,
            shared_memory: facts.shared_memory,
            early_launches: arch >= 90 && driver >= EARLY_LAUNCHES_SINCE,
        }
    }

    pub(crate) fn limited_to(&self, tier: KernelTier) -> Self {
        Self { target: Target { tier, ..self.target }, ..self.clone() }
    }

    pub(crate) const fn tier(&self) -> KernelTier {
        self.target.tier
    }

    /// The tiers that it has, best first.
    pub(crate) fn tiers(&self) -> Vec<KernelTier> {
        KernelTier::ALL.into_iter().rev().filter(|tier| *tier <= self.tier()).collect()
    }
}

/// The architecture to compile for on a device, out of those that a compiler has (ascending): its own, or the last before it of its
/// generation, whose code it runs.
pub(crate) fn architecture((major, minor): (u32, u32), known: &[u32]) -> Option<u32> {
    let own = 10 * major + minor;
    known.iter().copied().rfind(|arch| arch / 10 == major && *arch <= own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_architecture_that_a_device_runs_is_taken() {
        let known = [75, 80, 86, 89, 90, 100, 120];
        let of = |major, minor| architecture((major, minor), &known);
        assert_eq!([of(7, 5), of(8, 7), of(9, 0), of(12, 1)], [Some(75), Some(86), Some(90), Some(120)]);
        assert_eq!([of(7, 0), of(11, 0), of(13, 0)], [None; 3]);
    }

    #[test]
    fn tiers_include_those_before_them() {
        let facts = DeviceFacts {
            ordinal: 0,
            name: "some device".to_owned(),
            capability: (9, 0),
            multiprocessors: 132,
            shared_memory: 227 << 10,
            total_memory: 80 << 30,
            integrated: false,
        };
        let hopper = Capabilities::new(&facts, 90, 13_000);
        assert_eq!(hopper.tiers(), [KernelTier::Wgmma, KernelTier::Mma, KernelTier::Simt]);
        assert!(hopper.early_launches && !Capabilities::new(&facts, 90, 12_020).early_launches);
        let ampere = Capabilities::new(&facts, 86, 13_000);
        assert_eq!(ampere.tiers(), [KernelTier::Mma, KernelTier::Simt]);
        assert_eq!(ampere.limited_to(KernelTier::Simt).tiers(), [KernelTier::Simt]);
        assert_eq!(hopper.target.architecture(), "sm_90a");
        assert_eq!(ampere.target.architecture(), "sm_86");
    }
}
