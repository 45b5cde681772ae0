// Products with few rows (some dozens to some hundreds) on sm_90a: what tiles_wgmma.cu computes, where so few tiles would leave most
// of the device idle.
//
// Layout: as there; boxes of 128 bytes × TILE_ROWS rows (x) and × TILE_FEATURES (w).
//
// How: the blocks of a cluster share a tile, each a part of its K, so that all multiprocessors stream weights at once. Their sums meet
// in shared memory: each block adds up some rows of the tile, in the order of the blocks, and writes them. The first
// stages of weights are asked for before the launch waits for the one before it.
//
// Variants: KIND (0 int8, 1 f16), TILE_ROWS (64, 128, 192, 256: a warpgroup each 64), TILE_FEATURES (64, 128, 256), STAGES.
// Launch: 128 + 2 · TILE_ROWS threads, clusters of `split` blocks (1, 2, 4, 8), grid [split · tiles down · tiles across] with tiles
// one below another next to each other, shared memory the larger of the ring's and the sums' plus 1,024 bytes.
// Cost: weights are read once for each TILE_ROWS rows; 2 · rows · features · K operations.
// Measured on an H100 (2026-11-27, benches/cuda/gemm.py), int8 beside torch's f16 product: 64 rows × 1.45 to 1.72, 128 rows × 1.20 to 1.50.
// Checked by the conformance groups `linear`, `rows` and `random`, and by gemm.py against f64.
#include "linear/wgmma.cuh"

#ifndef TILE_ROWS
#define TILE_ROWS 64
#endif
#ifndef TILE_FEATURES
#define TILE_FEATURES 128
#endif
#ifndef STAGES
#define STAGES 4
#endif
#define THREADS (128 + 2 * TILE_ROWS)
#define X_BYTES (TILE_ROWS * STAGE_K)
#define W_BYTES (TILE_FEATURES * STAGE_K)
#define STAGE_BYTES (X_BYTES + W_BYTES)
#define SUMS (TILE_FEATURES / 2)
// Numbers from row to row of the sums in shared memory: rows begin eight banks apart.
#define ROW_SUMS (TILE_FEATURES + 8)

// Stages of K, a block's share of them.
struct Share {
    u32 first;
    u32 count;
};

// Both kinds of tiles of the first stages, the weights before the wait for earlier launches; and then the rest.
__device__ __forceinline__ void load(const Params& p, Share share, u32 row, u32 feature, u32 ring, u32 full, u32 empty) {
    u32 early = min(share.count, static_cast<u32>(STAGES));
    for (u32 k = 0; k < early; k++) {
        barrier_expect(full + 8 * k, STAGE_BYTES);
        tensor_load(ring + k * STAGE_BYTES + X_BYTES, &p.w_map, full + 8 * k, (share.first + k) * STAGE_K, feature);
    }
    pdl_wait();
    for (u32 k = 0; k < early; k++) {
        tensor_load(ring + k * STAGE_BYTES, &p.x_map, full + 8 * k, (share.first + k) * STAGE_K, row);
    }
    Place<STAGES> place;
    for (u32 k = 0; k < share.count; k++) {
        if (k >= STAGES) {
            u32 to = ring + place.stage * STAGE_BYTES;
            u32 barrier = full + 8 * place.stage;
            barrier_wait(empty + 8 * place.stage, place.parity ^ 1);
            barrier_expect(barrier, STAGE_BYTES);
            tensor_load(to, &p.x_map, barrier, (share.first + k) * STAGE_K, row);
            tensor_load(to + X_BYTES, &p.w_map, barrier, (share.first + k) * STAGE_K, feature);
        }
        place.next();
    }
}

__device__ __forceinline__ void multiply(Sum (&sums)[SUMS], Share share, u32 ring, u32 full, u32 empty) {
    u32 group = threadIdx.x / 128 - 1;
    u32 lane = threadIdx.x % 32;
    Place<STAGES> place;
    u32 before = 0;
    for (u32 k = 0; k < share.count; k++) {
        u32 stage = ring + place.stage * STAGE_BYTES;
        barrier_wait(full + 8 * place.stage, place.parity);
        stage_products(sums, stage + group * (64 * STAGE_K), stage + X_BYTES, k > 0);
        products_wait<1>();
        if (k > 0 && lane == 0) {
            barrier_arrive(empty + 8 * before);
        }
        before = place.stage;
        place.next();
    }
    products_wait<0>();
    if (share.count == 0) {
#pragma unroll
        for (u32 i = 0; i < SUMS; i++) {
            sums[i] = 0;
        }
    }
}

// Puts a warpgroup's sums where the other blocks can read them.
__device__ __forceinline__ void lay_out(const Sum (&sums)[SUMS], Sum* table) {
    u32 lane = threadIdx.x % 32;
    u32 row = (threadIdx.x / 32 - 4) * 16 + lane / 4;
#pragma unroll
    for (u32 eight = 0; eight < TILE_FEATURES / 8; eight++) {
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            Sum* at = table + (row + 8 * half) * ROW_SUMS + 8 * eight + lane % 4 * 2;
            at[0] = sums[4 * eight + 2 * half];
            at[1] = sums[4 * eight + 2 * half + 1];
        }
    }
}

__device__ __forceinline__ Sum as_sum(u32 bits) {
#if KIND == 0
    return static_cast<Sum>(bits);
#else
    return __uint_as_float(bits);
#endif
}

// Adds up this block's share of the rows over all blocks of the cluster, four neighbouring features at a time, and writes it.
__device__ __forceinline__ void gather(const Product& p, u32 table, u32 row, u32 feature, u32 rows) {
    constexpr u32 FOURS = TILE_FEATURES / 4;
    u32 rank = cluster_rank();
    u32 share = TILE_ROWS / p.split;
    bool fours = in_groups_of(p, 4);
    for (u32 i = threadIdx.x; i < share * FOURS; i += THREADS) {
        u32 inside = rank * share + i / FOURS;
        u32 at = feature + i % FOURS * 4;
        if (row + inside >= rows || at >= p.features) {
            continue;
        }
        u32 place = table + (inside * ROW_SUMS + i % FOURS * 4) * 4;
        Sum sum[4] = {};
        for (u32 block = 0; block < p.split; block++) {
            uint4 part = load_shared_of(shared_of(place, block));
            sum[0] += as_sum(part.x);
            sum[1] += as_sum(part.y);
            sum[2] += as_sum(part.z);
            sum[3] += as_sum(part.w);
        }
        float y[4];
        float x_scale = 1.0f;
#if KIND == 0
        x_scale = p.x_scales[row + inside];
#endif
        u32 count = min(p.features - at, 4u);
        for (u32 n = 0; n < 4; n++) {
            float w_scale = 1.0f;
#if KIND == 0
            w_scale = n < count ? reinterpret_cast<const float*>(p.scales)[at + n] : 0.0f;
#endif
            y[n] = worth(sum[n], x_scale, w_scale);
        }
        if (fours) {
            finish_four(p, row + inside, at, make_float4(y[0], y[1], y[2], y[3]));
        } else {
            for (u32 n = 0; n < count; n++) {
                finish(p, row + inside, at + n, y[n]);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) split(const __grid_constant__ Params p, const Step* step) {
    extern __shared__ u8 shared[];
    __shared__ u64 barriers[2 * STAGES];
    u32 ring = (shared_address(shared) + 1023) / 1024 * 1024;
    u32 full = shared_address(barriers);
    u32 empty = full + 8 * STAGES;
    u32 rows = product_rows(p.product, step);
    u32 down = (rows + TILE_ROWS - 1) / TILE_ROWS;
    u32 across = (p.product.features + TILE_FEATURES - 1) / TILE_FEATURES;
    u32 tile = blockIdx.x / p.product.split;
    // A cluster's blocks are of one mind here.
    if (tile >= down * across) {
        pdl_wait();
        return;
    }
    u32 row = tile % down * TILE_ROWS;
    u32 feature = tile / down * TILE_FEATURES;
    u32 rank = cluster_rank();
    u32 stages_k = (p.product.row_bytes + STAGE_K - 1) / STAGE_K;
    u32 first = stages_k * rank / p.product.split;
    Share share = {first, stages_k * (rank + 1) / p.product.split - first};
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < STAGES; stage++) {
            barrier_init(full + 8 * stage, 1);
            barrier_init(empty + 8 * stage, TILE_ROWS / 16);
        }
        barrier_init_fence();
        tensor_prefetch(&p.x_map);
        tensor_prefetch(&p.w_map);
    }
    __syncthreads();
    pdl_trigger();
    Sum sums[SUMS];
    if (threadIdx.x == 0) {
        load(p, share, row, feature, ring, full, empty);
    } else {
        pdl_wait();
    }
    if (threadIdx.x >= 128) {
        multiply(sums, share, ring, full, empty);
    }
    // The ring has been read to its end: all that was asked for has come and been used.
    __syncthreads();
    Sum* table = reinterpret_cast<Sum*>(shared + (ring - shared_address(shared)));
    if (threadIdx.x >= 128) {
        lay_out(sums, table);
    }
    cluster_sync();
    gather(p.product, ring, row, feature, rows);
    cluster_sync();
}
