// Decoded pictures of any sizes to the model's input (n, 3, h, w) in one pass: resize, colour, border, normalise.
//
// Gives the very grey levels of `engine.picture.Picture.letterbox`: OpenCV's linear resize with weights of 11 bits and
// its BT.601 conversion with 20. The planes are resized first and converted then, as there. A thread makes one pixel.
#include "numbers.cuh"

// Where a row or column of the target lies between two of the source; made by `picture_upload.py`, as OpenCV does.
struct Tap {
    int first;  // may be -1, and the last may be followed by none: both are clipped
    short weight, next_weight;
};

// One channel of the source. Offsets are bytes from the start of the upload.
struct Channel {
    unsigned long long pixels, columns, rows;
    int width, height;
    int stride;  // bytes from row to row
    int step;    // bytes from pixel to pixel: 1 in a plane, 2 in NV12's chroma, 3 in packed BGR
    int shift;   // 1 where the channel has half the picture's size
    int unused;
};

struct Source {
    Channel channels[3];                 // Y, U, V or blue, green, red
    unsigned long long columns, rows;    // taps from an even picture to one of odd size, which YUV needs; 0: not odd
    int width, height, left, top;        // of the picture in the model's input
    int even_width, even_height;         // as converted, before it is made odd
    int is_yuv, is_full_range;
};

static __device__ inline int clip(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

static __device__ inline int blend(Tap row, int upper, int lower) {
    return (((row.weight * (upper >> 4)) >> 16) + ((row.next_weight * (lower >> 4)) >> 16) + 2) >> 2;
}

static __device__ inline int sample(const Grey *upload, const Channel &channel, int x, int y) {
    const Tap column = ((const Tap *)(upload + channel.columns))[x >> channel.shift];
    const Tap row = ((const Tap *)(upload + channel.rows))[y >> channel.shift];
    const Grey *pixels = upload + channel.pixels;
    const int left = clip(column.first, 0, channel.width - 1) * channel.step;
    const int right = clip(column.first + 1, 0, channel.width - 1) * channel.step;
    const Grey *upper = pixels + (long long)clip(row.first, 0, channel.height - 1) * channel.stride;
    const Grey *lower = pixels + (long long)clip(row.first + 1, 0, channel.height - 1) * channel.stride;
    return blend(row, upper[left] * column.weight + upper[right] * column.next_weight,
                 lower[left] * column.weight + lower[right] * column.next_weight);
}

// The colour of a pixel: blue, green, red.
static __device__ inline void convert(const Grey *upload, const Source &source, int x, int y, int *bgr) {
    for (int i = 0; i < 3; ++i) bgr[i] = sample(upload, source.channels[i], x, y);
    if (!source.is_yuv) return;
    int luma = bgr[0], u = bgr[1], v = bgr[2];
    if (source.is_full_range) {
        // 16 + x * 219 / 255 and 128 + (x - 128) * 224 / 255, rounded; there are no ties.
        luma = 16 + (luma * 438 + 255) / 510;
        u = ((u * 224 + 128 * 31) * 2 + 255) / 510;
        v = ((v * 224 + 128 * 31) * 2 + 255) / 510;
    }
    const int grey = (luma < 16 ? 0 : luma - 16) * 1220542 + (1 << 19);
    u -= 128;
    v -= 128;
    bgr[0] = clip((grey + 2116026 * u) >> 20, 0, 255);
    bgr[1] = clip((grey - 852492 * v - 409993 * u) >> 20, 0, 255);
    bgr[2] = clip((grey + 1673527 * v) >> 20, 0, 255);
}

static __device__ inline void convert_odd(const Grey *upload, const Source &source, int x, int y, int *bgr) {
    const Tap column = ((const Tap *)(upload + source.columns))[x];
    const Tap row = ((const Tap *)(upload + source.rows))[y];
    const int left = clip(column.first, 0, source.even_width - 1);
    const int right = clip(column.first + 1, 0, source.even_width - 1);
    int lines[2][3];
    for (int i = 0; i < 2; ++i) {
        const int line = clip(row.first + i, 0, source.even_height - 1);
        int from[3], to[3];
        convert(upload, source, left, line, from);
        convert(upload, source, right, line, to);
        for (int k = 0; k < 3; ++k) lines[i][k] = from[k] * column.weight + to[k] * column.next_weight;
    }
    for (int k = 0; k < 3; ++k) bgr[k] = blend(row, lines[0][k], lines[1][k]);
}

// upload: begins with one Source for each picture. pad: grey level of the border. is_rgb: the model's order.
// Launched with a grid over (width, height, pictures).
extern "C" __global__ void letterbox(const Grey *upload, Number *out, int width, int height, int pad, int is_rgb,
                                     float scale0, float scale1, float scale2, float offset0, float offset1,
                                     float offset2) {
    const float scales[3] = {scale0, scale1, scale2}, offsets[3] = {offset0, offset1, offset2};
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const Source &source = ((const Source *)upload)[blockIdx.z];
    const int inner_x = x - source.left, inner_y = y - source.top;
    int bgr[3] = {pad, pad, pad};
    if (inner_x >= 0 && inner_x < source.width && inner_y >= 0 && inner_y < source.height) {
        if (source.columns) {
            convert_odd(upload, source, inner_x, inner_y, bgr);
        } else {
            convert(upload, source, inner_x, inner_y, bgr);
        }
    }
    const long long plane = (long long)width * height;
    Number *target = out + blockIdx.z * 3 * plane + (long long)y * width + x;
    for (int i = 0; i < 3; ++i) {
        target[i * plane] = to_number(bgr[is_rgb ? 2 - i : i], scales[i], offsets[i]);
    }
}
