// Rows of activations as int8 codes with a scale each, as `format::quantize_activations` defines them.
//
// A row's codes lie in its width rounded up to 64 bytes, zero behind the last column. The scales of all rows lie behind the codes of
// the largest step.
#pragma once

#include "lib/step.cuh"

// The bits of |x|: they are ordered like the magnitudes, with infinity and then NaN above all numbers.
__device__ __forceinline__ u32 magnitude_bits(float x) {
    return __float_as_uint(x) & 0x7fffffffu;
}

__device__ __forceinline__ u32 magnitude_bits(float4 x) {
    return max(max(magnitude_bits(x.x), magnitude_bits(x.y)), max(magnitude_bits(x.z), magnitude_bits(x.w)));
}

// How a row is quantised: what its numbers are multiplied with (0 where all codes are 0), and its scale.
struct RowScale {
    float factor;
    float scale;
};

// From the largest `magnitude_bits` of a row; `common` is the scale of all rows, or 0 where each has its own.
__device__ __forceinline__ RowScale row_scale(u32 largest, float common) {
    RowScale by = {0.0f, 0.0f};
    if (largest >= 0x7f800000u) {
        // A row that holds infinity or NaN: codes 0 and a scale of NaN.
        by.scale = __uint_as_float(0x7fc00000u);
        return by;
    }
    if (common > 0.0f) {
        by.factor = 1.0f / common;
        by.scale = common;
        return by;
    }
    float magnitude = __uint_as_float(largest);
    float factor = 127.0f / magnitude;
    if (magnitude_bits(factor) < 0x7f800000u) {
        by.factor = factor;
        by.scale = magnitude / 127.0f;
    }
    return by;
}

__device__ __forceinline__ u32 code_of(float x, float factor) {
    float code = fminf(fmaxf(rintf(x * factor), -127.0f), 127.0f);
    return (u32)(i32)code & 0xffu;
}

// Four codes in a word.
__device__ __forceinline__ u32 codes_of(float4 x, RowScale by) {
    if (by.factor == 0.0f) {
        return 0;
    }
    return code_of(x.x, by.factor) | code_of(x.y, by.factor) << 8 | code_of(x.z, by.factor) << 16 | code_of(x.w, by.factor) << 24;
}
