// Attention of rows that are few of their sequence: a reply's next token.
//
// A block takes one of as many shares of a row's positions as are worth it (x; how many there are is decided here, so that a grid
// serves steps of all lengths), up to eight query heads that share a key head (y), and one row (z). Its warps go over the share in
// blocks of positions, each over others:
//   1. scores: keys × queriesᵀ on matrix units (16 positions × 8 heads), keys straight from memory into their places of the operand;
//   2. softmax against the largest score of the warp so far, which moves only when one exceeds it by GROWTH: shares are at most
//      2^GROWTH then, which f16 holds;
//   3. sums: valuesᵀ × shares (16 elements × 8 heads); pairs of positions are put together in registers.
// Nothing passes through shared memory but the warps' sums at the end; the next block of positions is on its way while one is worked on,
// and so is what page the one after it is in. A key or a value is read once for all heads of its group.
//
// The last share of a row to finish puts together what all have left.
//
// Precision: queries are rounded to f16 after a power of two that makes them fit. Keys are exact: those of int8 are multiplied as codes, and
// the products scaled. Shares are rounded to f16, and what they are divided by is the sum of the rounded ones. Values of f16 are
// exact, those of int8 are rounded to f16.
//
// Shapes: query rows × (heads · dim) f32, output likewise; pools: see CUDA.md. `partials`: for each row, run of heads and share, DIM + 4
// floats of each head: sums, not yet divided, then the largest score and the sum of shares. `counters`: for each row and run, zero between launches.
// Variants: DIM (64, 128, 256: the head's elements, filled up), WHOLE (dim is DIM), INT8, CAPPED.
// Costs 2 · dim elements of cache per position and key head, read once; 16 · 2 · dim operations on the units for each.
// Checked by the attention cases of conformance, and by benches/cuda/attention.py.

#include "attention/single_operands.cuh"

// Blocks that a multiprocessor is to hold at once: while one begins or ends, the other reads.
#define RESIDENT 2
// Shares whose sums are under way at once when they are put together.
#define AT_ONCE 8

// What a warp has of its queries (columns 2t and 2t + 1 of a tile): the sums of elements, what scores are relative to, and the sum of
// the lane's shares.
struct Found {
    float sums[DIM / 16][4];
    float base[2];
    float total[2];
};

__shared__ float warp_sums[WARPS][HEADS][DIM + 4];
__shared__ float tops[WARPS][HEADS];
__shared__ float totals[WARPS][HEADS];

// Keys × queriesᵀ of one tile: positions g (two) and g + 8 (two), heads 2t and 2t + 1.
__device__ __forceinline__ void products(const Keys& keys, u32 tile, const u32 (&queries)[DIM / 8], float (&c)[4]) {
    float even[4] = {}, odd[4] = {};
#pragma unroll
    for (u32 run = 0; run < KEY_RUNS; run++) {
        uint4 low = keys.of[tile][0][run], high = keys.of[tile][1][run];
#if INT8
        const u32 l[4] = {low.x, low.y, low.z, low.w}, h[4] = {high.x, high.y, high.z, high.w};
#pragma unroll
        for (u32 word = 0; word < 4; word++) {
            u32 a0, a1, a2, a3;
            codes_to_halves(l[word], a0, a2);
            codes_to_halves(h[word], a1, a3);
            u32 q = 8 * run + 2 * word;
            product_f16(word % 2 == 0 ? even : odd, a0, a1, a2, a3, queries[q], queries[q + 1]);
        }
#else
        product_f16(even, low.x, high.x, low.y, high.y, queries[4 * run], queries[4 * run + 1]);
        product_f16(odd, low.z, high.z, low.w, high.w, queries[4 * run + 2], queries[4 * run + 3]);
#endif
    }
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        c[i] = even[i] + odd[i];
    }
}

// Makes `products` of a block into shares, in place.
__device__ __forceinline__ void softmax(const Params& p, const Place& place, const float (&factor)[2], u32 lane, float (&c)[TILES][4],
                                        Found& found) {
    bool grown = false;
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u32 from = 16 * tile + 8 * half + lane / 4;
            bool valid = __shfl_sync(~0u, place.valid, from) != 0;
            float by = INT8 ? half_value(__shfl_sync(~0u, place.key_scale, from)) : 1.0f;
#pragma unroll
            for (u32 head = 0; head < 2; head++) {
                float& s = c[tile][2 * half + head];
                s = valid ? score_of(INT8 ? s * by : s, factor[head], p.softcap) : LOWEST;
                grown |= s > found.base[head] + GROWTH;
            }
        }
    }
    if (__any_sync(~0u, grown)) {
#pragma unroll
        for (u32 head = 0; head < 2; head++) {
            float top = found.base[head];
#pragma unroll
            for (u32 tile = 0; tile < TILES; tile++) {
                top = fmaxf(top, fmaxf(c[tile][head], c[tile][2 + head]));
            }
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 4));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 8));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 16));
            float by = power2(found.base[head] - top);
            found.base[head] = top;
            found.total[head] *= by;
#pragma unroll
            for (u32 m = 0; m < DIM / 16; m++) {
                found.sums[m][head] *= by;
                found.sums[m][2 + head] *= by;
            }
        }
    }
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            c[tile][i] = power2(c[tile][i] - found.base[i % 2]);
        }
    }
}

// sums += valuesᵀ × shares for one tile.
__device__ __forceinline__ void add_values(const Values& values, const Place& place, u32 tile, u32 lane, const float (&c)[4], Found& found) {
    u32 low = halves_of(c[0], c[1]), high = halves_of(c[2], c[3]);
    // What is divided by is the sum of what is multiplied with.
    found.total[0] += low_half(low) + low_half(high);
    found.total[1] += high_half(low) + high_half(high);
    u32 b0 = turned_over(low), b1 = turned_over(high);
#if INT8
    u32 scales[2];
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        u32 from = 16 * tile + 8 * half + 2 * (lane % 4);
        scales[half] = __shfl_sync(~0u, place.value_scale, from) | __shfl_sync(~0u, place.value_scale, from + 1) << 16;
    }
#endif
#pragma unroll
    for (u32 run = 0; run < VALUE_RUNS; run++) {
#pragma unroll
        for (u32 word = 0; word < VALUE_WORDS; word++) {
            u32 v[4];
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
                v[k] = values.of[tile][k][run][word];
            }
#if INT8
            // a[e][half]: element e of the word, of two neighbouring positions.
            u32 a[4][2];
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                u32 x = v[2 * half] ^ 0x80808080u, y = v[2 * half + 1] ^ 0x80808080u;
                u32 first = __byte_perm(x, y, 0x5140), second = __byte_perm(x, y, 0x7362);
                const u32 biased[4] = {__byte_perm(first, 0x64646464u, 0x4140), __byte_perm(first, 0x64646464u, 0x4342),
                                       __byte_perm(second, 0x64646464u, 0x4140), __byte_perm(second, 0x64646464u, 0x4342)};
#pragma unroll
                for (u32 e = 0; e < 4; e++) {
                    a[e][half] = times_halves(without_bias(biased[e]), scales[half]);
                }
            }
            u32 m = 2 * (run * VALUE_WORDS + word);
            product_f16(found.sums[m], a[0][0], a[1][0], a[0][1], a[1][1], b0, b1);
            product_f16(found.sums[m + 1], a[2][0], a[3][0], a[2][1], a[3][1], b0, b1);
#else
            product_f16(found.sums[run * VALUE_WORDS + word], __byte_perm(v[0], v[1], 0x5410), __byte_perm(v[0], v[1], 0x7632),
                     __byte_perm(v[2], v[3], 0x5410), __byte_perm(v[2], v[3], 0x7632), b0, b1);
#endif
        }
    }
}

// What a warp has under way: a block's keys and values, and where they are.
struct Block {
    Keys keys;
    Values values;
    Place place;
};

// One block of positions; with MORE it sends for what is at `next` meanwhile.
template <bool MORE>
__device__ __forceinline__ void attend(const Params& p, Block& block, const Place& next, const u32 (&queries)[DIM / 8], const float (&factor)[2],
                                       u32 lane, Found& found) {
    Place place = block.place;
    float c[TILES][4];
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++) {
        products(block.keys, tile, queries, c[tile]);
    }
    if (MORE) {
        block.place = next;
        load_keys(p, block.keys, block.place, lane);
        load_scales(p, block.place);
    }
    if (!AHEAD) {
        load_values(p, block.values, place, lane);
    }
    softmax(p, place, factor, lane, c, found);
    leave_out(block.values, place, lane);
#pragma unroll
    for (u32 tile = 0; tile < TILES; tile++) {
        add_values(block.values, place, tile, lane, c[tile], found);
    }
    if (AHEAD && MORE) {
        load_values(p, block.values, block.place, lane);
    }
}

// Goes over the warp's blocks of positions of a share; `page` is that of the lane's position in the second of them.
__device__ __forceinline__ void go_over(const Params& p, const Share& share, u32 first, u32 last, u32 row, u32 lane, const Place& place, u32 page,
                                        Found& found) {
    constexpr u32 PACE = WARPS * POSITIONS;
    Block block;
    block.place = place;
    load_keys(p, block.keys, place, lane);
    load_scales(p, block.place);
    if (AHEAD) {
        load_values(p, block.values, place, lane);
    }
    u32 queries[DIM / 8];
    float factor[2];
    load_queries(p, share, row, lane, queries, factor);
    for (; first + PACE < last; first += PACE) {
        Place next = place_in(p, share, page, first + PACE, lane);
        page = load_page(p, share, first + 2 * PACE, lane);
        attend<true>(p, block, next, queries, factor, lane, found);
    }
    attend<false>(p, block, block.place, queries, factor, lane, found);
}

// Puts a warp's sums beside those of the others, brought to the largest score of all, with its total; `tops` has what each was relative to.
__device__ __forceinline__ void put_down(Found& found, u32 warp, u32 lane) {
    u32 g = lane / 4, t = lane % 4;
#pragma unroll
    for (u32 head = 0; head < 2; head++) {
        float total = found.total[head];
        total += __shfl_xor_sync(~0u, total, 4);
        total += __shfl_xor_sync(~0u, total, 8);
        total += __shfl_xor_sync(~0u, total, 16);
        found.total[head] = total;
        if (g == 0) {
            tops[warp][2 * t + head] = found.base[head];
        }
    }
    __syncthreads();
#pragma unroll
    for (u32 head = 0; head < 2; head++) {
        u32 column = 2 * t + head;
        float top = tops[0][column];
#pragma unroll
        for (u32 i = 1; i < WARPS; i++) {
            top = fmaxf(top, tops[i][column]);
        }
        float by = power2(found.base[head] - top);
        if (g == 0) {
            totals[warp][column] = found.total[head] * by;
        }
        found.base[head] = top;
#pragma unroll
        for (u32 m = 0; m < DIM / 16; m++) {
            // Elements 2m and 2m + 1 of the lane's.
            u32 d = 2 * m / VALUE_DIMS * 8 * VALUE_DIMS + VALUE_DIMS * g + 2 * m % VALUE_DIMS;
            *(float2*)&warp_sums[warp][column][d] = make_float2(found.sums[m][head] * by, found.sums[m][2 + head] * by);
        }
    }
    __syncthreads();
}

// What has been found of some elements of a head: sums are relative to `top`, in units of log 2.
template <typename Elements>
struct Sum {
    float top;
    float total;
    Elements of;
};

__device__ __forceinline__ float times(float x, float by) {
    return x * by;
}

__device__ __forceinline__ float4 times(float4 x, float by) {
    return make_float4(x.x * by, x.y * by, x.z * by, x.w * by);
}

// Takes the head's sink into the sum, if it has one, and divides.
template <typename Elements>
__device__ __forceinline__ Elements result_of(const Params& p, u32 head, Sum<Elements> sum) {
    float by = 1.0f;
    if (p.sinks != nullptr) {
        float sink = p.sinks[head] * LOG2E;
        float top = fmaxf(sum.top, sink);
        by = power2(sum.top - top);
        sum.total = sum.total * by + power2(sink - top);
    }
    return times(sum.of, by / sum.total);
}

// Adds up what the warps have put down, and leaves it for the other shares at `own`, or as the result where that is null.
__device__ __forceinline__ void leave(const Params& p, const Share& share, u32 row, float* own) {
    for (u32 i = threadIdx.x; i < share.heads * DIM; i += 32 * WARPS) {
        u32 head = i / DIM, d = i % DIM;
        Sum<float> sum = {tops[0][head], 0.0f, 0.0f};
#pragma unroll
        for (u32 warp = 0; warp < WARPS; warp++) {
            sum.top = fmaxf(sum.top, tops[warp][head]);
            sum.total += totals[warp][head];
            sum.of += warp_sums[warp][head][d];
        }
        if (own != nullptr) {
            float* out = own + head * (DIM + 4);
            __stcg(out + d, sum.of);
            if (d == 0) {
                __stcg((float2*)(out + DIM), make_float2(sum.top, sum.total));
            }
        } else if (WHOLE || d < p.dim) {
            p.output[((u64)row * p.heads + share.first_head + head) * p.dim + d] = result_of(p, share.first_head + head, sum);
        }
    }
}

// Elements d to d + 3 of a head by all shares of the row. AT_ONCE are on their way together.
__device__ __forceinline__ Sum<float4> of_shares(const float* left, u32 d, u32 span, u32 shares) {
    Sum<float4> sum = {LOWEST, 0.0f, make_float4(0.0f, 0.0f, 0.0f, 0.0f)};
    for (u32 first = 0; first < shares; first += AT_ONCE) {
        float2 found[AT_ONCE];
        float4 of[AT_ONCE];
#pragma unroll
        for (u32 i = 0; i < AT_ONCE; i++) {
            const float* share = left + (u64)min(first + i, shares - 1) * span;
            found[i] = __ldcg((const float2*)(share + DIM));
            of[i] = __ldcg((const float4*)(share + d));
        }
        float top = sum.top;
#pragma unroll
        for (u32 i = 0; i < AT_ONCE; i++) {
            top = fmaxf(top, found[i].x);
        }
        float by = power2(sum.top - top);
        sum = {top, sum.total * by, times(sum.of, by)};
#pragma unroll
        for (u32 i = 0; i < AT_ONCE; i++) {
            if (first + i < shares) {
                float weight = power2(found[i].x - top);
                sum.total += weight * found[i].y;
                sum.of = make_float4(sum.of.x + weight * of[i].x, sum.of.y + weight * of[i].y, sum.of.z + weight * of[i].z,
                                     sum.of.w + weight * of[i].w);
            }
        }
    }
    return sum;
}

// What the last share of a row to finish does.
__device__ __forceinline__ void put_together(const Params& p, const Share& share, const float* partials, u32 shares, u32 row) {
    u32 span = share.heads * (DIM + 4);
    for (u32 i = threadIdx.x; i < share.heads * (DIM / 4); i += 32 * WARPS) {
        u32 head = i / (DIM / 4), d = 4 * (i % (DIM / 4));
        Sum<float4> sum = of_shares(partials + head * (DIM + 4), d, span, shares);
        float4 x = result_of(p, share.first_head + head, sum);
        float* out = p.output + ((u64)row * p.heads + share.first_head + head) * p.dim + d;
        if (WHOLE) {
            *(float4*)out = x;
        } else {
            const float each[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
            for (u32 e = 0; e < 4; e++) {
                if (d + e < p.dim) {
                    out[e] = each[e];
                }
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, RESIDENT) single(const __grid_constant__ Params p, const Step* step) {
    u32 singles = step->singles;
    if (blockIdx.z >= singles) {
        pdl_wait();
        return;
    }
    // The same for all lanes, which the compiler is to know.
    u32 warp = __shfl_sync(~0u, threadIdx.x / 32, 0), lane = threadIdx.x % 32;
    const u32* entry = step->attention + 4 * blockIdx.z;
    u32 row = entry[0], position = entry[2];
    Share share;
    share.pages = step->attention + entry[1];
    share.begin = position + 1 - min(position + 1, p.window);
    share.end = position + 1;
    share.kv_head = blockIdx.y / p.head_runs;
    u32 first_of_run = blockIdx.y % p.head_runs * HEADS;
    share.first_head = share.kv_head * p.group + first_of_run;
    share.heads = min(HEADS, p.group - first_of_run);

    // Blocks begin at multiples of POSITIONS, so that they keep to pages where pages do.
    u32 from = share.begin / POSITIONS, blocks = (share.end + POSITIONS - 1) / POSITIONS - from;
    u32 wanted = max(min(p.busy / (singles * gridDim.y), blocks / p.share_blocks), blocks * POSITIONS / 4096);
    u32 shares = max(min(wanted, gridDim.x), 1);
    u32 each = (blocks + shares - 1) / shares;
    shares = (blocks + each - 1) / each;
    if (blockIdx.x >= shares) {
        pdl_wait();
        return;
    }
    u32 first = (from + blockIdx.x * each + warp) * POSITIONS;
    u32 last = min((from + (blockIdx.x + 1) * each) * POSITIONS, share.end);
    u32 page = load_page(p, share, first, lane), next_page = load_page(p, share, first + WARPS * POSITIONS, lane);
    Place place = place_in(p, share, page, first, lane);
    if (first < last && place.valid) {
        // What earlier steps wrote is on its way while the step's last kernel still runs.
        const u8* key = (const u8*)p.keys + (u64)place.vector * p.vector_bytes;
        const u8* value = (const u8*)p.values + (u64)place.vector * p.vector_bytes;
        for (u32 byte = 128 * (lane / POSITIONS); byte < p.vector_bytes; byte += 128 * (32 / POSITIONS)) {
            asm volatile("prefetch.global.L2 [%0];" ::"l"(key + byte));
            asm volatile("prefetch.global.L2 [%0];" ::"l"(value + byte));
        }
    }
    pdl_wait();
    pdl_trigger();
    Found found = {};
    found.base[0] = found.base[1] = LOWEST;
    if (first < last) {
        go_over(p, share, first, last, row, lane, place, next_page, found);
    }
    put_down(found, warp, lane);

    u32 task = blockIdx.z * gridDim.y + blockIdx.y;
    float* partials = p.partials + (u64)task * gridDim.x * min(p.group, HEADS) * (DIM + 4);
    leave(p, share, row, shares > 1 ? partials + blockIdx.x * share.heads * (DIM + 4) : nullptr);
    if (shares > 1 && is_last_of(p.counters + task, shares)) {
        put_together(p, share, partials, shares, row);
    }
}
