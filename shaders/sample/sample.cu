// Drawing tokens, as backends/src/sampling.rs defines it, in up to three passes: `scan` over the logits, `histogram` over them again
// where a draw is not greedy, and `draw`, one block per sequence.
//
// Shapes: logits are f32 rows `stride` apart; blocks of 256 threads, one for each chunk of 1024 logits of each sequence.
// Variants: QUADS where rows of logits begin at multiples of four. Costs: reads the logits once for each pass. Checked by the conformance
// group `sample`.

#include "sample/draw.cuh"
#include "sample/histogram.cuh"
#include "sample/scan.cuh"

extern "C" __global__ void __launch_bounds__(SIZE) scan(const __grid_constant__ Params p, const Step* step) {
    pdl_wait();
    pdl_trigger();
    if (blockIdx.x < step->sequences * p.chunks) {
        scan_chunk(p, step, blockIdx.x / p.chunks, blockIdx.x % p.chunks);
    }
}

extern "C" __global__ void __launch_bounds__(SIZE) histogram(const __grid_constant__ Params p, const Step* step) {
    pdl_wait();
    pdl_trigger();
    if (blockIdx.x < step->sequences * p.chunks) {
        count_chunk(p, step, blockIdx.x / p.chunks, blockIdx.x % p.chunks);
    }
}

extern "C" __global__ void __launch_bounds__(SIZE) draw(const __grid_constant__ Params p, const Step* step) {
    pdl_wait();
    pdl_trigger();
    if (blockIdx.x < step->sequences) {
        draw_token(p, step, blockIdx.x);
    }
}
