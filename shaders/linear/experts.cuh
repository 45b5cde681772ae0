// A mixture's products: each slot of a row takes the matrix of the expert that it chose. The matrices lie one behind another.
#pragma once

#include "linear/product.cuh"

#ifndef EXPERTS
#define EXPERTS 0
#endif

// `Experts` of backends/src/cuda/ops/experts.rs has the same fields.
struct Experts {
    // The expert of each slot; in tiles, what group.cu wrote.
    const u32* choices;
    // Features of an expert.
    u32 features;
    // Slots of a row of the input: one, which all slots of the result read, or as many as these.
    u32 input_slots;
    u32 number;
    // Where in the lists the tiles begin, and the slots in the order of experts.
    u32 tiles_at;
    u32 order_at;
    // Blocks of a slot.
    u32 columns;
};

// The row of the input that a slot reads.
__device__ __forceinline__ u32 input_row(const Product& p, const Experts& e, u32 slot) {
    return e.input_slots == 1 ? slot / p.slots : slot;
}

// The product with an expert's matrix.
__device__ __forceinline__ Product of_expert(const Product& p, const Experts& e, u32 expert) {
    Product q = p;
    u64 first = static_cast<u64>(expert) * e.features;
    q.codes += first * p.row_bytes;
    q.scales += first * p.row_scales;
    if (p.bias) {
        q.bias += first;
    }
    q.features = e.features;
    return q;
}

// Likewise of one slot, as a product of one row. `x_bytes` is the size of what x consists of.
__device__ __forceinline__ Product of_slot(const Product& p, const Experts& e, u32 slot, u32 x_bytes) {
    Product q = of_expert(p, e, e.choices[slot]);
    u32 row = input_row(p, e, slot);
    q.x += static_cast<u64>(row) * p.x_stride * x_bytes;
    q.x_scales += row;
    q.y += static_cast<u64>(slot) * p.y_stride;
    if (p.split > 1) {
        // Slots share no sums.
        u32 tiles = (e.features + 15) / 16;
        q.parts += static_cast<u64>(slot) * tiles * p.split * 128;
        q.arrived += slot * tiles;
    }
    return q;
}

// Tiles that suffice for so many slots, however they are spread.
__device__ __forceinline__ u32 expert_tiles(const Experts& e, u32 slots, u32 size) {
    return slots / size + min(slots, e.number);
}

// A tile of slots that chose the same expert.
struct ExpertTile {
    u32 expert;
    // Its first slot's place in the order of experts, and how many there are; none where the tile is not needed.
    u32 first;
    u32 count;
};

__device__ __forceinline__ ExpertTile expert_tile(const Experts& e, u32 index, u32 size) {
    ExpertTile tile = {e.choices[e.tiles_at + 2 * index], 0, 0};
    if (tile.expert < e.number) {
        tile.first = e.choices[e.tiles_at + 2 * index + 1];
        tile.count = min(e.choices[tile.expert + 1] - tile.first, size);
    }
    return tile;
}
