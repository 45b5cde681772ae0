//! The operations in plain Rust, over arrays. The compiler turns these loops into whatever vectors every processor of
//! the architecture has, so this is the fast path on ARM and the fallback on x86.

use std::array;

use half::{bf16, f16};

use super::vector::{LANES, Simd};

/// The token of the portable instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type Lanes = [f32; LANES];

/// Codes in a vector: 16, multiplied and added in neighbouring pairs, which is one instruction on x86 and two on
/// ARM.
const CODES: usize = 16;

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
    type Table = [f32; 16];
    type Nibbles = [u32; LANES];
    type Codes = [i8; CODES];
    type Sums = [i32; CODES / 2];

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
    fn table(self, entries: &[f32; 16]) -> [f32; 16] {
        *entries
    }

    #[inline(always)]
    fn load_nibbles(self, from: &[u8; 64]) -> [u32; LANES] {
        let words = from.as_chunks::<4>().0;
        array::from_fn(|lane| u32::from_le_bytes(words[lane]))
    }

    #[inline(always)]
    fn load_half_nibbles(self, from: &[u8; 32]) -> [u32; LANES] {
        let words = from.as_chunks::<4>().0;
        array::from_fn(|lane| words.get(lane).map_or(0, |word| u32::from_le_bytes(*word)))
    }

    #[inline(always)]
    fn look_up(self, table: [f32; 16], nibbles: [u32; LANES], index: usize) -> Lanes {
        nibbles.map(|word| table[(word >> (4 * index)) as usize & 15])
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
    fn zero_sums(self) -> Self::Sums {
        [0; CODES / 2]
    }

    #[inline(always)]
    fn dot_codes(self, sums: Self::Sums, a: [i8; CODES], b: [i8; CODES]) -> Self::Sums {
        let product = |at: usize| i32::from(a[at]) * i32::from(b[at]);
        array::from_fn(|lane| sums[lane].wrapping_add(product(2 * lane) + product(2 * lane + 1)))
    }

    #[inline(always)]
    fn reduce_sums4(self, a: [Self::Sums; 4]) -> [i32; 4] {
        a.map(|sums| sums.into_iter().fold(0, i32::wrapping_add))
    }

    #[inline(always)]
    fn prefetch<T>(self, _: &T, _: usize) {}
}
