// Sums and maxima over a warp or over a block, in an order that is always the same.
#pragma once

#include "lib/step.cuh"

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (u32 distance = 16; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(~0u, x, distance);
    }
    return x;
}

__device__ __forceinline__ u32 warp_max(u32 x) {
#if __CUDA_ARCH__ >= 800
    return __reduce_max_sync(~0u, x);
#else
#pragma unroll
    for (u32 distance = 16; distance > 0; distance /= 2) {
        x = max(x, __shfl_xor_sync(~0u, x, distance));
    }
    return x;
#endif
}

// For all threads of a block of whole warps. `place` is shared memory of 32 words that nothing else uses until the next barrier but one.
__device__ __forceinline__ float block_sum(float x, float* place) {
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    x = warp_sum(x);
    if (lane == 0) {
        place[warp] = x;
    }
    __syncthreads();
    return warp_sum(lane < blockDim.x / 32 ? place[lane] : 0.0f);
}

__device__ __forceinline__ u32 block_max(u32 x, u32* place) {
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    x = warp_max(x);
    if (lane == 0) {
        place[warp] = x;
    }
    __syncthreads();
    return warp_max(lane < blockDim.x / 32 ? place[lane] : 0u);
}
