// The second pass of drawing, where it is not greedy: how many logits are how far below the largest, and what they weigh.
//
// A block does a chunk of 1024 logits of one sequence: it counts them and adds up their weights by bucket in shared memory,
// and adds what it found to the sequence's. The buckets are equal steps from the largest logit to the smallest, or to 32
// temperatures below the largest: what is further away weighs less than 2⁻⁴⁶ of it.
#pragma once

#include "sample/record.cuh"

// Adds to a number of two words.
__device__ __forceinline__ void add_to(u32* low_place, u32* high_place, u32 low, u32 high) {
    if (low != 0) {
        u32 before = atomicAdd(low_place, low);
        high += before + low < before;
    }
    if (high != 0) {
        atomicAdd(high_place, high);
    }
}

__device__ __forceinline__ void count_chunk(const Params& p, const Step* step, u32 sequence, u32 chunk) {
    __shared__ u32 counts[BUCKETS], lows[BUCKETS], highs[BUCKETS];
    __shared__ u32 kept_low, kept_high;
    __shared__ u32 places[2][32];
    SampleRecord record = step->samples[sequence];
    if (record.row == NONE || record.temperature == 0.0f) {
        return;
    }
    u32* work = p.work + (u64)sequence * p.work_words;
    u32 best = 0, least = NONE;
    for (u32 i = threadIdx.x; i < p.chunks; i += SIZE) {
        best = max(best, work[CHUNKS + 4 * i]);
        least = min(least, work[CHUNKS + 4 * i + 2]);
    }
    best = block_max(best, places[0]);
    least = ~block_max(~least, places[1]);
    if (!is_finite_key(best)) {
        return;
    }
    float largest = logit_of(best);
    float span = fminf(largest - logit_of(least), 32.0f * record.temperature);
    float factor = span > 0.0f ? fminf((float)(BUCKETS - 1) / span, 3e38f) : 0.0f;
    if (chunk == 0 && threadIdx.x == 0) {
        work[FACTOR] = __float_as_uint(factor);
    }
    for (u32 i = threadIdx.x; i < BUCKETS; i += SIZE) {
        counts[i] = lows[i] = highs[i] = 0;
    }
    if (threadIdx.x == 0) {
        kept_low = kept_high = 0;
    }
    __syncthreads();
    const float* row = is_adjusted(record) ? p.adjusted + (u64)sequence * p.vocabulary
                                           : p.logits + (u64)row_of(p, record) * p.stride;
    float x[4];
    load_four(row, chunk, p.vocabulary, x);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        if (token_at(chunk, i) < p.vocabulary && key_of(x[i]) > KEY_OF_MINUS_INFINITY) {
            float weight = weight_of(x[i], largest, record.temperature);
            u32 bucket = bucket_of(x[i], largest, factor);
            atomicAdd(counts + bucket, 1);
            add_to(lows + bucket, highs + bucket, low_of(weight), high_of(weight));
            if (record.min_p > 0.0f && weight >= record.min_p) {
                add_to(&kept_low, &kept_high, low_of(weight), high_of(weight));
            }
        }
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < BUCKETS; i += SIZE) {
        if (counts[i] != 0) {
            atomicAdd(work + i, counts[i]);
            add_to(work + LOWS + i, work + HIGHS + i, lows[i], highs[i]);
        }
    }
    if (threadIdx.x == 0 && record.min_p > 0.0f) {
        add_to(work + KEPT_LOW, work + KEPT_HIGH, kept_low, kept_high);
    }
}
