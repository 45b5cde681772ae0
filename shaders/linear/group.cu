// Lists the slots that chose each expert, so that tiles of them can be multiplied with the expert's matrix.
//
// Written, one behind the other: for each expert where its slots begin in the order of experts, and where the last one's end; for
// each tile of `size` slots of one expert the expert and the first slot's place in that order, and 0xffffffff for tiles that are not
// needed; from `order_at` on, all slots, by experts and within an expert as they come, so that the same choices give the same tiles.
//
// One block: a thread counts an expert's slots, then lists them. Choices pass through shared memory, twice for each 256 experts.
// Cost: slots · experts / 256 comparisons one after another.
// Checked by the conformance group `experts`.
#include "lib/step.cuh"

#define THREADS 256
#define PIECE 2048

struct Params {
    const u32* chosen;
    u32* lists;
    u32 experts;
    u32 slots;
    // Slots in a tile.
    u32 size;
    u32 tiles_at;
    u32 order_at;
    u32 selected;
};

__shared__ u32 piece[PIECE];

// Slots of an expert, in order; listed from `at` on where `listed`. Called by all threads at once.
__device__ u32 slots_of(const Params& p, u32 expert, u32 places, u32 at, bool listed) {
    u32 count = 0;
    for (u32 first = 0; first < places; first += PIECE) {
        u32 end = min(static_cast<u32>(PIECE), places - first);
        __syncthreads();
        for (u32 i = threadIdx.x; i < end; i += THREADS) {
            piece[i] = p.chosen[first + i];
        }
        __syncthreads();
        for (u32 i = 0; i < end; i++) {
            if (piece[i] == expert) {
                if (listed) {
                    p.lists[p.order_at + at + count] = first + i;
                }
                count++;
            }
        }
    }
    return count;
}

extern "C" __global__ void __launch_bounds__(THREADS) group(const __grid_constant__ Params p, const Step* step) {
    u32 places = rows_of(step, p.selected, p.slots);
    pdl_wait();
    pdl_trigger();
    for (u32 first = 0; first < p.experts; first += THREADS) {
        u32 expert = first + threadIdx.x;
        u32 count = slots_of(p, expert, places, 0, false);
        if (expert < p.experts) {
            p.lists[expert] = count;
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        u32 at = 0, tile = 0;
        for (u32 expert = 0; expert < p.experts; expert++) {
            u32 count = p.lists[expert];
            p.lists[expert] = at;
            for (u32 first = 0; first < count; first += p.size) {
                p.lists[p.tiles_at + 2 * tile] = expert;
                p.lists[p.tiles_at + 2 * tile + 1] = at + first;
                tile++;
            }
            at += count;
        }
        p.lists[p.experts] = at;
        u32 tiles = places / p.size + min(places, p.experts);
        for (; tile < tiles; tile++) {
            p.lists[p.tiles_at + 2 * tile] = 0xffffffffu;
        }
    }
    __syncthreads();
    for (u32 first = 0; first < p.experts; first += THREADS) {
        u32 expert = first + threadIdx.x;
        u32 at = p.lists[min(expert, p.experts)];
        slots_of(p, expert, places, at, expert < p.experts);
    }
}
