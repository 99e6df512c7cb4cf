// What the parts of the stand-in driver share: its objects, how a call begins, and how queued work is run.
//
// Device memory is the host's, kernels are shared objects of the host. Work is queued in its stream and run when
// somebody waits for it, so that a missing synchronisation shows. Types and numbers are those of cuda.h.
#pragma once

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

using Result = int;
using Address = unsigned long long;
using Operation = std::function<Result()>;

enum : Result {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NO_BINARY_FOR_GPU = 209, INVALID_HANDLE = 400, NOT_FOUND = 500,
    NOT_READY = 600, ILLEGAL_ADDRESS = 700, NOT_SUPPORTED = 801, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901,
    ILLEGAL_STATE = 401, CONTEXT_IS_DESTROYED = 709, CAPTURED_EVENT = 907,
};

struct Context {
    int device;
    int users = 1;
    Result lost = SUCCESS;  // what every call gives from now on
};

struct Stream {
    Context *context;
    std::deque<Operation> queue;
    std::mutex running;
    bool is_capturing = false, is_invalid = false;
    std::vector<Operation> captured;
};

struct Event {
    Context *context;
    Stream *stream = nullptr;
    bool is_captured = false;
    long recorded = 0, reached = 0;
    double time_ms = 0;
};

struct Module {
    Context *context;
    void *library;
    int file;  // open as long as the library: the linker takes two of one name, and so of one number, for the same
};

struct Graph {
    std::vector<Operation> operations;
};

struct Allocation {
    Context *context;
    size_t nbytes;
};

struct Failure {
    std::string call;
    int countdown;
    Result code;
};

struct State {
    std::recursive_mutex mutex;
    bool is_initialised = false;
    std::map<int, std::unique_ptr<Context>> primary;
    std::map<Address, Allocation> device_memory, host_memory;
    std::map<void *, std::shared_ptr<Stream>> streams;
    std::map<void *, std::shared_ptr<Event>> events;
    std::map<void *, std::shared_ptr<Module>> modules;
    std::map<void *, std::shared_ptr<Graph>> graphs, executables;
    std::vector<Failure> failures;
};

extern State state;
extern thread_local std::vector<Context *> context_stack;
// What this thread captures: calls that might wait are refused meanwhile.
extern thread_local Stream *capturing_here;

long setting(const char *name, long otherwise);

inline Context *current() { return context_stack.empty() ? nullptr : context_stack.back(); }

// The failure that was ordered for this call, if it is due.
Result ordered_failure(const std::string &call);
// Begin a call that needs a context.
Result enter(const std::string &call);
// Refuse a call that may not stand in a capture, and spoil the capture, as CUDA does.
Result refuse_in_capture();

template <class T> T *find(std::map<void *, std::shared_ptr<T>> &all, void *handle) {
    auto found = all.find(handle);
    return found == all.end() ? nullptr : found->second.get();
}

template <class T> T *add(std::map<void *, std::shared_ptr<T>> &all, std::shared_ptr<T> made) {
    return (all[made.get()] = made).get();
}

Result queue(void *stream, Operation operation);
// Run what is queued, up to an event if one is given. The state's mutex must not be held: kernels may call Python.
Result drain(std::shared_ptr<Stream> stream, const Event *until = nullptr);
Result drain_all(Context *context);
bool is_overrun(Context *context);

#define ENTER(call) \
    std::unique_lock<std::recursive_mutex> locked(state.mutex); \
    if (Result failed = enter(call)) return failed
