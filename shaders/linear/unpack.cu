// Some features of a matrix as f16, each weight rounded once: for products with so many rows that decoding it once beforehand costs little.
//
// Layout: weights as shaders/CUDA.md says (bf16, int8, nf4, int4); rows of f16, zero behind the last column.
// Variants: FORMAT, GROUP (decode.cuh).
// Launch: 256 threads, a thread each eight weights.
// Cost: reads the codes and writes 2 bytes for each weight. With tiles_wgmma.cu, 2,048 rows of nf4 reach 540 to 600 TFLOP/s on an H100
// (2026-11-27, benches/cuda/mixed.py).
// Checked by the conformance groups `linear` and `random`, and by mixed.py against f64.
#include "linear/decode.cuh"

struct Params {
    const u8* codes;
    const u8* scales;
    u8* unpacked;
    u32 row_bytes;
    u32 row_scales;
    u32 cols;
    // Bytes from row to row of what is unpacked.
    u32 to_bytes;
    u32 first;
    u32 features;
};

extern "C" __global__ void __launch_bounds__(256) unpack(const __grid_constant__ Params p, const Step*) {
    u32 eights = p.to_bytes / 16;
    u64 index = static_cast<u64>(blockIdx.x) * 256 + threadIdx.x;
    bool inside = index < static_cast<u64>(p.features) * eights;
    u32 row = static_cast<u32>(index / eights), column = static_cast<u32>(index % eights) * 8;
    u32 packed[4] = {};
    if (inside && column < p.cols) {
        u64 feature = p.first + row;
        float w[8];
        eight_weights(p.codes + feature * p.row_bytes, p.scales + feature * p.row_scales, column, p.cols, w);
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
            packed[n] = halves_of(w[2 * n], w[2 * n + 1]);
        }
    }
    pdl_wait();
    pdl_trigger();
    if (inside) {
        *reinterpret_cast<uint4*>(p.unpacked + static_cast<u64>(row) * p.to_bytes + column * 2) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    }
}
