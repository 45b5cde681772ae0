// Products with many rows on sm_90a: y = factor · (x · wᵀ + bias) + residual for int8 codes (sums in int32, exact) or f16 (sums in
// f32).
//
// Layout: x and w are rows of bytes, K fastest, read through tensor maps of boxes of 128 bytes × 64 rows (x: TILE_ROWS rows, w: half of
// TILE_FEATURES). What lies outside them counts as zero, so neither rows nor columns need to fill a tile. Codes of w8a8 have a scale
// per row in `x_scales` and per feature in `scales`.
//
// How: blocks stay and go from tile to tile. Two neighbouring blocks make a cluster: they take the same features and neighbouring
// rows, and each loads half of the weights for both. A warp loads, STAGES ahead; two warpgroups multiply, 64 rows each, one
// stage's products always under way. Nothing binds the two together but the stages, so in part one's results are written while
// the other multiplies. Tiles are taken in groups of GROUP clusters along the rows, so that what is read again is still in L2.
// (Tried, and no faster: asking for the residual to come to L2 while a tile is multiplied; writing results straight from registers.)
//
// Variants: KIND (0 int8, 1 f16), TILE_FEATURES (256, 128), STAGES.
// Launch: 384 threads, clusters of 2, at most as many blocks as multiprocessors, shared memory SHARED_BYTES.
// Cost: 2 · rows · features · K operations; each tile reads (128 + 256 / 2) · K bytes from L2 and writes 128 · 256 f32.
// Measured on an H100 (2026-11-27, benches/cuda/gemm.py, random codes, 2,048 to 8,192 rows): int8 1,060 to 1,460 TOPS, with a residual 910 to
// 1,360, beside 720 to 785 TFLOP/s of torch's f16 product; f16 570 to 710 TFLOP/s. Writing and the residual are what holds it back at K = 4,096.
// Checked by the conformance groups `linear`, `rows` and `random`, and by gemm.py against f64.
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
#define SHARED_BYTES (STAGES * STAGE_BYTES + 8 * PASS_BYTES + 1024)
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

// A warp's results pass through shared memory, so many features of its 16 rows at a time: they are written, and the residual read, in whole
// lines. Rows there begin four banks apart.
#define PASS 32
#define PASS_PITCH (PASS + 4)
#define PASS_BYTES (16 * PASS_PITCH * 4)

// Four neighbouring numbers, of which `count` are there.
__device__ __forceinline__ float4 four_of(const float* from, bool fours, u32 count) {
    if (fours) {
        return *reinterpret_cast<const float4*>(from);
    }
    float4 x = make_float4(from[0], 0.0f, 0.0f, 0.0f);
    x.y = count > 1 ? from[1] : 0.0f;
    x.z = count > 2 ? from[2] : 0.0f;
    x.w = count > 3 ? from[3] : 0.0f;
    return x;
}

// Writes a warp's 16 rows, from `row` on. A thread holds two neighbouring features of two rows in each eight features; it writes
// four neighbouring features of every fourth row.
__device__ __forceinline__ void write(const Product& p, const Sum (&sums)[SUMS], float* pass, u32 row, u32 feature, u32 rows, bool fours) {
    u32 lane = threadIdx.x % 32;
    float* put = pass + lane / 4 * PASS_PITCH + lane % 4 * 2;
    const float* take = pass + lane / 8 * PASS_PITCH + lane % 8 * 4;
    row += lane / 8;
    feature += lane % 8 * 4;
    float x_scale[4] = {1.0f, 1.0f, 1.0f, 1.0f};
#if KIND == 0
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        x_scale[i] = row + 4 * i < rows ? p.x_scales[row + 4 * i] : 0.0f;
    }
#endif
#pragma unroll
    for (u32 first = 0; first < TILE_FEATURES; first += PASS) {
        u32 at = feature + first;
        u32 count = at < p.features ? min(p.features - at, 4u) : 0;
        // All that is read is asked for at once: it must not wait for what was written before.
        float4 add[4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            add[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (p.residual && count > 0 && row + 4 * i < rows) {
                add[i] = four_of(p.residual + static_cast<u64>(row + 4 * i) * p.residual_stride + at, fours, count);
            }
        }
        float4 bias = make_float4(0.0f, 0.0f, 0.0f, 0.0f), scale = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
        if (p.bias && count > 0) {
            bias = four_of(p.bias + at, fours, count);
        }
#if KIND == 0
        if (count > 0) {
            scale = four_of(reinterpret_cast<const float*>(p.scales) + at, fours, count);
        }
#endif
        __syncwarp();
#pragma unroll
        for (u32 eight = 0; eight < PASS / 8; eight++) {
            const Sum* from = sums + (first / 8 + eight) * 4;
            *reinterpret_cast<float2*>(put + 8 * eight) = make_float2(static_cast<float>(from[0]), static_cast<float>(from[1]));
            *reinterpret_cast<float2*>(put + 8 * PASS_PITCH + 8 * eight) = make_float2(static_cast<float>(from[2]), static_cast<float>(from[3]));
        }
        __syncwarp();
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            float4 sum = *reinterpret_cast<const float4*>(take + 4 * i * PASS_PITCH);
            if (count == 0 || row + 4 * i >= rows) {
                continue;
            }
            sum.x = (sum.x * x_scale[i] * scale.x + bias.x) * p.factor + add[i].x;
            sum.y = (sum.y * x_scale[i] * scale.y + bias.y) * p.factor + add[i].y;
            sum.z = (sum.z * x_scale[i] * scale.z + bias.z) * p.factor + add[i].z;
            sum.w = (sum.w * x_scale[i] * scale.w + bias.w) * p.factor + add[i].w;
            float* y = p.y + static_cast<u64>(row + 4 * i) * p.y_stride + at;
            if (fours) {
                *reinterpret_cast<float4*>(y) = sum;
            } else {
                y[0] = sum.x;
                if (count > 1) y[1] = sum.y;
                if (count > 2) y[2] = sum.z;
                if (count > 3) y[3] = sum.w;
            }
        }
    }
}

__device__ __forceinline__ void multiply(const Params& p, const Tiles& tiles, u32 rows, u32 stages_k, u32 ring, u32 full,
                                         u32 empty, float* pass) {
    u32 rank = cluster_rank();
    u32 group = threadIdx.x / 128 - 1;
    u32 lane = threadIdx.x % 32;
    bool fours = in_groups_of(p.product, 4);
    Place<STAGES> place;
    Sum sums[SUMS];
    for (u32 index = blockIdx.x / 2; index < tiles.count(); index += gridDim.x / 2) {
        Tile tile = tiles.at(index);
        u32 row = tile.row + rank * TILE_ROWS + (threadIdx.x / 32 - 4) * 16;
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
        write(p.product, sums, pass, row, tile.feature, rows, fours);
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
        float* pass = reinterpret_cast<float*>(shared + (ring - shared_address(shared)) + STAGES * STAGE_BYTES);
        multiply(p, tiles, rows, stages_k, ring, full, empty, pass + (threadIdx.x / 32 - 4) * (PASS_BYTES / 4));
    }
    // The other block may still write here.
    cluster_sync();
}
