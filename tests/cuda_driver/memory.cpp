// Memory of device and host, and copies. Every allocation begins with garbage and ends with a guard.
#include "state.hpp"

static const size_t GUARD = 64;
static const int GARBAGE = 0xA5, GUARDED = 0xFD;

static size_t used(const Context *context) {
    size_t sum = 0;
    for (const auto &[address, allocation] : state.device_memory) {
        if (allocation.context->device == context->device) sum += allocation.nbytes;
    }
    return sum;
}

static char *allocate(size_t nbytes) {
    char *made = (char *)aligned_alloc(256, (nbytes + GUARD + 255) / 256 * 256);
    memset(made, GARBAGE, nbytes);
    memset(made + nbytes, GUARDED, GUARD);
    return made;
}

static bool is_inside(const std::map<Address, Allocation> &all, Address address, size_t nbytes) {
    auto found = all.upper_bound(address);
    if (found == all.begin()) return false;
    --found;
    return address + nbytes <= found->first + found->second.nbytes;
}

static bool is_device(Address address, size_t nbytes) { return is_inside(state.device_memory, address, nbytes); }
static bool is_pinned(const void *address, size_t nbytes) { return is_inside(state.host_memory, (Address)address, nbytes); }

// Whether a kernel wrote behind the end of a buffer.
bool is_overrun(Context *context) {
    for (const auto &[address, allocation] : state.device_memory) {
        const unsigned char *guard = (const unsigned char *)address + allocation.nbytes;
        for (size_t i = 0; i < GUARD; ++i) {
            if (allocation.context == context && guard[i] != GUARDED) return true;
        }
    }
    return false;
}

EXPORT Result cuMemGetInfo_v2(size_t *free, size_t *total) {
    ENTER("cuMemGetInfo");
    *total = setting("CUDA_STAND_IN_BYTES", 1L << 30);
    *free = *total - used(current());
    return SUCCESS;
}

EXPORT Result cuMemAlloc_v2(Address *address, size_t nbytes) {
    ENTER("cuMemAlloc");
    if (Result refused = refuse_in_capture()) return refused;
    if (!nbytes) return INVALID_VALUE;
    if (used(current()) + nbytes > (size_t)setting("CUDA_STAND_IN_BYTES", 1L << 30)) return OUT_OF_MEMORY;
    *address = (Address)allocate(nbytes);
    state.device_memory[*address] = {current(), nbytes};
    return SUCCESS;
}

static Result release(std::map<Address, Allocation> &all, Address address, std::unique_lock<std::recursive_mutex> &locked) {
    const auto found = all.find(address);
    if (found == all.end()) return INVALID_VALUE;
    // CUDA waits for what may still use it.
    Context *context = found->second.context;
    locked.unlock();
    if (Result failed = drain_all(context)) return failed;
    locked.lock();
    all.erase(address);
    free((void *)address);
    return SUCCESS;
}

EXPORT Result cuMemFree_v2(Address address) {
    ENTER("cuMemFree");
    if (Result refused = refuse_in_capture()) return refused;
    return release(state.device_memory, address, locked);
}

EXPORT Result cuMemHostAlloc(void **address, size_t nbytes, unsigned) {
    ENTER("cuMemHostAlloc");
    if (Result refused = refuse_in_capture()) return refused;
    if (!nbytes) return INVALID_VALUE;
    *address = allocate(nbytes);
    state.host_memory[(Address)*address] = {current(), nbytes};
    return SUCCESS;
}

EXPORT Result cuMemFreeHost(void *address) {
    ENTER("cuMemFreeHost");
    if (Result refused = refuse_in_capture()) return refused;
    return release(state.host_memory, (Address)address, locked);
}

EXPORT Result cuMemcpyHtoD_v2(Address to, const void *from, size_t nbytes) {
    ENTER("cuMemcpyHtoD");
    if (!is_device(to, nbytes)) return INVALID_VALUE;
    memcpy((void *)to, from, nbytes);
    return SUCCESS;
}

EXPORT Result cuMemcpyDtoH_v2(void *to, Address from, size_t nbytes) {
    ENTER("cuMemcpyDtoH");
    if (!is_device(from, nbytes)) return INVALID_VALUE;
    memcpy(to, (const void *)from, nbytes);
    return SUCCESS;
}

static Result queue_copy(void *stream, void *to, const void *from, size_t nbytes) {
    return queue(stream, [=] {
        memcpy(to, from, nbytes);
        return SUCCESS;
    });
}

EXPORT Result cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t nbytes, void *stream) {
    ENTER("cuMemcpyHtoDAsync");
    if (!is_device(to, nbytes)) return INVALID_VALUE;
    if (is_pinned(from, nbytes)) return queue_copy(stream, (void *)to, from, nbytes);
    if (Result refused = refuse_in_capture()) return refused;
    // Pageable memory may be changed as soon as the call is back.
    std::vector<char> staged((const char *)from, (const char *)from + nbytes);
    return queue(stream, [to, staged] {
        memcpy((void *)to, staged.data(), staged.size());
        return SUCCESS;
    });
}

EXPORT Result cuMemcpyDtoHAsync_v2(void *to, Address from, size_t nbytes, void *stream) {
    ENTER("cuMemcpyDtoHAsync");
    if (!is_device(from, nbytes)) return INVALID_VALUE;
    if (is_pinned(to, nbytes)) return queue_copy(stream, to, (const void *)from, nbytes);
    if (Result refused = refuse_in_capture()) return refused;
    // Into pageable memory CUDA copies at once, after what the stream holds.
    if (Result failed = queue_copy(stream, to, (const void *)from, nbytes)) return failed;
    if (!stream) return SUCCESS;
    const auto found = state.streams.at(stream);
    locked.unlock();
    return drain(found);
}

EXPORT Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t nbytes, void *stream) {
    ENTER("cuMemcpyDtoDAsync");
    if (!is_device(to, nbytes) || !is_device(from, nbytes)) return INVALID_VALUE;
    return queue_copy(stream, (void *)to, (const void *)from, nbytes);
}

EXPORT Result cuMemsetD8Async(Address to, unsigned char value, size_t nbytes, void *stream) {
    ENTER("cuMemsetD8Async");
    if (!is_device(to, nbytes)) return INVALID_VALUE;
    return queue(stream, [=] {
        memset((void *)to, value, nbytes);
        return SUCCESS;
    });
}
