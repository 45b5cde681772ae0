// How attention/tile.cu brings keys, values and queries into shared memory, and what it knows of its tile.
#pragma once

#include "attention/params.cuh"
#include "attention/units.cuh"

#ifndef DIM
#define DIM 128
#define WHOLE 1
#define INT8 0
#define QUERIES 128
#endif

#ifndef KEYS
#define KEYS 32
#define STAGES 2
#endif

// Tiles of 16 queries that a warp has.
#define TALL (QUERIES == 128 ? 2 : 1)
#define WARPS (QUERIES / 16 / TALL)
#define THREADS (32 * WARPS)
// Granules are sixteen bytes: of a vector of f16, and of one as the cache has it.
#define GRANULES (DIM / 8)
#define STORED (INT8 ? DIM / 16 : DIM / 8)
#define STAGE_BYTES (2 * KEYS * STORED * 16)
#define QUERY_BYTES (QUERIES * DIM * 2)
#define HALVES_BYTES (INT8 ? 2 * KEYS * DIM * 2 : 0)

// Queries; with INT8 keys and values as f16; then the stages: keys, values.
extern __shared__ __align__(1024) u8 memory[];

__shared__ float factors[QUERIES];
// Rings of what is known of the positions under way: their head vectors (or NOWHERE), and the scales of keys and values.
__shared__ u32 places[STAGES + 1][KEYS];
__shared__ float key_factors[STAGES + 1][KEYS];
__shared__ u16 value_factors[STAGES + 1][KEYS];
#define NOWHERE 0xffffffffu
struct Tile {
    u32 first_row;
    u32 rows;
    const u32* pages;
    // Of its first row.
    u32 position;
    // The positions that any of its rows sees.
    u32 begin;
    u32 end;
    u32 kv_head;
    u32 first_head;
    u32 heads;
};

// Where a granule of a row lies: rows follow one another, and granules change places so that those of eight rows are in different banks.
template <u32 ROW>
__device__ __forceinline__ u32 place_of(u32 row, u32 granule) {
    constexpr u32 MASK = ROW < 8 ? ROW - 1 : 7;
    return 16 * (row * ROW + (granule ^ (ROW < 8 ? (row / (8 / ROW)) & MASK : row & MASK)));
}

// Sixteen bytes, or zeros where there are none.
__device__ __forceinline__ void copy16(u32 to, const u8* from, bool valid) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
#else
    uint4 x = valid ? *(const uint4*)from : make_uint4(0, 0, 0, 0);
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory");
#endif
}

// What a thread has looked up of a position of a block and is not there yet, or has not been written down: the page of the one, and of
// the block before it the scales.
struct Ahead {
    u32 page;
    u16 key_scale;
    u16 value_scale;
};

// The position of a block that is a thread's; another where that is none that the tile sees.
__device__ __forceinline__ u32 position_of(const Tile& tile, u32 block, u32 i) {
    return max(min(block * KEYS + i, tile.end - 1), tile.begin);
}

__device__ __forceinline__ u32 load_page(const Params& p, const Tile& tile, u32 block, u32 i) {
    return tile.pages[position_of(tile, block, i) / p.page_tokens];
}

// Writes down where a position is, and returns that.
__device__ __forceinline__ u32 put_place(const Params& p, const Tile& tile, u32 block, u32 i, u32 page) {
    u32 position = position_of(tile, block, i);
    u32 vector = (page * p.kv_heads + tile.kv_head) * p.page_tokens + position % p.page_tokens;
    places[block % (STAGES + 1)][i] = position == block * KEYS + i ? vector : NOWHERE;
    return vector;
}

__device__ __forceinline__ void load_scales(const Params& p, u32 vector, Ahead& ahead) {
    if (INT8) {
        ahead.key_scale = __ldcg(p.key_scales + vector);
        ahead.value_scale = __ldcg(p.value_scales + vector);
    }
}

// A position that none sees has scales of another, but codes of zero.
__device__ __forceinline__ void put_scales(u32 block, u32 i, const Ahead& ahead) {
    if (INT8) {
        bool there = places[block % (STAGES + 1)][i] != NOWHERE;
        key_factors[block % (STAGES + 1)][i] = there ? half_value(ahead.key_scale) : 0.0f;
        value_factors[block % (STAGES + 1)][i] = there ? ahead.value_scale : 0;
    }
}

// Looks up the positions of the first STAGES blocks, and the pages of the one after them.
__device__ __forceinline__ Ahead look_up_first(const Params& p, const Tile& tile, u32 block) {
    static_assert(STAGES * KEYS <= THREADS, "a thread for each position");
    Ahead ahead = {};
    u32 i = threadIdx.x % KEYS, own = block + threadIdx.x / KEYS;
    if (threadIdx.x < STAGES * KEYS) {
        load_scales(p, put_place(p, tile, own, i, load_page(p, tile, own, i)), ahead);
        put_scales(own, i, ahead);
    }
    ahead.page = load_page(p, tile, block + STAGES, i);
    return ahead;
}

// Goes on looking up while `block` is worked on; nothing is waited for that was not sent for a block ago. The first threads have a
// position each.
__device__ __forceinline__ void look_ahead(const Params& p, const Tile& tile, u32 block, bool is_first, Ahead& ahead) {
    u32 i = threadIdx.x;
    if (i < KEYS) {
        if (!is_first) {
            put_scales(block + STAGES - 1, i, ahead);
        }
        u32 vector = put_place(p, tile, block + STAGES, i, ahead.page);
        load_scales(p, vector, ahead);
        ahead.page = load_page(p, tile, block + STAGES + 1, i);
    }
}

// Sends for the keys and values of a block.
__device__ __forceinline__ void send_for(const Params& p, u32 block) {
    u32 stage = shared_address(memory) + QUERY_BYTES + HALVES_BYTES + block % STAGES * STAGE_BYTES;
#pragma unroll
    for (u32 i = threadIdx.x; i < KEYS * STORED; i += THREADS) {
        u32 key = i / STORED, granule = i % STORED;
        u32 vector = places[block % (STAGES + 1)][key];
        bool valid = vector != NOWHERE && (WHOLE || 16 * granule < p.vector_bytes);
        u64 offset = valid ? (u64)vector * p.vector_bytes + 16 * granule : 0;
        u32 to = stage + place_of<STORED>(key, granule);
        copy16(to, (const u8*)p.keys + offset, valid);
        copy16(to + STAGE_BYTES / 2, (const u8*)p.values + offset, valid);
    }
}

// Makes the codes of a block f16: keys as they are, values times their scales.
__device__ __forceinline__ void make_halves(u32 block) {
    const u8* stage = memory + QUERY_BYTES + HALVES_BYTES + block % STAGES * STAGE_BYTES;
#pragma unroll
    for (u32 i = threadIdx.x; i < 2 * KEYS * STORED; i += THREADS) {
        u32 is_value = i / (KEYS * STORED), key = i / STORED % KEYS, granule = i % STORED;
        uint4 codes = *(const uint4*)(stage + is_value * (STAGE_BYTES / 2) + place_of<STORED>(key, granule));
        uint4 low, high;
        codes_to_halves(codes.x, low.x, low.y);
        codes_to_halves(codes.y, low.z, low.w);
        codes_to_halves(codes.z, high.x, high.y);
        codes_to_halves(codes.w, high.z, high.w);
        if (is_value) {
            u32 scale = value_factors[block % (STAGES + 1)][key] * 0x10001u;
            low.x = times_halves(low.x, scale), low.y = times_halves(low.y, scale);
            low.z = times_halves(low.z, scale), low.w = times_halves(low.w, scale);
            high.x = times_halves(high.x, scale), high.y = times_halves(high.y, scale);
            high.z = times_halves(high.z, scale), high.w = times_halves(high.w, scale);
        }
        u8* halves = memory + QUERY_BYTES + is_value * (HALVES_BYTES / 2);
        *(uint4*)(halves + place_of<GRANULES>(key, 2 * granule)) = low;
        *(uint4*)(halves + place_of<GRANULES>(key, 2 * granule + 1)) = high;
    }
}

// Row and head of a query, counted in the tile; where there is none, those of another.
__device__ __forceinline__ u32 row_of(const Params& p, const Tile& tile, u32 query) {
    return min(query >> p.head_shift, tile.rows - 1);
}

__device__ __forceinline__ u32 head_of(const Params& p, const Tile& tile, u32 query) {
    return min(query & ((1u << p.head_shift) - 1), tile.heads - 1);
}

// Brings the queries into shared memory, each made to fit f16; `factors` take that back.
__device__ __forceinline__ void load_queries(const Params& p, const Tile& tile) {
#pragma unroll 4
    for (u32 i = threadIdx.x; i < QUERIES * GRANULES; i += THREADS) {
        u32 query = i / GRANULES, granule = i % GRANULES, d = 8 * granule;
        const float* from = p.query + (u64)(tile.first_row + row_of(p, tile, query)) * p.query_stride
            + (tile.first_head + head_of(p, tile, query)) * p.dim + d;
        __align__(16) float x[8] = {};
        if (p.aligned) {
            if (WHOLE || d < p.dim) {
                *(float4*)x = *(const float4*)from;
            }
            if (WHOLE || d + 4 < p.dim) {
                *(float4*)(x + 4) = *(const float4*)(from + 4);
            }
        } else {
#pragma unroll
            for (u32 e = 0; e < 8; e++) {
                if (d + e < p.dim) {
                    x[e] = from[e];
                }
            }
        }
        u32 largest = 0;
#pragma unroll
        for (u32 e = 0; e < 8; e++) {
            largest = max(largest, __float_as_uint(x[e]) & 0x7fffffffu);
        }
#pragma unroll
        for (u32 distance = GRANULES / 2; distance > 0; distance /= 2) {
            largest = max(largest, __shfl_xor_sync(~0u, largest, distance));
        }
        float undone;
        float by = fit_f16(largest, p.scale, undone);
        *(uint4*)(memory + place_of<GRANULES>(query, granule)) = make_uint4(
            halves_of(x[0] * by, x[1] * by), halves_of(x[2] * by, x[3] * by), halves_of(x[4] * by, x[5] * by),
            halves_of(x[6] * by, x[7] * by));
        if (granule == 0) {
            factors[query] = factor_of(p, undone);
        }
    }
}
