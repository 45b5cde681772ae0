// What sm_90a has of its own: warpgroup products (wgmma), tensor copies (TMA), barriers in shared memory, clusters.
//
// Tiles lie in shared memory as tensor copies with a swizzle of 128 bytes leave them: rows of 128 bytes, eight rows to a block of
// 1,024 bytes, and tiles begin at multiples of that.
#pragma once

#include "lib/shared.cuh"

// --- Barriers: a phase ends once so many arrivals and so many bytes have come.

__device__ __forceinline__ void barrier_init(u32 barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// Makes the barriers known to other blocks of the cluster and to tensor copies.
__device__ __forceinline__ void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void barrier_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ __forceinline__ void barrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives at the barrier at the same place in another block of the cluster.
__device__ __forceinline__ void barrier_arrive_at(u32 barrier, u32 block) {
    asm volatile(
        "{\n.reg .b32 there;\n"
        "mapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.shared::cluster.b64 _, [there];\n}\n" ::"r"(barrier), "r"(block) : "memory");
}

__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
    asm volatile(
        "{\n.reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n}\n" ::"r"(barrier), "r"(parity) : "memory");
}

// --- Clusters

__device__ __forceinline__ u32 cluster_rank() {
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ __forceinline__ void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Where a place in this block's shared memory lies in another block's.
__device__ __forceinline__ u32 shared_of(u32 address, u32 block) {
    u32 there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
    return there;
}

__device__ __forceinline__ uint4 load_shared_of(u32 there) {
    uint4 v;
    asm volatile("ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(there) : "memory");
    return v;
}

// --- Tensor copies: 128 bytes of so many rows as the map says, from a byte of a row on. Outside the matrix are zeros.

// The 128 bytes of a CUtensorMap.
struct alignas(64) TensorMap {
    u64 opaque[16];
};

__device__ __forceinline__ void tensor_prefetch(const TensorMap* map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ __forceinline__ void tensor_load(u32 to, const TensorMap* map, u32 barrier, u32 byte, u32 row) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
        "l"(map), "r"(barrier), "r"(byte), "r"(row) : "memory");
}

// To the same place in all blocks of the cluster that `mask` has a bit for.
__device__ __forceinline__ void tensor_load_all(u32 to, const TensorMap* map, u32 barrier, u32 byte, u32 row, u16 mask) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], "
        "[%2], %5;" ::"r"(to), "l"(map), "r"(barrier), "r"(byte), "r"(row), "h"(mask) : "memory");
}

// --- Warpgroups

template <int REGISTERS> __device__ __forceinline__ void more_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS> __device__ __forceinline__ void fewer_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

// What wgmma needs to know of a tile: its place, 1,024 bytes from one block of eight rows to the next, swizzle of 128 bytes.
__device__ __forceinline__ u64 tile_descriptor(u32 address) {
    return static_cast<u64>((address & 0x3ffff) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}

__device__ __forceinline__ void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int LEFT> __device__ __forceinline__ void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

#define WGMMA_NAMES_128 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define WGMMA_NAMES_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_NAMES_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define WGMMA_4(c, d, i) c(d[i]), c(d[(i) + 1]), c(d[(i) + 2]), c(d[(i) + 3])
#define WGMMA_16(c, d, i) WGMMA_4(c, d, i), WGMMA_4(c, d, (i) + 4), WGMMA_4(c, d, (i) + 8), WGMMA_4(c, d, (i) + 12)
#define WGMMA_32(c, d, i) WGMMA_16(c, d, i), WGMMA_16(c, d, (i) + 16)
#define WGMMA_64(c, d, i) WGMMA_32(c, d, i), WGMMA_32(c, d, (i) + 32)
#define WGMMA_128(c, d, i) WGMMA_64(c, d, i), WGMMA_64(c, d, (i) + 64)

// One instruction: d = a · bᵀ + (keep ? d : 0) of a tile of 64 rows and N columns, 32 bytes of K. A, B and KEEP are the numbers of the
// operands behind those of the sums.
#define WGMMA(NAME, TYPES, ENDING, SUM, CONSTRAINT, COUNT, A, B, KEEP)                                            \
    __device__ __forceinline__ void NAME(SUM (&d)[COUNT], u64 a, u64 b, u32 keep) {                               \
        asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, %" #KEEP ", 0;\n"                                    \
                     "wgmma.mma_async.sync.aligned." TYPES " {" WGMMA_NAMES_##COUNT "}, %" #A ", %" #B            \
                     ", keep" ENDING ";\n}\n"                                                                     \
                     : WGMMA_##COUNT(CONSTRAINT, d, 0)                                                            \
                     : "l"(a), "l"(b), "r"(keep));                                                                \
    }

WGMMA(product_i8, "m64n256k32.s32.s8.s8", "", i32, "+r", 128, 128, 129, 130)
WGMMA(product_i8, "m64n128k32.s32.s8.s8", "", i32, "+r", 64, 64, 65, 66)
WGMMA(product_i8, "m64n64k32.s32.s8.s8", "", i32, "+r", 32, 32, 33, 34)
WGMMA(product_f16, "m64n256k16.f32.f16.f16", ", 1, 1, 0, 0", float, "+f", 128, 128, 129, 130)
WGMMA(product_f16, "m64n128k16.f32.f16.f16", ", 1, 1, 0, 0", float, "+f", 64, 64, 65, 66)
WGMMA(product_f16, "m64n64k16.f32.f16.f16", ", 1, 1, 0, 0", float, "+f", 32, 32, 33, 34)
