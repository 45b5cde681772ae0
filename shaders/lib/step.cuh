// What every kernel is told of a step, the short names of types, and the dependence of one launch on the one before it.
//
// See shaders/CUDA.md for the rules. `StepCounts` and `StepHeader` of backends/src/cuda/tables.rs have the same fields.
#pragma once

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef short i16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;

// How a sequence's token is drawn; `SampleRecord` of backends/src/tables says what the fields mean.
struct SampleRecord {
    u32 row;
    u32 sampled_row;
    float temperature;
    u32 top_k;
    float top_p;
    float min_p;
    float repetition;
    float presence;
    float frequency;
    float uniform;
    u32 first_bias;
    u32 biases;
    u32 first_history;
    u32 histories;
    u32 token_row;
    u32 padding;
};

struct Step {
    // Token rows, rows whose logits are wanted, sequences.
    u32 rows;
    u32 selected;
    u32 sequences;
    // The most positions that any sequence's cache holds once the step has run.
    u32 longest;
    // Rows that attend one by one, and tiles of at most 16, 32 and 64 neighbouring rows that the others are cut into.
    u32 singles;
    u32 tiles16;
    u32 tiles32;
    u32 tiles64;
    // Sequences whose draw is not greedy.
    u32 warm;
    u32 padding[3];
    const u32* row_token;
    const u32* row_position;
    const u32* row_sequence;
    const u32* row_slot;
    const u32* first_row;
    const u32* attention;
    const u32* selected_rows;
    const SampleRecord* samples;
    const uint2* sample_lists;
    const float* angles;
};

// Rows of a kind, slots counted as rows of their own.
__device__ __forceinline__ u32 rows_of(const Step* step, u32 selected, u32 slots) {
    return (selected != 0 ? step->selected : step->rows) * slots;
}

// Waits until what the launches before this one wrote can be read.
__device__ __forceinline__ void pdl_wait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the blocks of the next launch come.
__device__ __forceinline__ void pdl_trigger() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
