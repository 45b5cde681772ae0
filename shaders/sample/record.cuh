// What the kernels of drawing share: their parameters, where each sequence's logits and notes are, and how logits are weighed.
#pragma once

#include "lib/keys.cuh"
#include "lib/reduce.cuh"

#ifndef QUADS
#define QUADS 1
#endif

// Logits that a block looks at together; four for each of its threads.
constexpr u32 CHUNK = 1024;
constexpr u32 SIZE = 256;
constexpr u32 NONE = 0xffffffffu;

// As ops/sample.rs has them.
struct Params {
    const float* logits;
    const u32* tokens;
    float* adjusted;
    u32* work;
    u32* output;
    u32* drawn;
    u32* faults;
    u32 vocabulary;
    u32 stride;
    // Chunks of a row.
    u32 chunks;
    // Words of a sequence's part of `work`.
    u32 work_words;
    // 1 where there are logits for each token row, not only for those that somebody asked for.
    u32 all_rows;
    u32 padding;
};

// A sequence's part of `work`, in words: for each bucket of logits the count and the two words of the sum of their weights; then
// what logits below the largest are multiplied with to get their bucket, and the sum of the weights that min-p keeps; then, for
// each chunk, its largest key, that logit's token, and its smallest finite key.
constexpr u32 BUCKETS = 1024;
constexpr u32 LOWS = 1024;
constexpr u32 HIGHS = 2048;
constexpr u32 FACTOR = 3072;
constexpr u32 KEPT_LOW = 3073;
constexpr u32 KEPT_HIGH = 3074;
constexpr u32 CHUNKS = 3088;

// Whether a draw is made from adjusted logits, which its first pass keeps.
__device__ __forceinline__ bool is_adjusted(const SampleRecord& record) {
    return record.biases + record.histories > 0 || record.sampled_row != NONE;
}

// The row of logits that a record draws from.
__device__ __forceinline__ u32 row_of(const Params& p, const SampleRecord& record) {
    return p.all_rows != 0 ? record.token_row : record.row;
}

// The token of one of a thread's four logits of a chunk.
__device__ __forceinline__ u32 token_at(u32 chunk, u32 which) {
    return QUADS ? chunk * CHUNK + 4 * threadIdx.x + which : chunk * CHUNK + threadIdx.x + SIZE * which;
}

// A thread's four logits of a chunk of a row; 0 behind the last.
__device__ __forceinline__ void load_four(const float* row, u32 chunk, u32 vocabulary, float (&x)[4]) {
#if QUADS
    float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (token_at(chunk, 0) < vocabulary) {
        four = *(const float4*)(row + token_at(chunk, 0));
    }
    x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
#else
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        x[i] = token_at(chunk, i) < vocabulary ? row[token_at(chunk, i)] : 0.0f;
    }
#endif
}

// How likely a logit is beside the largest.
__device__ __forceinline__ float weight_of(float logit, float largest, float temperature) {
    return expf((logit - largest) / temperature);
}

// The bucket of a logit: distances from the largest in equal steps, the last taking all that is further away. A difference and
// a product are rounded the same in all kernels, so they agree.
__device__ __forceinline__ u32 bucket_of(float logit, float largest, float factor) {
    return (u32)fminf(__fmul_rn(fminf(__fsub_rn(largest, logit), 3e38f), factor), (float)(BUCKETS - 1));
}

// Sums of weights are whole numbers of 2⁻⁴², so that no order of adding changes them: the upper word counts 2⁻¹⁰.
__device__ __forceinline__ u32 high_of(float weight) {
    return (u32)(weight * 1024.0f);
}

__device__ __forceinline__ u32 low_of(float weight) {
    float scaled = weight * 1024.0f;
    return (u32)((scaled - floorf(scaled)) * 4294967296.0f);
}
