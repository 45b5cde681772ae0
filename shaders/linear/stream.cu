// Products with one to eight rows, at the speed of memory: y = factor · (x · wᵀ + bias) + residual. On matrix units, of which few rows
// leave most idle; but decoding then costs least.
//
// Layout: weights as shaders/CUDA.md says (f16, bf16, int8, nf4, int4, w8a8); x f32 rows, of w8a8 rows of codes with a scale each.
//
// How: a block takes 16 features at a time. Its warps take turns along K, in items of 128 bytes of each of the 16 rows, so that
// together they read a straight run of each; each keeps DEPTH items under way in a ring in shared memory of its own. The first are asked
// for before the launch waits for the one before it. Activations are rounded to 16 bits once and lie in shared memory. Warps' sums are
// added up in their order at the end of a tile. Where rows or K are too large for shared memory, `split` blocks share a tile's K; the last one
// to come adds up what all left, in order.
//
// Variants: FORMAT, GROUP (decode.cuh); EXPERTS: a product of one row for each slot (experts.cuh); NORM: x is normalised on its way in, x · (offset + weight) / sqrt(mean(x²) + ε);
// GATED: features come in two halves, y = function(first half) · second half; both for one row. QUADS: x in fours. WARPS, DEPTH, CHUNK, BLOCKS,
// SEGMENTS: shapes, measured.
// Launch: 32 · WARPS threads; grid [split · blocks]; shared memory: the rings, WARPS · DEPTH · ITEM bytes, and the activations, rows · (share
// of K · 2 (w8a8: 1) + 64).
// Cost: reads the weights once, and x once for each block. nf4 is looked up in shared memory, 16 loads to every 512 bytes of codes and warp.
// Measured on an H100 (2026-11-27, benches/cuda/matvec.py; a read of its memory reaches 3.1 TB/s), one row, 28,672 × 4,096: f16 2.98, int8 2.88,
// w8a8 2.94, int4 2.60, nf4 2.12 TB/s; 4,096 × 4,096, where launches are 6 to 13 µs: 2.70, 2.19, 2.40, 1.43, 1.16. Eight rows of f16: 2.68.
// Checked by the conformance groups `linear`, `rows`, `experts` and `random`, and by matvec.py against f64.
#include "lib/functions.cuh"
#include "lib/quads.cuh"
#include "lib/reduce.cuh"
#include "linear/decode.cuh"
#include "linear/experts.cuh"
#include "linear/product.cuh"

#ifndef NORM
#define NORM 0
#endif
#ifndef GATED
#define GATED 0
#endif
// Blocks that registers are left for, and segments that are unrolled.
#ifndef BLOCKS
#define BLOCKS 3
#endif
#ifndef SEGMENTS
#define SEGMENTS 8
#endif
#ifndef DEPTH
#define DEPTH 4
#endif
#ifndef WARPS
#define WARPS 8
#endif
#define THREADS (32 * WARPS)
#define ITEM (16 * (CHUNK + SCALES))

struct Params {
    Product product;
    const float* norm_weight;
    float norm_epsilon;
    float norm_offset;
    u32 function;
    u32 padding;
#if EXPERTS
    Experts experts;
#endif
};

// Chunks of K that a block takes, from the first on.
struct Share {
    u32 first;
    u32 count;
};

// The matrix's row that is a tile's n-th; beyond the last one, the last.
__device__ __forceinline__ u32 feature_of(const Product& p, u32 tile, u32 n) {
#if GATED
    u32 half = p.features / 2;
    return min(tile * 8 + n % 8, half - 1) + n / 8 * half;
#else
    return min(tile * 16 + n, p.features - 1);
#endif
}

__device__ __forceinline__ u32 tiles_of(const Product& p) {
    return GATED ? (p.features / 2 + 7) / 8 : (p.features + 15) / 16;
}

// Asks for an item: 16 rows of a chunk, and their scales.
__device__ __forceinline__ void ask(const Product& p, u8* item, u32 tile, u32 chunk) {
    u32 lane = threadIdx.x % 32;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        const u8* row = p.codes + static_cast<u64>(feature_of(p, tile, lane / 4 + 8 * half)) * p.row_bytes + chunk * CHUNK + lane % 4 * 16;
        u32 place = half * 512 + code_place(lane / 4, lane % 4 * 16);
#pragma unroll
        for (u32 n = 0; n < CHUNK / 64; n++) {
            copy_async<16>(item + n * 1024 + place, row + n * 64);
        }
    }
#if SCALES > 0
    constexpr u32 SIZE = SCALES < 16 ? SCALES : 16;
    constexpr u32 COPIES = SCALES / SIZE;
    if (lane < 16 * COPIES) {
        u32 n = lane / COPIES;
        u32 at = scales_place(chunk) + lane % COPIES * SIZE;
        const u8* row = p.scales + static_cast<u64>(feature_of(p, tile, n)) * p.row_scales;
        copy_scales<SIZE>(item + 16 * CHUNK + lane * SIZE, row, at, p.row_scales);
    }
#endif
}

// The products of an item. `x` is where the chunk's activations lie.
__device__ __forceinline__ void item_products(Sum (&sums)[4], const u8* item, const u8* x, u32 pitch, u32 rows, u32 chunk) {
    u32 lane = threadIdx.x % 32;
    u32 g = lane / 4, t = lane % 4;
#pragma unroll SEGMENTS
    for (u32 segment = 0; segment < CHUNK / SEGMENT; segment++) {
        const u8* eight = item + segment * SEGMENT / 64 * 1024 + segment % (64 / SEGMENT) * (8 * SEGMENT) + g * SEGMENT + t * LANE_BYTES;
        u32 codes[2][LANE_WORDS];
        u32 operands[2][OPERANDS];
        u32 scales[2] = {};
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
#if LANE_WORDS == 4
            *reinterpret_cast<uint4*>(codes[half]) = *reinterpret_cast<const uint4*>(eight + half * 512);
#elif LANE_WORDS == 2
            *reinterpret_cast<uint2*>(codes[half]) = *reinterpret_cast<const uint2*>(eight + half * 512);
#else
            codes[half][0] = *reinterpret_cast<const u32*>(eight + half * 512);
#endif
#if GROUPED
            scales[half] = scale_bits(item + 16 * CHUNK + (g + 8 * half) * SCALES, chunk, segment);
#endif
            decode(codes[half], scales[half], operands[half]);
        }
        Sum part[4] = {};
#pragma unroll
        for (u32 piece = 0; piece < PIECES; piece++) {
            uint4 b = make_uint4(0, 0, 0, 0);
            if (g < rows) {
                b = *reinterpret_cast<const uint4*>(x + g * pitch + (segment * PIECES + piece) * 64 + t * 16);
            }
            piece_products(GROUPED ? part : sums, operands[0] + 4 * piece, operands[1] + 4 * piece, b);
        }
#if GROUPED
        float first = half_value(scales[0] & 0xffff), second = half_value(scales[1] & 0xffff);
        sums[0] += first * part[0];
        sums[1] += first * part[1];
        sums[2] += second * part[2];
        sums[3] += second * part[3];
#endif
    }
}

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

// What a row is multiplied with to normalise it.
__device__ __forceinline__ float norm_factor(const Params& p) {
    const float* row = reinterpret_cast<const float*>(p.product.x);
    float squares = 0.0f;
#pragma unroll 4
    for (u32 column = threadIdx.x * 4; column < p.product.cols; column += THREADS * 4) {
        float4 x = load_quad(row, column, p.product.cols);
        squares += sum_of(x * x);
    }
    squares = block_sum(squares, norm_place);
    return 1.0f / sqrtf(squares / static_cast<float>(p.product.cols) + p.norm_epsilon);
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
#pragma unroll
            for (u32 k = 0; k < 8; k++) {
                x[n][k] *= factor * (p.norm_offset + weights[n][k]);
            }
#endif
            *place = piece_of(x[n]);
#endif
        }
    }
}

__device__ __forceinline__ float worth(const Product& p, Sum sum, u32 row, u32 feature) {
#if FORMAT == 6
    return static_cast<float>(sum) * p.x_scales[row] * reinterpret_cast<const float*>(p.scales)[feature];
#else
    return sum;
#endif
}

// Writes what the threads of a tile, [row of activations][row of the tile], have summed up.
__device__ __forceinline__ void write(const Params& p, u32 tile, Sum sum, u32 rows) {
    const Product& q = p.product;
    u32 n = threadIdx.x % 16, row = threadIdx.x / 16;
#if GATED
    u32 at = tile * 8 + n % 8, half = q.features / 2, feature = at + n / 8 * half;
    float y = 0.0f;
    if (row < rows && at < half) {
        y = (worth(q, sum, row, feature) + (q.bias ? q.bias[feature] : 0.0f)) * q.factor;
    }
    float up = __shfl_down_sync(~0u, y, 8, 16);
    if (n < 8 && row < rows && at < half) {
        q.y[static_cast<u64>(row) * q.y_stride + at] = apply(p.function, y) * up;
    }
#else
    u32 feature = tile * 16 + n;
    if (row < rows && feature < q.features) {
        finish(q, row, feature, worth(q, sum, row, feature));
    }
#endif
}

__shared__ Sum warp_sums[2][WARPS][128];
__shared__ u32 is_last;

// Adds up the warps' sums of a tile and writes it, or leaves it to the block that comes last.
__device__ __forceinline__ void tile_end(const Params& p, const Sum (&sums)[4], u32 tile, u32 turn, u32 part, u32 rows) {
    const Product& q = p.product;
    u32 warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    Sum* mine = warp_sums[turn % 2][warp];
    mine[2 * t * 16 + g] = sums[0];
    mine[(2 * t + 1) * 16 + g] = sums[1];
    mine[2 * t * 16 + g + 8] = sums[2];
    mine[(2 * t + 1) * 16 + g + 8] = sums[3];
    __syncthreads();
    Sum sum = 0;
    if (threadIdx.x < 128) {
#pragma unroll
        for (u32 w = 0; w < WARPS; w++) {
            sum += warp_sums[turn % 2][w][threadIdx.x];
        }
    }
    if (q.split > 1) {
        Sum* parts = reinterpret_cast<Sum*>(q.parts) + static_cast<u64>(tile) * q.split * 128;
        if (threadIdx.x < 128) {
            parts[part * 128 + threadIdx.x] = sum;
        }
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            is_last = atomicAdd(q.arrived + tile, 1) == q.split - 1;
        }
        __syncthreads();
        if (!is_last) {
            return;
        }
        __threadfence();
        sum = 0;
        if (threadIdx.x < 128) {
            for (u32 other = 0; other < q.split; other++) {
                sum += __ldcg(parts + other * 128 + threadIdx.x);
            }
        }
        if (threadIdx.x == 0) {
            q.arrived[tile] = 0;
        }
    }
    if (threadIdx.x < 128) {
        write(p, tile, sum, rows);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) stream(const __grid_constant__ Params params, const Step* step) {
    extern __shared__ __align__(128) u8 shared[];
#if EXPERTS
    // One row: a slot's. Which weights are wanted is known once the experts are chosen.
    u32 slots = product_rows(params.product, step), columns = params.experts.columns * params.product.split;
    u32 slot = blockIdx.x / columns, block = blockIdx.x % columns, count = columns, rows = 1;
    pdl_wait();
    if (slot >= slots) {
        return;
    }
    Params p = params;
    p.product = of_slot(params.product, params.experts, slot, FORMAT == 6 ? 1 : 4);
#else
    const Params& p = params;
    u32 block = blockIdx.x, count = gridDim.x;
#endif
    const Product& q = p.product;
    u32 warp = threadIdx.x / 32;
    u32 part = block % q.split, blocks = count / q.split;
    u32 chunks = q.row_bytes / CHUNK;
    Share share;
    share.first = chunks * part / q.split;
    share.count = chunks * (part + 1) / q.split - share.first;
    u8* ring = shared + warp * (DEPTH * ITEM);
    u8* x = shared + WARPS * DEPTH * ITEM;
    u32 pitch = share.count * (CHUNK_K / PIECE_K * 16) + 64;
    u32 tiles = tiles_of(q);
    // Items of a tile to a warp; some have one fewer.
    u32 turns = (share.count + WARPS - 1) / WARPS;

    u32 ask_tile = block / q.split, ask_turn = 0, ask_slot = 0;
    auto ask_next = [&]() {
        u32 chunk = ask_turn * WARPS + warp;
        if (ask_tile < tiles && chunk < share.count) {
            ask(q, ring + ask_slot * ITEM, ask_tile, share.first + chunk);
        }
        copies_commit();
        ask_slot = ask_slot + 1 == DEPTH ? 0 : ask_slot + 1;
        if (++ask_turn == turns) {
            ask_turn = 0;
            ask_tile += blocks;
        }
    };
    for (u32 i = 0; i < DEPTH - 1; i++) {
        ask_next();
    }
    prepare_decoding();
#if !EXPERTS
    u32 rows = min(product_rows(q, step), 8u);
    pdl_wait();
#endif
    pdl_trigger();
    bring_rows(p, x, pitch, share, rows);
    __syncthreads();
    u32 at = 0, done = 0;
    for (u32 tile = block / q.split; tile < tiles; tile += blocks, done++) {
        Sum sums[4] = {};
        for (u32 turn = 0; turn < turns; turn++) {
            copies_wait<DEPTH - 2>();
            // All lanes' copies are there, and the slot asked for next is no longer read.
            __syncwarp();
            ask_next();
            u32 chunk = turn * WARPS + warp;
            if (chunk < share.count) {
                item_products(sums, ring + at * ITEM, x + chunk * (CHUNK_K / PIECE_K * 16), pitch, rows, share.first + chunk);
            }
            at = at + 1 == DEPTH ? 0 : at + 1;
        }
        tile_end(p, sums, tile, done, part, rows);
    }
}
