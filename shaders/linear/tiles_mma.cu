// Products with some rows on matrix units that warps feed: y = factor · (x · wᵀ + bias) + residual. For 9 rows and more; on sm_90a
// for some dozens of rows of formats whose codes have to be decoded.
//
// Layout: weights as shaders/CUDA.md says (f16, bf16, int8, nf4, int4, w8a8); x as pack.cu leaves it: f16 rows from `x` on, `x_stride` bytes
// apart, zero behind the last column up to the end of the weights' rows, in order of decode.cuh; of w8a8 rows of codes.
//
// How: a block takes 128 features × TILE_ROWS rows of activations; four warps share the features, in blocks of 256 threads two such
// teams the rows. Chunks of CHUNK bytes of K of both are copied STAGES − 1 ahead; codes are decoded on their way from shared memory to
// the matrix units. `split` blocks share a tile's K where tiles are few; the last one to come adds up what all left, in order.
//
// Variants: FORMAT, GROUP (decode.cuh), EXPERTS: tiles of slots that group.cu listed, split 1 (experts.cuh); TILE_ROWS (16, 32: 128 threads; 64, 128: 256), CHUNK (64, 128), STAGES.
// Launch: grid [split · tiles of rows · tiles of features]; shared memory STAGES · STAGE_BYTES.
// Cost: reads the weights once for each TILE_ROWS rows and x once for each 128 features; decodes nf4 by table, for each team.
// Measured on an H200 (2026-11-28, packing included), 28,672 × 4,096: 16 rows of int8 58 µs, nf4 54, int4 47; 32 rows 72, 71 and 67; 64 rows 118, 124
// and 115, where memory takes 29, 15 and 15. What holds it back is not known: half the instructions for asking, two blocks to a multiprocessor and
// other tiles changed 64 rows by no more than 5 %. benches/results/2026-11-28-nvidia-h200/tiles-mma.txt has what was tried.
// Checked by the conformance groups `linear`, `rows`, `experts` and `random`, and by mixed.py against f64.
#include "linear/decode.cuh"
#include "linear/experts.cuh"
#include "linear/product.cuh"

#ifndef TILE_ROWS
#define TILE_ROWS 64
#endif
#ifndef STAGES
#define STAGES 3
#endif
#define TILE_FEATURES 128
#define TEAMS (TILE_ROWS >= 64 ? 2 : 1)
#define THREADS (128 * TEAMS)
// A warp's share: two blocks of 16 features, so many blocks of eight rows.
#define EIGHTS (TILE_ROWS / TEAMS / 8)
#define HALVES (CHUNK / 64)
#define W_BYTES (TILE_FEATURES * CHUNK)
// Rows of activations begin 64 bytes apart, modulo all banks.
#define X_PITCH (CHUNK_K / PIECE_K * 16 + 64)
#define X_BYTES (TILE_ROWS * X_PITCH)
#define STAGE_BYTES (W_BYTES + X_BYTES + TILE_FEATURES * SCALES)

struct Params {
    Product product;
#if EXPERTS
    Experts experts;
#endif
};

#if EXPERTS
// The slots of a tile, and the rows of the input that they read.
__shared__ u32 tile_slots[TILE_ROWS];
__shared__ u32 tile_inputs[TILE_ROWS];
#endif

// Which row of x a tile's row is, and which of the results.
__device__ __forceinline__ u32 input_of(u32 row) {
#if EXPERTS
    return tile_inputs[row];
#else
    return row;
#endif
}

__device__ __forceinline__ u32 output_of(u32 row) {
#if EXPERTS
    return tile_slots[row];
#else
    return row;
#endif
}

struct Tile {
    u32 row;
    u32 feature;
};

// Pieces of 16 bytes of a chunk's row, and how many of all rows a thread copies: of rows that lie evenly apart, always the same piece.
#define W_PIECES (CHUNK / 16)
#define W_COPIES (TILE_FEATURES * W_PIECES / THREADS)
#define X_PIECES (CHUNK_K / PIECE_K)
#define X_COPIES ((TILE_ROWS * X_PIECES + THREADS - 1) / THREADS)
#if GROUPED
// How often a thread copies a piece of a row's scales.
#define SCALE_TURNS ((TILE_FEATURES * SCALE_COPIES + THREADS - 1) / THREADS)
#endif

// What a thread copies of a tile's chunks: where from, going on from chunk to chunk, and where to in the first stage.
struct Ask {
    const u8* codes;
    // From the first row of codes to each, in bytes.
    u32 rows[W_COPIES];
    u32 codes_to;
    const u8* x;
    // From the first row of activations to each, in pieces of 8 bytes.
    u32 inputs[X_COPIES];
    u32 x_to;
    u32 x_piece;
#if GROUPED
    // Rows of scales, from the thread's place in what is copied of them on.
    const u8* scales[SCALE_TURNS];
    u32 scales_to;
#endif
};

__device__ __forceinline__ Ask begin_ask(const Product& p, u32 stages, Tile tile, u32 chunk, u32 rows) {
    Ask ask;
    u32 feature = threadIdx.x / W_PIECES, piece = threadIdx.x % W_PIECES;
    ask.codes = p.codes + static_cast<u64>(tile.feature) * p.row_bytes + chunk * CHUNK + piece * 16;
#pragma unroll
    for (u32 i = 0; i < W_COPIES; i++) {
        u32 n = feature + i * (THREADS / W_PIECES);
        ask.rows[i] = min(n, p.features - 1 - tile.feature) * p.row_bytes;
    }
    ask.codes_to = kept(stages + (feature / 8 * HALVES + piece / 4) * 512 + code_place(feature % 8, piece % 4 * 16));
    u32 row = threadIdx.x / X_PIECES;
    ask.x_piece = threadIdx.x % X_PIECES;
    ask.x = p.x + (chunk * X_PIECES + ask.x_piece) * 16;
#pragma unroll
    for (u32 i = 0; i < X_COPIES; i++) {
        u32 n = row + i * (THREADS / X_PIECES);
        ask.inputs[i] = static_cast<u32>(static_cast<u64>(input_of(min(tile.row + n, rows - 1))) * p.x_stride / 8);
    }
    ask.x_to = kept(stages + W_BYTES + row * X_PITCH + piece_place(ask.x_piece));
#if GROUPED
#pragma unroll
    for (u32 i = 0; i < SCALE_TURNS; i++) {
        u32 n = min((threadIdx.x + i * THREADS) / SCALE_COPIES, p.features - 1 - tile.feature);
        ask.scales[i] = p.scales + static_cast<u64>(tile.feature + n) * p.row_scales + threadIdx.x % SCALE_COPIES * SCALE_COPY;
    }
    ask.scales_to = kept(stages + W_BYTES + X_BYTES + threadIdx.x * SCALE_COPY);
#endif
    return ask;
}

// Asks for a chunk of all of a tile's operands, and turns to the next one.
__device__ __forceinline__ void ask_chunk(const Product& p, Ask& ask, u32 stages, u32 stage, Tile tile, u32 chunk) {
    u32 behind = stage * STAGE_BYTES;
#pragma unroll
    for (u32 i = 0; i < W_COPIES; i++) {
        copy_async_to<16>(ask.codes_to + behind + i * (THREADS / W_PIECES / 8 * HALVES * 512), ask.codes + ask.rows[i]);
    }
    ask.codes += CHUNK;
#pragma unroll
    for (u32 i = 0; i < X_COPIES; i++) {
        if (TILE_ROWS * X_PIECES % THREADS != 0 && threadIdx.x + i * THREADS >= TILE_ROWS * X_PIECES) {
            break;
        }
        u32 to = ask.x_to + behind + i * (THREADS / X_PIECES * X_PITCH);
        const u8* from = ask.x + static_cast<u64>(ask.inputs[i]) * 8;
#if FORMAT == 6
        // Rows of codes end before those of the weights, and may begin at any multiple of 8.
        if ((chunk * X_PIECES + ask.x_piece) * 16 >= p.cols) {
            store_shared_zeros<16>(to);
            continue;
        }
        copy_async_to<8>(to, from);
        copy_async_to<8>(to + 8, from + 8);
#else
        copy_async_to<16>(to, from);
#endif
    }
    ask.x += X_PIECES * 16;
#if GROUPED
    u32 place = scales_place(chunk), end = p.row_scales - threadIdx.x % SCALE_COPIES * SCALE_COPY;
#pragma unroll
    for (u32 i = 0; i < SCALE_TURNS; i++) {
        if (TILE_FEATURES * SCALE_COPIES % THREADS == 0 || threadIdx.x + i * THREADS < TILE_FEATURES * SCALE_COPIES) {
            copy_scales<SCALE_COPY>(ask.scales_to + behind + i * (THREADS * SCALE_COPY), ask.scales[i], place, end);
        }
    }
#endif
}

// The products of a chunk: [block of 16 features][block of eight rows].
__device__ __forceinline__ void chunk_products(Sum (&sums)[2][EIGHTS][4], const u8* stage, u32 chunk, u32 place) {
    u32 lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    u32 first = threadIdx.x / 32 % 4 * 32;
    const u8* x = stage + W_BYTES + (threadIdx.x / 128 * (TILE_ROWS / TEAMS) + g) * X_PITCH + t * 16;
    // One at a time where they are small, which leaves registers to the sums.
#pragma unroll 1
    for (u32 segment = 0; segment < CHUNK / SEGMENT; segment++) {
        u32 operands[2][2][OPERANDS];
#if GROUPED
        float scales[2][2];
#endif
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            const u8* eight = stage + ((first / 8 + n) * HALVES + segment * SEGMENT / 64) * 512 +
                              segment % (64 / SEGMENT) * (8 * SEGMENT) + g * SEGMENT + t * LANE_BYTES;
            u32 codes[LANE_WORDS];
#if LANE_WORDS == 4
            *reinterpret_cast<uint4*>(codes) = *reinterpret_cast<const uint4*>(eight);
#elif LANE_WORDS == 2
            *reinterpret_cast<uint2*>(codes) = *reinterpret_cast<const uint2*>(eight);
#else
            codes[0] = *reinterpret_cast<const u32*>(eight);
#endif
            u32 pair = 0;
#if GROUPED
            pair = scale_bits(stage + W_BYTES + X_BYTES + (first + n * 8 + g) * SCALES, chunk, segment);
            scales[n / 2][n % 2] = half_value(pair & 0xffff);
#endif
            decode(codes, pair, place, operands[n / 2][n % 2]);
        }
#pragma unroll
        for (u32 eight = 0; eight < EIGHTS; eight++) {
            Sum part[2][4] = {};
#pragma unroll
            for (u32 piece = 0; piece < PIECES; piece++) {
                uint4 b = *reinterpret_cast<const uint4*>(x + eight * 8 * X_PITCH + (segment * PIECES + piece) * 64);
#pragma unroll
                for (u32 n = 0; n < 2; n++) {
                    piece_products(GROUPED ? part[n] : sums[n][eight], operands[n][0] + 4 * piece, operands[n][1] + 4 * piece, b);
                }
            }
#if GROUPED
#pragma unroll
            for (u32 n = 0; n < 2; n++) {
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    sums[n][eight][i] += scales[n][i / 2] * part[n][i];
                }
            }
#endif
        }
    }
}

// Leaves a block's sums to the block that comes last. Whether this is the one; then `sums` are those of all, added up in order.
__device__ __forceinline__ bool meet(const Product& p, Sum (&sums)[2][EIGHTS][4], u32 tile, u32 part) {
    constexpr u32 COUNT = 8 * EIGHTS;
    __shared__ u32 is_last;
    Sum* mine = &sums[0][0][0];
    Sum* parts = reinterpret_cast<Sum*>(p.parts) + static_cast<u64>(tile) * p.split * COUNT * THREADS + threadIdx.x;
#pragma unroll
    for (u32 i = 0; i < COUNT; i++) {
        parts[(part * COUNT + i) * THREADS] = mine[i];
    }
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        is_last = atomicAdd(p.arrived + tile, 1) == p.split - 1;
    }
    __syncthreads();
    if (!is_last) {
        return false;
    }
    __threadfence();
#pragma unroll
    for (u32 i = 0; i < COUNT; i++) {
        mine[i] = 0;
    }
    for (u32 other = 0; other < p.split; other++) {
#pragma unroll
        for (u32 i = 0; i < COUNT; i++) {
            mine[i] += __ldcg(parts + (other * COUNT + i) * THREADS);
        }
    }
    if (threadIdx.x == 0) {
        p.arrived[tile] = 0;
    }
    return true;
}

__device__ __forceinline__ void write(const Product& p, const Sum (&sums)[2][EIGHTS][4], Tile tile, u32 rows) {
    u32 lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    u32 first = tile.feature + threadIdx.x / 32 % 4 * 32 + g;
    u32 row = tile.row + threadIdx.x / 128 * (TILE_ROWS / TEAMS) + 2 * t;
#pragma unroll
    for (u32 n = 0; n < 2; n++) {
#pragma unroll
        for (u32 eight = 0; eight < EIGHTS; eight++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                u32 feature = first + n * 16 + i / 2 * 8, at = row + eight * 8 + i % 2;
                if (feature < p.features && at < rows) {
                    float sum = static_cast<float>(sums[n][eight][i]);
#if FORMAT == 6
                    sum = sum * p.x_scales[input_of(at)] * reinterpret_cast<const float*>(p.scales)[feature];
#endif
                    finish(p, output_of(at), feature, sum);
                }
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) tiles(const __grid_constant__ Params params, const Step* step) {
    extern __shared__ __align__(128) u8 shared[];
    pdl_wait();
    pdl_trigger();
#if EXPERTS
    const Experts& e = params.experts;
    u32 down = expert_tiles(e, product_rows(params.product, step), TILE_ROWS);
    u32 across = (e.features + TILE_FEATURES - 1) / TILE_FEATURES;
    u32 index = blockIdx.x, part = 0;
    if (index >= down * across) {
        return;
    }
    ExpertTile chosen = expert_tile(e, index % down, TILE_ROWS);
    if (chosen.count == 0) {
        return;
    }
    u32 rows = chosen.count;
    if (threadIdx.x < rows) {
        u32 slot = e.choices[e.order_at + chosen.first + threadIdx.x];
        tile_slots[threadIdx.x] = slot;
        tile_inputs[threadIdx.x] = input_row(params.product, e, slot);
    }
    __syncthreads();
    Product p = of_expert(params.product, e, chosen.expert);
    Tile tile = {0, index / down * TILE_FEATURES};
#else
    const Product& p = params.product;
    u32 rows = product_rows(p, step);
    u32 down = (rows + TILE_ROWS - 1) / TILE_ROWS;
    u32 across = (p.features + TILE_FEATURES - 1) / TILE_FEATURES;
    u32 index = blockIdx.x / p.split, part = blockIdx.x % p.split;
    if (index >= down * across) {
        return;
    }
    Tile tile = {index % down * TILE_ROWS, index / down * TILE_FEATURES};
#endif
    u32 chunks = p.row_bytes / CHUNK;
    u32 begin = chunks * part / p.split, end = chunks * (part + 1) / p.split;
    prepare_decoding();
    u32 place = decoding_place();
    Sum sums[2][EIGHTS][4] = {};
    u32 stages = shared_address(shared);
    Ask ask = begin_ask(p, stages, tile, begin, rows);
    for (u32 i = 0; i < STAGES - 1; i++) {
        if (begin + i < end) {
            ask_chunk(p, ask, stages, i, tile, begin + i);
        }
        copies_commit();
    }
    u32 at = 0, next = STAGES - 1;
    for (u32 chunk = begin; chunk < end; chunk++) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        if (chunk + STAGES - 1 < end) {
            ask_chunk(p, ask, stages, next, tile, chunk + STAGES - 1);
        }
        copies_commit();
        chunk_products(sums, shared + at * STAGE_BYTES, chunk, place);
        at = at + 1 == STAGES ? 0 : at + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
    }
    if (p.split == 1 || meet(p, sums, index, part)) {
        write(p, sums, tile, rows);
    }
}
