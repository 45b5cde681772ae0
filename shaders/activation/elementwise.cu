// One element at a time: functions, gates, sums, factors and caps.
//
//   0–6  y = function(x) · z, the functions of lib/functions.cuh; without a second operand z = 1
//   7    y = x · z          8    y = x + z          9    y = factor · x          10    y = factor · tanh(x / factor)
//
// Shapes: x and z are f32 columns of wider rows, y is f32 rows of their own and may be the memory of x. A thread does four columns; x of the
// grid counts rows, y parts of a row.
// Variants: QUADS (lib/quads.cuh). Costs: reads x and z and writes y once. Checked by the conformance group `elementwise`.

#include "lib/functions.cuh"
#include "lib/quads.cuh"

// As ops/elementwise.rs has them.
struct Params {
    const float* input;
    // Or null.
    const float* second;
    float* output;
    u32 selected;
    u32 slots;
    u32 width;
    u32 stride;
    u32 second_stride;
    u32 operation;
    float factor;
    u32 padding;
};

__device__ __forceinline__ float capped(float x, float cap) {
    return cap * tanhf(x / cap);
}

extern "C" __global__ void elementwise(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x, column = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    pdl_wait();
    pdl_trigger();
    if (row >= rows_of(step, p.selected, p.slots) || column >= p.width) {
        return;
    }
    float4 x = load_quad(p.input + (u64)row * p.stride, column, p.width);
    float4 z = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
    if (p.second != nullptr) {
        z = load_quad(p.second + (u64)row * p.second_stride, column, p.width);
    }
    float4 y;
    switch (p.operation) {
    case 8: y = x + z; break;
    case 9: y = p.factor * x; break;
    case 10: y = make_float4(capped(x.x, p.factor), capped(x.y, p.factor), capped(x.z, p.factor), capped(x.w, p.factor)); break;
    default: y = apply(p.operation, x) * z;
    }
    store_quad(p.output + (u64)row * p.width, column, p.width, y);
}
