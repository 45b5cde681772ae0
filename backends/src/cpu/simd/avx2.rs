//! The operations in AVX2 with FMA and F16C, with or without AVX-VNNI: a vector is a pair of registers.

#![allow(unsafe_code, reason = "vector instructions")]
#![allow(clippy::wildcard_imports, reason = "the names of instructions, all with a prefix of their own")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "one reason covers all, in the macro below")]

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::PLAIN_CODEBOOK;
use super::portable::padded;
use super::vector::{LANES, Simd};
use crate::format::NF4_CODEBOOK;

/// The token of AVX2, FMA and F16C, and if `VNNI` of AVX-VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    /// # Safety
    /// The processor has those features.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Instructions of this set.
///
/// SAFETY of all uses: a token exists only where the processor has the features, and what pointers there are
/// come from references to arrays, or to slices whose length has been checked, of at least the bytes that the
/// instruction reads or writes.
macro_rules! vector {
    ($($instructions:tt)*) => { unsafe { $($instructions)* } };
}

/// 16 floats.
type Pair = (__m256, __m256);

/// 2ⁿ, n an integer between -126 and 127.
#[inline(always)]
fn power_of_two(n: __m256) -> __m256 {
    vector!({
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
    })
}

/// A codebook's bytes, the lowest of each number first.
const fn codebook_bytes(codebook: &[f32; 16]) -> [[u8; 16]; 4] {
    let mut bytes = [[0; 16]; 4];
    let mut code = 0;
    while code < 16 {
        let number = codebook[code].to_le_bytes();
        let mut byte = 0;
        while byte < 4 {
            bytes[byte][code] = number[byte];
            byte += 1;
        }
        code += 1;
    }
    bytes
}

/// Loads a codebook's bytes, each twice.
#[inline(always)]
fn load_codebook(bytes: &[[u8; 16]; 4]) -> [__m256i; 4] {
    vector!([
        _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes[0].as_ptr().cast())),
        _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes[1].as_ptr().cast())),
        _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes[2].as_ptr().cast())),
        _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes[3].as_ptr().cast())),
    ])
}

/// The numbers that 32 codes, one in each byte, stand for, in four vectors.
///
/// A shuffle looks 32 codes up but yields bytes, so there is one for each byte of the result, and they are
/// interleaved: 3 shuffles per vector, which beats the 2 permutations across a whole register and a blend that looking up
/// floats takes, as most processors have two units for the former and one for the latter.
#[inline(always)]
fn look_up_bytes(codebook: [__m256i; 4], codes: __m256i) -> [__m256; 4] {
    vector!({
        let b0 = _mm256_shuffle_epi8(codebook[0], codes);
        let b1 = _mm256_shuffle_epi8(codebook[1], codes);
        let b2 = _mm256_shuffle_epi8(codebook[2], codes);
        let b3 = _mm256_shuffle_epi8(codebook[3], codes);
        let (low0, high0) = (_mm256_unpacklo_epi8(b0, b1), _mm256_unpackhi_epi8(b0, b1));
        let (low1, high1) = (_mm256_unpacklo_epi8(b2, b3), _mm256_unpackhi_epi8(b2, b3));
        [
            _mm256_castsi256_ps(_mm256_unpacklo_epi16(low0, low1)),
            _mm256_castsi256_ps(_mm256_unpackhi_epi16(low0, low1)),
            _mm256_castsi256_ps(_mm256_unpacklo_epi16(high0, high1)),
            _mm256_castsi256_ps(_mm256_unpackhi_epi16(high0, high1)),
        ]
    })
}

/// Adds four vectors' lanes; each 128-bit part ends up with one partial sum per vector.
#[inline(always)]
fn sum4([a, b, c, d]: [__m256; 4]) -> __m256 {
    vector!({
        let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
        let (low, high) = (_mm256_unpacklo_pd(ab, cd), _mm256_unpackhi_pd(ab, cd));
        _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high))
    })
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    type F32 = Pair;
    /// The codebook's floats byte by byte: the lowest bytes of all 16, twice, then the next.
    type Codebook = [__m256i; 4];
    type Nibbles = (__m256i, __m256i);
    /// 32 bytes, or without VNNI 16 codes widened to 16 bits.
    type Codes = __m256i;
    type Sums = __m256i;

    const MANY_REGISTERS: bool = false;
    const CODES: usize = if VNNI { 32 } else { 16 };
    const CODE_OFFSET: u8 = if VNNI { 128 } else { 0 };

    #[inline(always)]
    fn splat(self, value: f32) -> Pair {
        vector!((_mm256_set1_ps(value), _mm256_set1_ps(value)))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Pair {
        vector!((_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))))
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Pair {
        self.load(&padded(from))
    }

    #[inline(always)]
    fn store(self, value: Pair, to: &mut [f32; LANES]) {
        vector!({
            _mm256_storeu_ps(to.as_mut_ptr(), value.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), value.1);
        });
    }

    #[inline(always)]
    fn store_partial(self, value: Pair, to: &mut [f32]) {
        let count = to.len().min(LANES);
        to[..count].copy_from_slice(&self.to_array(value)[..count]);
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Pair {
        vector!({
            let at: *const __m128i = from.as_ptr().cast();
            (_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at.add(1))))
        })
    }

    #[inline(always)]
    fn load_f16_partial(self, from: &[f16]) -> Pair {
        self.load_f16(&padded(from))
    }

    #[inline(always)]
    fn store_f16(self, value: Pair, to: &mut [f16; LANES]) {
        vector!({
            let at: *mut __m128i = to.as_mut_ptr().cast();
            _mm_storeu_si128(at, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.0));
            _mm_storeu_si128(at.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value.1));
        });
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Pair {
        vector!({
            let at: *const __m128i = from.as_ptr().cast();
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(at));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.add(1)));
            (
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
            )
        })
    }

    #[inline(always)]
    fn load_bf16_partial(self, from: &[bf16]) -> Pair {
        self.load_bf16(&padded(from))
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Pair {
        vector!({
            let at = from.as_ptr();
            let low = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast()));
            let high = _mm256_cvtepi8_epi32(_mm_loadl_epi64(at.add(8).cast()));
            (_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        })
    }

    #[inline(always)]
    fn store_i8(self, value: Pair, to: &mut [i8; LANES]) {
        let (low, high) = self.max(self.splat(-127.0), self.min(self.splat(127.0), value));
        vector!({
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high));
            // Packing works within 128-bit parts; this puts the quarters in order.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let codes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.as_mut_ptr().cast(), codes);
        });
    }

    #[inline(always)]
    fn splat_f16(self, value: &f16) -> Pair {
        let all = vector!(_mm256_cvtph_ps(_mm_set1_epi16(value.to_bits() as i16)));
        (all, all)
    }

    #[inline(always)]
    fn splat_f16_pair(self, [low, high]: &[f16; 2]) -> Pair {
        (self.splat_f16(low).0, self.splat_f16(high).0)
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        vector!((_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)))
    }

    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        vector!((_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)))
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        vector!((_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)))
    }

    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        vector!((_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)))
    }

    #[inline(always)]
    fn fma(self, a: Pair, b: Pair, c: Pair) -> Pair {
        vector!((_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)))
    }

    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        vector!((_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)))
    }

    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        vector!((_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)))
    }

    #[inline(always)]
    fn max_magnitude(self, a: Pair, b: Pair) -> Pair {
        vector!({
            let without_sign = _mm256_set1_epi32(0x7fff_ffff);
            let low = _mm256_and_si256(_mm256_castps_si256(b.0), without_sign);
            let high = _mm256_and_si256(_mm256_castps_si256(b.1), without_sign);
            (
                _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a.0), low)),
                _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a.1), high)),
            )
        })
    }

    #[inline(always)]
    fn round(self, a: Pair) -> Pair {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        vector!((_mm256_round_ps::<NEAREST>(a.0), _mm256_round_ps::<NEAREST>(a.1)))
    }

    #[inline(always)]
    fn scale_by_power_of_two(self, a: Pair, n: Pair) -> Pair {
        // In two steps, as 2ⁿ itself may be beyond the range of normal numbers.
        let half = self.round(self.mul(n, self.splat(0.5)));
        let rest = self.sub(n, half);
        let a = self.mul(a, (power_of_two(half.0), power_of_two(half.1)));
        self.mul(a, (power_of_two(rest.0), power_of_two(rest.1)))
    }

    #[inline(always)]
    fn reduce_sum(self, a: Pair) -> f32 {
        let zero = self.zero();
        self.reduce_sum4([a, zero, zero, zero])[0]
    }

    #[inline(always)]
    fn reduce_sum4(self, [a, b, c, d]: [Pair; 4]) -> [f32; 4] {
        vector!({
            let halves = _mm256_add_ps(sum4([a.0, b.0, c.0, d.0]), sum4([a.1, b.1, c.1, d.1]));
            let sums = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
            let mut out = [0.0; 4];
            _mm_storeu_ps(out.as_mut_ptr(), sums);
            out
        })
    }

    #[inline(always)]
    fn nf4_codebook(self) -> [__m256i; 4] {
        const BYTES: [[u8; 16]; 4] = codebook_bytes(&NF4_CODEBOOK);
        load_codebook(&BYTES)
    }

    #[inline(always)]
    fn plain_codebook(self) -> [__m256i; 4] {
        const BYTES: [[u8; 16]; 4] = codebook_bytes(&PLAIN_CODEBOOK);
        load_codebook(&BYTES)
    }

    #[inline(always)]
    fn load_nf4(self, from: &[u8; 64]) -> Self::Nibbles {
        vector!({
            let at: *const __m256i = from.as_ptr().cast();
            (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1)))
        })
    }

    #[inline(always)]
    fn look_up_nf4(self, codebook: [__m256i; 4], codes: Self::Nibbles, index: usize) -> Pair {
        // The lower nibbles of all bytes, then the upper ones. The four vectors of each are computed together; the compiler
        // sees that the calls for the other three do the same, and does it once.
        let (low, high) = vector!({
            let (low, high) = if index < 4 {
                codes
            } else {
                (_mm256_srli_epi16::<4>(codes.0), _mm256_srli_epi16::<4>(codes.1))
            };
            let nibble = _mm256_set1_epi8(15);
            (_mm256_and_si256(low, nibble), _mm256_and_si256(high, nibble))
        });
        (look_up_bytes(codebook, low)[index % 4], look_up_bytes(codebook, high)[index % 4])
    }

    #[inline(always)]
    fn nf4_order(vector: usize, lane: usize) -> usize {
        // Interleaving works within 128-bit halves: a vector holds 4 bytes' nibbles of each.
        let byte = 4 * (vector % 4) + lane % 4 + 16 * (lane / 4 % 2) + 32 * (lane / 8);
        2 * byte + vector / 4
    }

    #[inline(always)]
    fn load_codes(self, from: &[i8]) -> __m256i {
        assert_eq!(from.len(), Self::CODES);
        if VNNI {
            vector!(_mm256_loadu_si256(from.as_ptr().cast()))
        } else {
            vector!(_mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast())))
        }
    }

    #[inline(always)]
    fn splat_codes(self, value: i8) -> __m256i {
        if VNNI { vector!(_mm256_set1_epi8(value)) } else { vector!(_mm256_set1_epi16(i16::from(value))) }
    }

    #[inline(always)]
    fn zero_sums(self) -> __m256i {
        vector!(_mm256_setzero_si256())
    }

    #[inline(always)]
    fn dot_codes(self, sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        if VNNI {
            vector!(_mm256_dpbusd_avx_epi32(sums, a, b))
        } else {
            // Products of pairs of 16-bit numbers, added in 32 bits: nothing saturates.
            vector!(_mm256_add_epi32(sums, _mm256_madd_epi16(a, b)))
        }
    }

    #[inline(always)]
    fn reduce_sums4(self, [a, b, c, d]: [__m256i; 4]) -> [i32; 4] {
        vector!({
            let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            let halves = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
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
