// Products without matrix units: y = factor · (x · wᵀ + bias) + residual, sums in f32; of w8a8 in int32, four products at a time.
//
// Layout: weights and activations as shaders/CUDA.md says, f32 rows or rows of codes; nothing is rounded.
//
// Entries: `few`, for one to eight rows: a warp each feature. `tiles`: a block 64 rows × 64 features, 4 × 4 each thread.
// Variants: FORMAT, GROUP (decode.cuh); QUADS (lib/quads.cuh); EXPERTS: products of slots with experts' matrices (experts.cuh), `few` one by one.
// Launch: 256 threads; `few` a block each 8 features; `tiles` [tiles of rows · tiles of features], those of rows next to each other.
// Cost: `few` reads the weights once; `tiles` reads both operands once for each 64 of the other's.
// Checked by the conformance groups `linear`, `rows`, `experts` and `random` in the tier `simt`, and by mixed.py against f64.
#include "lib/quads.cuh"
#include "lib/reduce.cuh"
#include "linear/decode.cuh"
#include "linear/experts.cuh"
#include "linear/product.cuh"

#define THREADS 256
#define MOST_ROWS 8
#define SIDE 64
// What a thread loads at once: eight numbers of f32, or eight words of codes.
#if FORMAT == 6
typedef i32 Number;
#define UNIT_K 32
#else
typedef float Number;
#define UNIT_K 8
#endif
#define STEP 32

struct Params {
    Product product;
#if EXPERTS
    Experts experts;
#endif
};

// Eight numbers of a row of weights from a column on, zero behind its end.
__device__ __forceinline__ void load_weights(const Product& p, u32 feature, u32 column, Number (&w)[8]) {
    const u8* codes = p.codes + static_cast<u64>(feature) * p.row_bytes;
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        w[n] = 0;
    }
#if FORMAT == 6
    if (column < p.row_bytes) {
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            w[n] = reinterpret_cast<const i32*>(codes + column)[n];
        }
    }
#else
    if (column < p.cols) {
        eight_weights(codes, p.scales + static_cast<u64>(feature) * p.row_scales, column, p.cols, w);
    }
#endif
}

// Likewise of a row of activations. Those of w8a8 end at a multiple of 64 codes, which is one of UNIT_K.
__device__ __forceinline__ void load_activations(const Product& p, u32 row, u32 column, Number (&x)[8]) {
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        x[n] = 0;
    }
    if (column >= p.cols) {
        return;
    }
#if FORMAT == 6
    const i32* from = reinterpret_cast<const i32*>(p.x + static_cast<u64>(row) * p.x_stride + column);
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        x[n] = from[n];
    }
#else
    const float* from = reinterpret_cast<const float*>(p.x) + static_cast<u64>(row) * p.x_stride;
    float4 a = load_quad(from, column, p.cols);
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
    if (column + 4 < p.cols) {
        float4 b = load_quad(from, column + 4, p.cols);
        x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
    }
#endif
}

__device__ __forceinline__ Number add_product(Number sum, Number w, Number x) {
#if FORMAT == 6
    return __dp4a(w, x, sum);
#else
    return fmaf(w, x, sum);
#endif
}

__device__ __forceinline__ float worth(const Product& p, Number sum, u32 row, u32 feature) {
#if FORMAT == 6
    return static_cast<float>(sum) * p.x_scales[row] * reinterpret_cast<const float*>(p.scales)[feature];
#else
    return sum;
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS) few(const __grid_constant__ Params params, const Step* step) {
    u32 lane = threadIdx.x % 32;
#if EXPERTS
    u32 slots = product_rows(params.product, step), slot = blockIdx.x / params.experts.columns, rows = 1;
    u32 feature = blockIdx.x % params.experts.columns * (THREADS / 32) + threadIdx.x / 32;
    pdl_wait();
    pdl_trigger();
    if (slot >= slots || feature >= params.experts.features) {
        return;
    }
    Product p = of_slot(params.product, params.experts, slot, FORMAT == 6 ? 1 : 4);
#else
    const Product& p = params.product;
    u32 feature = blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    u32 rows = min(product_rows(p, step), static_cast<u32>(MOST_ROWS));
    pdl_wait();
    pdl_trigger();
    if (feature >= p.features) {
        return;
    }
#endif
    Number sums[MOST_ROWS] = {};
    for (u32 column = lane * UNIT_K; column < p.cols; column += 32 * UNIT_K) {
        Number w[8];
        load_weights(p, feature, column, w);
#pragma unroll
        for (u32 row = 0; row < MOST_ROWS; row++) {
            if (row < rows) {
                Number x[8];
                load_activations(p, row, column, x);
#pragma unroll
                for (u32 n = 0; n < 8; n++) {
                    sums[row] = add_product(sums[row], w[n], x[n]);
                }
            }
        }
    }
#pragma unroll
    for (u32 row = 0; row < MOST_ROWS; row++) {
        if (row < rows) {
            Number sum = sums[row];
#pragma unroll
            for (u32 distance = 16; distance > 0; distance /= 2) {
                sum += __shfl_xor_sync(~0u, sum, distance);
            }
            if (lane == 0) {
                finish(p, row, feature, worth(p, sum, row, feature));
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) tiles(const __grid_constant__ Params params, const Step* step) {
    // K by feature and by row; columns begin in different banks.
    __shared__ Number w_tile[STEP][SIDE + 4];
    __shared__ Number x_tile[STEP][SIDE + 4];
#if EXPERTS
    __shared__ u32 tile_slots[SIDE];
    const Experts& e = params.experts;
    u32 down = expert_tiles(e, product_rows(params.product, step), SIDE);
    pdl_wait();
    pdl_trigger();
    if (down == 0 || blockIdx.x / down * SIDE >= e.features) {
        return;
    }
    ExpertTile tile = expert_tile(e, blockIdx.x % down, SIDE);
    if (tile.count == 0) {
        return;
    }
    if (threadIdx.x < tile.count) {
        tile_slots[threadIdx.x] = e.choices[e.order_at + tile.first + threadIdx.x];
    }
    __syncthreads();
    Product p = of_expert(params.product, e, tile.expert);
    u32 first_row = 0, rows = tile.count;
#else
    const Product& p = params.product;
    u32 rows = product_rows(p, step);
    u32 down = (rows + SIDE - 1) / SIDE;
    pdl_wait();
    pdl_trigger();
    if (down == 0 || blockIdx.x / down * SIDE >= p.features) {
        return;
    }
    u32 first_row = blockIdx.x % down * SIDE;
#endif
    u32 first_feature = blockIdx.x / down * SIDE;
    u32 loaded = threadIdx.x / 4, unit = threadIdx.x % 4 * 8;
    u32 load_feature = min(first_feature + loaded, p.features - 1), load_row = min(first_row + loaded, rows - 1);
#if EXPERTS
    load_row = input_row(p, e, tile_slots[load_row]);
#endif
    u32 across = threadIdx.x % 16 * 4, along = threadIdx.x / 16 * 4;
    Number sums[4][4] = {};
    for (u32 k = 0; k < p.cols; k += STEP / 8 * UNIT_K) {
        Number w[8], x[8];
        load_weights(p, load_feature, k + unit / 8 * UNIT_K, w);
        load_activations(p, load_row, k + unit / 8 * UNIT_K, x);
        __syncthreads();
#pragma unroll
        for (u32 n = 0; n < 8; n++) {
            w_tile[unit + n][loaded] = w[n];
            x_tile[unit + n][loaded] = x[n];
        }
        __syncthreads();
#pragma unroll 8
        for (u32 n = 0; n < STEP; n++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
#pragma unroll
                for (u32 j = 0; j < 4; j++) {
                    sums[i][j] = add_product(sums[i][j], w_tile[n][across + j], x_tile[n][along + i]);
                }
            }
        }
    }
    for (u32 i = 0; i < 4; i++) {
        for (u32 j = 0; j < 4; j++) {
            u32 row = first_row + along + i, feature = first_feature + across + j;
            if (row < rows && feature < p.features) {
#if EXPERTS
                u32 slot = tile_slots[row];
                finish(p, slot, feature, worth(p, sums[i][j], input_row(p, e, slot), feature));
#else
                finish(p, row, feature, worth(p, sums[i][j], row, feature));
#endif
            }
        }
    }
}
