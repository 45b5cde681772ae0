//! The operations in plain Rust, over arrays. The compiler turns these loops into whatever vectors every processor of
//! the architecture has, so this is the fast path on ARM and the fallback on x86.

use std::array;

use half::{bf16, f16};

use super::PLAIN_CODEBOOK;
use super::vector::{LANES, Simd};
use crate::format::NF4_CODEBOOK;

/// The token of the portable instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type Lanes = [f32; LANES];

/// Codes in a vector: enough for the compiler to take their products for a loop, which it turns into vectors.
const CODES: usize = 64;

#[inline(always)]
fn map(a: Lanes, b: Lanes, f: impl Fn(f32, f32) -> f32) -> Lanes {
    array::from_fn(|lane| f(a[lane], b[lane]))
}

/// Copies what there is, up to a vector, in front of zeros.
#[inline(always)]
pub(super) fn padded<T: Copy + Default>(from: &[T]) -> [T; LANES] {
    let mut lanes = [T::default(); LANES];
    let count = from.len().min(LANES);
    lanes[..count].copy_from_slice(&from[..count]);
    lanes
}

/// Adds lanes in the order in which the x86 shuffles do: strides 2 and 1 within four, then across.
#[inline(always)]
fn tree_sum(a: Lanes) -> f32 {
    let quarter = |q: usize| (a[4 * q] + a[4 * q + 2]) + (a[4 * q + 1] + a[4 * q + 3]);
    (quarter(0) + quarter(2)) + (quarter(1) + quarter(3))
}

/// What the two codes of each byte of NF4 stand for: a look-up for two weights instead of one.
static NF4_PAIRS: [[f32; 2]; 256] = pairs_of(&NF4_CODEBOOK);
/// The same where every code stands for itself.
static PLAIN_PAIRS: [[f32; 2]; 256] = pairs_of(&PLAIN_CODEBOOK);

const fn pairs_of(codebook: &[f32; 16]) -> [[f32; 2]; 256] {
    let mut pairs = [[0.0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [codebook[byte & 15], codebook[byte >> 4]];
        byte += 1;
    }
    pairs
}

/// 2ⁿ, n an integer between -126 and 127.
#[inline(always)]
fn power_of_two(n: f32) -> f32 {
    f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// The widening of one half with integer operations only, so that a loop of it becomes vectors without
/// instructions for halves.
#[inline(always)]
fn widen_f16(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let sign = (bits & 0x8000) << 16;
    let magnitude = bits & 0x7fff;
    // Exponent and fraction moved into place; a product with 2¹¹² corrects the bias and normalises subnormals.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits((254 - 15) << 23);
    let special = f32::from_bits((magnitude << 13) | 0x7f80_0000);
    let value = if magnitude >= 0x7c00 { special } else { scaled };
    f32::from_bits(value.to_bits() | sign)
}

impl Simd for Portable {
    type F32 = Lanes;
    type Codebook = &'static [[f32; 2]; 256];
    type Nibbles = [u8; 64];
    type Codes = [i8; CODES];
    type Sums = i32;

    const MANY_REGISTERS: bool = false;
    const CODES: usize = CODES;
    const CODE_OFFSET: u8 = 0;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Lanes {
        *from
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Lanes {
        padded(from)
    }

    #[inline(always)]
    fn store(self, value: Lanes, to: &mut [f32; LANES]) {
        *to = value;
    }

    #[inline(always)]
    fn store_partial(self, value: Lanes, to: &mut [f32]) {
        let count = to.len().min(LANES);
        to[..count].copy_from_slice(&value[..count]);
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Lanes {
        from.map(widen_f16)
    }

    #[inline(always)]
    fn load_f16_partial(self, from: &[f16]) -> Lanes {
        padded(from).map(widen_f16)
    }

    #[inline(always)]
    fn store_f16(self, value: Lanes, to: &mut [f16; LANES]) {
        *to = value.map(f16::from_f32);
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Lanes {
        from.map(|value| f32::from_bits(u32::from(value.to_bits()) << 16))
    }

    #[inline(always)]
    fn load_bf16_partial(self, from: &[bf16]) -> Lanes {
        self.load_bf16(&padded(from))
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Lanes {
        from.map(f32::from)
    }

    #[inline(always)]
    fn store_i8(self, value: Lanes, to: &mut [i8; LANES]) {
        // Adding 1.5·2²³ rounds to an integer, which the low byte then holds in two's complement.
        *to = value.map(|v| (v.clamp(-127.0, 127.0) + 12_582_912.0).to_bits() as i8);
    }

    #[inline(always)]
    fn splat_f16(self, value: &f16) -> Lanes {
        [widen_f16(*value); LANES]
    }

    #[inline(always)]
    fn splat_f16_pair(self, values: &[f16; 2]) -> Lanes {
        let values = values.map(widen_f16);
        array::from_fn(|lane| values[lane / 8])
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        map(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        map(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        map(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        map(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // Without the instruction the fused operation is a library call per lane.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
        } else {
            array::from_fn(|lane| a[lane] * b[lane] + c[lane])
        }
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        map(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        map(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max_magnitude(self, a: Lanes, b: Lanes) -> Lanes {
        map(a, b, |a, b| {
            let (a, b) = (a.to_bits() as i32, (b.to_bits() & 0x7fff_ffff) as i32);
            f32::from_bits(a.max(b) as u32)
        })
    }

    #[inline(always)]
    fn round(self, a: Lanes) -> Lanes {
        // Beyond 1.5·2²³ there are no fractions, so the sum is rounded; the difference is exact.
        a.map(|a| (a + 12_582_912.0) - 12_582_912.0)
    }

    #[inline(always)]
    fn scale_by_power_of_two(self, a: Lanes, n: Lanes) -> Lanes {
        // In two steps, as 2ⁿ itself may be beyond the range of normal numbers.
        let half = self.round(self.mul(n, self.splat(0.5)));
        let rest = self.sub(n, half);
        self.mul(self.mul(a, half.map(power_of_two)), rest.map(power_of_two))
    }

    #[inline(always)]
    fn reduce_sum(self, a: Lanes) -> f32 {
        tree_sum(a)
    }

    #[inline(always)]
    fn reduce_sum4(self, a: [Lanes; 4]) -> [f32; 4] {
        a.map(tree_sum)
    }

    #[inline(always)]
    fn nf4_codebook(self) -> &'static [[f32; 2]; 256] {
        &NF4_PAIRS
    }

    #[inline(always)]
    fn plain_codebook(self) -> &'static [[f32; 2]; 256] {
        &PLAIN_PAIRS
    }

    #[inline(always)]
    fn load_nf4(self, from: &[u8; 64]) -> [u8; 64] {
        *from
    }

    #[inline(always)]
    fn look_up_nf4(self, codebook: &'static [[f32; 2]; 256], codes: [u8; 64], index: usize) -> Lanes {
        let mut lanes = [0.0; LANES];
        for pair in 0..4 {
            let [first, second] = codebook[usize::from(codes[4 * index + pair])];
            let [third, fourth] = codebook[usize::from(codes[32 + 4 * index + pair])];
            (lanes[2 * pair], lanes[2 * pair + 1]) = (first, second);
            (lanes[8 + 2 * pair], lanes[8 + 2 * pair + 1]) = (third, fourth);
        }
        lanes
    }

    #[inline(always)]
    fn nf4_order(vector: usize, lane: usize) -> usize {
        8 * vector + lane % 8 + 64 * (lane / 8)
    }

    #[inline(always)]
    fn load_codes(self, from: &[i8]) -> [i8; CODES] {
        let mut codes = [0; CODES];
        codes.copy_from_slice(from);
        codes
    }

    #[inline(always)]
    fn splat_codes(self, value: i8) -> [i8; CODES] {
        [value; CODES]
    }

    #[inline(always)]
    fn zero_sums(self) -> i32 {
        0
    }

    #[inline(always)]
    fn dot_codes(self, sums: i32, a: [i8; CODES], b: [i8; CODES]) -> i32 {
        let products = a.iter().zip(&b).map(|(a, b)| i32::from(*a) * i32::from(*b));
        sums.wrapping_add(products.sum::<i32>())
    }

    #[inline(always)]
    fn reduce_sums4(self, a: [i32; 4]) -> [i32; 4] {
        a
    }

    #[inline(always)]
    fn prefetch<T>(self, _: &T, _: usize) {}
}
