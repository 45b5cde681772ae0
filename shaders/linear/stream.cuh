// What linear/stream.cu is told, the shapes that it comes in, and which features a tile has.
#pragma once

#include "linear/decode.cuh"
#include "linear/experts.cuh"
#include "linear/product.cuh"

#ifndef NORM
#define NORM 0
#endif
#ifndef GATED
#define GATED 0
#endif
#ifndef STORED
#define STORED 0
#endif
// Blocks that registers are left for.
#ifndef BLOCKS
#define BLOCKS 3
#endif
#ifndef DEPTH
#define DEPTH 4
#endif
#ifndef WARPS
#define WARPS 8
#endif
#ifndef TEAMS
#define TEAMS 1
#endif
#define THREADS (32 * WARPS * TEAMS)
// Bytes of the sums of a block's warps, for two tiles of each team.
#define SUMS (TEAMS * 2 * WARPS * 512)
// Bytes of a row of activations for a chunk.
#define CHUNK_X (CHUNK_K / PIECE_K * 16)
#define ITEM (16 * (CHUNK + SCALES))

// Where queries, keys and values go, which are all of the features, queries first. `Stored` of backends/src/cuda/ops/product.rs.
struct Stored {
    float* rotated;
    u8* keys;
    u8* values;
    u32 heads;
    u32 kv_heads;
    // Whether keys come right after queries and values last, else it is the other way round.
    u32 keys_first;
    u32 dim;
    u32 vector_bytes;
    u32 page_tokens;
    u32 interleaved;
    u32 angle_stride;
    u32 angle_first;
    u32 padding;
};

struct Params {
    Product product;
    const float* norm_weight;
    float norm_epsilon;
    float norm_offset;
    u32 function;
    u32 padding;
    Stored stored;
#if EXPERTS
    Experts experts;
#endif
};

// Chunks of K that a block takes, from the first on.
struct Share {
    u32 first;
    u32 count;
};

#if STORED
// The element of a head that is the n-th of the head's tile: of eight pairs that are turned together the first of each, then the second.
__device__ __forceinline__ u32 element_of(const Stored& to, u32 tile, u32 n) {
    u32 pair = tile * 8 + n % 8;
    return to.interleaved ? 2 * pair + n / 8 : pair + n / 8 * (to.dim / 2);
}
#endif

// The matrix's row that is a tile's n-th; beyond the last one, the last.
__device__ __forceinline__ u32 feature_of(const Params& params, u32 tile, u32 n) {
    const Product& p = params.product;
#if GATED
    u32 half = p.features / 2;
    return min(tile * 8 + n % 8, half - 1) + n / 8 * half;
#elif STORED
    u32 tiles = params.stored.dim / 16;
    return tile / tiles * params.stored.dim + element_of(params.stored, tile % tiles, n);
#else
    return min(tile * 16 + n, p.features - 1);
#endif
}

__device__ __forceinline__ u32 tiles_of(const Product& p) {
    return GATED ? (p.features / 2 + 7) / 8 : (p.features + 15) / 16;
}
