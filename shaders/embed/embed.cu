// y = factor · table[token].
//
// Shapes: the table as CUDA.md lays out weights; y is f32 rows of `width`. A thread does four columns of a row; x of the grid counts rows, y
// parts of a row.
// Variants: FORMAT, the number of a format (lib/formats.cuh). Costs: reads each token's row once. Checked by the conformance group
// `embed`; exact where the factor is 1.

#include "lib/formats.cuh"

// As ops/embed.rs has them.
struct Params {
    const u32* tokens;
    const u8* codes;
    const void* scales;
    float* output;
    u64 row_bytes;
    u32 row_scales;
    u32 group;
    u32 width;
    float factor;
};

extern "C" __global__ void embed(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x;
    u32 column = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    pdl_wait();
    pdl_trigger();
    if (row >= step->rows || column >= p.width) {
        return;
    }
    u32 token = p.tokens[row];
    float y[4];
    decode_four(p.codes + token * p.row_bytes, p.scales, token, p.row_scales, p.group, column, y);
    float* out = p.output + (u64)row * p.width + column;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        if (column + i < p.width) {
            out[i] = p.factor * y[i];
        }
    }
}
