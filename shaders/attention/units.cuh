// Matrix units for attention: 16 × 8 tiles of f16 operands added up in f32, and what brings operands into their places.
//
// In the tiles below g = lane / 4 and t = lane % 4. A (16 × 16): a[0] row g, columns 2t and 2t + 1; a[1] row g + 8; a[2], a[3] the same
// eight columns on. B (16 × 8): b0 rows 2t and 2t + 1 of column g; b1 eight rows on. C: c[0], c[1] row g, columns 2t and 2t + 1; c[2],
// c[3] row g + 8.
#pragma once

#include "lib/step.cuh"

// c += A · B.
__device__ __forceinline__ void multiply(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a2), "r"(a3), "r"(b1));
#endif
}

// Two numbers rounded to f16, the first in the low half.
__device__ __forceinline__ u32 pack_halves(float low, float high) {
    u32 packed;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
#else
    u16 l, h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(l) : "f"(low));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(high));
    asm("mov.b32 %0, {%1, %2};" : "=r"(packed) : "h"(l), "h"(h));
#endif
    return packed;
}

__device__ __forceinline__ float half_value(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

__device__ __forceinline__ float low_half(u32 packed) {
    return half_value((u16)(packed & 0xffff));
}

__device__ __forceinline__ float high_half(u32 packed) {
    return half_value((u16)(packed >> 16));
}

// The 8 × 8 tile of f16 whose row g is spread over the lanes 4g .. 4g + 3, turned over.
__device__ __forceinline__ u32 turned_over(u32 packed) {
    u32 turned;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(packed));
    return turned;
}

// Two int8 codes, moved up by 128, in the low bytes of the halves of `biased` whose high bytes are 0x64: as f16, exactly.
__device__ __forceinline__ u32 without_bias(u32 biased) {
    u32 codes;
    asm("sub.f16x2 %0, %1, %2;" : "=r"(codes) : "r"(biased), "r"(0x64806480u));
    return codes;
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
