//! Which instruction sets there are, which of them this processor has, and how a kernel gets into one.

#![allow(unsafe_code, reason = "a function compiled for an instruction set may only run where it was found")]

use std::fmt;
use std::str::FromStr;

use super::portable::Portable;
use super::vector::Simd;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// An instruction set that the kernels are compiled for, in order of preference, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain code, which the compiler turns into what every processor of the architecture has (SSE2, NEON).
    Portable,
    /// AVX2 with FMA and F16C: x86 since about 2013.
    Avx2,
    /// The same and AVX-VNNI, int8 dot products: Intel's laptops since 2021, AMD's Zen 5.
    Avx2Vnni,
    /// AVX-512 (F, BW, VL, DQ) and its VNNI: servers, AMD since Zen 4, Intel's Ice and Tiger Lake.
    Avx512,
}

/// A computation that is written once for all instruction sets.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// The computation. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Isa {
    /// All of them, the best last.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx2Vnni, Self::Avx512];

    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }

    /// Those that this processor has, the best last. [`Isa::Portable`] is always among them.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// What `Display` writes and `FromStr` reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx2Vnni => "avx2-vnni",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it. The answer is cached by the standard library and costs a few loads.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        let avx2 = || {
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
        };
        match self {
            Self::Portable => true,
            Self::Avx2 => avx2(),
            Self::Avx2Vnni => avx2() && is_x86_feature_detected!("avxvnni"),
            Self::Avx512 => {
                avx2()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
        }
    }

    /// Whether this processor has it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Self::Portable
    }

    /// Runs a kernel. An instruction set that this processor lacks is replaced by the portable one.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            // SAFETY: the processor has every feature of the function called, as just asked.
            Self::Avx512 if self.is_available() => unsafe { run_avx512(kernel) },
            // SAFETY: as above.
            Self::Avx2Vnni if self.is_available() => unsafe { run_avx2_vnni(kernel) },
            // SAFETY: as above.
            Self::Avx2 if self.is_available() => unsafe { run_avx2(kernel) },
            _ => kernel.run(Portable),
        }
    }

    /// Runs a kernel.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(Portable)
    }

    /// The instruction set that does as well for a kernel without int8 dot products, so that such a kernel
    /// need not be compiled for two that would come out the same.
    #[inline]
    pub(crate) fn run_float<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        match self {
            // SAFETY: the processor has every feature of the function called, as just asked.
            Self::Avx512 if self.is_available() => unsafe { run_avx512(kernel) },
            // SAFETY: as above.
            Self::Avx2 | Self::Avx2Vnni if self.is_available() => unsafe { run_avx2(kernel) },
            _ => kernel.run(Portable),
        }
        #[cfg(not(target_arch = "x86_64"))]
        kernel.run(Portable)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function is only entered where its features are.
    kernel.run(unsafe { Avx512::new() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn run_avx2_vnni<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: as above.
    kernel.run(unsafe { Avx2::<true>::new() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: as above.
    kernel.run(unsafe { Avx2::<false>::new() })
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No instruction set goes by the name that was given.
#[derive(Debug, thiserror::Error)]
#[error("there is no instruction set called {0:?}; the names are portable, avx2, avx2-vnni, avx512")]
pub struct UnknownIsa(String);

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(text: &str) -> Result<Self, UnknownIsa> {
        Self::ALL.into_iter().find(|isa| isa.name() == text).ok_or_else(|| UnknownIsa(text.to_owned()))
    }
}
