//! The operations in AVX-512: a vector is one register, and int8 products are `vpdpbusd` (VNNI).

#![allow(unsafe_code, reason = "vector instructions")]
#![allow(clippy::wildcard_imports, reason = "the names of instructions, all with a prefix of their own")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "one reason covers all, in the macro below")]

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::PLAIN_CODEBOOK;
use super::vector::{LANES, Simd};
use crate::format::NF4_CODEBOOK;

/// The token of AVX-512 F, BW, VL, DQ and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor has those features, and AVX2, FMA and F16C.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Instructions of this set.
///
/// SAFETY of all uses: a token exists only where the processor has the features, and what pointers there are
/// come from references to arrays of the length that the instruction reads or writes, or the instruction is
/// masked to the slice's length.
macro_rules! vector {
    ($($instructions:tt)*) => { unsafe { $($instructions)* } };
}

/// A mask of the first lanes, as many as there are elements, up to 16.
#[inline(always)]
fn first<T>(of: &[T]) -> __mmask16 {
    ((1_u32 << of.len().min(LANES)) - 1) as __mmask16
}

impl Simd for Avx512 {
    type F32 = __m512;
    type Codebook = __m512;
    type Nibbles = __m512i;
    type Codes = __m512i;
    type Sums = __m512i;

    const MANY_REGISTERS: bool = true;
    const CODES: usize = 64;
    const CODE_OFFSET: u8 = 128;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        vector!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        vector!(_mm512_loadu_ps(from.as_ptr()))
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> __m512 {
        vector!(_mm512_maskz_loadu_ps(first(from), from.as_ptr()))
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        vector!(_mm512_storeu_ps(to.as_mut_ptr(), value));
    }

    #[inline(always)]
    fn store_partial(self, value: __m512, to: &mut [f32]) {
        vector!(_mm512_mask_storeu_ps(to.as_mut_ptr(), first(to), value));
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> __m512 {
        vector!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_f16_partial(self, from: &[f16]) -> __m512 {
        vector!(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(from), from.as_ptr().cast())))
    }

    #[inline(always)]
    fn store_f16(self, value: __m512, to: &mut [f16; LANES]) {
        vector!({
            let halves = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(value);
            _mm256_storeu_si256(to.as_mut_ptr().cast(), halves);
        });
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> __m512 {
        vector!({
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        })
    }

    #[inline(always)]
    fn load_bf16_partial(self, from: &[bf16]) -> __m512 {
        vector!({
            let words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(from), from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        })
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> __m512 {
        vector!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }

    #[inline(always)]
    fn store_i8(self, value: __m512, to: &mut [i8; LANES]) {
        vector!({
            let value = _mm512_max_ps(_mm512_set1_ps(-127.0), _mm512_min_ps(_mm512_set1_ps(127.0), value));
            let codes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(value));
            _mm_storeu_si128(to.as_mut_ptr().cast(), codes);
        });
    }

    #[inline(always)]
    fn splat_f16(self, value: &f16) -> __m512 {
        vector!(_mm512_cvtph_ps(_mm256_set1_epi16(value.to_bits() as i16)))
    }

    #[inline(always)]
    fn splat_f16_pair(self, values: &[f16; 2]) -> __m512 {
        vector!({
            let pairs = _mm256_set1_epi32(std::ptr::from_ref(values).cast::<i32>().read_unaligned());
            // Byte positions within each 128-bit half: the first value for the lower, the second for the upper.
            let pick = _mm256_set_m128i(_mm_set1_epi16(0x0302), _mm_set1_epi16(0x0100));
            _mm512_cvtph_ps(_mm256_shuffle_epi8(pairs, pick))
        })
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        vector!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn max_magnitude(self, a: __m512, b: __m512) -> __m512 {
        vector!({
            let b = _mm512_and_si512(_mm512_castps_si512(b), _mm512_set1_epi32(0x7fff_ffff));
            _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), b))
        })
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        vector!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }

    #[inline(always)]
    fn scale_by_power_of_two(self, a: __m512, n: __m512) -> __m512 {
        vector!(_mm512_scalef_ps(a, n))
    }

    #[inline(always)]
    fn reduce_sum(self, a: __m512) -> f32 {
        let zero = self.zero();
        self.reduce_sum4([a, zero, zero, zero])[0]
    }

    #[inline(always)]
    fn reduce_sum4(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        vector!({
            // Transposing additions: each 128-bit part ends up with one partial sum per vector.
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
            let parts = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            let halves = _mm256_add_ps(_mm512_castps512_ps256(parts), _mm512_extractf32x8_ps::<1>(parts));
            let sums = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
            let mut out = [0.0; 4];
            _mm_storeu_ps(out.as_mut_ptr(), sums);
            out
        })
    }

    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        vector!(_mm512_reduce_max_ps(a))
    }

    #[inline(always)]
    fn nf4_codebook(self) -> __m512 {
        self.load(&NF4_CODEBOOK)
    }

    #[inline(always)]
    fn plain_codebook(self) -> __m512 {
        self.load(&PLAIN_CODEBOOK)
    }

    #[inline(always)]
    fn load_nf4(self, from: &[u8; 64]) -> __m512i {
        vector!(_mm512_loadu_si512(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn look_up_nf4(self, codebook: __m512, codes: __m512i, index: usize) -> __m512 {
        vector!({
            // Code `index` of each of 16 words. The permutation reads the low 4 bits; a constant count of bits
            // becomes an immediate.
            let indices = _mm512_srl_epi32(codes, _mm_cvtsi32_si128(4 * index as i32));
            _mm512_permutexvar_ps(indices, codebook)
        })
    }

    #[inline(always)]
    fn nf4_order(vector: usize, lane: usize) -> usize {
        8 * lane + vector
    }

    #[inline(always)]
    fn load_codes(self, from: &[i8]) -> __m512i {
        assert_eq!(from.len(), Self::CODES);
        vector!(_mm512_loadu_si512(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn splat_codes(self, value: i8) -> __m512i {
        vector!(_mm512_set1_epi8(value))
    }

    #[inline(always)]
    fn zero_sums(self) -> __m512i {
        vector!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn dot_codes(self, sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_dpbusd_epi32(sums, a, b))
    }

    #[inline(always)]
    fn reduce_sums4(self, [a, b, c, d]: [__m512i; 4]) -> [i32; 4] {
        vector!({
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let parts = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let halves =
                _mm256_add_epi32(_mm512_castsi512_si256(parts), _mm512_extracti64x4_epi64::<1>(parts));
            let sums = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
            let mut out = [0; 4];
            _mm_storeu_si128(out.as_mut_ptr().cast(), sums);
            out
        })
    }

    #[inline(always)]
    fn prefetch<T>(self, here: &T, bytes: usize) {
        let there = std::ptr::from_ref(here).cast::<i8>().wrapping_add(bytes);
        vector!(_mm_prefetch::<_MM_HINT_T1>(there));
    }
}
