// Rotates each head of the input by its row's position: a thread does four elements of a head.
//
// Input: columns of rows `stride` floats apart; output: rows × (heads · dim), both f32. Angles: see rope/turn.cuh. x of the grid counts rows,
// y parts of a row. `quads`: all that is read and written begins at multiples of four floats.
// Costs 2 · width floats per row and three operations per element. Checked by the rope cases of conformance.

#include "rope/turn.cuh"

// As ops/rope.rs has them.
struct Params {
    const float* input;
    float* output;
    u32 stride;
    u32 heads;
    u32 dim;
    u32 rotary;
    u32 interleaved;
    // Of the table of angles: floats of a row of all rotations, and where this one begins.
    u32 angle_stride;
    u32 angle_first;
    u32 quads;
};

extern "C" __global__ void rope(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x, at = blockIdx.y * blockDim.x + threadIdx.x;
    pdl_wait();
    pdl_trigger();
    u32 per_head = (p.dim + 3) / 4;
    if (row >= step->rows || at >= p.heads * per_head) {
        return;
    }
    u32 head = at / per_head, d = 4 * (at % per_head);
    Rotation by = {step->angles + (u64)row * p.angle_stride + p.angle_first, p.rotary, p.interleaved};
    float4 y = turned_four(by, p.input + (u64)row * p.stride + head * p.dim, d, p.dim, p.quads != 0);
    float* out = p.output + ((u64)row * p.heads + head) * p.dim + d;
    if (p.quads) {
        *(float4*)out = y;
        return;
    }
    out[0] = y.x;
    if (d + 1 < p.dim) out[1] = y.y;
    if (d + 2 < p.dim) out[2] = y.z;
    if (d + 3 < p.dim) out[3] = y.w;
}
