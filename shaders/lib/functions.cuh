// The elementwise functions, good to a few units in the last place for arguments of any size. NaN is passed on.
#pragma once

#include "lib/step.cuh"

// 1 / (1 + exp(−x)), without an exp that could overflow.
__device__ __forceinline__ float sigmoid(float x) {
    float e = expf(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// x · Φ(x). The tail Φ(−t) = exp(−t²/2) · s · p(s), s = 1 / (1 + 0.35 t), is good to 7·10⁻⁹ of itself before rounding.
__device__ __forceinline__ float gelu(float x) {
    float t = fabsf(x);
    float s = 1.0f / (1.0f + 0.35f * t);
    float p = 0.264322671f + s * (-0.121762801f + s * 0.0219726498f);
    p = 0.0516155505f + s * (-0.0396525602f + s * (0.0941971607f + s * (-0.259790716f + s * p)));
    p = 0.139629834f + s * (0.139626911f + s * (0.122604988f + s * (0.0872363164f + s * p)));
    float tail = expf(-0.5f * t * t) * s * p;
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

// Its approximation through tanh: (1 + tanh z) / 2 is sigmoid(2z), which keeps its digits where 1 + tanh z would cancel.
__device__ __forceinline__ float gelu_tanh(float x) {
    return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
}

// Not max(x, 0), which would turn NaN into 0.
__device__ __forceinline__ float relu(float x) {
    return x < 0.0f ? 0.0f : x;
}

// The numbers of the functions, as ops/elementwise.rs has them; any other is the identity.
__device__ __forceinline__ float apply(u32 function, float x) {
    switch (function) {
    case 0: return x * sigmoid(x);
    case 1: return gelu(x);
    case 2: return gelu_tanh(x);
    case 3: return relu(x);
    case 4: return relu(x) * relu(x);
    case 5: return sigmoid(x);
    case 6: return tanhf(x);
    default: return x;
    }
}

__device__ __forceinline__ float4 apply(u32 function, float4 x) {
    switch (function) {
    case 0: return make_float4(apply(0, x.x), apply(0, x.y), apply(0, x.z), apply(0, x.w));
    case 1: return make_float4(apply(1, x.x), apply(1, x.y), apply(1, x.z), apply(1, x.w));
    case 2: return make_float4(apply(2, x.x), apply(2, x.y), apply(2, x.z), apply(2, x.w));
    case 3: return make_float4(apply(3, x.x), apply(3, x.y), apply(3, x.z), apply(3, x.w));
    case 4: return make_float4(apply(4, x.x), apply(4, x.y), apply(4, x.z), apply(4, x.w));
    case 5: return make_float4(apply(5, x.x), apply(5, x.y), apply(5, x.z), apply(5, x.w));
    case 6: return make_float4(apply(6, x.x), apply(6, x.y), apply(6, x.z), apply(6, x.w));
    default: return x;
    }
}
