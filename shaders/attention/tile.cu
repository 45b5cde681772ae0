// Attention of neighbouring rows of one sequence: prompts, whole or in pieces, behind what the cache already holds.
//
// A block takes QUERIES queries, which are 64, 32 or 16 rows times one, two, four or eight heads that share a key head (head_shift), and goes
// over the positions that they see, KEYS at a time. Those come through shared memory, STAGES under way, gathered from their pages
// sixteen bytes at a time. For each KEYS of them:
//   1. scores: a warp has 16 or 32 of the queries, queries × keysᵀ on matrix units;
//   2. softmax in f32 against the largest score of the row so far, which moves only when one exceeds it by GROWTH;
//   3. sums += shares × values; shares go from the one product to the other in registers.
// Pages of int8 arrive as codes, and are made f16 in shared memory. Where there are too few tiles to keep the device busy, a tile's positions
// are cut into shares (z); the last to finish puts them together.
//
// Precision: as in attention/single.cu.
//
// Shapes: query rows × (heads · dim) f32, output likewise; pools: see CUDA.md. `partials`: for each tile, run of heads and share, DIM + 4
// floats of each query: sums, not yet divided, then the largest score and the sum of shares. `counters`: for each tile and run, zero
// between launches.
// Variants: DIM (64, 128, 256: the head's elements, filled up), WHOLE (dim is DIM), INT8, CAPPED, QUERIES (128 and, where registers or shared memory are
// few, 64 or 32).
// Costs 4 · dim operations per query and position; the cache is read once per QUERIES.
// Checked by the attention cases of conformance, and by benches/cuda/attention.py.

#include "attention/params.cuh"
#include "attention/units.cuh"

#ifndef DIM
#define DIM 128
#define WHOLE 1
#define INT8 0
#define QUERIES 128
#endif

// As ops/attention.rs has them.
#ifndef KEYS
#define KEYS (DIM > 128 && QUERIES < 64 ? 16 : 32)
#define STAGES (ARCH < 80 || DIM > 128 ? 2 : 3)
#endif

// Tiles of 16 queries that a warp has.
#define TALL (QUERIES == 128 ? 2 : 1)
#define WARPS (QUERIES / 16 / TALL)
#define THREADS (32 * WARPS)
#define GROWTH 10.0f
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

// What a lane has of its warp's queries: rows g and g + 8 of each tile of 16.
struct Found {
    float sums[TALL][DIM / 8][4];
    float base[TALL][2];
    float total[TALL][2];
};

__device__ __forceinline__ u32 shared_address(const void* at) {
    return (u32)__cvta_generic_to_shared(at);
}

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
        float by = fit_f16(largest, undone);
        *(uint4*)(memory + place_of<GRANULES>(query, granule)) = make_uint4(
            halves_of(x[0] * by, x[1] * by), halves_of(x[2] * by, x[3] * by), halves_of(x[4] * by, x[5] * by),
            halves_of(x[6] * by, x[7] * by));
        if (granule == 0) {
            factors[query] = factor_of(p, undone);
        }
    }
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

// Makes `products` scores, in units of log 2, and says whether one exceeds what its row's shares are relative to by more than GROWTH.
// `positions` are those of rows g and g + 8; where not `all` are seen by all, those that are not get the lowest score.
__device__ __forceinline__ bool scores(const Params& p, u32 block, bool all, const float (&by)[2], const u32 (&positions)[2], u32 lane,
                                       const float (&base)[2], float (&c)[KEYS / 8][4]) {
    bool grown = false;
#pragma unroll
    for (u32 n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 key = 8 * n + 2 * (lane % 4) + i % 2;
            float s = INT8 ? c[n][i] * key_factors[block % (STAGES + 1)][key] : c[n][i];
            s = score_of(s, by[i / 2], p.softcap);
            if (!all) {
                u32 position = block * KEYS + key;
                // Of what lies ahead the difference wraps around, and says nothing.
                bool seen = position <= positions[i / 2] && positions[i / 2] - position < p.window;
                s = seen ? s : LOWEST;
            }
            grown |= s > base[i / 2] + GROWTH;
            c[n][i] = s;
        }
    }
    return grown;
}

// Makes shares relative to the largest scores, whose sums and totals follow.
__device__ __forceinline__ void rescale(Found& found, u32 m, const float (&c)[KEYS / 8][4]) {
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        float top = found.base[m][half];
#pragma unroll
        for (u32 n = 0; n < KEYS / 8; n++) {
            top = fmaxf(top, fmaxf(c[n][2 * half], c[n][2 * half + 1]));
        }
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
        top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
        float by = power2(found.base[m][half] - top);
        found.base[m][half] = top;
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
                float base = found.base[m][half];
                a[m][i] = halves_of(power2(s[2 * half] - base), power2(s[2 * half + 1] - base));
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
        const float by[2] = {factors[query], factors[query + 8]};
        const u32 positions[2] = {tile.position + row_of(p, tile, query), tile.position + row_of(p, tile, query + 8)};
        bool grown = all ? scores(p, block, true, by, positions, lane, found.base[m], c[m])
                         : scores(p, block, false, by, positions, lane, found.base[m], c[m]);
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
                float* left = own + query * (DIM + 4);
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

// What the last share of a tile to finish does: weighs and adds up what all have left. A warp does a query at a time.
__device__ __forceinline__ void put_together(const Params& p, const Tile& tile, const float* partials, u32 shares) {
    u32 lane = threadIdx.x % 32;
    for (u32 query = threadIdx.x / 32; query < QUERIES; query += WARPS) {
        const float* left = partials + query * (DIM + 4);
        float top = LOWEST, total = 0.0f;
        for (u32 i = 0; i < shares; i++) {
            top = fmaxf(top, __ldcg(left + i * QUERIES * (DIM + 4) + DIM));
        }
        float2 sums[DIM / 64] = {};
#pragma unroll 4
        for (u32 i = 0; i < shares; i++) {
            const float* of_share = left + i * QUERIES * (DIM + 4);
            float2 found = __ldcg((const float2*)(of_share + DIM));
            float weight = power2(found.x - top);
            total += weight * found.y;
#pragma unroll
            for (u32 n = 0; n < DIM / 64; n++) {
                float2 part = __ldcg((const float2*)(of_share + 64 * n + 2 * lane));
                sums[n].x += weight * part.x;
                sums[n].y += weight * part.y;
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

extern "C" __global__ void __launch_bounds__(THREADS, 2) tile(const __grid_constant__ Params p, const Step* step) {
    Tile tile;
    bool there = find_tile(p, step, tile);
    pdl_wait();
    if (!there) {
        return;
    }
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u32 block = tile.begin / KEYS, end = (tile.end + KEYS - 1) / KEYS;
    u32 shares = max(min((end - block) / p.share_blocks, gridDim.z), 1);
    u32 each = (end - block + shares - 1) / shares;
    shares = (end - block + each - 1) / each;
    if (blockIdx.z >= shares) {
        return;
    }
    block += blockIdx.z * each;
    end = min(block + each, end);
    u32 begin = block;
    Ahead ahead = look_up_first(p, tile, block);
    __syncthreads();
    for (u32 i = 0; i < STAGES - 1; i++) {
        send_for(p, block + i);
        copies_commit();
    }
    load_queries(p, tile);
    Found found = {};
    for (u32 m = 0; m < TALL; m++) {
        found.base[m][0] = found.base[m][1] = LOWEST;
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

    u32 task = blockIdx.y * gridDim.x + blockIdx.x;
    float* partials = p.partials + (u64)task * gridDim.z * QUERIES * (DIM + 4);
    write_out(p, tile, shares > 1 ? partials + blockIdx.z * QUERIES * (DIM + 4) : nullptr, warp, lane, found);
    if (shares == 1) {
        return;
    }
    if (is_last_of(p.counters + task, shares)) {
        put_together(p, tile, partials, shares);
    }
}
