// How linear/stream.cu brings activations to shared memory: rounded to 16 bits, or as codes, and normalised on the way.
#pragma once

#include "lib/quads.cuh"
#include "lib/reduce.cuh"
#include "linear/stream.cuh"

#if FORMAT != 6
// Eight neighbouring activations of a row, zero behind its last one.
__device__ __forceinline__ void load_eight(const float* row, u32 column, u32 cols, float (&x)[8]) {
#pragma unroll
    for (u32 four = 0; four < 8; four += 4) {
        float4 part = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (column + four < cols) {
            part = load_quad(row, column + four, cols);
        }
        x[four] = part.x;
        x[four + 1] = part.y;
        x[four + 2] = part.z;
        x[four + 3] = part.w;
    }
}
#endif

#if NORM
__shared__ float norm_place[32];

// What a row is multiplied with to normalise it, by what its squares sum up to in this thread.
__device__ __forceinline__ float factor_of(const Params& p, float squares) {
    squares = block_sum(squares, norm_place);
    return 1.0f / sqrtf(squares / static_cast<float>(p.product.cols) + p.norm_epsilon);
}

// Normalises eight columns.
__device__ __forceinline__ void normalize(const Params& p, float factor, const float (&weights)[8], float (&x)[8]) {
#pragma unroll
    for (u32 k = 0; k < 8; k++) {
        x[k] *= factor * (p.norm_offset + weights[k]);
    }
}

// Likewise, of a row that is read for it.
__device__ __forceinline__ float norm_factor(const Params& p) {
    const float* row = reinterpret_cast<const float*>(p.product.x);
    float squares = 0.0f;
#pragma unroll 4
    for (u32 column = threadIdx.x * 4; column < p.product.cols; column += THREADS * 4) {
        float4 x = load_quad(row, column, p.product.cols);
        squares += sum_of(x * x);
    }
    return factor_of(p, squares);
}
#endif

#if NORM
// Pieces of the row whose weights a thread has before the row is there.
#define HELD 2

__device__ __forceinline__ void hold_weights(const Params& p, float (&weights)[HELD][8], u32 pieces) {
#pragma unroll
    for (u32 n = 0; n < HELD; n++) {
        u32 piece = min(threadIdx.x + n * THREADS, pieces - 1);
        load_eight(p.norm_weight, piece * PIECE_K, p.product.cols, weights[n]);
    }
}

// Brings the normalised row to shared memory, read once; a barrier has to follow.
__device__ __forceinline__ void bring_held(const Params& p, const float (&weights)[HELD][8], u8* to, u32 pieces) {
    const float* row = reinterpret_cast<const float*>(p.product.x);
    float x[HELD][8] = {};
    float squares = 0.0f;
#pragma unroll
    for (u32 n = 0; n < HELD; n++) {
        u32 piece = threadIdx.x + n * THREADS;
        if (piece < pieces) {
            load_eight(row, piece * PIECE_K, p.product.cols, x[n]);
        }
    }
#pragma unroll
    for (u32 n = 0; n < HELD; n++) {
#pragma unroll
        for (u32 k = 0; k < 8; k++) {
            squares += x[n][k] * x[n][k];
        }
    }
    float factor = factor_of(p, squares);
#pragma unroll
    for (u32 n = 0; n < HELD; n++) {
        u32 piece = threadIdx.x + n * THREADS;
        if (piece < pieces) {
            normalize(p, factor, weights[n], x[n]);
            *reinterpret_cast<uint4*>(to + piece_place(piece)) = piece_of(x[n]);
        }
    }
}
#endif

// Pieces of activations that a thread has under way: a wait for memory for each one by itself would be longer than all that a tile takes.
#if NORM
#define AT_ONCE 2
#elif FORMAT == 6
#define AT_ONCE 8
#else
#define AT_ONCE 4
#endif

#if FORMAT == 6
// Sixteen codes of a row, zero behind its last column. Rows begin at multiples of 64 bytes, or 8 where a product reads some of their columns.
__device__ __forceinline__ uint4 load_piece(const Product& p, u32 row, u32 column) {
    if (column >= p.cols) {
        return make_uint4(0, 0, 0, 0);
    }
    const u8* from = p.x + static_cast<u64>(row) * p.x_stride + column;
    uint2 low = *reinterpret_cast<const uint2*>(from);
    uint2 high = *reinterpret_cast<const uint2*>(from + 8);
    return make_uint4(low.x, low.y, high.x, high.y);
}
#endif

// Brings the block's share of the activations to shared memory; a barrier has to follow.
__device__ __forceinline__ void bring_rows(const Params& p, u8* to, u32 pitch, Share share, u32 rows) {
    const Product& q = p.product;
    u32 pieces = share.count * (CHUNK_K / PIECE_K);
    u32 first = share.first * (CHUNK_K / PIECE_K);
    u32 count = pieces * rows;
#if NORM
    float factor = norm_factor(p);
#endif
    for (u32 begin = threadIdx.x; begin < count; begin += AT_ONCE * THREADS) {
#if FORMAT == 6
        uint4 x[AT_ONCE];
#else
        float x[AT_ONCE][8];
#endif
#if NORM
        float weights[AT_ONCE][8];
#endif
#pragma unroll
        for (u32 n = 0; n < AT_ONCE; n++) {
            u32 i = min(begin + n * THREADS, count - 1);
            u32 row = rows == 1 ? 0 : i / pieces, column = (first + i - row * pieces) * PIECE_K;
#if FORMAT == 6
            x[n] = load_piece(q, row, column);
#else
            load_eight(reinterpret_cast<const float*>(q.x) + static_cast<u64>(row) * q.x_stride, column, q.cols, x[n]);
#endif
#if NORM
            load_eight(p.norm_weight, column, q.cols, weights[n]);
#endif
        }
#pragma unroll
        for (u32 n = 0; n < AT_ONCE; n++) {
            u32 i = begin + n * THREADS;
            if (i >= count) {
                continue;
            }
            u32 row = rows == 1 ? 0 : i / pieces;
            uint4* place = reinterpret_cast<uint4*>(to + row * pitch + piece_place(i - row * pieces));
#if FORMAT == 6
            *place = x[n];
#else
#if NORM
            normalize(p, factor, weights[n], x[n]);
#endif
            *place = piece_of(x[n]);
#endif
        }
    }
}
