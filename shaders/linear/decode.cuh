// How codes of the weight formats become operands of matrix units.
//
// FORMAT: 0 f32, 1 f16, 2 bf16, 3 int8, 4 nf4, 5 int4, 6 w8a8; GROUP: weights that share a scale (int8, int4).
//
// Operands are f16. Codes are exact in it, but for nf4's and for bf16, which are rounded to it; scales are applied to the sums of a group
// in f32. K is taken in segments within which the scale is the same. In a segment of SEGMENT bytes of a row, lane t of four holds the t-th
// quarter, LANE_K neighbouring weights; so do activations, in pieces of eight that lie in shared memory in the order (segment, piece of the lane, lane).
// Within a piece of int4, activations are in the order 0 4 1 5 2 6 3 7, since codes that are four apart come out as neighbours.
#pragma once

#ifndef FORMAT
#define FORMAT 4
#endif
#ifndef GROUP
#define GROUP 64
#endif

#include "lib/formats.cuh"
#include "lib/mma.cuh"

#if FORMAT == 0
#define CODE_BITS 32
#elif FORMAT == 1 || FORMAT == 2
#define CODE_BITS 16
#elif FORMAT == 3 || FORMAT == 6
#define CODE_BITS 8
#else
#define CODE_BITS 4
#endif

#define GROUPED (FORMAT >= 3 && FORMAT <= 5)
#define GROUP_BYTES (GROUP * CODE_BITS / 8)
#if GROUPED && GROUP_BYTES < 64
#define SEGMENT GROUP_BYTES
#else
#define SEGMENT 64
#endif
#define LANE_BYTES (SEGMENT / 4)
#define LANE_WORDS (LANE_BYTES / 4)
#define LANE_K (LANE_BYTES * 8 / CODE_BITS)
// Pieces of 16 bytes of activations to a lane's part of a segment.
#if FORMAT == 6
#define PIECES 1
typedef i32 Sum;
#else
#define PIECES (LANE_K / 8)
typedef float Sum;
#endif
// Words of operands that a lane's part decodes to.
#define OPERANDS (PIECES * 4)
// Bytes of a group's scale.
#define SCALE_BYTES (FORMAT == 5 ? 4 : 2)

// Bytes of a row that a kernel takes at once.
#ifndef CHUNK
#define CHUNK 128
#endif
#define CHUNK_K (CHUNK * 8 / CODE_BITS)
// Bytes of scales of a chunk's row, as they are copied: at least a word, in which there may be those of the next chunk.
#if !GROUPED
#define SCALES 0
#elif CHUNK_K / GROUP * SCALE_BYTES < 4
#define SCALES 4
#else
#define SCALES (CHUNK_K / GROUP * SCALE_BYTES)
#endif
// Bytes of scales that a thread copies at once, and how many threads copy those of a row.
#define SCALE_COPY (SCALES < 16 ? SCALES : 16)
#define SCALE_COPIES (SCALES / SCALE_COPY)
// Activations in 16 bytes.
#define PIECE_K (FORMAT == 6 ? 16 : 8)

#if FORMAT != 0
#if FORMAT == 4
// What both codes of a byte stand for, for each lane of a warp in a bank of its own; on sm_75, which has less shared memory, once.
#if ARCH >= 80
#define NF4_COPIES 32
#else
#define NF4_COPIES 1
#endif
__shared__ u32 nf4_pairs[256 * NF4_COPIES];

// Where the thread looks things up, for as long as it decodes.
__device__ __forceinline__ u32 decoding_place() {
    return kept(shared_address(nf4_pairs) + threadIdx.x % NF4_COPIES * 4);
}

// What a byte of a word stands for. Of the table nothing changes once it is there, so that the compiler may look up when it likes.
__device__ __forceinline__ u32 nf4_pair(u32 word, u32 byte, u32 place) {
    u32 pair;
    u32 at = __byte_perm(word, 0, 0x4440 | byte) * (NF4_COPIES * 4) + place;
    asm("ld.shared.u32 %0, [%1];" : "=r"(pair) : "r"(at));
    return pair;
}

// Fills the table; a barrier has to follow.
__device__ __forceinline__ void prepare_decoding() {
    for (u32 byte = threadIdx.x; byte < 256; byte += blockDim.x) {
        u32 pair = halves_of(NF4_VALUES[byte & 15], NF4_VALUES[byte >> 4]);
        // Threads write to different banks.
        for (u32 copy = 0; copy < NF4_COPIES; copy++) {
            nf4_pairs[byte * NF4_COPIES + (copy + threadIdx.x) % NF4_COPIES] = pair;
        }
    }
}
#else
__device__ __forceinline__ u32 decoding_place() {
    return 0;
}

__device__ __forceinline__ void prepare_decoding() {}
#endif

// A lane's part of a segment of one row as operands. `pair` is the group's scale and zero point in int4, `place` what decoding_place() said.
__device__ __forceinline__ void decode(const u32 (&codes)[LANE_WORDS], u32 pair, u32 place, u32 (&operands)[OPERANDS]) {
#if FORMAT == 3
#pragma unroll
    for (u32 i = 0; i < LANE_WORDS; i++) {
        // Moved up by 128 they are the low bits of halves from 1,024 on.
        u32 up = codes[i] ^ 0x80808080u;
        operands[2 * i] = subtract_halves(__byte_perm(up, 0x64646464u, 0x4140), 0x64806480u);
        operands[2 * i + 1] = subtract_halves(__byte_perm(up, 0x64646464u, 0x4342), 0x64806480u);
    }
#elif FORMAT == 4
#pragma unroll
    for (u32 i = 0; i < LANE_WORDS; i++) {
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            operands[4 * i + j] = nf4_pair(codes[i], j, place);
        }
    }
#elif FORMAT == 5
    // 1,024 and the zero point, a whole number, twice.
    u32 zero = halves_of(1024.0f + half_value(pair >> 16), 1024.0f + half_value(pair >> 16));
#pragma unroll
    for (u32 i = 0; i < LANE_WORDS; i++) {
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            operands[4 * i + j] = subtract_halves(codes[i] >> 4 * j & 0x000f000fu | 0x64006400u, zero);
        }
    }
#elif FORMAT == 2
#pragma unroll
    for (u32 i = 0; i < LANE_WORDS; i++) {
        operands[i] = halves_of(__uint_as_float(codes[i] << 16), __uint_as_float(codes[i] & 0xffff0000u));
    }
#else
#pragma unroll
    for (u32 i = 0; i < LANE_WORDS; i++) {
        operands[i] = codes[i];
    }
#endif
}

// Where 16 bytes of codes lie among those of eight rows, 64 bytes of each: segment after segment, so that lanes read without conflicts.
__device__ __forceinline__ u32 code_place(u32 row, u32 byte) {
    return byte / SEGMENT * (8 * SEGMENT) + row * SEGMENT + byte % SEGMENT;
}

#if GROUPED
// Where the scales of a chunk's row begin, in bytes: a multiple of what is copied.
__device__ __forceinline__ u32 scales_place(u32 chunk) {
    return chunk * CHUNK_K / GROUP * SCALE_BYTES / SCALES * SCALES;
}

// Copies a piece of a row's scales. Codes of a row may go on behind its last scales, where activations are zero: scales are, too.
template <u32 BYTES> __device__ __forceinline__ void copy_scales(u32 to, const u8* row, u32 at, u32 row_scales) {
    if (at < row_scales) {
        copy_async_to<BYTES>(to, row + at);
    } else {
        store_shared_zeros<BYTES>(to);
    }
}

// Where the scale of a segment's group begins in what was copied of its row.
__device__ __forceinline__ u32 scale_place(u32 chunk, u32 segment) {
#if CHUNK_K / GROUP * SCALE_BYTES >= 4
    return segment * (SEGMENT * 8 / CODE_BITS) / GROUP * SCALE_BYTES;
#else
    return (chunk * CHUNK_K + segment * (SEGMENT * 8 / CODE_BITS)) / GROUP * SCALE_BYTES - scales_place(chunk);
#endif
}

// The scale of a segment's group out of what was copied of its row, and in int4 its zero point in the upper half.
__device__ __forceinline__ u32 scale_bits(const u8* copied, u32 chunk, u32 segment) {
    u32 at = scale_place(chunk, segment);
#if FORMAT == 5
    return *reinterpret_cast<const u32*>(copied + at);
#else
    return *reinterpret_cast<const u16*>(copied + at);
#endif
}
#endif

// Eight activations as the 16 bytes of a piece.
__device__ __forceinline__ uint4 piece_of(const float (&x)[8]) {
#if FORMAT == 5
    return make_uint4(halves_of(x[0], x[4]), halves_of(x[1], x[5]), halves_of(x[2], x[6]), halves_of(x[3], x[7]));
#else
    return make_uint4(halves_of(x[0], x[1]), halves_of(x[2], x[3]), halves_of(x[4], x[5]), halves_of(x[6], x[7]));
#endif
}

// Where the n-th piece of a row, counted along K, lies in shared memory, in bytes.
__device__ __forceinline__ u32 piece_place(u32 piece) {
    u32 inside = piece % (4 * PIECES);
    return (piece / (4 * PIECES) * 4 * PIECES + inside % PIECES * 4 + inside / PIECES) * 16;
}

// sums += rows g and g + 8 of weights · row g of activations, for one piece.
__device__ __forceinline__ void piece_products(Sum (&sums)[4], const u32* a, const u32* b, uint4 x) {
#if FORMAT == 6
    product_i8(sums, a[0], b[0], a[1], b[1], x.x, x.y);
    product_i8(sums, a[2], b[2], a[3], b[3], x.z, x.w);
#else
    product_f16(sums, a[0], b[0], a[1], b[1], x.x, x.y);
    product_f16(sums, a[2], b[2], a[3], b[3], x.z, x.w);
#endif
}
#endif

#if FORMAT != 6
// Eight weights of a row from a column on that is a multiple of eight, exactly as the format says, rounded to f32; zero behind the last column.
// `codes` and `scales` are the row's.
__device__ __forceinline__ void eight_weights(const u8* codes, const u8* scales, u32 column, u32 cols, float (&w)[8]) {
    u32 words[8 * CODE_BITS / 32];
    const u32* from = reinterpret_cast<const u32*>(codes + column * CODE_BITS / 8);
#pragma unroll
    for (u32 i = 0; i < 8 * CODE_BITS / 32; i++) {
        words[i] = from[i];
    }
#if GROUPED
    const u16* pair = reinterpret_cast<const u16*>(scales + column / GROUP * SCALE_BYTES);
    float scale = half_value(pair[0]);
#endif
#if FORMAT == 5
    float zero = half_value(pair[1]);
#endif
#pragma unroll
    for (u32 n = 0; n < 8; n++) {
        float value = 0.0f;
#if FORMAT == 0
        value = __uint_as_float(words[n]);
#elif FORMAT == 1
        value = half_value(words[n / 2] >> n % 2 * 16 & 0xffffu);
#elif FORMAT == 2
        value = __uint_as_float(n % 2 == 0 ? words[n / 2] << 16 : words[n / 2] & 0xffff0000u);
#elif FORMAT == 3
        value = static_cast<float>(static_cast<i8>(words[n / 4] >> n % 4 * 8)) * scale;
#elif FORMAT == 4
        value = NF4_VALUES[words[0] >> n * 4 & 15u] * scale;
#else
        value = (static_cast<float>(words[0] >> n * 4 & 15u) - zero) * scale;
#endif
        w[n] = column + n < cols ? value : 0.0f;
    }
}
#endif
