// What the two kernels on warpgroup products share: parameters, kinds of operands, and stages of tiles in shared memory.
#pragma once

#include "lib/hopper.cuh"
#include "linear/product.cuh"

// KIND of operands: 0 int8, 1 f16.
#if KIND == 0
typedef i32 Sum;
#else
typedef float Sum;
#endif

struct Params {
    TensorMap x_map;
    TensorMap w_map;
    Product product;
};

// Bytes of K in a stage: one row of the swizzle.
#define STAGE_K 128

// The products of a stage: 64 rows at `x`, all features at `w`. `keep` is 0 for the first stage of a tile.
template <int COUNT> __device__ __forceinline__ void stage_products(Sum (&sums)[COUNT], u32 x, u32 w, bool keep) {
    u64 a = tile_descriptor(x);
    u64 b = tile_descriptor(w);
    products_begin();
#pragma unroll
    for (u32 k = 0; k < STAGE_K / 32; k++) {
#if KIND == 0
        product_i8(sums, a + 2 * k, b + 2 * k, keep || k > 0);
#else
        product_f16(sums, a + 2 * k, b + 2 * k, keep || k > 0);
#endif
    }
    products_commit();
}

// A place in the ring of stages: which one, and whether its barrier's phase is odd.
template <u32 LENGTH> struct Place {
    u32 stage = 0;
    u32 parity = 0;

    __device__ __forceinline__ void next() {
        if (++stage == LENGTH) {
            stage = 0;
            parity ^= 1;
        }
    }
};

// What a sum is worth before bias, factor and residual.
__device__ __forceinline__ float worth(Sum sum, float x_scale, float w_scale) {
#if KIND == 0
    return static_cast<float>(sum) * x_scale * w_scale;
#else
    return sum;
#endif
}
