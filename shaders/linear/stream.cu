// Products with one to eight rows, at the speed of memory: y = factor · (x · wᵀ + bias) + residual. On matrix units, of which few rows
// leave most idle; but decoding then costs least.
//
// Layout: weights as shaders/CUDA.md says (f16, bf16, int8, nf4, int4, w8a8); x f32 rows, of w8a8 rows of codes with a scale each.
//
// How: a block's teams take 16 features each at a time. A team's warps take turns along K, in items of 128 bytes of each of the 16 rows, so that
// together they read a straight run of each; each keeps DEPTH items under way in a ring in shared memory of its own. The first are asked
// for before the launch waits for the one before it. Activations are rounded to 16 bits once and lie in shared memory. Warps' sums are
// added up in their order at the end of a tile. Where rows or K are too large for shared memory, `split` blocks share a tile's K; the last one
// to come adds up what all left, in order.
//
// Variants: FORMAT, GROUP (decode.cuh); EXPERTS: a product of one row for each slot (experts.cuh). For one row: NORM: x is normalised on its way
// in, x · (offset + weight) / sqrt(mean(x²) + ε); GATED: features come in two halves, y = function(first half) · second half; STORED: features
// are heads of queries, keys and values, of which the first two are turned (rope/turn.cuh), queries put into a value of their own, and the
// others into pages of f16. QUADS: x in fours. WARPS (of a team), TEAMS, DEPTH, CHUNK, BLOCKS: shapes, measured.
// Launch: 32 · WARPS · TEAMS threads; grid [split · blocks]; shared memory: sums (TEAMS · WARPS · 1,024 bytes), rings (TEAMS · WARPS · DEPTH · ITEM)
// and the activations, rows · (share of K · 2 (w8a8: 1) + 64).
// Cost: reads the weights once, and x once for each block. nf4 is looked up in shared memory, 16 loads to every 512 bytes of codes and warp.
// Measured on an H200 (2026-11-28; a read of its memory reaches 4.5 TB/s): the four products of a layer of the 8B shape, one row, one after the
// other: f16 109, int8 63, w8a8 61, nf4 56, int4 51 µs, of which the bytes alone would take 97, 50, 48, 26 and 26. (The warps' sums met without a barrier
// then, which is slower where launches are short.) Each launch takes 2.7 µs beyond its bytes; formats of four bits are bound by instructions,
// as many per weight as int8's. benches/results/2026-11-28-nvidia-h200/stream.txt has what was tried.
// Checked by the conformance groups `linear`, `rows`, `experts` and `random`, and by matvec.py against f64.
#include "lib/functions.cuh"
#include "kv/place.cuh"
#include "linear/stream.cuh"
#include "linear/stream_rows.cuh"

// What a warp asks for next: a chunk of a tile's rows. A tile's chunks are WARPS apart, so that pointers go on by a fixed distance.
struct Ask {
    // The lane's place in its rows of codes, and the row of scales that it copies from.
    const u8* rows[2];
    const u8* scales;
    u32 tile;
    u32 chunk;
    // Where the lane's codes and scales go in the ring's first item, and how far behind it the item asked for lies.
    u32 codes_to;
    u32 scales_to;
    u32 item;
};

__device__ __forceinline__ Ask begin_ask(u32 ring) {
    u32 lane = threadIdx.x % 32;
    Ask ask = {};
    ask.codes_to = kept(ring + code_place(lane / 4, lane % 4 * 16));
    ask.scales_to = kept(ring + 16 * CHUNK + lane * SCALE_COPY);
    return ask;
}

// Turns to a tile, from a chunk on.
__device__ __forceinline__ void begin_tile(const Params& params, Ask& ask, u32 tile, u32 chunk) {
    const Product& p = params.product;
    u32 lane = threadIdx.x % 32;
    ask.tile = tile;
    ask.chunk = chunk;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u64 row = feature_of(params, tile, lane / 4 + 8 * half);
        ask.rows[half] = p.codes + row * p.row_bytes + chunk * CHUNK + lane % 4 * 16;
    }
#if SCALES > 0
    u32 at = lane % SCALE_COPIES * SCALE_COPY;
    ask.scales = p.scales + static_cast<u64>(feature_of(params, tile, min(lane / SCALE_COPIES, 15))) * p.row_scales + at;
#endif
}

// Where in the ring the next item lies.
__device__ __forceinline__ u32 item_after(u32 item) {
    return item == (DEPTH - 1) * ITEM ? 0 : item + ITEM;
}

// Asks for the item, and turns to the tile's next one.
__device__ __forceinline__ void ask_item(const Product& p, Ask& ask) {
    u32 to = ask.codes_to + ask.item;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
#pragma unroll
        for (u32 n = 0; n < CHUNK / 64; n++) {
            copy_async_to<16>(to + half * 512 + n * 1024, ask.rows[half] + n * 64);
        }
        ask.rows[half] += WARPS * CHUNK;
    }
#if SCALES > 0
    u32 lane = threadIdx.x % 32;
    if (16 * SCALE_COPIES == 32 || lane < 16 * SCALE_COPIES) {
        copy_scales<SCALE_COPY>(ask.scales_to + ask.item, ask.scales, scales_place(ask.chunk), p.row_scales - lane % SCALE_COPIES * SCALE_COPY);
    }
#endif
}

#if GROUPED
// Scales of a row as they were copied for a chunk.
struct alignas(16) Scales {
    u32 of[SCALES / 4];
};

__device__ __forceinline__ Scales load_scales(u32 copied) {
    Scales scales;
#if SCALES % 16 == 0
#pragma unroll
    for (u32 i = 0; i < SCALES / 16; i++) {
        *reinterpret_cast<uint4*>(scales.of + 4 * i) = load_shared_16(copied + 16 * i);
    }
#elif SCALES == 8
    *reinterpret_cast<uint2*>(scales.of) = load_shared_8(copied);
#else
    scales.of[0] = load_shared_4(copied);
#endif
    return scales;
}

// The scale of a segment's group, and in int4 its zero point in the upper half.
__device__ __forceinline__ u32 scale_bits(const Scales& scales, u32 chunk, u32 segment) {
    u32 at = scale_place(chunk, segment);
    return FORMAT == 5 ? scales.of[at / 4] : scales.of[at / 4] >> at % 4 * 8 & 0xffffu;
}
#endif

// Pieces of activations that a lane holds at once. Lanes whose row there is none hold zeros.
#define HELD_PIECES 4

// Where a lane reads, in shared memory.
struct Lane {
    // In the ring's first item.
    u32 codes;
    u32 scales;
    // In the activations.
    u32 x;
    // Whether there is a row of activations for it.
    u32 active;
    u32 decoding;
    uint4 pieces[HELD_PIECES];
};

__device__ __forceinline__ Lane begin_lane(u32 ring, u32 x, u32 pitch, u32 rows) {
    u32 lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    Lane of = {};
    of.codes = kept(ring + g * SEGMENT + t * LANE_BYTES);
    of.scales = kept(ring + 16 * CHUNK + g * SCALES);
    of.x = kept(x + g * pitch + t * 16);
    of.active = kept(g < rows);
    of.decoding = decoding_place();
    return of;
}

// The products of the item that lies so far behind the ring's first one, with the activations so far behind their first ones.
__device__ __forceinline__ void item_products(Sum (&sums)[4], Lane& lane, u32 item, u32 x, u32 chunk) {
#if GROUPED
    const Scales of_rows[2] = {load_scales(lane.scales + item), load_scales(lane.scales + item + 8 * SCALES)};
#endif
#pragma unroll
    for (u32 segment = 0; segment < CHUNK / SEGMENT; segment++) {
        u32 eight = lane.codes + item + segment * SEGMENT / 64 * 1024 + segment % (64 / SEGMENT) * (8 * SEGMENT);
        u32 operands[2][OPERANDS];
        u32 scales[2] = {};
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            alignas(16) u32 codes[LANE_WORDS];
#if LANE_WORDS == 4
            *reinterpret_cast<uint4*>(codes) = load_shared_16(eight + half * 512);
#elif LANE_WORDS == 2
            *reinterpret_cast<uint2*>(codes) = load_shared_8(eight + half * 512);
#else
            codes[0] = load_shared_4(eight + half * 512);
#endif
#if GROUPED
            scales[half] = scale_bits(of_rows[half], chunk, segment);
#endif
            decode(codes, scales[half], lane.decoding, operands[half]);
        }
        Sum part[4] = {};
#pragma unroll
        for (u32 piece = 0; piece < PIECES; piece++) {
            u32 n = segment * PIECES + piece;
            uint4& b = lane.pieces[n % HELD_PIECES];
            load_shared_16_if(b, lane.x + x + n * 64, lane.active);
            piece_products(GROUPED ? part : sums, operands[0] + 4 * piece, operands[1] + 4 * piece, b);
        }
#if GROUPED
        float first = half_value(scales[0] & 0xffffu), second = half_value(scales[1] & 0xffffu);
        sums[0] += first * part[0];
        sums[1] += first * part[1];
        sums[2] += second * part[2];
        sums[3] += second * part[3];
#endif
    }
}

__device__ __forceinline__ float worth(const Product& p, Sum sum, u32 row, u32 feature) {
#if FORMAT == 6
    return static_cast<float>(sum) * p.x_scales[row] * reinterpret_cast<const float*>(p.scales)[feature];
#else
    return sum;
#endif
}

// A result but for its residual, of which these variants have none.
__device__ __forceinline__ float unfinished(const Product& p, Sum sum, u32 row, u32 feature) {
    return (worth(p, sum, row, feature) + (p.bias ? p.bias[feature] : 0.0f)) * p.factor;
}

// Writes the i-th sum of a tile, [row of activations][row of the tile], each lane of a warp its own.
__device__ __forceinline__ void write(const Params& p, const Step* step, u32 tile, Sum sum, u32 i, u32 rows) {
    const Product& q = p.product;
    u32 n = i % 16, row = i / 16;
#if GATED
    u32 at = tile * 8 + n % 8, half = q.features / 2, feature = at + n / 8 * half;
    float y = 0.0f;
    if (row < rows && at < half) {
        y = unfinished(q, sum, row, feature);
    }
    float up = __shfl_down_sync(~0u, y, 8, 16);
    if (n < 8 && row < rows && at < half) {
        q.y[static_cast<u64>(row) * q.y_stride + at] = apply(p.function, y) * up;
    }
#elif STORED
    // One row: the first.
    const Stored& to = p.stored;
    u32 tiles = to.dim / 16, head = tile / tiles, pair = tile % tiles * 8 + n % 8, element = element_of(to, tile % tiles, n);
    float y = 0.0f;
    if (row == 0) {
        u32 feature = head * to.dim + element;
        y = unfinished(q, sum, row, feature);
    }
    float other = __shfl_xor_sync(~0u, y, 8, 16);
    if (row > 0) {
        return;
    }
    bool is_query = head < to.heads;
    head -= is_query ? 0 : to.heads;
    bool is_first = head < to.kv_heads;
    head -= is_query || is_first ? 0 : to.kv_heads;
    bool is_key = !is_query && is_first == (to.keys_first != 0);
    if (is_query || is_key) {
        const float* angles = step->angles + to.angle_first;
        float sine = angles[to.dim / 2 + pair];
        y = y * angles[pair] + (n < 8 ? -sine : sine) * other;
    }
    if (is_query) {
        to.rotated[head * to.dim + element] = y;
    } else {
        u32 slot = step->row_slot[0];
        u64 place = vector_of(slot, head, to.kv_heads, to.page_tokens);
        u16* vector = reinterpret_cast<u16*>((is_key ? to.keys : to.values) + place * to.vector_bytes);
        vector[element] = half_bits(y);
    }
#else
    u32 feature = tile * 16 + n;
    if (row < rows && feature < q.features) {
        finish(q, row, feature, worth(q, sum, row, feature));
    }
#endif
}

extern __shared__ __align__(128) u8 shared[];
__shared__ u32 is_last[TEAMS];

// Waits for the warps of a team.
__device__ __forceinline__ void team_sync(u32 team) {
#if TEAMS == 1
    __syncthreads();
#else
    asm volatile("bar.sync %0, %1;" ::"r"(team + 1), "n"(32 * WARPS) : "memory");
#endif
}

// Adds up the warps' sums of a tile and writes it, or leaves it to the block that comes last.
__device__ __forceinline__ void tile_end(const Params& p, const Step* step, const Sum (&sums)[4], u32 tile, u32 turn, u32 part, u32 rows) {
    const Product& q = p.product;
    u32 team = threadIdx.x / (32 * WARPS), i = threadIdx.x % (32 * WARPS), g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    // Sums of whole warps: of one row, half a warp's are none of a row's.
    bool has_sum = i < (rows + 1) / 2 * 32;
    // [team][tiles that take turns][warp][row of activations][row of the tile]
    Sum* all = reinterpret_cast<Sum*>(shared) + (team * 2 + turn % 2) * (WARPS * 128);
    Sum* mine = all + i / 32 * 128;
    mine[2 * t * 16 + g] = sums[0];
    mine[(2 * t + 1) * 16 + g] = sums[1];
    mine[2 * t * 16 + g + 8] = sums[2];
    mine[(2 * t + 1) * 16 + g + 8] = sums[3];
    team_sync(team);
    Sum sum = 0;
    if (has_sum) {
#pragma unroll
        for (u32 w = 0; w < WARPS; w++) {
            sum += all[w * 128 + i];
        }
    }
    if (q.split > 1) {
        Sum* parts = reinterpret_cast<Sum*>(q.parts) + static_cast<u64>(tile) * q.split * 128;
        if (has_sum) {
            parts[part * 128 + i] = sum;
        }
        __threadfence();
        team_sync(team);
        if (i == 0) {
            is_last[team] = atomicAdd(q.arrived + tile, 1) == q.split - 1;
        }
        team_sync(team);
        if (!is_last[team]) {
            return;
        }
        __threadfence();
        sum = 0;
        if (has_sum) {
            for (u32 other = 0; other < q.split; other++) {
                sum += __ldcg(parts + other * 128 + i);
            }
        }
        if (i == 0) {
            q.arrived[tile] = 0;
        }
    }
    if (has_sum) {
        write(p, step, tile, sum, i, rows);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) stream(const __grid_constant__ Params params, const Step* step) {
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
    u32 warp = threadIdx.x / 32 % WARPS;
    u32 part = block % q.split, blocks = count / q.split;
    u32 chunks = q.row_bytes / CHUNK;
    Share share;
    share.first = chunks * part / q.split;
    share.count = chunks * (part + 1) / q.split - share.first;
    u8* x = shared + SUMS + TEAMS * WARPS * DEPTH * ITEM;
    u32 ring = shared_address(shared) + SUMS + threadIdx.x / 32 * (DEPTH * ITEM);
    u32 pitch = share.count * CHUNK_X + 64;
    u32 tiles = tiles_of(q), step_tiles = blocks * TEAMS;
    u32 first_tile = block / q.split + threadIdx.x / (32 * WARPS) * blocks;
    // Items of a tile to a warp; some have one fewer.
    u32 turns = (share.count + WARPS - 1) / WARPS;
    u32 first = share.first + warp, end = share.first + share.count;

    Ask ask = begin_ask(ring);
    begin_tile(p, ask, first_tile, first);
    auto ask_next = [&]() {
        if (ask.tile < tiles && ask.chunk < end) {
            ask_item(q, ask);
        }
        copies_commit();
        ask.item = item_after(ask.item);
        ask.chunk += WARPS;
        if (ask.chunk >= first + turns * WARPS) {
            begin_tile(p, ask, ask.tile + step_tiles, first);
        }
    };
    for (u32 i = 0; i < DEPTH - 1; i++) {
        ask_next();
    }
    prepare_decoding();
#if !EXPERTS
    u32 rows = min(product_rows(q, step), 8u);
#if NORM
    u32 pieces = share.count * (CHUNK_K / PIECE_K);
    bool held = q.split == 1 && pieces <= HELD * THREADS;
    float weights[HELD][8];
    if (held) {
        hold_weights(p, weights, pieces);
    }
#endif
    pdl_wait();
#endif
    pdl_trigger();
#if NORM
    if (held) {
        bring_held(p, weights, x, pieces);
    } else {
        bring_rows(p, x, pitch, share, rows);
    }
#else
    bring_rows(p, x, pitch, share, rows);
#endif
    __syncthreads();
    Lane lane = begin_lane(ring, shared_address(x) + warp * CHUNK_X, pitch, rows);
    u32 item = 0, done = 0;
    for (u32 tile = first_tile; tile < tiles; tile += step_tiles, done++) {
        Sum sums[4] = {};
        for (u32 chunk = first, at = 0; chunk < first + turns * WARPS; chunk += WARPS, at += WARPS * CHUNK_X) {
            copies_wait<DEPTH - 2>();
            // All lanes' copies are there, and the item asked for next is no longer read.
            __syncwarp();
            ask_next();
            if (chunk < end) {
                item_products(sums, lane, item, at, chunk);
            }
            item = item_after(item);
        }
        tile_end(p, step, sums, tile, done, part, rows);
    }
}
