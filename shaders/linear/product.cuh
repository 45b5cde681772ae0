// What all products with weight matrices are told, and how their results are finished:
//
//     y[row, feature] = factor · (Σ x[row, k] · w[feature, k] + bias[feature]) + residual[row, feature]
#pragma once

#include "lib/step.cuh"

// `ProductParams` of backends/src/cuda/ops/linear/params.rs has the same fields.
struct Product {
    // Weights: codes of neighbouring features are `row_bytes` apart, their scales `row_scales` bytes; w8a8 has one f32 each.
    const u8* codes;
    const u8* scales;
    // Activations, from the first column on: f32 rows, or rows of 16-bit numbers or codes that an earlier launch made.
    const u8* x;
    // Of w8a8: a scale per row.
    const float* x_scales;
    float* y;
    // Null where there is none.
    const float* bias;
    // Null where there is none. It may be where y is: each number is read by who writes it, and before.
    const float* residual;
    // Room for sums of parts of K, and how many parts of each tile are there; zero before and after.
    float* parts;
    u32* arrived;
    u32 features;
    u32 cols;
    u32 row_bytes;
    u32 row_scales;
    // Elements from row to row, of 16-bit numbers and codes bytes.
    u32 x_stride;
    u32 y_stride;
    u32 residual_stride;
    // Rows: of the step's tokens or of its selected rows, times slots.
    u32 selected;
    u32 slots;
    float factor;
    // Blocks that share a tile's K.
    u32 split;
    u32 padding;
};

__device__ __forceinline__ u32 product_rows(const Product& p, const Step* step) {
    return rows_of(step, p.selected, p.slots);
}

// Writes one result.
__device__ __forceinline__ void finish(const Product& p, u32 row, u32 feature, float sum) {
    if (p.bias) {
        sum += p.bias[feature];
    }
    sum *= p.factor;
    if (p.residual) {
        sum += p.residual[static_cast<u64>(row) * p.residual_stride + feature];
    }
    p.y[static_cast<u64>(row) * p.y_stride + feature] = sum;
}

// Whether neighbouring results can be written together: two or four at a time.
__device__ __forceinline__ bool in_groups_of(const Product& p, u32 count) {
    u32 strides = p.features | p.y_stride | (p.residual ? p.residual_stride : 0);
    u64 addresses = reinterpret_cast<u64>(p.y) | reinterpret_cast<u64>(p.residual) | reinterpret_cast<u64>(p.bias);
    return (strides & (count - 1)) == 0 && (addresses & (4 * count - 1)) == 0;
}

// Writes four neighbouring results; only where `in_groups_of(p, 4)`.
__device__ __forceinline__ void finish_four(const Product& p, u32 row, u32 feature, float4 sum) {
    if (p.bias) {
        float4 bias = *reinterpret_cast<const float4*>(p.bias + feature);
        sum.x += bias.x;
        sum.y += bias.y;
        sum.z += bias.z;
        sum.w += bias.w;
    }
    sum.x *= p.factor;
    sum.y *= p.factor;
    sum.z *= p.factor;
    sum.w *= p.factor;
    if (p.residual) {
        float4 add = *reinterpret_cast<const float4*>(p.residual + static_cast<u64>(row) * p.residual_stride + feature);
        sum.x += add.x;
        sum.y += add.y;
        sum.z += add.z;
        sum.w += add.w;
    }
    *reinterpret_cast<float4*>(p.y + static_cast<u64>(row) * p.y_stride + feature) = sum;
}
