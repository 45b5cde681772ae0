// Keeps the rows whose logits somebody asked for, word by word.
//
// Shapes: `words` neighbouring words of rows `stride` words apart; the output is rows of `words` words. Int8 rows have one word
// more, their scale, which lies behind the codes of the largest step. x of the grid counts rows, y parts of a row.
// Checked by the conformance groups `rows` and `sample`.

#include "lib/step.cuh"

// As ops/select.rs has them.
struct Params {
    const u32* input;
    u32* output;
    // Null where rows have none.
    const u32* input_scales;
    u32* output_scales;
    u32 slots;
    u32 words;
    u32 stride;
    u32 padding;
};

extern "C" __global__ void select_rows(const __grid_constant__ Params p, const Step* step) {
    u32 to = blockIdx.x;
    u32 word = blockIdx.y * blockDim.x + threadIdx.x;
    bool within = to < step->selected * p.slots;
    u32 from = within ? step->selected_rows[to / p.slots] * p.slots + to % p.slots : 0;
    pdl_wait();
    pdl_trigger();
    if (!within) {
        return;
    }
    if (word < p.words) {
        p.output[(u64)to * p.words + word] = p.input[(u64)from * p.stride + word];
    }
    if (word == 0 && p.input_scales != nullptr) {
        p.output_scales[to] = p.input_scales[from];
    }
}
