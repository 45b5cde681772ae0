// 16-bit floats, without the toolkit's headers. Rounding is to the nearest, ties to even.
#pragma once

#include "lib/step.cuh"

__device__ __forceinline__ float half_value(u16 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

// Infinite beyond its range.
__device__ __forceinline__ u16 half_bits(float x) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// Two numbers that lie in a word, the first in its low half.
__device__ __forceinline__ float2 half_pair(u32 word) {
    return make_float2(half_value((u16)word), half_value((u16)(word >> 16)));
}

__device__ __forceinline__ u32 half_pack(float low, float high) {
#if __CUDA_ARCH__ >= 800
    u32 word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
#else
    return (u32)half_bits(low) | (u32)half_bits(high) << 16;
#endif
}

__device__ __forceinline__ float bf16_value(u16 bits) {
    return __uint_as_float((u32)bits << 16);
}

__device__ __forceinline__ float2 bf16_pair(u32 word) {
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}
