// Writes the rows' keys and values into the pages of their positions; with a rotation the keys are rotated on the way, and where there is
// a query so is it, into a value of its own.
//
// A warp takes one head of one row: the key heads first, then the value heads, then the query heads; x of the grid counts rows, y warps' runs of
// heads. A lane has four elements of every 128.
//
// Operands: columns of rows `*_stride` floats apart. Pools: see CUDA.md; what fills up a vector is written as zero. Angles: see rope/turn.cuh.
// `quads`: all that is read and written begins at multiples of four floats.
//
// Variants: INT8 (a scale per vector; rounding exactly as format/cache.rs defines). Heads have at most 256 elements. Costs a read of the
// operands and a write of the pages. Checked by the attention and pages cases of conformance.

#include "lib/codes.cuh"
#include "lib/half.cuh"
#include "lib/reduce.cuh"
#include "kv/place.cuh"
#include "rope/turn.cuh"

#ifndef INT8
#define INT8 0
#endif

// As ops/store_kv.rs has them.
struct Params {
    const float* key;
    const float* value;
    // Or null, as is `rotated` then.
    const float* query;
    float* rotated;
    u8* keys;
    u8* values;
    // f16; nothing for pages of f16.
    u16* key_scales;
    u16* value_scales;
    u32 key_stride;
    u32 value_stride;
    u32 query_stride;
    u32 kv_heads;
    u32 heads;
    u32 dim;
    u32 vector_bytes;
    u32 page_tokens;
    // 0: nothing is rotated.
    u32 rotary;
    u32 interleaved;
    u32 angle_stride;
    u32 angle_first;
    u32 quads;
    u32 padding;
};

#define LONGEST 256

// The code of x: x / scale to the nearest integer, ties to even, within ±127.
__device__ __forceinline__ u32 cache_code(float x, float scale) {
    return (u32)(i32)fminf(fmaxf(rintf(x / scale), -127.0f), 127.0f) & 0xffu;
}

#if INT8
// Writes a vector as codes, and its scale.
__device__ __forceinline__ void write_vector(const Params& p, u8* out, u16* scale_out, const float4 (&x)[LONGEST / 128], u32 lane) {
    u32 largest = 0;
#pragma unroll
    for (u32 i = 0; i < LONGEST / 128; i++) {
        largest = max(largest, magnitude_bits(x[i]));
    }
    largest = warp_max(largest);
    u16 bits = largest < 0x7f800000u ? half_bits(__uint_as_float(largest) / 127.0f) : 0x7e00;
    bool broken = bits >= 0x7c00;
    float scale = half_value(bits);
#pragma unroll
    for (u32 i = 0; i < LONGEST / 128; i++) {
        u32 d = 128 * i + 4 * lane;
        if (d < p.vector_bytes) {
            u32 codes = 0;
            if (!broken && bits != 0) {
                codes = cache_code(x[i].x, scale) | cache_code(x[i].y, scale) << 8 | cache_code(x[i].z, scale) << 16
                    | cache_code(x[i].w, scale) << 24;
            }
            *(u32*)(out + d) = codes;
        }
    }
    if (lane == 0) {
        *scale_out = broken ? 0x7e00 : bits;
    }
}
#else
__device__ __forceinline__ void write_vector(const Params& p, u8* out, u16*, const float4 (&x)[LONGEST / 128], u32 lane) {
#pragma unroll
    for (u32 i = 0; i < LONGEST / 128; i++) {
        u32 d = 128 * i + 4 * lane;
        if (2 * d < p.vector_bytes) {
            *(uint2*)(out + 2 * d) =
                make_uint2(half_pack(x[i].x, x[i].y), half_pack(x[i].z, x[i].w));
        }
    }
}
#endif

extern "C" __global__ void store(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x, lane = threadIdx.x % 32;
    u32 head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    pdl_wait();
    pdl_trigger();
    if (row >= step->rows || head >= 2 * p.kv_heads + p.heads) {
        return;
    }
    bool is_key = head < p.kv_heads, is_query = head >= 2 * p.kv_heads;
    Rotation by = {step->angles + (u64)row * p.angle_stride + p.angle_first, p.rotary, p.interleaved};
    const float* from;
    if (is_query) {
        head -= 2 * p.kv_heads;
        from = p.query + (u64)row * p.query_stride + head * p.dim;
    } else if (is_key) {
        from = p.key + (u64)row * p.key_stride + head * p.dim;
    } else {
        head -= p.kv_heads;
        from = p.value + (u64)row * p.value_stride + head * p.dim;
    }
    if (p.rotary == 0 || !(is_key || is_query)) {
        by.angles = nullptr;
    }
    float4 x[LONGEST / 128];
#pragma unroll
    for (u32 i = 0; i < LONGEST / 128; i++) {
        u32 d = 128 * i + 4 * lane;
        x[i] = d < p.dim ? turned_four(by, from, d, p.dim, p.quads != 0) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
    if (is_query) {
        float* out = p.rotated + ((u64)row * p.heads + head) * p.dim;
#pragma unroll
        for (u32 i = 0; i < LONGEST / 128; i++) {
            u32 d = 128 * i + 4 * lane;
            if (p.quads && d < p.dim) {
                *(float4*)(out + d) = x[i];
            } else {
                if (d < p.dim) out[d] = x[i].x;
                if (d + 1 < p.dim) out[d + 1] = x[i].y;
                if (d + 2 < p.dim) out[d + 2] = x[i].z;
                if (d + 3 < p.dim) out[d + 3] = x[i].w;
            }
        }
        return;
    }
    u32 slot = step->row_slot[row];
    u64 place = vector_of(slot, head, p.kv_heads, p.page_tokens);
    u8* out = (is_key ? p.keys : p.values) + place * p.vector_bytes;
    u16* scales = is_key ? p.key_scales : p.value_scales;
    write_vector(p, out, scales + place, x, lane);
}
