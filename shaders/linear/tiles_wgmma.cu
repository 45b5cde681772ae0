// Products with many rows on sm_90a: y = factor · (x · wᵀ + bias) + residual for int8 codes (sums in int32, exact) or f16 (sums in
// f32).
//
// Layout: x and w are rows of bytes, K fastest, read through tensor maps of boxes of 128 bytes × 64 rows (x: TILE_ROWS rows, w: half of
// TILE_FEATURES). What lies outside them counts as zero, so neither rows nor columns need to fill a tile. Codes of w8a8 have a scale
// per row in `x_scales` and per feature in `scales`.
//
// How: blocks stay and go from tile to tile. Two neighbouring blocks make a cluster: they take the same features and neighbouring
// rows, and each loads half of the weights for both. A warp loads, four stages ahead; two warpgroups multiply, 64 rows each, one
// stage's products always under way. Nothing binds the two together but the stages, so one's results are written while
// the other multiplies. Tiles are taken in groups of GROUP clusters along the rows, so that what is read again is still in L2.
//
// Variants: KIND (0 int8, 1 f16), TILE_FEATURES (256, 128), STAGES.
// Launch: 384 threads, clusters of 2, at most as many blocks as multiprocessors, shared memory SHARED_BYTES.
// Cost: 2 · rows · features · K operations; each tile reads (128 + 256 / 2) · K bytes from L2 and writes 128 · 256 f32.
#include "linear/wgmma.cuh"

#define TILE_ROWS 128
#ifndef TILE_FEATURES
#define TILE_FEATURES 256
#endif
#ifndef STAGES
#define STAGES 4
#endif
#ifndef GROUP
#define GROUP 8
#endif
#define X_BYTES (TILE_ROWS * STAGE_K)
#define W_BYTES (TILE_FEATURES * STAGE_K)
#define STAGE_BYTES (X_BYTES + W_BYTES)
// With room to begin at a multiple of 1,024.
#define SHARED_BYTES (STAGES * STAGE_BYTES + 1024)
#define SUMS (TILE_FEATURES / 2)

// Where a tile is: its first row, of the cluster's two blocks together, and its first feature.
struct Tile {
    u32 row;
    u32 feature;
};

struct Tiles {
    u32 down;
    u32 across;

    __device__ __forceinline__ Tiles(u32 rows, u32 features) {
        down = (rows + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS);
        across = (features + TILE_FEATURES - 1) / TILE_FEATURES;
    }

    __device__ __forceinline__ u32 count() const { return down * across; }

    __device__ __forceinline__ Tile at(u32 index) const {
        u32 first = index / (GROUP * across) * GROUP;
        u32 height = min(down - first, static_cast<u32>(GROUP));
        u32 inside = index % (GROUP * across);
        return Tile{(first + inside % height) * 2 * TILE_ROWS, inside / height * TILE_FEATURES};
    }
};

__device__ __forceinline__ void load(const Params& p, const Tiles& tiles, u32 stages_k, u32 ring, u32 full, u32 empty) {
    u32 rank = cluster_rank();
    Place<STAGES> place;
    for (u32 index = blockIdx.x / 2; index < tiles.count(); index += gridDim.x / 2) {
        Tile tile = tiles.at(index);
        for (u32 k = 0; k < stages_k; k++) {
            u32 to = ring + place.stage * STAGE_BYTES;
            u32 barrier = full + 8 * place.stage;
            barrier_wait(empty + 8 * place.stage, place.parity ^ 1);
            barrier_expect(barrier, STAGE_BYTES);
            tensor_load(to, &p.x_map, barrier, k * STAGE_K, tile.row + rank * TILE_ROWS);
            tensor_load_all(to + X_BYTES + rank * (W_BYTES / 2), &p.w_map, barrier, k * STAGE_K,
                            tile.feature + rank * (TILE_FEATURES / 2), 3);
            place.next();
        }
    }
}

// Features, in eights, whose operands of the ending are asked for at once: what is read must not wait for what was written before it.
#define EIGHTS 8

// Two neighbouring numbers, the second of which may not be there.
__device__ __forceinline__ float2 two_of(const float* from, bool pairs, bool both) {
    return pairs ? *reinterpret_cast<const float2*>(from) : make_float2(from[0], both ? from[1] : 0.0f);
}

// Writes a warpgroup's 64 rows. A thread holds two neighbouring features of two rows in each eight features.
__device__ __forceinline__ void write(const Product& p, const Sum (&sums)[SUMS], u32 row, u32 feature, u32 rows, bool pairs) {
    u32 lane = threadIdx.x % 32;
    row += threadIdx.x / 32 % 4 * 16 + lane / 4;
    feature += lane % 4 * 2;
    const bool inside[2] = {row < rows, row + 8 < rows};
    float* y = p.y + static_cast<u64>(row) * p.y_stride;
    const float* residual = p.residual ? p.residual + static_cast<u64>(row) * p.residual_stride : nullptr;
    float x_scale[2] = {1.0f, 1.0f};
#if KIND == 0
    x_scale[0] = inside[0] ? p.x_scales[row] : 0.0f;
    x_scale[1] = inside[1] ? p.x_scales[row + 8] : 0.0f;
#endif
#pragma unroll
    for (u32 first = 0; first < TILE_FEATURES / 8; first += EIGHTS) {
        float2 scale[EIGHTS], bias[EIGHTS], add[EIGHTS][2];
#pragma unroll
        for (u32 i = 0; i < EIGHTS; i++) {
            u32 at = feature + 8 * (first + i);
            bool there = at < p.features, both = at + 1 < p.features;
            scale[i] = make_float2(1.0f, 1.0f);
#if KIND == 0
            scale[i] = there ? two_of(reinterpret_cast<const float*>(p.scales) + at, pairs, both) : scale[i];
#endif
            bias[i] = p.bias && there ? two_of(p.bias + at, pairs, both) : make_float2(0.0f, 0.0f);
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                add[i][half] = make_float2(0.0f, 0.0f);
                if (residual && there && inside[half]) {
                    add[i][half] = two_of(residual + half * 8 * p.residual_stride + at, pairs, both);
                }
            }
        }
#pragma unroll
        for (u32 i = 0; i < EIGHTS; i++) {
            u32 at = feature + 8 * (first + i);
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                u32 sum = 4 * (first + i) + 2 * half;
                float2 out;
                out.x = (worth(sums[sum], x_scale[half], scale[i].x) + bias[i].x) * p.factor + add[i][half].x;
                out.y = (worth(sums[sum + 1], x_scale[half], scale[i].y) + bias[i].y) * p.factor + add[i][half].y;
                float* to = y + half * 8 * p.y_stride + at;
                if (at < p.features && inside[half]) {
                    if (pairs) {
                        *reinterpret_cast<float2*>(to) = out;
                    } else {
                        to[0] = out.x;
                        if (at + 1 < p.features) {
                            to[1] = out.y;
                        }
                    }
                }
            }
        }
    }
}

__device__ __forceinline__ void multiply(const Params& p, const Tiles& tiles, u32 rows, u32 stages_k, u32 ring, u32 full,
                                         u32 empty) {
    u32 rank = cluster_rank();
    u32 group = threadIdx.x / 128 - 1;
    u32 lane = threadIdx.x % 32;
    bool pairs = in_groups_of(p.product, 2);
    Place<STAGES> place;
    Sum sums[SUMS];
    for (u32 index = blockIdx.x / 2; index < tiles.count(); index += gridDim.x / 2) {
        Tile tile = tiles.at(index);
        u32 before = 0;
        for (u32 k = 0; k < stages_k; k++) {
            u32 stage = ring + place.stage * STAGE_BYTES;
            barrier_wait(full + 8 * place.stage, place.parity);
            stage_products(sums, stage + group * (X_BYTES / 2), stage + X_BYTES, k > 0);
            products_wait<1>();
            if (k > 0 && lane < 2) {
                barrier_arrive_at(empty + 8 * before, lane);
            }
            before = place.stage;
            place.next();
        }
        products_wait<0>();
        if (lane < 2) {
            barrier_arrive_at(empty + 8 * before, lane);
        }
        write(p.product, sums, tile.row + rank * TILE_ROWS + group * 64, tile.feature, rows, pairs);
    }
}

extern "C" __global__ void __launch_bounds__(384, 1) tiles(const __grid_constant__ Params p, const Step* step) {
    extern __shared__ u8 shared[];
    __shared__ u64 barriers[2 * STAGES];
    u32 ring = (shared_address(shared) + 1023) / 1024 * 1024;
    u32 full = shared_address(barriers);
    u32 empty = full + 8 * STAGES;
    u32 rows = product_rows(p.product, step);
    Tiles tiles(rows, p.product.features);
    u32 stages_k = (p.product.row_bytes + STAGE_K - 1) / STAGE_K;
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < STAGES; stage++) {
            barrier_init(full + 8 * stage, 1);
            // Each warp of both blocks' warpgroups.
            barrier_init(empty + 8 * stage, 16);
        }
        barrier_init_fence();
        tensor_prefetch(&p.x_map);
        tensor_prefetch(&p.w_map);
    }
    cluster_sync();
    pdl_wait();
    pdl_trigger();
    if (threadIdx.x < 128) {
        fewer_registers<40>();
        if (threadIdx.x == 0) {
            load(p, tiles, stages_k, ring, full, empty);
        }
    } else {
        more_registers<232>();
        multiply(p, tiles, rows, stages_k, ring, full, empty);
    }
    // The other block may still write here.
    cluster_sync();
}
