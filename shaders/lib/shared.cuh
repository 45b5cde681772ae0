// Places in shared memory as 32-bit addresses. A kernel whose loop is short keeps them in registers: of pointers the compiler works out again
// at each use what depends on the thread.
#pragma once

#include "lib/step.cuh"

__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

// The same number, which the compiler cannot know how to come by again.
__device__ __forceinline__ u32 kept(u32 x) {
    asm volatile("" : "+r"(x));
    return x;
}

__device__ __forceinline__ u32 load_shared_4(u32 at) {
    u32 x;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(at) : "memory");
    return x;
}

__device__ __forceinline__ uint2 load_shared_8(u32 at) {
    uint2 x;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "r"(at) : "memory");
    return x;
}

__device__ __forceinline__ uint4 load_shared_16(u32 at) {
    uint4 x;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w) : "r"(at) : "memory");
    return x;
}

// Loads where `active` is not zero, else leaves `x` what it is.
__device__ __forceinline__ void load_shared_16_if(uint4& x, u32 at, u32 active) {
    asm volatile("{\n.reg .pred active;\n"
                 "setp.ne.u32 active, %5, 0;\n"
                 "@active ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n}\n"
                 : "+r"(x.x), "+r"(x.y), "+r"(x.z), "+r"(x.w) : "r"(at), "r"(active) : "memory");
}

template <u32 BYTES> __device__ __forceinline__ void store_shared_zeros(u32 at) {
    for (u32 i = 0; i < BYTES / 4; i++) {
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(at + 4 * i), "r"(0) : "memory");
    }
}

// Copies that go on while the thread does other things (lib/mma.cuh); below sm_80 they are done at once.
template <u32 BYTES> __device__ __forceinline__ void copy_async_to(u32 at, const void* from) {
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "what one copy can do");
#if __CUDA_ARCH__ >= 800
    if (BYTES == 16) {
        asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(at), "l"(from) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(at), "l"(from), "n"(BYTES) : "memory");
    }
#else
    for (u32 i = 0; i < BYTES / 4; i++) {
        asm volatile("st.shared.u32 [%0], %1;" ::"r"(at + 4 * i), "r"(static_cast<const u32*>(from)[i]) : "memory");
    }
#endif
}
