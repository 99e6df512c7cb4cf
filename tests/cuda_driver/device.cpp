// Devices, contexts, errors, and what tests order: CUDA_STAND_IN_… in the environment, stand_in_… by ctypes.
#include "state.hpp"

#include <sstream>

State state;
thread_local std::vector<Context *> context_stack;
thread_local Stream *capturing_here = nullptr;

long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

Result ordered_failure(const std::string &call) {
    for (auto failure = state.failures.begin(); failure != state.failures.end(); ++failure) {
        if (failure->call == call && --failure->countdown == 0) {
            const Result code = failure->code;
            state.failures.erase(failure);
            return code;
        }
    }
    return SUCCESS;
}

static bool is_fatal(Result code) {
    return code == 214 || code == 220 || (code >= 700 && code < 720 && code != 701) || code == 999;
}

Result enter(const std::string &call) {
    Context *context = current();
    if (!context) return INVALID_CONTEXT;
    if (context->lost) return context->lost;
    const Result failed = ordered_failure(call);
    if (is_fatal(failed)) context->lost = failed;
    return failed;
}

// The devices that CUDA_VISIBLE_DEVICES leaves; like CUDA, what follows a bad entry is ignored.
static std::vector<int> devices() {
    const int count = setting("CUDA_STAND_IN_DEVICES", 0);
    std::vector<int> found;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!visible) {
        for (int i = 0; i < count; ++i) found.push_back(i);
        return found;
    }
    std::istringstream list(visible);
    for (std::string entry; std::getline(list, entry, ',');) {
        char *end;
        const long device = strtol(entry.c_str(), &end, 10);
        if (end == entry.c_str() || device < 0 || device >= count) break;
        found.push_back(device);
    }
    return found;
}

static bool has(int device) { return device >= 0 && device < (int)devices().size(); }

EXPORT Result cuInit(unsigned) {
    std::lock_guard<std::recursive_mutex> locked(state.mutex);
    if (Result failed = ordered_failure("cuInit")) return failed;
    if (devices().empty()) return NO_DEVICE;
    state.is_initialised = true;
    return SUCCESS;
}

EXPORT Result cuDriverGetVersion(int *version) {
    // With 0, CUDA's runtime says what it says without a driver.
    *version = setting("CUDA_STAND_IN_VERSION", 0);
    return SUCCESS;
}

EXPORT Result cuGetErrorString(Result code, const char **text) {
    static const std::map<Result, const char *> texts = {
        {SUCCESS, "no error"}, {INVALID_VALUE, "invalid argument"}, {OUT_OF_MEMORY, "out of memory"},
        {NOT_INITIALIZED, "initialization error"}, {4, "driver shutting down"},
        {46, "CUDA-capable device(s) is/are busy or unavailable"}, {NO_DEVICE, "no CUDA-capable device is detected"},
        {INVALID_DEVICE, "invalid device ordinal"}, {INVALID_IMAGE, "device kernel image is invalid"},
        {INVALID_CONTEXT, "invalid device context"},
        {NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"},
        {214, "uncorrectable ECC error encountered"}, {INVALID_HANDLE, "invalid resource handle"},
        {ILLEGAL_STATE, "the operation cannot be performed in the present state"},
        {NOT_FOUND, "named symbol not found"}, {NOT_READY, "device not ready"},
        {ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
        {701, "too many resources requested for launch"}, {719, "unspecified launch failure"},
        {NOT_SUPPORTED, "operation not supported"},
        {CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
        {CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"},
        {CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"},
        {999, "unknown error"}};
    const auto found = texts.find(code);
    // PyCUDA reads the text whatever comes back, so there must be one.
    *text = found == texts.end() ? "unrecognized error code" : found->second;
    return found == texts.end() ? INVALID_VALUE : SUCCESS;
}

EXPORT Result cuDeviceGetCount(int *count) {
    *count = devices().size();
    return state.is_initialised ? SUCCESS : NOT_INITIALIZED;
}

EXPORT Result cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return !state.is_initialised ? NOT_INITIALIZED : has(ordinal) ? SUCCESS : INVALID_DEVICE;
}

EXPORT Result cuDeviceGetName(char *name, int size, int device) {
    if (!has(device)) return INVALID_DEVICE;
    snprintf(name, size, "Stand-in %d", devices()[device]);
    return SUCCESS;
}

EXPORT Result cuDeviceGetPCIBusId(char *name, int size, int device) {
    if (!has(device)) return INVALID_DEVICE;
    snprintf(name, size, "0000:%02X:00.0", devices()[device]);
    return SUCCESS;
}

EXPORT Result cuDeviceTotalMem_v2(size_t *nbytes, int device) {
    *nbytes = setting("CUDA_STAND_IN_BYTES", 1L << 30);
    return has(device) ? SUCCESS : INVALID_DEVICE;
}

EXPORT Result cuDeviceComputeCapability(int *major, int *minor, int device) {
    *major = 8;
    *minor = 6;
    return has(device) ? SUCCESS : INVALID_DEVICE;
}

EXPORT Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    int major, minor;
    if (Result failed = cuDeviceComputeCapability(&major, &minor, device)) return failed;
    if (attribute != 75 && attribute != 76) return NOT_SUPPORTED;
    *value = attribute == 75 ? major : minor;
    return SUCCESS;
}

EXPORT Result cuDevicePrimaryCtxRetain(Context **context, int device) {
    std::lock_guard<std::recursive_mutex> locked(state.mutex);
    if (!has(device)) return INVALID_DEVICE;
    if (Result failed = ordered_failure("cuDevicePrimaryCtxRetain")) return failed;
    auto &primary = state.primary[device];
    if (primary) {
        ++primary->users;
    } else {
        primary.reset(new Context{device});
    }
    *context = primary.get();
    return SUCCESS;
}

EXPORT Result cuDevicePrimaryCtxRelease_v2(int device) {
    std::lock_guard<std::recursive_mutex> locked(state.mutex);
    const auto primary = state.primary.find(device);
    if (primary == state.primary.end()) return INVALID_CONTEXT;
    if (--primary->second->users == 0) {
        // Never freed: what was not freed before it still points at it.
        primary->second.release()->lost = CONTEXT_IS_DESTROYED;
        state.primary.erase(primary);
    }
    return SUCCESS;
}

EXPORT Result cuCtxPushCurrent_v2(Context *context) {
    context_stack.push_back(context);
    return SUCCESS;
}

EXPORT Result cuCtxPopCurrent_v2(Context **context) {
    if (context_stack.empty()) return INVALID_CONTEXT;
    if (context) *context = context_stack.back();
    context_stack.pop_back();
    return SUCCESS;
}

EXPORT Result cuCtxGetCurrent(Context **context) {
    *context = current();
    return SUCCESS;
}

EXPORT Result cuCtxGetDevice(int *device) {
    if (!current()) return INVALID_CONTEXT;
    *device = current()->device;
    return SUCCESS;
}

EXPORT Result cuCtxSynchronize() {
    ENTER("cuCtxSynchronize");
    if (Result refused = refuse_in_capture()) return refused;
    locked.unlock();
    return drain_all(current());
}

// The n-th call from now gives this error; the fatal ones are given by every later call, too.
EXPORT void stand_in_fail(const char *call, int nth, Result code) {
    std::lock_guard<std::recursive_mutex> locked(state.mutex);
    state.failures.push_back({call, nth, code});
}

// What is allocated now, as a text such as "2 buffers, 1 streams"; empty where there is nothing.
EXPORT const char *stand_in_live() {
    std::lock_guard<std::recursive_mutex> locked(state.mutex);
    static std::string text;
    text.clear();
    const std::pair<const char *, size_t> counts[] = {
        {"contexts", state.primary.size()}, {"current", context_stack.size()},
        {"buffers", state.device_memory.size()}, {"host arrays", state.host_memory.size()},
        {"streams", state.streams.size()}, {"events", state.events.size()}, {"modules", state.modules.size()},
        {"graphs", state.graphs.size()}, {"executable graphs", state.executables.size()}};
    for (const auto &count : counts) {
        if (count.second) text += (text.empty() ? "" : ", ") + std::to_string(count.second) + " " + count.first;
    }
    return text.c_str();
}

// As a new process would find it, except for what the objects of this one still hold.
EXPORT void stand_in_reset() {
    std::lock_guard<std::recursive_mutex> locked(state.mutex);
    state.is_initialised = false;
    state.failures.clear();
    for (auto &primary : state.primary) primary.second.release();
    state.primary.clear();
    state.device_memory.clear();
    state.host_memory.clear();
    state.streams.clear();
    state.events.clear();
    state.modules.clear();
    state.graphs.clear();
    state.executables.clear();
    context_stack.clear();
    capturing_here = nullptr;
}
