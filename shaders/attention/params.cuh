// What the attention kernels are told of an operator, and how they find the rows and the positions that a block works on.
//
// `Params` of backends/src/cuda/ops/attention.rs has the same fields. The table is that of backends/src/gpu/tables/spans.rs.
#pragma once

#include "lib/step.cuh"

struct Params {
    // The first of the query's columns in the first row.
    const float* query;
    const void* keys;
    const void* values;
    // f16; nothing for pages of f16.
    const u16* key_scales;
    const u16* value_scales;
    // One for each query head, or null.
    const float* sinks;
    float* output;
    // What the shares of a row or tile leave, and for attention/single how many of a row's have.
    float* partials;
    u32* counters;
    // Floats from one row of the query to the next.
    u32 query_stride;
    u32 heads;
    u32 kv_heads;
    // Query heads that read the same key head, and runs that they are cut into, one for each block.
    u32 group;
    u32 head_runs;
    // Elements of a head, and bytes from one head vector of the cache to the next.
    u32 dim;
    u32 vector_bytes;
    u32 page_tokens;
    // Positions that a row sees at most.
    u32 window;
    float scale;
    float softcap;
    // attention/tile: 2^head_shift query heads in a run; which list of tiles: 0, 1, 2 for those of 16, 32, 64 rows.
    u32 head_shift;
    u32 tiles;
    // Blocks that keep the device busy, and blocks of positions that are worth a share.
    u32 busy;
    u32 share_blocks;
    // Whether the query's rows and heads begin at multiples of four floats.
    u32 aligned;
};

// Less than any score, and such that differences of it are finite.
#define LOWEST (-1e30f)
#define LOG2E 1.44269504f
// By how much a score, in units of log 2, may exceed what shares are relative to; 2 to that must be within f16.
#define GROWTH 10.0f

// 2^x, to two units in the last place.
__device__ __forceinline__ float power2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// tanh to a few units in the last place: a polynomial near zero, where 1 − 2 / (e^2x + 1) cancels. NaN is passed on.
__device__ __forceinline__ float tanh_of(float x) {
    float a = fabsf(x);
    float t = x * x;
    float p = -0.333333332f
        + t * (0.133333129f + t * (-0.0539615518f + t * (0.021788322f + t * (-0.00841007082f + t * 0.00237076566f))));
    // Beyond 10 it is 1 in f32.
    float far = 1.0f - 2.0f / (power2(2.0f * LOG2E * (a > 10.0f ? 10.0f : a)) + 1.0f);
    return a < 0.6f ? x + x * t * p : copysignf(far, x);
}

#ifndef CAPPED
#define CAPPED 0
#endif

// A score in units of log 2: `factor` brings the product to the score, or with CAPPED to what the cap is applied to.
__device__ __forceinline__ float score_of(float product, float factor, float softcap) {
    return CAPPED ? softcap * LOG2E * tanh_of(product * factor) : product * factor;
}

// What brings a product of a query that `undone` is to be multiplied with to its score, for `score_of`. Never zero; the scale's sign is the
// query's.
__device__ __forceinline__ float factor_of(const Params& p, float undone) {
    float scale = fabsf(p.scale);
    return fmaxf(CAPPED ? undone * (scale / p.softcap) : undone * (scale * LOG2E), 1e-37f);
}

// What multiplies a query whose largest magnitude has these bits, so that rounding to f16 neither overflows nor loses more than f32
// would: a power of two that brings it between 2^14 and 2^15, or as near as one in f32 can, with the sign of `scale`. `undone` takes it back,
// but for the sign.
__device__ __forceinline__ float fit_f16(u32 magnitude, float scale, float& undone) {
    u32 exponent = min(268 - (magnitude >> 23), 253);
    undone = __uint_as_float((254 - exponent) << 23);
    return copysignf(__uint_as_float(exponent << 23), scale);
}

// Whether this block is the last of so many to come here; what the others have written before can be read then.
__device__ __forceinline__ bool is_last_of(u32* counter, u32 shares) {
    __shared__ u32 is_last;
    __syncthreads();
    if (threadIdx.x == 0) {
        u32 before;
        asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
        is_last = before == shares - 1;
        if (is_last) {
            *counter = 0;
        }
    }
    __syncthreads();
    return is_last;
}
