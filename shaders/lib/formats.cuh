// The weight formats of backends/src/format by their numbers, and decoding a few weights for kernels that do not live by it.
//
// FORMAT is defined by the host (`format_number` of backends/src/cuda/ops/mod.rs).
#pragma once

#include "lib/half.cuh"

#define F32 0
#define F16 1
#define BF16 2
#define INT8 3
#define NF4 4
#define INT4 5
#define W8A8 6

#ifndef FORMAT
#define FORMAT F32
#endif

// What nf4's codes stand for.
__device__ constexpr float NF4_VALUES[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// The byte of a word as a signed number.
__device__ __forceinline__ i32 signed_byte(u32 word, u32 which) {
    return (i32)(word << (24 - 8 * which)) >> 24;
}

// The four weights from `column` (a multiple of 4) on of row `row`, which begins at `codes`; `group` columns share a scale.
__device__ __forceinline__ void decode_four(
    const u8* codes, const void* scales, u64 row, u32 row_scales, u32 group, u32 column, float (&y)[4]
) {
#if FORMAT == F32
    float4 four = *(const float4*)(codes + 4 * column);
    y[0] = four.x, y[1] = four.y, y[2] = four.z, y[3] = four.w;
#elif FORMAT == F16 || FORMAT == BF16
    ushort4 four = *(const ushort4*)(codes + 2 * column);
    u16 bits[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        y[i] = FORMAT == F16 ? half_value(bits[i]) : bf16_value(bits[i]);
    }
#elif FORMAT == INT8 || FORMAT == W8A8
    u32 word = *(const u32*)(codes + column);
    float scale =
        FORMAT == W8A8 ? ((const float*)scales)[row] : half_value(((const u16*)scales)[row * row_scales + column / group]);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        y[i] = (float)signed_byte(word, i) * scale;
    }
#else
    u32 word = *(const u16*)(codes + column / 2);
    u32 pair = column / group;
    const u16* own = (const u16*)scales + row * row_scales;
    float scale = half_value(own[FORMAT == INT4 ? 2 * pair : pair]);
    float zero = FORMAT == INT4 ? half_value(own[2 * pair + 1]) : 0.0f;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        u32 code = (word >> (4 * i)) & 15u;
        y[i] = (FORMAT == NF4 ? NF4_VALUES[code] : (float)code - zero) * scale;
    }
#endif
}
