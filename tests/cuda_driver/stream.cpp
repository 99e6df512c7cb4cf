// Streams, events, kernels and graphs.
#include "state.hpp"

#include <chrono>
#include <cstdint>
#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu_kernel.h"

Result refuse_in_capture() {
    if (!capturing_here) return SUCCESS;
    capturing_here->is_invalid = true;
    return CAPTURE_UNSUPPORTED;
}

Result drain(std::shared_ptr<Stream> stream, const Event *until) {
    std::lock_guard<std::mutex> running(stream->running);
    for (;;) {
        Operation operation;
        {
            std::lock_guard<std::recursive_mutex> locked(state.mutex);
            if (stream->context->lost) return stream->context->lost;
            if (stream->queue.empty() || (until && until->reached >= until->recorded)) return SUCCESS;
            operation = stream->queue.front();
            stream->queue.pop_front();
        }
        const Result failed = operation();
        if (failed) {
            std::lock_guard<std::recursive_mutex> locked(state.mutex);
            return stream->context->lost = failed;
        }
    }
}

Result drain_all(Context *context) {
    std::vector<std::shared_ptr<Stream>> found;
    {
        std::lock_guard<std::recursive_mutex> locked(state.mutex);
        for (const auto &stream : state.streams) {
            if (stream.second->context == context) found.push_back(stream.second);
        }
    }
    for (const auto &stream : found) {
        if (Result failed = drain(stream)) return failed;
    }
    return SUCCESS;
}

// The default stream's work is done at once: the streams at hand do not wait for it, nor it for them.
Result queue(void *handle, Operation operation) {
    if (!handle) return operation();
    Stream *stream = find(state.streams, handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->is_invalid) return CAPTURE_INVALIDATED;
    if (stream->is_capturing) {
        stream->captured.push_back(operation);
    } else {
        stream->queue.push_back(operation);
    }
    return SUCCESS;
}

EXPORT Result cuStreamCreate(void **handle, unsigned flags) {
    ENTER("cuStreamCreate");
    if (Result refused = refuse_in_capture()) return refused;
    // Others wait for the default stream, which is not played here.
    if (flags != 1) return NOT_SUPPORTED;
    auto stream = std::make_shared<Stream>();
    stream->context = current();
    *handle = add(state.streams, stream);
    return SUCCESS;
}

EXPORT Result cuStreamDestroy_v2(void *handle) {
    ENTER("cuStreamDestroy");
    const auto found = state.streams.find(handle);
    if (found == state.streams.end()) return INVALID_HANDLE;
    const auto stream = found->second;
    locked.unlock();
    const Result failed = drain(stream);
    locked.lock();
    state.streams.erase(handle);
    return failed;
}

EXPORT Result cuStreamSynchronize(void *handle) {
    ENTER("cuStreamSynchronize");
    if (!handle) return SUCCESS;
    if (!find(state.streams, handle)) return INVALID_HANDLE;
    if (Result refused = refuse_in_capture()) return refused;
    const auto stream = state.streams.at(handle);
    locked.unlock();
    return drain(stream);
}

EXPORT Result cuStreamQuery(void *handle) {
    ENTER("cuStreamQuery");
    if (!handle) return SUCCESS;
    Stream *stream = find(state.streams, handle);
    return !stream ? INVALID_HANDLE : stream->queue.empty() ? SUCCESS : NOT_READY;
}

EXPORT Result cuStreamIsCapturing(void *handle, int *status) {
    ENTER("cuStreamIsCapturing");
    Stream *stream = find(state.streams, handle);
    *status = !stream || !stream->is_capturing ? 0 : stream->is_invalid ? 2 : 1;
    return SUCCESS;
}

EXPORT Result cuLaunchHostFunc(void *handle, void (*function)(void *), void *data) {
    ENTER("cuLaunchHostFunc");
    return queue(handle, [=] {
        function(data);
        return SUCCESS;
    });
}

EXPORT Result cuEventCreate(void **handle, unsigned) {
    ENTER("cuEventCreate");
    auto event = std::make_shared<Event>();
    event->context = current();
    *handle = add(state.events, event);
    return SUCCESS;
}

EXPORT Result cuEventDestroy_v2(void *handle) {
    ENTER("cuEventDestroy");
    return state.events.erase(handle) ? SUCCESS : INVALID_HANDLE;
}

EXPORT Result cuEventRecord(void *handle, void *stream) {
    ENTER("cuEventRecord");
    if (!find(state.events, handle)) return INVALID_HANDLE;
    const auto event = state.events.at(handle);
    event->stream = find(state.streams, stream);
    event->is_captured = event->stream && event->stream->is_capturing;
    const long mark = ++event->recorded;
    return queue(stream, [event, mark] {
        event->reached = mark;
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        event->time_ms = std::chrono::duration<double, std::milli>(now).count();
        return SUCCESS;
    });
}

EXPORT Result cuEventSynchronize(void *handle) {
    ENTER("cuEventSynchronize");
    if (!find(state.events, handle)) return INVALID_HANDLE;
    const auto event = state.events.at(handle);
    if (event->is_captured) return CAPTURED_EVENT;
    if (Result refused = refuse_in_capture()) return refused;
    if (!event->stream || !state.streams.count(event->stream)) return SUCCESS;
    const auto stream = state.streams.at(event->stream);
    locked.unlock();
    return drain(stream, event.get());
}

EXPORT Result cuEventQuery(void *handle) {
    ENTER("cuEventQuery");
    Event *event = find(state.events, handle);
    return !event ? INVALID_HANDLE : event->reached == event->recorded ? SUCCESS : NOT_READY;
}

EXPORT Result cuEventElapsedTime_v2(float *ms, void *start, void *stop) {
    ENTER("cuEventElapsedTime");
    Event *from = find(state.events, start), *to = find(state.events, stop);
    if (!from || !to || !from->recorded || !to->recorded) return INVALID_HANDLE;
    if (from->reached != from->recorded || to->reached != to->recorded) return NOT_READY;
    *ms = to->time_ms - from->time_ms;
    return SUCCESS;
}

EXPORT Result cuStreamWaitEvent(void *handle, void *waited, unsigned) {
    ENTER("cuStreamWaitEvent");
    if (!find(state.events, waited)) return INVALID_HANDLE;
    const auto event = state.events.at(waited);
    if (event->is_captured) return NOT_SUPPORTED;
    if (!event->stream || !state.streams.count(event->stream)) return SUCCESS;
    const auto other = state.streams.at(event->stream);
    if (other.get() == handle) return SUCCESS;
    return queue(handle, [event, other] { return drain(other, event.get()); });
}

// An image is a shared object of this machine, made by `tests.cuda_driver.cpu_kernels`. As in a cubin, its ELF header
// says how long it is.
static Result load(void **handle, const void *image) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    if (memcmp(image, ELFMAG, SELFMAG)) return INVALID_IMAGE;
    const Elf64_Half cuda = 190;
    if (header->e_machine == cuda) return NO_BINARY_FOR_GPU;
    const size_t nbytes = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
    const int file = memfd_create("kernels", 0);
    if (write(file, image, nbytes) != (ssize_t)nbytes) return OUT_OF_MEMORY;
    void *library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return INVALID_IMAGE;
    *handle = add(state.modules, std::make_shared<Module>(Module{current(), library, file}));
    return SUCCESS;
}

EXPORT Result cuModuleLoadDataEx(void **handle, const void *image, unsigned num_options, int *options, void **values) {
    ENTER("cuModuleLoadDataEx");
    if (Result refused = refuse_in_capture()) return refused;
    for (unsigned i = 0; i < num_options; ++i) {
        const int info_log_bytes = 4, error_log = 5, error_log_bytes = 6;
        if (options[i] == error_log) *(char *)values[i] = 0;
        if (options[i] == info_log_bytes || options[i] == error_log_bytes) values[i] = nullptr;
    }
    return load(handle, image);
}

EXPORT Result cuModuleUnload(void *handle) {
    ENTER("cuModuleUnload");
    Module *module = find(state.modules, handle);
    if (!module) return INVALID_HANDLE;
    dlclose(module->library);
    close(module->file);
    state.modules.erase(handle);
    return SUCCESS;
}

EXPORT Result cuModuleGetFunction(void **function, void *handle, const char *name) {
    ENTER("cuModuleGetFunction");
    Module *module = find(state.modules, handle);
    if (!module) return INVALID_HANDLE;
    *function = dlsym(module->library, (std::string(name) + CPU_KERNEL_SUFFIX).c_str());
    return *function ? SUCCESS : NOT_FOUND;
}

EXPORT Result cuFuncSetBlockShape(void *, int, int, int) { return SUCCESS; }

EXPORT Result cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                             unsigned block_y, unsigned block_z, unsigned, void *stream, void **values, void **extra) {
    ENTER("cuLaunchKernel");
    const CpuKernel *kernel = (const CpuKernel *)function;
    const uint64_t threads = (uint64_t)block_x * block_y * block_z;
    if (!grid_x || !grid_y || !grid_z || grid_y > 65535 || grid_z > 65535) return INVALID_VALUE;
    if (!threads || threads > 1024 || block_z > 64) return INVALID_VALUE;
    std::vector<char> arguments(kernel->nbytes);
    if (values) {
        kernel->pack(values, arguments.data());
    } else {
        // CU_LAUNCH_PARAM_BUFFER_POINTER, the address, CU_LAUNCH_PARAM_BUFFER_SIZE, the address of the size.
        if (extra[0] != (void *)1 || extra[2] != (void *)2 || *(size_t *)extra[3] != kernel->nbytes) return INVALID_VALUE;
        memcpy(arguments.data(), extra[1], kernel->nbytes);
    }
    Context *context = current();
    return queue(stream, [=] {
        kernel->run(arguments.data(), {grid_x, grid_y, grid_z}, {block_x, block_y, block_z});
        std::lock_guard<std::recursive_mutex> locked(state.mutex);
        return is_overrun(context) ? ILLEGAL_ADDRESS : SUCCESS;
    });
}

EXPORT Result cuStreamBeginCapture_v2(void *handle, int) {
    ENTER("cuStreamBeginCapture");
    Stream *stream = find(state.streams, handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->is_capturing) return ILLEGAL_STATE;
    stream->is_capturing = true;
    stream->is_invalid = false;
    stream->captured.clear();
    capturing_here = stream;
    return SUCCESS;
}

EXPORT Result cuStreamEndCapture(void *handle, void **graph) {
    ENTER("cuStreamEndCapture");
    *graph = nullptr;
    Stream *stream = find(state.streams, handle);
    if (!stream) return INVALID_HANDLE;
    if (!stream->is_capturing) return ILLEGAL_STATE;
    const bool is_invalid = stream->is_invalid;
    stream->is_capturing = stream->is_invalid = false;
    capturing_here = nullptr;
    if (is_invalid) return CAPTURE_INVALIDATED;
    *graph = add(state.graphs, std::make_shared<Graph>(Graph{stream->captured}));
    return SUCCESS;
}

EXPORT Result cuGraphInstantiateWithFlags(void **executable, void *handle, unsigned long long) {
    ENTER("cuGraphInstantiateWithFlags");
    Graph *graph = find(state.graphs, handle);
    if (!graph) return INVALID_VALUE;
    *executable = add(state.executables, std::make_shared<Graph>(*graph));
    return SUCCESS;
}

EXPORT Result cuGraphLaunch(void *executable, void *stream) {
    ENTER("cuGraphLaunch");
    Graph *graph = find(state.executables, executable);
    if (!graph) return INVALID_VALUE;
    for (const Operation &operation : graph->operations) {
        if (Result failed = queue(stream, operation)) return failed;
    }
    return SUCCESS;
}

EXPORT Result cuGraphExecDestroy(void *executable) {
    ENTER("cuGraphExecDestroy");
    return state.executables.erase(executable) ? SUCCESS : INVALID_VALUE;
}

EXPORT Result cuGraphDestroy(void *graph) {
    ENTER("cuGraphDestroy");
    return state.graphs.erase(graph) ? SUCCESS : INVALID_VALUE;
}
