// What attention/single.cu loads, and what of it each lane has: keys, values and queries in their places as operands of matrix units.
//
// Keys are rows of the left operand (16 positions), values columns of it, and queries the right operand (8 heads); see attention/units.cuh.
#pragma once

#include "attention/params.cuh"
#include "attention/units.cuh"

#ifndef DIM
#define DIM 128
#define WHOLE 1
#define INT8 0
#endif

// Warps of a block and its query heads at most, as ops/attention.rs has them.
#define WARPS 4
#define HEADS 8
// Tiles of 16 positions in a block of positions.
#define TILES (INT8 && DIM <= 128 ? 2 : 1)
#define POSITIONS (16 * TILES)
// Runs of 64 bytes of a key, of which a lane takes 16; runs of a value of which a lane takes VALUE_BYTES.
#define ROW_BYTES (DIM * (INT8 ? 1 : 2))
#define KEY_RUNS (ROW_BYTES / 64)
#define VALUE_BYTES (ROW_BYTES / 8 < 16 ? 8 : 16)
#define VALUE_RUNS (ROW_BYTES / 8 / VALUE_BYTES)
#define VALUE_WORDS (VALUE_BYTES / 4)
// Elements of a value that a lane takes of a run.
#define VALUE_DIMS (VALUE_BYTES / (INT8 ? 1 : 2))
// Whether the registers hold the next block's values while this one's are used.
#define AHEAD (DIM <= 128)

struct Keys {
    uint4 of[TILES][2][KEY_RUNS];
};

struct Values {
    u32 of[TILES][4][VALUE_RUNS][VALUE_WORDS];
};

// What a lane knows of one position of a block: the head vector of the pool, whether it is one of the share's, and the scales of key and
// value (f16).
struct Place {
    u32 vector;
    u32 valid;
    u32 key_scale;
    u32 value_scale;
};

// A share of the positions that a row sees, and the heads that look at them.
struct Share {
    const u32* pages;
    u32 begin;
    u32 end;
    u32 kv_head;
    u32 first_head;
    u32 heads;
};

// Loads are never conditional: a register that is written or not would have to be waited for at once. Where there is nothing to read they
// read what is elsewhere, and that is left out afterwards.
__device__ __forceinline__ uint4 load16(const u8* at) {
    uint4 x;
    asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"(at));
    return x;
}

__device__ __forceinline__ uint2 load8(const u8* at) {
    uint2 x;
    asm volatile("ld.global.L1::no_allocate.L2::128B.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "l"(at));
    return x;
}

// What begins at this byte of a head vector, or at the last that has `bytes` more.
__device__ __forceinline__ u32 within(const Params& p, u32 byte, u32 bytes) {
    return WHOLE ? byte : min(byte, p.vector_bytes - bytes);
}

// The page of the position that is this lane's to look up, of the block of positions at `first`; any where there is no such position.
// It is not waited for.
__device__ __forceinline__ u32 load_page(const Params& p, const Share& share, u32 first, u32 lane) {
    u32 position = max(min(first + lane % POSITIONS, share.end - 1), share.begin);
    u32 page;
    asm volatile("ld.global.u32 %0, [%1];" : "=r"(page) : "l"(share.pages + position / p.page_tokens));
    return page;
}

__device__ __forceinline__ Place place_in(const Params& p, const Share& share, u32 page, u32 first, u32 lane) {
    u32 position = first + lane % POSITIONS;
    Place place;
    place.valid = position >= share.begin && position < share.end;
    position = max(min(position, share.end - 1), share.begin);
    place.vector = (page * p.kv_heads + share.kv_head) * p.page_tokens + position % p.page_tokens;
    return place;
}

__device__ __forceinline__ u32 load_scale(const u16* scales, u32 vector) {
    u16 scale;
    asm volatile("ld.global.u16 %0, [%1];" : "=h"(scale) : "l"(scales + vector));
    return scale;
}

// They are not waited for.
__device__ __forceinline__ void load_scales(const Params& p, Place& place) {
    if (INT8) {
        place.key_scale = load_scale(p.key_scales, place.vector);
        place.value_scale = load_scale(p.value_scales, place.vector);
    }
}

// Keys of positions g and g + 8 of each tile: sixteen bytes of every 64.
__device__ __forceinline__ void load_keys(const Params& p, Keys& keys, const Place& place, u32 lane) {
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u32 vector = __shfl_sync(~0u, place.vector, 16 * tile + 8 * half + lane / 4);
            const u8* at = (const u8*)p.keys + (u64)vector * p.vector_bytes;
#pragma unroll
            for (u32 run = 0; run < KEY_RUNS; run++) {
                keys.of[tile][half][run] = load16(at + within(p, 64 * run + 16 * (lane % 4), 16));
            }
        }
    }
}

// Values of positions 2t, 2t + 1, 2t + 8, 2t + 9 of each tile: what is the lane's of every eight times VALUE_BYTES.
__device__ __forceinline__ void load_values(const Params& p, Values& values, const Place& place, u32 lane) {
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            u32 vector = __shfl_sync(~0u, place.vector, 16 * tile + 2 * (lane % 4) + 8 * (k / 2) + k % 2);
            const u8* at = (const u8*)p.values + (u64)vector * p.vector_bytes;
#pragma unroll
            for (u32 run = 0; run < VALUE_RUNS; run++) {
                const u8* from = at + within(p, VALUE_BYTES * (8 * run + lane / 4), VALUE_BYTES);
#if INT8 && DIM == 64
                uint2 x = load8(from);
                values.of[tile][k][run][0] = x.x, values.of[tile][k][run][1] = x.y;
#else
                uint4 x = load16(from);
                values.of[tile][k][run][0] = x.x, values.of[tile][k][run][1] = x.y;
                values.of[tile][k][run][2] = x.z, values.of[tile][k][run][3] = x.w;
#endif
            }
        }
    }
}

// Makes the values of positions that are none of the share's zero, where a block has such: no share of theirs, 0, could undo NaN.
__device__ __forceinline__ void leave_out(Values& values, Place& place, u32 lane) {
    if (__all_sync(~0u, place.valid != 0)) {
        return;
    }
    place.value_scale = place.valid ? place.value_scale : 0;
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            bool valid = __shfl_sync(~0u, place.valid, 16 * tile + 2 * (lane % 4) + 8 * (k / 2) + k % 2) != 0;
#pragma unroll
            for (u32 run = 0; run < VALUE_RUNS; run++) {
#pragma unroll
                for (u32 word = 0; word < VALUE_WORDS; word++) {
                    u32& x = values.of[tile][k][run][word];
                    x = valid ? x : 0;
                }
            }
        }
    }
}

// The queries as the right-hand operand: column g, elements in the order in which keys are loaded. `factor` is what brings a product of
// columns 2t and 2t + 1 to a score.
__device__ __forceinline__ void load_queries(const Params& p, const Share& share, u32 row, u32 lane, u32 (&queries)[DIM / 8],
                                             float (&factor)[2]) {
    u32 column = lane / 4;
    bool there = column < share.heads;
    const float* query = p.query + (u64)row * p.query_stride + (share.first_head + (there ? column : 0)) * p.dim;
    __align__(16) float x[DIM / 4];
    u32 largest = 0;
    // Elements of a run that are the lane's.
    constexpr u32 OWN = INT8 ? 16 : 8;
#pragma unroll
    for (u32 i = 0; i < DIM / 4; i += 4) {
        u32 d = i / OWN * 4 * OWN + OWN * (lane % 4) + i % OWN;
        bool quad = there && (WHOLE || d < p.dim);
        if (p.aligned) {
            *(float4*)&x[i] = quad ? *(const float4*)(query + d) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        } else {
#pragma unroll
            for (u32 e = 0; e < 4; e++) {
                x[i + e] = quad && (WHOLE || d + e < p.dim) ? query[d + e] : 0.0f;
            }
        }
    }
#pragma unroll
    for (u32 i = 0; i < DIM / 4; i++) {
        largest = max(largest, __float_as_uint(x[i]) & 0x7fffffffu);
    }
    largest = max(largest, __shfl_xor_sync(~0u, largest, 1));
    largest = max(largest, __shfl_xor_sync(~0u, largest, 2));
    float undone;
    float by = fit_f16(largest, p.scale, undone);
#pragma unroll
    for (u32 i = 0; i < DIM / 8; i++) {
        queries[i] = halves_of(x[2 * i] * by, x[2 * i + 1] * by);
    }
    undone = factor_of(p, undone);
    factor[0] = __shfl_sync(~0u, undone, 8 * (lane % 4));
    factor[1] = __shfl_sync(~0u, undone, 8 * (lane % 4) + 4);
}
