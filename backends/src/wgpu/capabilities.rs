//! What a device can do, and the sets of kernels that follow from it.

use std::fmt;

use crate::{Numerics, Tier};

/// Sets of kernels, each of which includes those before it where the device has what they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum KernelTier {
    /// WebGPU core and nothing else.
    Base,
    /// Operations among the invocations of a subgroup, whatever its size.
    Subgroup,
    /// 16-bit floats in arithmetic and workgroup memory.
    F16,
    /// Dot products of four packed 8-bit integers that the device has an instruction for.
    Dot4,
    /// Products of small matrices by a whole subgroup.
    Coop,
}

impl KernelTier {
    pub(crate) const ALL: [Self; 5] = [Self::Base, Self::Subgroup, Self::F16, Self::Dot4, Self::Coop];

    /// What a user types.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Subgroup => "subgroup",
            Self::F16 => "f16",
            Self::Dot4 => "dot4",
            Self::Coop => "coop",
        }
    }

    pub(crate) fn numerics(self) -> Numerics {
        let half = f64::from(half::f16::EPSILON.to_f32()) / 2.0;
        match self {
            // Only the matrix units take operands as f16, and cut off what their sums cannot hold instead of rounding it.
            Self::Coop => Numerics {
                operand_unit: half,
                weight_unit: half,
                accumulate_unit: f64::from(f32::EPSILON),
                ..super::GPU_F32
            },
            _ => super::GPU_F32,
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

/// What kernels may use on a device in a tier.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "devices have these in any combination")]
pub(crate) struct Capabilities {
    pub(crate) tier: KernelTier,
    /// The smallest and the largest subgroup that the device may form, where the tier has subgroups.
    pub(crate) subgroups: Option<(u32, u32)>,
    pub(crate) f16: bool,
    pub(crate) dot4: bool,
    /// `coop_mat16x16` of f16 that add up in f32.
    pub(crate) coop: bool,
    /// Bytes of workgroup memory.
    pub(crate) workgroup_memory: u32,
    /// Invocations of a workgroup.
    pub(crate) invocations: u32,
    /// Bytes of a storage binding.
    pub(crate) binding: u64,
    /// Bytes of a buffer.
    pub(crate) buffer: u64,
    /// Storage buffers of a kernel; no dispatch may have more bindings.
    pub(crate) storage_buffers: u32,
    /// A driver that computes on the CPU: what it wants is the opposite of what a GPU wants.
    pub(crate) software: bool,
}

impl Capabilities {
    /// What is left of them in a tier.
    #[must_use]
    pub(crate) fn limited_to(&self, tier: KernelTier) -> Self {
        Self {
            tier,
            subgroups: self.subgroups.filter(|_| tier >= KernelTier::Subgroup),
            f16: self.f16 && tier >= KernelTier::F16,
            dot4: self.dot4 && tier >= KernelTier::Dot4,
            coop: self.coop && tier >= KernelTier::Coop,
            ..self.clone()
        }
    }

    /// Whether the device has what makes this tier differ from the one before.
    pub(crate) const fn has(&self, tier: KernelTier) -> bool {
        match tier {
            KernelTier::Base => true,
            KernelTier::Subgroup => self.subgroups.is_some(),
            KernelTier::F16 => self.f16,
            KernelTier::Dot4 => self.dot4,
            KernelTier::Coop => self.coop,
        }
    }

    /// Whether kernels on matrix units run that have eight subgroups of 32 to a workgroup and take so much workgroup memory.
    pub(crate) fn has_matrix_units(&self, workgroup_memory: u32) -> bool {
        self.coop
            && self.subgroups == Some((32, 32))
            && self.workgroup_memory >= workgroup_memory
            && self.invocations >= 256
    }

    /// Bytes of a buffer that a kernel can be shown at once.
    pub(crate) fn visible(&self) -> u64 {
        self.binding.min(self.buffer)
    }

    /// Whether all invocations of a workgroup of `size`, cut into runs of `lanes`, surely have each run in one subgroup.
    pub(crate) fn subgroup_at_least(&self, lanes: u32) -> bool {
        self.subgroups.is_some_and(|(smallest, _)| smallest >= lanes)
    }
}
