// Rows quantised to int8 (lib/codes.cuh) as they are computed: y = function(x) · z.
//
// Shapes: x and z are f32 columns of wider rows. A cluster of SHARE blocks does one row; each thread takes four columns at a time. `function`
// as in lib/functions.cuh, 7 being the identity; without a second operand z = 1, so that rows can be quantised as they are.
//
// Variants: QUADS (lib/quads.cuh); KEPT, how many times four columns a thread has, so that nothing is read and computed twice, or 0 where a row
// is too wide; SHARE, for few rows on sm_90 and later, or 1.
// Costs: reads x and z once, or twice with KEPT 0; writes a byte per element. Checked by the conformance group `elementwise`.

#include "lib/codes.cuh"
#include "lib/functions.cuh"
#include "lib/quads.cuh"
#include "lib/reduce.cuh"

#ifndef KEPT
#define KEPT 4
#define SHARE 1
#endif

// As ops/elementwise.rs has them.
struct Params {
    const float* input;
    // Or null.
    const float* second;
    u8* codes;
    float* scales;
    u32 selected;
    u32 slots;
    u32 width;
    u32 stride;
    u32 second_stride;
    u32 operation;
    u32 code_bytes;
    // The scale of all rows, or 0 where each has its own.
    float scale;
};

__shared__ u32 places[32];
__shared__ u32 of_blocks[SHARE];

__device__ __forceinline__ float4 load(const Params& p, u32 row, u32 column) {
    float4 y = apply(p.operation, load_quad(p.input + (u64)row * p.stride, column, p.width));
    if (p.second != nullptr) {
        y = y * load_quad(p.second + (u64)row * p.second_stride, column, p.width);
    }
    return inside(y, column, p.width);
}

// The largest of all blocks of the cluster.
__device__ __forceinline__ u32 largest_of_row(u32 own) {
    u32 largest = block_max(own, places);
#if SHARE > 1
    // Until all blocks are there, none can be written to.
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
    if (threadIdx.x < SHARE) {
        u32 here = (u32)__cvta_generic_to_shared(of_blocks + blockIdx.x % SHARE), there;
        asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(threadIdx.x));
        asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(there), "r"(largest) : "memory");
    }
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#pragma unroll
    for (u32 i = 0; i < SHARE; i++) {
        largest = max(largest, of_blocks[i]);
    }
#endif
    return largest;
}

extern "C" __global__ void quantize(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x / SHARE;
    pdl_wait();
    pdl_trigger();
    if (row >= rows_of(step, p.selected, p.slots)) {
        return;
    }
#if SHARE > 1
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#endif
    u32 begin = 4 * (blockIdx.x % SHARE * blockDim.x + threadIdx.x);
    u32 pace = 4 * SHARE * blockDim.x;
    u32 largest = 0;
#if KEPT
    float4 kept[KEPT];
#pragma unroll
    for (u32 i = 0; i < KEPT; i++) {
        u32 column = begin + i * pace;
        kept[i] = column < p.width ? load(p, row, column) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        largest = max(largest, magnitude_bits(kept[i]));
    }
#else
    for (u32 column = begin; column < p.width; column += pace) {
        largest = max(largest, magnitude_bits(load(p, row, column)));
    }
#endif
    RowScale by = row_scale(largest_of_row(largest), p.scale);
    u32* codes = (u32*)(p.codes + (u64)row * p.code_bytes);
#if KEPT
#pragma unroll
    for (u32 i = 0; i < KEPT; i++) {
        u32 column = begin + i * pace;
        if (column < p.code_bytes) {
            codes[column / 4] = codes_of(kept[i], by);
        }
    }
#else
    for (u32 column = begin; column < p.code_bytes; column += pace) {
        codes[column / 4] = column < p.width ? codes_of(load(p, row, column), by) : 0;
    }
#endif
    if (begin == 0) {
        p.scales[row] = by.scale;
    }
}
