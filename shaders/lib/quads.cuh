// Four neighbouring columns of a row of f32 at a time: in one access with QUADS, where all rows begin and end at multiples of four columns,
// else one by one, those behind the last column being zero.
#pragma once

#include "lib/step.cuh"

#ifndef QUADS
#define QUADS 1
#endif

__device__ __forceinline__ float4 load_quad(const float* row, u32 column, u32 width) {
#if QUADS
    return *(const float4*)(row + column);
#else
    float4 x;
    x.x = row[column];
    x.y = column + 1 < width ? row[column + 1] : 0.0f;
    x.z = column + 2 < width ? row[column + 2] : 0.0f;
    x.w = column + 3 < width ? row[column + 3] : 0.0f;
    return x;
#endif
}

__device__ __forceinline__ void store_quad(float* row, u32 column, u32 width, float4 x) {
#if QUADS
    *(float4*)(row + column) = x;
#else
    row[column] = x.x;
    if (column + 1 < width) row[column + 1] = x.y;
    if (column + 2 < width) row[column + 2] = x.z;
    if (column + 3 < width) row[column + 3] = x.w;
#endif
}

// Columns behind the last count for nothing.
__device__ __forceinline__ float4 inside(float4 x, u32 column, u32 width) {
#if QUADS
    return x;
#else
    return make_float4(x.x, column + 1 < width ? x.y : 0.0f, column + 2 < width ? x.z : 0.0f, column + 3 < width ? x.w : 0.0f);
#endif
}

__device__ __forceinline__ float4 operator+(float4 a, float4 b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__device__ __forceinline__ float4 operator*(float4 a, float4 b) {
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

__device__ __forceinline__ float4 operator*(float a, float4 b) {
    return make_float4(a * b.x, a * b.y, a * b.z, a * b.w);
}

__device__ __forceinline__ float sum_of(float4 x) {
    return x.x + x.y + (x.z + x.w);
}
