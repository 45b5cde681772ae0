// How the elements of a head are rotated.
//
// The table of a rotation has for each row `rotary` floats: the cosines of all pairs, then their sines, both times the magnitude.
// Of a pair (a, b) become a · cos − b · sin and b · cos + a · sin.
#pragma once

#include "lib/step.cuh"

struct Rotation {
    // The row's angles, or null where nothing is turned.
    const float* angles;
    u32 rotary;
    // Pairs are neighbours, else rotary / 2 apart.
    u32 interleaved;
};

// Element d of a head.
__device__ __forceinline__ float turned(const Rotation& by, const float* head, u32 d) {
    float x = head[d];
    if (by.angles == nullptr || d >= by.rotary) {
        return x;
    }
    u32 half = by.rotary / 2;
    bool second = by.interleaved ? (d & 1) != 0 : d >= half;
    u32 pair = by.interleaved ? d / 2 : second ? d - half : d;
    float other = head[by.interleaved ? d ^ 1 : second ? d - half : d + half];
    float sine = by.angles[half + pair];
    return x * by.angles[pair] + (second ? sine : -sine) * other;
}

// Elements d to d + 3 of a head that begins at a multiple of four floats, as do its halves and its angles.
__device__ __forceinline__ float4 turned_quad(const Rotation& by, const float* head, u32 d) {
    float4 x = *(const float4*)(head + d);
    if (by.angles == nullptr || d >= by.rotary) {
        return x;
    }
    u32 half = by.rotary / 2;
    if (by.interleaved) {
        float2 c = *(const float2*)(by.angles + d / 2), s = *(const float2*)(by.angles + half + d / 2);
        return make_float4(x.x * c.x - x.y * s.x, x.y * c.x + x.x * s.x, x.z * c.y - x.w * s.y, x.w * c.y + x.z * s.y);
    }
    bool second = d >= half;
    u32 pair = second ? d - half : d;
    float4 y = *(const float4*)(head + (second ? pair : d + half));
    float4 c = *(const float4*)(by.angles + pair), s = *(const float4*)(by.angles + half + pair);
    float sign = second ? 1.0f : -1.0f;
    return make_float4(x.x * c.x + sign * s.x * y.x, x.y * c.y + sign * s.y * y.y, x.z * c.z + sign * s.z * y.z, x.w * c.w + sign * s.w * y.w);
}

// Elements d to d + 3 of a head of `dim`, those behind its last being zero.
__device__ __forceinline__ float4 turned_four(const Rotation& by, const float* head, u32 d, u32 dim, bool quads) {
    if (quads) {
        return turned_quad(by, head, d);
    }
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    x.x = d < dim ? turned(by, head, d) : 0.0f;
    x.y = d + 1 < dim ? turned(by, head, d + 1) : 0.0f;
    x.z = d + 2 < dim ? turned(by, head, d + 2) : 0.0f;
    x.w = d + 3 < dim ? turned(by, head, d + 3) : 0.0f;
    return x;
}
