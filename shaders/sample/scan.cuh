// The first pass of drawing: bias and penalties, and the largest logit of each chunk.
//
// A block does a chunk of 1024 logits of one sequence. Where there are biases or penalties the chunk passes through shared
// memory, where the entries of the lists that fall into it are applied (the lists are sorted by token), and where the draw is not
// greedy the adjusted logits are kept in `adjusted`; the logits themselves are never changed.
#pragma once

#include "sample/record.cuh"

// The first of `count` entries from `first` on whose token is not below `token`.
__device__ __forceinline__ u32 lower_bound(const uint2* lists, u32 first, u32 count, u32 token) {
    u32 low = first, high = first + count;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if (lists[middle].x < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

__device__ __forceinline__ float penalized(float logit, const SampleRecord& record, u32 count) {
    float scaled = logit > 0.0f ? logit / record.repetition : logit * record.repetition;
    return scaled - record.presence - (float)count * record.frequency;
}

// Applies the lists to the staged chunk, whose tokens are `begin .. end`.
__device__ __forceinline__ void adjust(
    const Params& p, const SampleRecord& record, const uint2* lists, float* staged, u32 begin, u32 end
) {
    u32 bias_end = record.first_bias + record.biases;
    for (u32 i = lower_bound(lists, record.first_bias, record.biases, begin) + threadIdx.x; i < bias_end; i += SIZE) {
        uint2 entry = lists[i];
        if (entry.x >= end) {
            break;
        }
        staged[entry.x - begin] += __uint_as_float(entry.y);
    }
    __syncthreads();
    u32 sampled = record.sampled_row != NONE ? p.tokens[record.sampled_row] : NONE;
    u32 first = record.first_history, history_end = first + record.histories;
    for (u32 i = lower_bound(lists, first, record.histories, begin) + threadIdx.x; i < history_end; i += SIZE) {
        uint2 entry = lists[i];
        if (entry.x >= end) {
            break;
        }
        staged[entry.x - begin] = penalized(staged[entry.x - begin], record, entry.y + (entry.x == sampled));
    }
    if (threadIdx.x == 0 && sampled >= begin && sampled < end) {
        u32 at = lower_bound(lists, first, record.histories, sampled);
        if (at >= history_end || lists[at].x != sampled) {
            staged[sampled - begin] = penalized(staged[sampled - begin], record, 1);
        }
    }
    __syncthreads();
}

__device__ __forceinline__ void scan_chunk(const Params& p, const Step* step, u32 sequence, u32 chunk) {
    __shared__ float staged[CHUNK];
    __shared__ u32 places[3][32];
    // Rows that nothing is drawn for hold 0.
    u32 rows = p.all_rows != 0 ? step->rows : step->selected;
    u32 group = sequence * p.chunks + chunk;
    for (u32 i = group * SIZE + threadIdx.x; i < rows; i += step->sequences * p.chunks * SIZE) {
        p.output[i] = 0;
    }
    SampleRecord record = step->samples[sequence];
    if (record.row == NONE) {
        return;
    }
    u32* work = p.work + (u64)sequence * p.work_words;
    for (u32 i = chunk * SIZE + threadIdx.x; i < CHUNKS; i += p.chunks * SIZE) {
        work[i] = 0;
    }
    u32 begin = chunk * CHUNK, end = min(begin + CHUNK, p.vocabulary);
    float x[4];
    load_four(p.logits + (u64)row_of(p, record) * p.stride, chunk, p.vocabulary, x);
    if (is_adjusted(record)) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            staged[token_at(chunk, i) - begin] = x[i];
        }
        __syncthreads();
        adjust(p, record, step->sample_lists, staged, begin, end);
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 token = token_at(chunk, i);
            x[i] = staged[token - begin];
            if (record.temperature > 0.0f && token < end) {
                p.adjusted[(u64)sequence * p.vocabulary + token] = x[i];
            }
        }
    }
    u32 best = 0, best_token = NONE, least = NONE;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        u32 token = token_at(chunk, i);
        if (token < end) {
            u32 key = key_of(x[i]);
            // Tokens ascend, so the first of equal ones stays.
            if (key > best || best_token == NONE) {
                best = key;
                best_token = token;
            }
            if (is_finite_key(key)) {
                least = min(least, key);
            }
        }
    }
    u32 largest = block_max(best, places[0]);
    u32 first = ~block_max(best == largest ? ~best_token : 0, places[1]);
    u32 smallest = ~block_max(~least, places[2]);
    if (threadIdx.x == 0) {
        u32* notes = work + CHUNKS + 4 * chunk;
        notes[0] = largest;
        notes[1] = first;
        notes[2] = smallest;
    }
}
