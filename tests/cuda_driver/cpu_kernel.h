// Lets g++ compile a CUDA kernel as a loop over its grid. There is no __shared__ and no __syncthreads(): each thread
// of a kernel must be by itself.
#pragma once

#include <cstddef>
#include <cstring>
#include <tuple>
#include <utility>

struct dim3 {
    unsigned x, y, z;
};

// What a shared object exports for each kernel, under its name and CPU_KERNEL_SUFFIX.
struct CpuKernel {
    size_t nbytes;                                                // of the arguments, each at its natural alignment
    void (*pack)(void **values, char *arguments);                 // from an address for each
    void (*run)(const char *arguments, dim3 grid, dim3 block);
};
#define CPU_KERNEL_SUFFIX "_on_cpu"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)

static thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }

template <class... A> struct Arguments {
    static constexpr size_t offset(size_t index) {
        const size_t sizes[] = {sizeof(A)..., 0}, alignments[] = {alignof(A)..., 1};
        size_t place = 0;
        for (size_t i = 0; i <= index; ++i) {
            place = (place + alignments[i] - 1) / alignments[i] * alignments[i];
            if (i < index) place += sizes[i];
        }
        return place;
    }

    template <size_t... I> static void pack(void **values, char *arguments, std::index_sequence<I...>) {
        (std::memcpy(arguments + offset(I), values[I], sizeof(A)), ...);
    }

    template <size_t... I> static void run(void (*kernel)(A...), const char *arguments, dim3 grid, dim3 block,
                                           std::index_sequence<I...>) {
        std::tuple<A...> values;
        (std::memcpy(&std::get<I>(values), arguments + offset(I), sizeof(A)), ...);
        gridDim = grid;
        blockDim = block;
        for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
            for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
                for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
                    for (threadIdx.z = 0; threadIdx.z < block.z; ++threadIdx.z)
                        for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
                            for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x) kernel(std::get<I>(values)...);
    }
};

template <auto kernel> struct OnCpu;
template <class... A, void (*kernel)(A...)> struct OnCpu<kernel> {
    static void pack(void **values, char *arguments) {
        Arguments<A...>::pack(values, arguments, std::index_sequence_for<A...>());
    }
    static void run(const char *arguments, dim3 grid, dim3 block) {
        Arguments<A...>::run(kernel, arguments, grid, block, std::index_sequence_for<A...>());
    }
    static constexpr CpuKernel made = {Arguments<A...>::offset(sizeof...(A)), pack, run};
};

#define CPU_KERNEL(name) extern "C" { extern const CpuKernel name##_on_cpu; const CpuKernel name##_on_cpu = OnCpu<name>::made; }
