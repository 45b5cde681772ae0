// What brings operands of matrix units into their places for attention, and codes of the cache into f16.
//
// In the tiles below g = lane / 4 and t = lane % 4. A (16 × 16): a0 row g, columns 2t and 2t + 1; a1 row g + 8; a2, a3 the same
// eight columns on. B (16 × 8): b0 rows 2t and 2t + 1 of column g; b1 eight rows on. Sums: c[0], c[1] row g, columns 2t and 2t + 1; c[2],
// c[3] row g + 8.
#pragma once

#include "lib/mma.cuh"

__device__ __forceinline__ float low_half(u32 packed) {
    return half_value(packed & 0xffff);
}

__device__ __forceinline__ float high_half(u32 packed) {
    return half_value(packed >> 16);
}

// The 8 × 8 tile of f16 whose row g is spread over the lanes 4g .. 4g + 3, turned over.
__device__ __forceinline__ u32 turned_over(u32 packed) {
    u32 turned;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(packed));
    return turned;
}

// Two int8 codes, moved up by 128, in the low bytes of the halves of `biased` whose high bytes are 0x64: as f16, exactly.
__device__ __forceinline__ u32 without_bias(u32 biased) {
    return subtract_halves(biased, 0x64806480u);
}

__device__ __forceinline__ u32 times_halves(u32 a, u32 b) {
    u32 product;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
    return product;
}

// Four int8 codes as f16, two to a word.
__device__ __forceinline__ void codes_to_halves(u32 codes, u32& low, u32& high) {
    u32 up = codes ^ 0x80808080u;
    low = without_bias(__byte_perm(up, 0x64646464u, 0x4140));
    high = without_bias(__byte_perm(up, 0x64646464u, 0x4342));
}
