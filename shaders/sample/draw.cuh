// The last pass of drawing: one block per sequence finds its token.
//
// Greedy, that is the best of the chunks' best. Else the candidates, ordered by logit and then by token, are a line along which
// weights add up, and every question is for a place on it: where the `top_k` best end, where their running sum reaches top-p's
// share, where it exceeds the uniform number's. The histogram gives the bucket of a place; the logits of that bucket, or of all
// buckets up to it where these are few, are gathered, put in order and added up in shared memory, and that gives the place
// itself. Most draws gather once. A bucket of too many is narrowed first: by its keys, 256 ranges at a time, and among equal logits
// by their tokens.
//
// Sums are whole numbers (record.cuh), so a place does not depend on the order in which logits were gathered.
#pragma once

#include "sample/histogram.cuh"

constexpr u32 NOT_FINITE = 1;
// Candidates that can be put in order at once.
constexpr u32 ROOM = 1024;
// Chunks whose logits are loaded together.
constexpr u32 AT_ONCE = 4;

// What is looked for: the candidate of a rank, the first at which the running sum reaches a number, the first at which it
// exceeds it.
enum Question { RANK, REACHES, EXCEEDS };

struct Wanted {
    Question what;
    u32 rank;
    float weight;
};

// Candidates and the sum of their weights.
struct Sum {
    u32 count;
    u32 low;
    u32 high;
};

// A stretch of the line: what comes before it, its buckets, and within them, where it was narrowed, the keys or tokens.
struct Stretch {
    Sum before;
    u32 count;
    u32 first_bucket;
    u32 last_bucket;
    // Keys are counted downwards from the largest (`~key`).
    u32 by_token;
    u32 key;
    u32 low;
    u32 high;
};

__device__ __forceinline__ Sum plus(Sum a, Sum b) {
    u32 low = a.low + b.low;
    return {a.count + b.count, low, a.high + b.high + (low < a.low)};
}

__device__ __forceinline__ Sum sum_of(float weight) {
    return {1, low_of(weight), high_of(weight)};
}

// Never less for a larger sum.
__device__ __forceinline__ float weight_of_sum(Sum sum) {
    return __fadd_rn(__fmul_rn((float)sum.high, 0.0009765625f), __fmul_rn((float)sum.low, 2.2737367544323206e-13f));
}

__device__ __forceinline__ bool lies_between(Wanted wanted, Sum before, Sum after) {
    switch (wanted.what) {
    case RANK: return before.count < wanted.rank && wanted.rank <= after.count;
    case REACHES: return weight_of_sum(before) < wanted.weight && wanted.weight <= weight_of_sum(after);
    default: return weight_of_sum(before) <= wanted.weight && wanted.weight < weight_of_sum(after);
    }
}

// Whether the first of two candidates comes first.
__device__ __forceinline__ bool comes_first(u32 key, u32 token, u32 other_key, u32 other_token) {
    return key > other_key || (key == other_key && token < other_token);
}

// One block's work on one sequence. Its parts are functions of their own: written into one another they take long to compile.
struct Draw {
    struct Shared {
        // The candidates that were gathered; once they are in order and weighed, `keys` has the bits of the running sum at each.
        u32 keys[ROOM];
        u32 tokens[ROOM];
        u32 gathered;
        // A number of three words for each thread, or for each range of a stretch.
        u32 counts[SIZE];
        u32 lows[SIZE];
        u32 highs[SIZE];
        u32 active_chunks[SIZE];
        u32 actives;
        Stretch stretch;
        u32 fallback;
        u32 found;
    };

    const Params& p;
    Shared& s;
    SampleRecord record;
    const u32* work;
    const float* row;
    float largest;
    float factor;
    // All that comes before this thread's four buckets.
    Sum before_own;

    __device__ __forceinline__ Sum bucket(u32 which) const {
        return {work[which], work[LOWS + which], work[HIGHS + which]};
    }

    __device__ __forceinline__ void store_sum(u32 place, Sum sum) {
        s.counts[place] = sum.count;
        s.lows[place] = sum.low;
        s.highs[place] = sum.high;
    }

    __device__ __forceinline__ Sum load_sum(u32 place) const {
        return {s.counts[place], s.lows[place], s.highs[place]};
    }

    // The sum of what all threads before this one have; the sum of all is left in the last place.
    __device__ __noinline__ Sum sum_before(Sum own) {
        __syncthreads();
        store_sum(threadIdx.x, own);
        __syncthreads();
        for (u32 reach = 1; reach < SIZE; reach *= 2) {
            Sum sum = load_sum(threadIdx.x);
            if (threadIdx.x >= reach) {
                sum = plus(load_sum(threadIdx.x - reach), sum);
            }
            __syncthreads();
            store_sum(threadIdx.x, sum);
            __syncthreads();
        }
        return threadIdx.x == 0 ? Sum{0, 0, 0} : load_sum(threadIdx.x - 1);
    }

    // Finds the bucket of a place on the line, and makes it, or all up to it where these have room, the stretch at hand.
    __device__ __noinline__ void find_bucket(Wanted wanted) {
        __syncthreads();
        if (threadIdx.x == 0) {
            // Where rounding lets nothing be found, the best candidates.
            s.stretch = {{0, 0, 0}, bucket(0).count, 0, 0, 0, 0, 0, NONE};
        }
        __syncthreads();
        Sum before = before_own;
        for (u32 i = 0; i < 4; i++) {
            u32 which = 4 * threadIdx.x + i;
            Sum own = bucket(which);
            Sum after = plus(before, own);
            if (own.count > 0 && lies_between(wanted, before, after)) {
                if (after.count <= ROOM) {
                    s.stretch = {{0, 0, 0}, after.count, 0, which, 0, 0, 0, NONE};
                } else {
                    s.stretch = {before, own.count, which, which, 0, 0, 0, NONE};
                }
            }
            before = after;
        }
        __syncthreads();
    }

    // Whether a candidate belongs to a stretch.
    __device__ __forceinline__ bool is_within(const Stretch& part, float logit, u32 key, u32 token) const {
        if (key <= KEY_OF_MINUS_INFINITY) {
            return false;
        }
        u32 which = bucket_of(logit, largest, factor);
        if (which < part.first_bucket || which > part.last_bucket) {
            return false;
        }
        if (part.by_token != 0) {
            return key == part.key && token >= part.low && token <= part.high;
        }
        return ~key >= part.low && ~key <= part.high;
    }

    // Gathers those of four logits of a chunk that belong to the stretch, or adds up their weights by range.
    __device__ __forceinline__ void consider(const Stretch& part, u32 chunk, const float (&x)[4], bool gathers, u32 shift) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 token = token_at(chunk, i);
            u32 key = key_of(x[i]);
            if (token >= p.vocabulary || !is_within(part, x[i], key, token)) {
                continue;
            }
            if (gathers) {
                u32 place = atomicAdd(&s.gathered, 1);
                if (place < ROOM) {
                    s.keys[place] = key;
                    s.tokens[place] = token;
                }
            } else {
                u32 range = ((part.by_token != 0 ? token : ~key) - part.low) >> shift;
                Sum own = sum_of(weight_of(x[i], largest, record.temperature));
                atomicAdd(s.counts + range, 1);
                u32 before = atomicAdd(s.lows + range, own.low);
                atomicAdd(s.highs + range, own.high + (before + own.low < before));
            }
        }
    }

    // Looks at all candidates of the stretch: gathers them, or, where there is a number of bits to shift by, adds up their weights by
    // range.
    __device__ __noinline__ void visit(bool gathers, u32 shift) {
        Stretch part = s.stretch;
        for (u32 first = 0; first < p.chunks; first += SIZE) {
            __syncthreads();
            if (threadIdx.x == 0) {
                s.actives = 0;
            }
            __syncthreads();
            u32 chunk = first + threadIdx.x;
            if (chunk < p.chunks) {
                float best = logit_of(work[CHUNKS + 4 * chunk]);
                if (bucket_of(best, largest, factor) <= part.last_bucket) {
                    s.active_chunks[atomicAdd(&s.actives, 1)] = chunk;
                }
            }
            __syncthreads();
            u32 count = s.actives;
            // Several chunks at a time, so that their loads are under way together.
            for (u32 i = 0; i < count; i += AT_ONCE) {
                float x[AT_ONCE][4];
#pragma unroll
                for (u32 j = 0; j < AT_ONCE; j++) {
                    if (i + j < count) {
                        load_four(row, s.active_chunks[i + j], p.vocabulary, x[j]);
                    }
                }
#pragma unroll
                for (u32 j = 0; j < AT_ONCE; j++) {
                    if (i + j < count) {
                        consider(part, s.active_chunks[i + j], x[j], gathers, shift);
                    }
                }
            }
        }
        __syncthreads();
    }

    // Narrows the stretch to the range that has the place, until its candidates have room.
    __device__ __noinline__ void narrow(Wanted wanted) {
        // By eight bits at a time, of keys and then of tokens.
        for (u32 round = 0; round < 9; round++) {
            __syncthreads();
            Stretch part = s.stretch;
            if (part.count <= ROOM) {
                break;
            }
            if (part.by_token == 0 && part.low == part.high) {
                // All the same logit.
                part.by_token = 1;
                part.key = ~part.low;
                part.low = 0;
                part.high = p.vocabulary - 1;
            }
            u32 bits = 31 - __clz(max(part.high - part.low, 1u));
            u32 shift = max(bits, 7u) - 7;
            __syncthreads();
            if (threadIdx.x == 0) {
                s.stretch = part;
                s.fallback = 0;
                s.found = 0;
            }
            store_sum(threadIdx.x, {0, 0, 0});
            __syncthreads();
            visit(false, shift);
            Sum own = load_sum(threadIdx.x);
            Sum before = plus(part.before, sum_before(own));
            Stretch narrowed = part;
            narrowed.before = before;
            narrowed.count = own.count;
            narrowed.low = part.low + (threadIdx.x << shift);
            narrowed.high = min(part.high, narrowed.low + ((1u << shift) - 1));
            if (own.count > 0) {
                atomicMax(&s.fallback, threadIdx.x);
                if (lies_between(wanted, before, plus(before, own))) {
                    s.stretch = narrowed;
                    s.found = 1;
                }
            }
            __syncthreads();
            // Where rounding puts the place behind all of them, the last.
            if (s.found == 0 && threadIdx.x == s.fallback) {
                s.stretch = narrowed;
            }
            __syncthreads();
        }
    }

    // Puts what was gathered in order, by a bitonic network over the next power of two.
    __device__ __noinline__ void order(u32 count) {
        u32 size = 1;
        while (size < count) {
            size *= 2;
        }
        for (u32 i = count + threadIdx.x; i < size; i += SIZE) {
            s.keys[i] = 0;
            s.tokens[i] = NONE;
        }
        __syncthreads();
        for (u32 run = 2; run <= size; run *= 2) {
            for (u32 apart = run / 2; apart > 0; apart /= 2) {
                for (u32 i = threadIdx.x; i < size / 2; i += SIZE) {
                    u32 a = 2 * i - (i & (apart - 1)), b = a + apart;
                    bool descends = (a & run) == 0;
                    if (comes_first(s.keys[b], s.tokens[b], s.keys[a], s.tokens[a]) == descends) {
                        u32 key = s.keys[a], token = s.tokens[a];
                        s.keys[a] = s.keys[b];
                        s.tokens[a] = s.tokens[b];
                        s.keys[b] = key;
                        s.tokens[b] = token;
                    }
                }
                __syncthreads();
            }
        }
    }

    // Gathers the stretch at which the place lies, puts it in order and adds up its weights.
    __device__ __noinline__ void open(Wanted wanted) {
        narrow(wanted);
        if (threadIdx.x == 0) {
            s.gathered = 0;
        }
        __syncthreads();
        visit(true, 0);
        u32 count = min(s.gathered, ROOM);
        order(count);
        Sum own = {0, 0, 0}, sums[4];
        for (u32 i = 0; i < 4; i++) {
            u32 place = 4 * threadIdx.x + i;
            if (place < count) {
                own = plus(own, sum_of(weight_of(logit_of(s.keys[place]), largest, record.temperature)));
            }
            sums[i] = own;
        }
        Sum before = plus(s.stretch.before, sum_before(own));
        for (u32 i = 0; i < 4; i++) {
            s.keys[4 * threadIdx.x + i] = __float_as_uint(weight_of_sum(plus(before, sums[i])));
        }
        __syncthreads();
    }

    // The running sum at one of the candidates that are in order.
    __device__ __forceinline__ float running_at(u32 place) const {
        return __uint_as_float(s.keys[place]);
    }

    __device__ bool is_open(Wanted wanted, bool opened) const {
        if (!opened || s.stretch.count == 0) {
            return false;
        }
        float begin = weight_of_sum(s.stretch.before);
        float end = running_at(s.stretch.count - 1);
        if (wanted.what == REACHES) {
            return begin < wanted.weight && wanted.weight <= end;
        }
        return begin <= wanted.weight && wanted.weight < end;
    }

    // Which of the candidates that are in order is the one looked for.
    __device__ __noinline__ u32 pick(Wanted wanted) {
        u32 count = s.stretch.count;
        __syncthreads();
        if (threadIdx.x == 0) {
            s.found = max(count, 1u) - 1;
        }
        __syncthreads();
        for (u32 i = threadIdx.x; i < count; i += SIZE) {
            float before = i > 0 ? running_at(i - 1) : weight_of_sum(s.stretch.before);
            float after = running_at(i);
            bool here = wanted.what == REACHES ? before < wanted.weight && wanted.weight <= after
                                               : before <= wanted.weight && wanted.weight < after;
            if (here) {
                s.found = i;
            }
        }
        __syncthreads();
        return s.found;
    }

    // Draws from more than one candidate.
    __device__ __noinline__ u32 token() {
        Sum own = {0, 0, 0};
        for (u32 i = 0; i < 4; i++) {
            own = plus(own, bucket(4 * threadIdx.x + i));
        }
        before_own = sum_before(own);
        Sum all = load_sum(SIZE - 1);
        __syncthreads();

        float kept = weight_of_sum(all);
        bool opened = false;
        if (record.top_k != 0 && record.top_k < all.count) {
            Wanted wanted = {RANK, record.top_k, 0.0f};
            find_bucket(wanted);
            Sum last = bucket(s.stretch.last_bucket);
            // What is so far away that it weighs nothing makes no difference, all of it or none of it.
            if (last.low != 0 || last.high != 0) {
                open(wanted);
                opened = true;
                kept = fminf(kept, running_at(record.top_k - s.stretch.before.count - 1));
            }
        }
        if (record.top_p < 1.0f) {
            Wanted wanted = {REACHES, 0, fmaxf(record.top_p * kept, 1e-30f)};
            if (!is_open(wanted, opened)) {
                find_bucket(wanted);
                open(wanted);
                opened = true;
            }
            kept = fminf(kept, running_at(pick(wanted)));
        }
        if (record.min_p > 0.0f) {
            kept = fminf(kept, weight_of_sum({0, work[KEPT_LOW], work[KEPT_HIGH]}));
        }
        // Below `kept` even where the product is rounded up to it.
        float bar = fminf(record.uniform * kept, __uint_as_float(__float_as_uint(kept) - 1));
        Wanted wanted = {EXCEEDS, 0, bar};
        if (!is_open(wanted, opened)) {
            find_bucket(wanted);
            open(wanted);
        }
        return s.tokens[pick(wanted)];
    }
};

__device__ __forceinline__ void draw_token(const Params& p, const Step* step, u32 sequence) {
    __shared__ Draw::Shared shared;
    __shared__ u32 places[2][32];
    SampleRecord record = step->samples[sequence];
    if (record.row == NONE) {
        return;
    }
    const u32* work = p.work + (u64)sequence * p.work_words;
    u32 best = 0, best_token = NONE;
    for (u32 i = threadIdx.x; i < p.chunks; i += SIZE) {
        u32 key = work[CHUNKS + 4 * i];
        if (key > best || best_token == NONE) {
            best = key;
            best_token = work[CHUNKS + 4 * i + 1];
        }
    }
    u32 best_key = block_max(best, places[0]);
    u32 token = ~block_max(best == best_key ? ~best_token : 0, places[1]);
    if (!is_finite_key(best_key)) {
        if (threadIdx.x == 0) {
            p.faults[sequence] |= NOT_FINITE;
        }
        return;
    }
    if (record.temperature > 0.0f) {
        const float* row = is_adjusted(record) ? p.adjusted + (u64)sequence * p.vocabulary
                                               : p.logits + (u64)row_of(p, record) * p.stride;
        float factor = __uint_as_float(work[FACTOR]);
        Draw draw = {p, shared, record, work, row, logit_of(best_key), factor, {0, 0, 0}};
        token = draw.token();
    }
    if (threadIdx.x == 0) {
        p.drawn[sequence] = token;
        p.output[row_of(p, record)] = token;
    }
}
