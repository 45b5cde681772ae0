//! The operations that kernels are made of.

use half::{bf16, f16};

/// Floats in a vector, on every instruction set.
///
/// One width for all keeps the layouts that depend on it (permuted activations, padded rows) the same
/// everywhere, and lets kernels load from `&[f32; 16]` without bounds checks. Where registers are narrower a vector
/// is several of them, which also gives the processor independent work.
pub(crate) const LANES: usize = 16;

/// log2(e).
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln(2) in two parts, the first with so few digits that its product with a small integer is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// An instruction set, as a token whose methods are its operations.
///
/// A token exists only where the processor has the instruction set, so the methods are safe to call.
/// The methods on whole slices are in [`SimdSlices`](super::SimdSlices).
pub(crate) trait Simd: Copy + Send + Sync {
    /// 16 floats.
    type F32: Copy;
    /// The NF4 codebook in the form that this instruction set looks up from.
    type Codebook: Copy;
    /// 128 codes of NF4 as they lie in memory.
    type Nibbles: Copy;
    /// [`Simd::CODES`] int8 codes.
    type Codes: Copy;
    /// Sums of products of codes, spread over lanes.
    type Sums: Copy;

    /// Whether there are registers for 24 accumulators and more; otherwise there are for 6.
    const MANY_REGISTERS: bool;
    /// Codes in a vector of codes. Divides 64.
    const CODES: usize;
    /// What [`Simd::dot_codes`] wants to have been added to the first operand's codes: 128 where the
    /// instruction multiplies unsigned by signed numbers, else 0.
    const CODE_OFFSET: u8;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::F32;
    /// Loads a vector.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// Loads up to 16 floats; the other lanes are zero.
    fn load_partial(self, from: &[f32]) -> Self::F32;
    /// Stores a vector.
    fn store(self, value: Self::F32, to: &mut [f32; LANES]);
    /// Stores the first lanes, as many as fit, up to 16.
    fn store_partial(self, value: Self::F32, to: &mut [f32]);
    /// Widens 16 halves.
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32;
    /// Widens up to 16 halves; the other lanes are zero.
    fn load_f16_partial(self, from: &[f16]) -> Self::F32;
    /// Rounds to halves, ties to even.
    fn store_f16(self, value: Self::F32, to: &mut [f16; LANES]);
    /// Widens 16 bfloats.
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32;
    /// Widens up to 16 bfloats; the other lanes are zero.
    fn load_bf16_partial(self, from: &[bf16]) -> Self::F32;
    /// Widens 16 int8 codes.
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32;
    /// Rounds to integers (ties to even) within ±127. A lane that is NaN gives an unspecified code.
    fn store_i8(self, value: Self::F32, to: &mut [i8; LANES]);
    /// All lanes the value of a half.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "loads from memory, like its neighbours")]
    fn splat_f16(self, value: &f16) -> Self::F32;
    /// The lower 8 lanes the value of the first half, the upper 8 that of the second.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "loads from memory, like its neighbours")]
    fn splat_f16_pair(self, values: &[f16; 2]) -> Self::F32;

    /// a + b
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a − b
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a × b
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a / b
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a × b + c; rounded once, except on portable x86.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The larger of each pair; b where one is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller of each pair; b where one is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The larger of a, which is not negative, and |b|, where infinity counts above all numbers and NaN above that.
    fn max_magnitude(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The nearest integers, ties to even. Magnitudes must be below 2²².
    fn round(self, a: Self::F32) -> Self::F32;
    /// a × 2ⁿ, n an integer in ±250.
    fn scale_by_power_of_two(self, a: Self::F32, n: Self::F32) -> Self::F32;
    /// The sum of the lanes.
    fn reduce_sum(self, a: Self::F32) -> f32;
    /// The sums of four vectors' lanes. The order of additions is the same in each of the four, and fixed.
    fn reduce_sum4(self, a: [Self::F32; 4]) -> [f32; 4];

    /// Loads the NF4 codebook.
    fn nf4_codebook(self) -> Self::Codebook;
    /// Loads a codebook in which every code stands for itself.
    fn plain_codebook(self) -> Self::Codebook;
    /// Loads 128 codes of NF4.
    fn load_nf4(self, from: &[u8; 64]) -> Self::Nibbles;
    /// Vector `index` (of 8) of the numbers that 128 codes stand for. The order is this instruction set's own:
    /// [`Simd::nf4_order`] says it.
    fn look_up_nf4(self, codebook: Self::Codebook, codes: Self::Nibbles, index: usize) -> Self::F32;
    /// Which of 128 codes lane `lane` of vector `vector` holds. The lower 8 lanes hold codes below 64, the upper 8 the
    /// others, on every instruction set.
    fn nf4_order(vector: usize, lane: usize) -> usize;

    /// Loads `CODES` codes.
    ///
    /// # Panics
    /// If the slice has another length.
    fn load_codes(self, from: &[i8]) -> Self::Codes;
    /// All codes `value`.
    fn splat_codes(self, value: i8) -> Self::Codes;
    /// Sums of zero.
    fn zero_sums(self) -> Self::Sums;
    /// `sums` and the products of a's codes with b's, exactly (modulo 2³²). a's codes have had [`Simd::CODE_OFFSET`] added
    /// to them, as bytes, and are read without a sign if that is not 0.
    fn dot_codes(self, sums: Self::Sums, a: Self::Codes, b: Self::Codes) -> Self::Sums;
    /// The totals of four sums.
    fn reduce_sums4(self, a: [Self::Sums; 4]) -> [i32; 4];

    /// Asks for the cache line `bytes` after `here` to be fetched. A hint: the place need not exist.
    fn prefetch<T>(self, here: &T, bytes: usize);

    /// Zero.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, a: Self::F32) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        self.store(a, &mut array);
        array
    }

    /// The largest lane; NaN may be ignored.
    #[inline(always)]
    fn reduce_max(self, a: Self::F32) -> f32 {
        self.to_array(a).into_iter().fold(f32::NEG_INFINITY, |max, lane| if lane > max { lane } else { max })
    }

    /// The largest magnitude among lanes, none of which is negative; infinite or NaN if one is.
    #[inline(always)]
    fn reduce_max_magnitude(self, a: Self::F32) -> f32 {
        f32::from_bits(self.to_array(a).into_iter().fold(0, |max, lane| max.max(lane.to_bits())))
    }

    /// eˣ within 1 ulp where the result is a normal number; 0 far below, infinity far above, NaN for NaN.
    #[inline(always)]
    fn exp(self, x: Self::F32) -> Self::F32 {
        // Beyond these the result is 0 or infinite in any case. The bound comes first, so that NaN stays NaN.
        let x = self.min(self.splat(89.0), self.max(self.splat(-104.5), x));
        // x = n·ln2 + r with |r| ≤ ln2/2, so eˣ = 2ⁿ·eʳ.
        let n = self.round(self.mul(x, self.splat(LOG2_E)));
        let r = self.fma(n, self.splat(-LN_2_HIGH), x);
        let r = self.fma(n, self.splat(-LN_2_LOW), r);
        // eʳ = 1 + r + r²·q(r), q by Horner; coefficients of a minimax fit (3·10⁻⁹ of eʳ).
        let mut q = self.splat(1.381_455_7e-3);
        for coefficient in [8.368_736e-3, 4.166_839e-2, 1.666_652e-1, 4.999_999_3e-1] {
            q = self.fma(q, r, self.splat(coefficient));
        }
        let power = self.fma(self.mul(r, r), q, r);
        self.scale_by_power_of_two(self.add(power, self.splat(1.0)), n)
    }
}
