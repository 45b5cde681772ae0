// Numbers as keys: u32 in the order of the numbers, −0 and 0 being the same and NaN the largest.
#pragma once

#include "lib/step.cuh"

constexpr u32 KEY_OF_MINUS_INFINITY = 0x007fffffu;
constexpr u32 KEY_OF_INFINITY = 0xff800000u;

__device__ __forceinline__ u32 key_of(float x) {
    u32 bits = __float_as_uint(x);
    u32 magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return 0xffffffffu;
    }
    if (magnitude == 0) {
        return 0x80000000u;
    }
    return bits >= 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The number of a key; of NaN's, NaN.
__device__ __forceinline__ float logit_of(u32 key) {
    return __uint_as_float(key >= 0x80000000u ? key & 0x7fffffffu : ~key);
}

__device__ __forceinline__ bool is_finite_key(u32 key) {
    return key > KEY_OF_MINUS_INFINITY && key < KEY_OF_INFINITY;
}
