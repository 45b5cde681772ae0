// Where the head vector of a slot (page · page_tokens + place in the page) lies in a pool, counted in vectors.
#pragma once

#include "lib/step.cuh"

__device__ __forceinline__ u64 vector_of(u32 slot, u32 head, u32 kv_heads, u32 page_tokens) {
    return ((u64)(slot / page_tokens) * kv_heads + head) * page_tokens + slot % page_tokens;
}
