// Letterboxed pictures, uint8 (n, 3, h, w), to the model's input of the same shape: x * scale[channel] + offset[channel].
//
// in, out: device memory, aligned to 16 bytes.
// plane: h * w, at least 16.
// count: n * 3 * h * w. A thread writes 16 bytes at once, since what is written is two to four times what is read.
#include "numbers.cuh"

#define PER_THREAD (16 / (int)sizeof(Number))

struct alignas(16) Numbers {
    Number at[PER_THREAD];
};

struct alignas(PER_THREAD) Greys {
    Grey at[PER_THREAD];
};

extern "C" __global__ void normalise(const Grey *in, Number *out, unsigned long long count, unsigned long long plane,
                                     float scale0, float scale1, float scale2, float offset0, float offset1,
                                     float offset2) {
    const float scales[3] = {scale0, scale1, scale2}, offsets[3] = {offset0, offset1, offset2};
    const unsigned long long thread = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned long long first = thread * PER_THREAD;
    if (first >= count) return;
    // The run may pass the end of one plane, never of two.
    const int channel = (int)(first / plane % 3);
    const int following = channel == 2 ? 0 : channel + 1;
    const unsigned long long end = (first / plane + 1) * plane;
    const float scale = scales[channel], offset = offsets[channel];
    const float next_scale = scales[following], next_offset = offsets[following];
    const int length = count - first < PER_THREAD ? (int)(count - first) : PER_THREAD;
    Greys greys = {};
    Numbers numbers;
    if (length == PER_THREAD) {
        greys = *(const Greys *)(in + first);
    } else {
        for (int i = 0; i < length; ++i) greys.at[i] = in[first + i];
    }
    for (int i = 0; i < PER_THREAD; ++i) {
        const bool here = first + i < end;
        numbers.at[i] = to_number(greys.at[i], here ? scale : next_scale, here ? offset : next_offset);
    }
    if (length == PER_THREAD) {
        *(Numbers *)(out + first) = numbers;
    } else {
        for (int i = 0; i < length; ++i) out[first + i] = numbers.at[i];
    }
}
