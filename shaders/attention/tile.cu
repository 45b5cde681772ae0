// Attention of neighbouring rows of one sequence: prompts, whole or in pieces, behind what the cache already holds.
//
// A block takes QUERIES queries, which are 64, 32 or 16 rows times one, two, four or eight heads that share a key head (head_shift), and goes
// over the positions that they see, KEYS at a time. Those come through shared memory, STAGES under way, gathered from their pages
// sixteen bytes at a time. For each KEYS of them:
//   1. scores: a warp has 16 or 32 of the queries, queries × keysᵀ on matrix units;
//   2. softmax in f32 against the largest score of the row so far, which moves only when one exceeds it by GROWTH;
//   3. sums += shares × values; shares go from the one product to the other in registers.
// Pages of int8 arrive as codes, and are made f16 in shared memory. Where there are too few tiles to keep the device busy, a tile's positions
// are cut into shares (z), which a launch of `put_together` adds up.
//
// Precision: as in attention/single.cu.
//
// Shapes: query rows × (heads · dim) f32, output likewise; pools: see CUDA.md. `partials`: for each tile, run of heads and share, DIM + 4
// floats of each query: sums, not yet divided, then the largest score and the sum of shares.
// Variants: DIM (64, 128, 256: the head's elements, filled up), WHOLE (dim is DIM), INT8, CAPPED, QUERIES (128 and, where registers or shared memory are
// few, 64 or 32), KEYS and STAGES.
// Costs 4 · dim operations per query and position; the cache is read once per QUERIES.
// Checked by the attention cases of conformance, and by benches/cuda/attention.py.

#include "attention/tile_memory.cuh"

#define INFINITY __uint_as_float(0x7f800000u)

// Floats of a query and of a share in `partials`.
#define QUERY_FLOATS (DIM + 4)
#define SHARE_FLOATS (QUERIES * QUERY_FLOATS)

// What a lane has of its warp's queries: rows g and g + 8 of each tile of 16.
struct Found {
    float sums[TALL][DIM / 8][4];
    // What shares are relative to, in units of log 2; the sum of the lane's shares.
    float base[TALL][2];
    float total[TALL][2];
    // Brings what `scores` gives to units of log 2; and beyond what the base has to move.
    float factor[TALL][2];
    float limit[TALL][2];
};

__device__ __forceinline__ void load_matrices(u32 (&x)[4], u32 at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
}

__device__ __forceinline__ void load_turned(u32 (&x)[4], u32 at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(at)
                 : "memory");
}

// Where a lane's row of 16-byte granules begins for `load_matrices`: `granule` is 0 or 1. Two granules on is 32 bytes on, exclusively or'd,
// since rows are aligned to their length.
#define ROW_BYTES (16 * GRANULES)
__device__ __forceinline__ u32 lane_row(u32 at, u32 row, u32 granule) {
    return at + ROW_BYTES * row + 16 * (granule ^ (row & 7));
}

// Queries × keysᵀ: 16 · TALL queries and KEYS positions.
__device__ __forceinline__ void products(u32 keys, u32 first_query, u32 lane, float (&c)[TALL][KEYS / 8][4]) {
    u32 queries = lane_row(shared_address(memory), first_query + lane % 16, lane / 16);
    keys = lane_row(keys, 8 * (lane / 16) + lane % 8, lane / 8 % 2);
#pragma unroll
    for (u32 k = 0; k < DIM / 16; k++) {
        u32 a[TALL][4];
#pragma unroll
        for (u32 m = 0; m < TALL; m++) {
            load_matrices(a[m], (queries ^ 32 * k) + 16 * ROW_BYTES * m);
        }
#pragma unroll
        for (u32 n = 0; n < KEYS / 16; n++) {
            u32 b[4];
            load_matrices(b, (keys ^ 32 * k) + 16 * ROW_BYTES * n);
#pragma unroll
            for (u32 m = 0; m < TALL; m++) {
                product_f16(c[m][2 * n], a[m][0], a[m][1], a[m][2], a[m][3], b[0], b[1]);
                product_f16(c[m][2 * n + 1], a[m][0], a[m][1], a[m][2], a[m][3], b[2], b[3]);
            }
        }
    }
}

// Makes `products` scores, but for the row's factor, and says whether one is beyond the row's limit. `positions` are those of rows g and
// g + 8; where not `all` positions are seen by all, those that are not count for nothing.
__device__ __forceinline__ bool scores(const Params& p, u32 block, bool all, const u32 (&positions)[2], u32 lane, const float (&factor)[2],
                                       const float (&limit)[2], float (&c)[KEYS / 8][4]) {
    float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (u32 n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 key = 8 * n + 2 * (lane % 4) + i % 2;
            float s = INT8 ? c[n][i] * key_factors[block % (STAGES + 1)][key] : c[n][i];
            if (CAPPED) {
                s = score_of(s, factor[i / 2], p.softcap);
            }
            if (!all) {
                u32 position = block * KEYS + key;
                // Of what lies ahead the difference wraps around, and says nothing.
                bool seen = position <= positions[i / 2] && positions[i / 2] - position < p.window;
                s = seen ? s : -INFINITY;
            }
            largest[i / 2] = fmaxf(largest[i / 2], s);
            c[n][i] = s;
        }
    }
    return largest[0] > limit[0] || largest[1] > limit[1];
}

// Makes shares relative to the largest scores, whose sums and totals follow.
__device__ __forceinline__ void rescale(Found& found, u32 m, const float (&c)[KEYS / 8][4]) {
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        float top = -INFINITY, factor = CAPPED ? 1.0f : found.factor[m][half];
#pragma unroll
        for (u32 n = 0; n < KEYS / 8; n++) {
            top = fmaxf(top, fmaxf(c[n][2 * half], c[n][2 * half + 1]));
        }
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
        top = fmaxf(top * factor, found.base[m][half]);
        float by = power2(found.base[m][half] - top);
        found.base[m][half] = top;
        found.limit[m][half] = (top + GROWTH) / factor;
        found.total[m][half] *= by;
#pragma unroll
        for (u32 n = 0; n < DIM / 8; n++) {
            found.sums[m][n][2 * half] *= by;
            found.sums[m][n][2 * half + 1] *= by;
        }
    }
}

// sums += shares × values, shares being what the scores stand for.
__device__ __forceinline__ void add_values(u32 values, u32 lane, const float (&c)[TALL][KEYS / 8][4], Found& found) {
    values = lane_row(values, lane % 16, lane / 16);
#pragma unroll
    for (u32 k = 0; k < KEYS / 16; k++) {
        u32 a[TALL][4];
#pragma unroll
        for (u32 m = 0; m < TALL; m++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                const float (&s)[4] = c[m][2 * k + i / 2];
                u32 half = i % 2;
                float base = found.base[m][half], factor = CAPPED ? 1.0f : found.factor[m][half];
                a[m][i] = halves_of(power2(fmaf(s[2 * half], factor, -base)), power2(fmaf(s[2 * half + 1], factor, -base)));
                // What is divided by is the sum of what is multiplied with.
                found.total[m][half] += low_half(a[m][i]) + high_half(a[m][i]);
            }
        }
#pragma unroll
        for (u32 n = 0; n < DIM / 16; n++) {
            u32 b[4];
            load_turned(b, (values ^ 32 * n) + 16 * ROW_BYTES * k);
#pragma unroll
            for (u32 m = 0; m < TALL; m++) {
                product_f16(found.sums[m][2 * n], a[m][0], a[m][1], a[m][2], a[m][3], b[0], b[1]);
                product_f16(found.sums[m][2 * n + 1], a[m][0], a[m][1], a[m][2], a[m][3], b[2], b[3]);
            }
        }
    }
}

// One block of positions for one warp.
__device__ __forceinline__ void attend(const Params& p, const Tile& tile, u32 block, u32 warp, u32 lane, Found& found) {
    u32 first_query = 16 * TALL * warp;
    u32 keys = shared_address(memory) + QUERY_BYTES + (INT8 ? 0 : block % STAGES * STAGE_BYTES);
    u32 values = keys + (INT8 ? HALVES_BYTES : STAGE_BYTES) / 2;
    float c[TALL][KEYS / 8][4] = {};
    products(keys, first_query, lane, c);
    bool all = block * KEYS + KEYS - 1 <= tile.position && tile.end - 1 - block * KEYS < p.window;
#pragma unroll
    for (u32 m = 0; m < TALL; m++) {
        u32 query = first_query + 16 * m + lane / 4;
        const u32 positions[2] = {tile.position + row_of(p, tile, query), tile.position + row_of(p, tile, query + 8)};
        bool grown = all ? scores(p, block, true, positions, lane, found.factor[m], found.limit[m], c[m])
                         : scores(p, block, false, positions, lane, found.factor[m], found.limit[m], c[m]);
        if (__any_sync(~0u, grown)) {
            rescale(found, m, c[m]);
        }
    }
    add_values(values, lane, c, found);
}

// What is to be done with a query's sums: which they are relative to what, how much they are in all, and where they go.
struct Result {
    float by;
    float* out;
};

// Where the result of a query goes (null: nowhere), and what its sums are multiplied with.
__device__ __forceinline__ Result result_of(const Params& p, const Tile& tile, u32 query, float top, float total) {
    u32 row = query >> p.head_shift, head = query & ((1u << p.head_shift) - 1);
    Result result = {1.0f, nullptr};
    if (row >= tile.rows || head >= tile.heads) {
        return result;
    }
    if (p.sinks != nullptr) {
        float sink = p.sinks[tile.first_head + head] * LOG2E;
        float both = fmaxf(sink, top);
        result.by = power2(top - both);
        total = total * result.by + power2(sink - both);
    }
    result.by /= total;
    result.out = p.output + ((u64)(tile.first_row + row) * p.heads + tile.first_head + head) * p.dim;
    return result;
}

// Two elements of a result from d on.
__device__ __forceinline__ void write_two(const Params& p, float* out, u32 d, float x, float y) {
    if (WHOLE) {
        *(float2*)(out + d) = make_float2(x, y);
        return;
    }
    if (d < p.dim) {
        out[d] = x;
    }
    if (d + 1 < p.dim) {
        out[d + 1] = y;
    }
}

// Divides the sums and writes them, or leaves them at `own` where that is not null.
__device__ __forceinline__ void write_out(const Params& p, const Tile& tile, float* own, u32 warp, u32 lane, Found& found) {
#pragma unroll
    for (u32 m = 0; m < TALL; m++) {
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u32 query = 16 * (TALL * warp + m) + 8 * half + lane / 4;
            float total = found.total[m][half];
            total += __shfl_xor_sync(~0u, total, 1);
            total += __shfl_xor_sync(~0u, total, 2);
            if (own != nullptr) {
                float* left = own + query * QUERY_FLOATS;
#pragma unroll
                for (u32 n = 0; n < DIM / 8; n++) {
                    *(float2*)(left + 8 * n + 2 * (lane % 4)) = make_float2(found.sums[m][n][2 * half], found.sums[m][n][2 * half + 1]);
                }
                if (lane % 4 == 0) {
                    *(float2*)(left + DIM) = make_float2(found.base[m][half], total);
                }
                continue;
            }
            Result result = result_of(p, tile, query, found.base[m][half], total);
            if (result.out == nullptr) {
                continue;
            }
#pragma unroll
            for (u32 n = 0; n < DIM / 8; n++) {
                float x = found.sums[m][n][2 * half] * result.by, y = found.sums[m][n][2 * half + 1] * result.by;
                write_two(p, result.out, 8 * n + 2 * (lane % 4), x, y);
            }
        }
    }
}

__device__ __forceinline__ bool find_tile(const Params& p, const Step* step, Tile& tile) {
    const u32 lengths[3] = {step->tiles16, step->tiles32, step->tiles64};
    u32 index = step->singles + (p.tiles > 0 ? lengths[0] : 0) + (p.tiles > 1 ? lengths[1] : 0) + blockIdx.y;
    const u32* entry = step->attention + 4 * index;
    if (blockIdx.y >= (p.tiles == 0 ? lengths[0] : p.tiles == 1 ? lengths[1] : lengths[2])) {
        return false;
    }
    tile.first_row = entry[0];
    tile.pages = step->attention + entry[1];
    tile.position = entry[2];
    tile.rows = entry[3];
    tile.begin = tile.position + 1 - min(tile.position + 1, p.window);
    tile.end = tile.position + tile.rows;
    tile.kv_head = blockIdx.x / p.head_runs;
    u32 first_of_run = blockIdx.x % p.head_runs << p.head_shift;
    tile.first_head = tile.kv_head * p.group + first_of_run;
    tile.heads = min(1u << p.head_shift, p.group - first_of_run);
    return true;
}

// Into how many shares the positions of a tile are cut, and how many blocks of KEYS each has.
__device__ __forceinline__ u32 shares_of(const Params& p, const Tile& tile, u32 most, u32& each) {
    u32 blocks = (tile.end + KEYS - 1) / KEYS - tile.begin / KEYS;
    u32 shares = max(min(blocks / p.share_blocks, most), 1);
    each = (blocks + shares - 1) / shares;
    return (blocks + each - 1) / each;
}

__device__ __forceinline__ float* partials_of(const Params& p, u32 shares) {
    return p.partials + (u64)(blockIdx.y * gridDim.x + blockIdx.x) * shares * SHARE_FLOATS;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) tile(const __grid_constant__ Params p, const Step* step) {
    Tile tile;
    bool there = find_tile(p, step, tile);
    pdl_wait();
    if (!there) {
        return;
    }
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u32 each, shares = shares_of(p, tile, gridDim.z, each);
    if (blockIdx.z >= shares) {
        return;
    }
    u32 block = tile.begin / KEYS + blockIdx.z * each;
    u32 end = min(block + each, (tile.end + KEYS - 1) / KEYS);
    u32 begin = block;
    Ahead ahead = look_up_first(p, tile, block);
    __syncthreads();
    for (u32 i = 0; i < STAGES - 1; i++) {
        send_for(p, block + i);
        copies_commit();
    }
    load_queries(p, tile);
    __syncthreads();
    Found found = {};
    for (u32 m = 0; m < TALL; m++) {
        for (u32 half = 0; half < 2; half++) {
            found.base[m][half] = LOWEST;
            found.limit[m][half] = -INFINITY;
            found.factor[m][half] = factors[16 * (TALL * warp + m) + 8 * half + lane / 4];
        }
    }
    for (; block < end; block++) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        send_for(p, block + STAGES - 1);
        copies_commit();
        look_ahead(p, tile, block, block == begin, ahead);
        if (INT8) {
            make_halves(block);
            __syncthreads();
        }
        attend(p, tile, block, warp, lane, found);
    }
    pdl_trigger();

    float* own = partials_of(p, gridDim.z) + blockIdx.z * SHARE_FLOATS;
    write_out(p, tile, shares > 1 ? own : nullptr, warp, lane, found);
}

// Weighs and adds up what the shares of a tile have left, in a grid like that of `tile`. A warp has a query at a time.
extern "C" __global__ void __launch_bounds__(1024) put_together(const __grid_constant__ Params p, const Step* step) {
    Tile tile;
    bool there = find_tile(p, step, tile);
    pdl_wait();
    pdl_trigger();
    u32 each, shares = there ? shares_of(p, tile, gridDim.z, each) : 1;
    if (shares == 1) {
        return;
    }
    u32 lane = threadIdx.x % 32, warps = blockDim.x / 32;
    u32 queries = min(QUERIES, tile.rows << p.head_shift);
    for (u32 query = blockIdx.z * warps + threadIdx.x / 32; query < queries; query += gridDim.z * warps) {
        const float* left = partials_of(p, gridDim.z) + query * QUERY_FLOATS;
        float top = LOWEST, total = 0.0f;
        float2 sums[DIM / 64] = {};
#pragma unroll 4
        for (u32 i = 0; i < shares; i++) {
            const float* of_share = left + i * SHARE_FLOATS;
            float2 found = __ldcg((const float2*)(of_share + DIM));
            float now = fmaxf(top, found.x), before = power2(top - now), weight = power2(found.x - now);
            top = now;
            total = total * before + weight * found.y;
#pragma unroll
            for (u32 n = 0; n < DIM / 64; n++) {
                float2 part = __ldcg((const float2*)(of_share + 64 * n + 2 * lane));
                sums[n].x = sums[n].x * before + weight * part.x;
                sums[n].y = sums[n].y * before + weight * part.y;
            }
        }
        Result result = result_of(p, tile, query, top, total);
        if (result.out == nullptr) {
            continue;
        }
#pragma unroll
        for (u32 n = 0; n < DIM / 64; n++) {
            write_two(p, result.out, 64 * n + 2 * lane, sums[n].x * result.by, sums[n].y * result.by);
        }
    }
}
