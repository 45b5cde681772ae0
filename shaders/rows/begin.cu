// What begins a step: the token of each row, and no faults.
//
// A row's token is what the host says, or what the step before drew for one of its sequences. A drawn token that has no
// embedding is noted as its sequence's fault, and another stands in for it, so that nothing is read where nothing is.
// One thread per row. Checked by every conformance case that goes on from a draw.

#include "lib/step.cuh"

// As ops/embed.rs has them.
struct Params {
    const u32* drawn;
    u32* tokens;
    u32* faults;
    u32 vocabulary;
    u32 padding;
};

constexpr u32 DRAWN = 0x80000000u;
constexpr u32 NOT_IN_VOCABULARY = 2;

extern "C" __global__ void begin(const __grid_constant__ Params p, const Step* step) {
    u32 row = blockIdx.x * blockDim.x + threadIdx.x;
    pdl_wait();
    pdl_trigger();
    if (row >= step->rows) {
        return;
    }
    u32 token = step->row_token[row];
    u32 fault = 0;
    if (token >= DRAWN) {
        token = p.drawn[token - DRAWN];
        fault = token >= p.vocabulary ? NOT_IN_VOCABULARY : 0;
    }
    p.tokens[row] = min(token, p.vocabulary - 1);
    // A sequence that goes on from a draw has one row, so its first row knows of every fault.
    u32 sequence = step->row_sequence[row];
    if (row == step->first_row[sequence]) {
        p.faults[sequence] = fault;
    }
}
