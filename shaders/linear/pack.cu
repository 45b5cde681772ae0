// Activations as matrix units read them: f32 columns of wider rows to rows of f16, rounded to the nearest, zero behind the last column.
//
// Variants: QUADS (lib/quads.cuh); ORDER 1: within each eight columns in the order 0 4 1 5 2 6 3 7, which decoded int4 comes in.
// Launch: 256 threads, a thread each eight columns.
// Cost: reads 4 bytes and writes 2 for each element.
// Checked with the kernels that read what it packs.
#include "lib/mma.cuh"
#include "lib/quads.cuh"

#ifndef ORDER
#define ORDER 0
#endif

struct Params {
    const float* x;
    u8* packed;
    u32 cols;
    // Floats from row to row of x.
    u32 stride;
    // Bytes from row to row of what is packed.
    u32 row_bytes;
    u32 selected;
    u32 slots;
    u32 padding;
};

extern "C" __global__ void __launch_bounds__(256) pack(const __grid_constant__ Params p, const Step* step) {
    u32 eights = p.row_bytes / 16;
    u64 count = static_cast<u64>(rows_of(step, p.selected, p.slots)) * eights;
    pdl_wait();
    pdl_trigger();
    u64 index = static_cast<u64>(blockIdx.x) * 256 + threadIdx.x;
    if (index >= count) {
        return;
    }
    u64 row = index / eights;
    u32 column = static_cast<u32>(index % eights) * 8;
    const float* from = p.x + row * p.stride;
    float4 a = make_float4(0.0f, 0.0f, 0.0f, 0.0f), b = a;
    if (column < p.cols) {
        a = load_quad(from, column, p.cols);
    }
    if (column + 4 < p.cols) {
        b = load_quad(from, column + 4, p.cols);
    }
#if ORDER
    uint4 packed = make_uint4(halves_of(a.x, b.x), halves_of(a.y, b.y), halves_of(a.z, b.z), halves_of(a.w, b.w));
#else
    uint4 packed = make_uint4(halves_of(a.x, a.y), halves_of(a.z, a.w), halves_of(b.x, b.y), halves_of(b.z, b.w));
#endif
    *reinterpret_cast<uint4*>(p.packed + row * p.row_bytes + column * 2) = packed;
}
