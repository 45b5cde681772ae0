// A plain read of memory, as fast as it goes: what everything else is measured against. And a kernel that faults, for tests of that.
//
// Each thread reads 16 bytes of every run that all threads read together, several runs under way at once. What is read is added up, so
// that it has to be read.

#include "lib/step.cuh"

struct Params {
    const uint4* source;
    u32* sums;
    u64 quads;
};

extern "C" __global__ void read(const __grid_constant__ Params p, const Step*) {
    const u64 run = (u64)gridDim.x * blockDim.x;
    u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    u32 sum = 0;
    for (; at + 7 * run < p.quads; at += 8 * run) {
        uint4 x[8];
#pragma unroll
        for (u32 i = 0; i < 8; i++) {
            asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                         : "=r"(x[i].x), "=r"(x[i].y), "=r"(x[i].z), "=r"(x[i].w)
                         : "l"(p.source + at + i * run));
        }
#pragma unroll
        for (u32 i = 0; i < 8; i++) {
            sum += x[i].x ^ x[i].y ^ x[i].z ^ x[i].w;
        }
    }
    for (; at < p.quads; at += run) {
        uint4 x = p.source[at];
        sum += x.x ^ x.y ^ x.z ^ x.w;
    }
    if (sum == 0x5eed5eedu) {
        p.sums[blockIdx.x] = sum;
    }
}

extern "C" __global__ void fault(const __grid_constant__ Params, const Step*) {
    asm volatile("trap;");
}
