// y = Σ_slot weight[slot] · x[slot] + residual: what a row's experts gave becomes one row.
//
// Shapes: x has `slots` vectors per row, columns of wider ones; weights has `slots` f32 per row, likewise; y is rows of `width` and may be the
// memory of the residual. A thread does a column; x of the grid counts rows, y parts of a row.
// Costs: reads every slot once. Checked by the conformance group `experts`.

#include "lib/step.cuh"

// As ops/combine.rs has them.
struct Params {
    const float* input;
    const float* weights;
    // Or null.
    const float* residual;
    float* output;
    u32 selected;
    u32 slots;
    u32 width;
    u32 stride;
    u32 weights_stride;
    u32 residual_stride;
};

extern "C" __global__ void combine(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x;
    u32 column = blockIdx.y * blockDim.x + threadIdx.x;
    pdl_wait();
    pdl_trigger();
    if (row >= rows_of(step, p.selected, 1) || column >= p.width) {
        return;
    }
    float y = 0.0f;
    for (u32 slot = 0; slot < p.slots; slot++) {
        float weight = p.weights[(u64)row * p.weights_stride + slot];
        y += weight * p.input[((u64)row * p.slots + slot) * p.stride + column];
    }
    if (p.residual != nullptr) {
        y += p.residual[(u64)row * p.residual_stride + column];
    }
    p.output[(u64)row * p.width + column] = y;
}
