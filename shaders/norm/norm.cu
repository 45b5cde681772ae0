// Normalisation of groups of neighbouring columns (whole rows, or heads), with what is fused into it.
//
//   x = input (+ add), kept in `sum` where asked for
//   y = (x − mean) / sqrt(variance + ε) · (offset + weight) + bias      (layer; without a mean: rms)
//
// Shapes: input and add are f32 columns of wider rows, sum and output f32 rows of their own, weight and bias have one group. `sum` may be the
// memory of input. Each thread takes four columns at a time.
//
// Variants: QUADS (lib/quads.cuh); KEPT, how many times four columns a thread has, so that nothing is read twice, or 0 where a group is too wide;
// WARPS 1: a warp does a group, and a block several; QUANTIZE: int8 rows (lib/codes.cuh), for groups as wide as the row.
// Costs: reads input, add, weight and bias once and writes the results once; with KEPT 0 x is read two or three times, from caches. About 10
// operations per element. Checked by the conformance group `norm`.

#include "lib/codes.cuh"
#include "lib/quads.cuh"
#include "lib/reduce.cuh"

#ifndef KEPT
#define KEPT 2
#define WARPS 0
#define QUANTIZE 0
#endif

// As ops/norm.rs has them.
struct Params {
    const float* input;
    const float* add;
    const float* weight;
    const float* bias;
    float* sum;
    // f32 rows, or int8 codes.
    void* output;
    // Behind the codes.
    float* scales;
    u32 selected;
    u32 slots;
    // Groups of a row, and their width.
    u32 groups;
    u32 width;
    u32 stride;
    u32 add_stride;
    float epsilon;
    float offset;
    u32 layer;
    // Int8 rows: bytes of a row, and the scale of all rows, or 0.
    u32 code_bytes;
    float scale;
    u32 padding;
};

__shared__ float places[3][32];

__device__ __forceinline__ float sum_of_all(float x, u32 place) {
    return WARPS ? warp_sum(x) : block_sum(x, places[place]);
}

// Where the group at hand begins in the operands, and the thread's place in it.
struct Group {
    const float* input;
    const float* add;
    float* sum;
    u32 begin;
    u32 pace;
};

__device__ __forceinline__ float4 first_read(const Params& p, const Group& group, u32 column) {
    float4 x = load_quad(group.input, column, p.width);
    if (p.add != nullptr) {
        x = x + load_quad(group.add, column, p.width);
    }
    if (p.sum != nullptr) {
        store_quad(group.sum, column, p.width, x);
    }
    return x;
}

__device__ __forceinline__ float4 read_again(const Params& p, const Group& group, u32 column) {
    if (p.sum != nullptr) {
        // This thread wrote it.
        return load_quad(group.sum, column, p.width);
    }
    float4 x = load_quad(group.input, column, p.width);
    return p.add != nullptr ? x + load_quad(group.add, column, p.width) : x;
}

__device__ __forceinline__ float4 minus(float4 x, float mean) {
    return make_float4(x.x - mean, x.y - mean, x.z - mean, x.w - mean);
}

// What a thread has of its group, the first time it is read.
#define ROUNDS (KEPT ? KEPT : 1)

// Calls `each(x, column, i)` for all columns of the thread, x being what is kept or what is read again.
template <typename Each>
__device__ __forceinline__ void for_all(const Params& p, const Group& group, float4 (&kept)[ROUNDS], Each each) {
#if KEPT
#pragma unroll
    for (u32 i = 0; i < KEPT; i++) {
        u32 column = group.begin + i * group.pace;
        if (column < p.width) {
            each(kept[i], column, i);
        }
    }
#else
    for (u32 column = group.begin; column < p.width; column += group.pace) {
        float4 x = read_again(p, group, column);
        each(x, column, 0);
    }
#endif
}

__device__ __forceinline__ float4 weighted(const Params& p, float4 x, u32 column, float4 weight, float4 bias) {
    if (p.weight != nullptr) {
        weight = KEPT ? weight : load_quad(p.weight, column, p.width);
        x = x * make_float4(p.offset + weight.x, p.offset + weight.y, p.offset + weight.z, p.offset + weight.w);
    }
    if (p.bias != nullptr) {
        x = x + (KEPT ? bias : load_quad(p.bias, column, p.width));
    }
    return inside(x, column, p.width);
}

// Codes of a row whose normalised elements `normal(x, column, i)` gives.
template <typename Normal>
__device__ __forceinline__ void write_codes(const Params& p, const Group& group, u32 row, float4 (&kept)[ROUNDS], Normal normal) {
    u32 largest = 0;
    for_all(p, group, kept, [&](float4& x, u32 column, u32 i) {
        x = normal(x, column, i);
        largest = max(largest, magnitude_bits(x));
    });
    largest = WARPS ? warp_max(largest) : block_max(largest, (u32*)places[2]);
    RowScale by = row_scale(largest, p.scale);
    u32* codes = (u32*)((u8*)p.output + (u64)row * p.code_bytes);
    for_all(p, group, kept, [&](float4& x, u32 column, u32 i) { codes[column / 4] = codes_of(KEPT ? x : normal(x, column, i), by); });
    // What lies behind the last column is less than 64 bytes.
    u32 behind = (p.width + 3) / 4 + group.begin / 4;
    if (behind < p.code_bytes / 4) {
        codes[behind] = 0;
    }
    if (group.begin == 0) {
        p.scales[row] = by.scale;
    }
}

extern "C" __global__ void normalize(const __grid_constant__ Params p, const Step* step) {
    u32 at = WARPS ? blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32 : blockIdx.x;
    if (at >= rows_of(step, p.selected, p.slots) * p.groups) {
        pdl_wait();
        return;
    }
    u32 row = at / p.groups, within = at % p.groups * p.width;
    Group group;
    group.input = p.input + (u64)row * p.stride + within;
    group.add = p.add + (u64)row * p.add_stride + within;
    group.sum = p.sum + (u64)at * p.width;
    group.begin = 4 * (WARPS ? threadIdx.x % 32 : threadIdx.x);
    group.pace = 4 * (WARPS ? 32 : blockDim.x);

    float4 kept[ROUNDS], weight[ROUNDS], bias[ROUNDS];
#pragma unroll
    for (u32 i = 0; i < KEPT; i++) {
        u32 column = group.begin + i * group.pace;
        bool there = column < p.width;
        kept[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        weight[i] = there && p.weight != nullptr ? load_quad(p.weight, column, p.width) : kept[i];
        bias[i] = there && p.bias != nullptr ? load_quad(p.bias, column, p.width) : kept[i];
    }
    pdl_wait();
    pdl_trigger();
    float linear = 0.0f, squares = 0.0f;
#if KEPT
#pragma unroll
    for (u32 i = 0; i < KEPT; i++) {
        u32 column = group.begin + i * group.pace;
        if (column < p.width) {
            kept[i] = first_read(p, group, column);
        }
        linear += sum_of(kept[i]);
        squares += sum_of(kept[i] * kept[i]);
    }
#else
    for (u32 column = group.begin; column < p.width; column += group.pace) {
        float4 x = first_read(p, group, column);
        linear += sum_of(x);
        squares += sum_of(x * x);
    }
#endif
    float mean = 0.0f, count = (float)p.width;
    if (p.layer != 0) {
        mean = sum_of_all(linear, 0) / count;
        // The squares of the differences, not the difference of squares, which would cancel.
        squares = 0.0f;
        for_all(p, group, kept, [&](float4& x, u32 column, u32) {
            float4 d = inside(minus(x, mean), column, p.width);
            squares += sum_of(d * d);
        });
    }
    float inverse = 1.0f / sqrtf(sum_of_all(squares, 1) / count + p.epsilon);
    auto normal = [&](float4 x, u32 column, u32 i) { return weighted(p, inverse * minus(x, mean), column, weight[i], bias[i]); };
#if QUANTIZE
    write_codes(p, group, row, kept, normal);
#else
    float* output = (float*)p.output + (u64)at * p.width;
    for_all(p, group, kept, [&](float4& x, u32 column, u32 i) { store_quad(output, column, p.width, normal(x, column, i)); });
#endif
}
