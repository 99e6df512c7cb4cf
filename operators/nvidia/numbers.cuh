// What a model reads: grey levels become numbers with OpenCV's and NumPy's own roundings, bit by bit.
// NUMBER_BITS is 32 (float), 16 (half) or 8 (grey levels as they are); it comes from the compiler's command line.
#pragma once

typedef unsigned char Grey;

#if NUMBER_BITS == 32
typedef float Number;

// Two roundings, as NumPy has: a fused multiply-add would have one.
static __device__ inline Number to_number(int grey, float scale, float offset) {
    return __fadd_rn(__fmul_rn((float)grey, scale), offset);
}
#elif NUMBER_BITS == 16
typedef unsigned short Number;

// CUDA's own half type needs a header that NVRTC does not bring.
static __device__ inline unsigned short to_half(float value) {
    unsigned short bits;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
    const _Float16 half = (_Float16)value;
    __builtin_memcpy(&bits, &half, sizeof bits);
#endif
    return bits;
}

static __device__ inline float from_half(unsigned short bits) {
#ifdef __CUDA_ARCH__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#else
    _Float16 half;
    __builtin_memcpy(&half, &bits, sizeof half);
    return (float)half;
#endif
}

static __device__ inline Number to_number(int grey, float scale, float offset) {
    return to_half(__fadd_rn(from_half(to_half(__fmul_rn((float)grey, scale))), offset));
}
#else
typedef unsigned char Number;

static __device__ inline Number to_number(int grey, float, float) { return (Number)grey; }
#endif
