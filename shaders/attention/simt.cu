// Attention without matrix units, in f32 throughout: what the other kernels of attention are compared with on the same device.
//
// A block takes one row (x: the single rows, then sixteen for each tile of 16) and one query head (y), and goes over the positions that it sees,
// one per thread at a time: a score each, the softmax against the largest score so far, and then sums of values, an element per thread.
//
// Shapes: query rows × (heads · dim) f32, output likewise; pools: see CUDA.md; dim at most 256. Variants: INT8.
// Costs 4 · dim operations per query head and position, and reads the cache once per query head. Checked by the attention cases of conformance.

#include "attention/params.cuh"
#include "lib/half.cuh"
#include "lib/reduce.cuh"

#ifndef INT8
#define INT8 0
#endif

#define THREADS 256
#define NOWHERE 0xffffffffu

__shared__ float query[THREADS];
__shared__ float shares[THREADS];
__shared__ u32 places[THREADS];
__shared__ float results[2][32];

__device__ __forceinline__ float block_top(float x) {
    for (u32 distance = 16; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(~0u, x, distance));
    }
    if (threadIdx.x % 32 == 0) {
        results[0][threadIdx.x / 32] = x;
    }
    __syncthreads();
    for (u32 i = 0; i < THREADS / 32; i++) {
        x = fmaxf(x, results[0][i]);
    }
    return x;
}

// Element d of a head vector of the pool.
__device__ __forceinline__ float element(const Params& p, const void* pool, const u16* scales, u32 vector, u32 d) {
    const u8* at = (const u8*)pool + (u64)vector * p.vector_bytes;
    return INT8 ? (float)((const i8*)at)[d] * half_value(scales[vector]) : half_value(((const u16*)at)[d]);
}

extern "C" __global__ void __launch_bounds__(THREADS) simt(const __grid_constant__ Params p, const Step* step) {
    pdl_wait();
    pdl_trigger();
    u32 singles = step->singles, tiled = blockIdx.x - singles;
    bool is_single = blockIdx.x < singles;
    if (!is_single && tiled / 16 >= step->tiles16) {
        return;
    }
    const u32* entry = step->attention + 4 * (is_single ? blockIdx.x : singles + tiled / 16);
    u32 offset = is_single ? 0 : tiled % 16;
    if (offset >= entry[3]) {
        return;
    }
    u32 row = entry[0] + offset, position = entry[2] + offset, i = threadIdx.x;
    const u32* pages = step->attention + entry[1];
    u32 head = blockIdx.y, kv_head = head / p.group;
    if (i < p.dim) {
        query[i] = p.query[(u64)row * p.query_stride + head * p.dim + i];
    }
    float top = p.sinks != nullptr ? p.sinks[head] : LOWEST;
    float total = p.sinks != nullptr ? 1.0f : 0.0f, sum = 0.0f;
    for (u32 first = position + 1 - min(position + 1, p.window); first <= position; first += THREADS) {
        u32 key = first + i;
        u32 vector = NOWHERE;
        float score = LOWEST;
        __syncthreads();
        if (key <= position) {
            vector = (pages[key / p.page_tokens] * p.kv_heads + kv_head) * p.page_tokens + key % p.page_tokens;
            float product = 0.0f;
            for (u32 d = 0; d < p.dim; d++) {
                product += query[d] * element(p, p.keys, p.key_scales, vector, d);
            }
            score = product * p.scale;
            if (p.softcap != 0.0f) {
                score = p.softcap * tanhf(score / p.softcap);
            }
        }
        places[i] = vector;
        float now = fmaxf(top, block_top(score));
        float by = expf(top - now);
        top = now;
        float share = vector == NOWHERE ? 0.0f : expf(score - top);
        shares[i] = share;
        total = total * by + block_sum(share, results[1]);
        sum *= by;
        u32 count = min(THREADS, position + 1 - first);
        for (u32 k = 0; k < count && i < p.dim; k++) {
            sum += shares[k] * element(p, p.values, p.value_scales, places[k], i);
        }
    }
    if (i < p.dim) {
        p.output[((u64)row * p.heads + head) * p.dim + i] = sum / total;
    }
}
