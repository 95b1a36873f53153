// The emulator: a device without a GPU, as a program. It runs kernels on the CPU, and
// src/driver/process.rs sends it the operations of a device on its standard input.
//
// Blocks run one after the other. The threads of a block are fibers that give way only in a
// collective or at a barrier. So a kernel that waits for another thread in a loop never ends; the
// emulator stops after a while (--timeout). Options:
//
//   --order forward|reverse|seed:<n>   order of blocks, of warps and of the lanes of a warp
//   --memory <bytes>                   memory of the device
//   --timeout <seconds>                most time for a launch; 0 is any
#include "host/shim.hpp"

#include <algorithm>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#if __has_include("all.cuh")
#include "all.cuh"
#endif
#include "host/selftest.cuh"

#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATOR_ASAN 1
#endif
#endif

#if EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

// Leaks are of no interest, and freed shared memory of thousands of blocks takes no room.
extern "C" const char* __asan_default_options() {
    return "detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1:detect_stack_use_after_return=0";
}
extern "C" const char* __ubsan_default_options() {
    return "print_stacktrace=1";
}
#endif

#if !defined(__x86_64__)
#define EMULATOR_UCONTEXT 1
#endif
#if EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

constexpr uint32_t MOST_THREADS = 1024;
constexpr size_t MOST_SHARED = 227 * 1024;
constexpr size_t PAGE = 4096;
#if EMULATOR_ASAN
constexpr size_t STACK = 256 * 1024;
#else
constexpr size_t STACK = 64 * 1024;
#endif

// A place where execution goes on.
struct Context {
#if EMULATOR_UCONTEXT
    ucontext_t state;
#else
    void* stack_pointer;
#endif
    const void* bottom;
    size_t size;
    void* fake_stack;
};

#if !EMULATOR_UCONTEXT
// swapcontext takes a system call; this takes a few ns. Registers that a function may change are
// saved by the caller.
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
.text
.globl emulator_switch
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
#endif

static void switch_to(Context& from, Context& to) {
#if EMULATOR_ASAN
    __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
#if EMULATOR_UCONTEXT
    swapcontext(&from.state, &to.state);
#else
    emulator_switch(&from.stack_pointer, to.stack_pointer);
#endif
#if EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

enum class State : uint8_t { Ready, Collective, Barrier, Ended };

struct Thread {
    Context context;
    State state;
    Wait* wait;  // of a collective
    Site site;   // of a barrier
};

static Thread threads[MOST_THREADS];
static Context scheduler;
static uint32_t fibers = 0;  // threads that have a stack and a context
static unsigned char* stacks = nullptr;
static uint32_t waiting[MOST_THREADS / 32], ended[MOST_THREADS / 32];  // lanes of each warp

static const Kernel* kernel;
static const void* kernel_args;
static bool has_failed;
static std::string failure;

static void yield() {
    switch_to(threads[threadIdx.x].context, scheduler);
}

static void set_failure(const char* format, va_list rest) {
    char text[1024];
    std::vsnprintf(text, sizeof(text), format, rest);
    failure = text;
    has_failed = true;
}

void fail(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    set_failure(format, rest);
    va_end(rest);
    char at[160];
    std::snprintf(at, sizeof(at), "%s, block (%u, %u), thread %u: ", kernel->name, blockIdx.x, blockIdx.y, threadIdx.x);
    failure = at + failure;
    yield();
    std::abort();  // the scheduler leaves a block that has failed
}

__attribute__((format(printf, 1, 2))) static void fail_block(const char* format, ...) {
    va_list rest;
    va_start(rest, format);
    set_failure(format, rest);
    va_end(rest);
    char at[160];
    std::snprintf(at, sizeof(at), "%s, block (%u, %u): ", kernel->name, blockIdx.x, blockIdx.y);
    failure = at + failure;
}

void barrier(Site site) {
    threads[threadIdx.x].site = site;
    threads[threadIdx.x].state = State::Barrier;
    yield();
}

void meet(Wait& wait) {
    const uint32_t lane = emulator::lane(), warp = threadIdx.x / 32;
    if (!(wait.mask >> lane & 1)) {
        fail("%s at %s:%d: the mask 0x%08x does not name its own lane", wait.name, wait.site.name(),
             wait.site.line, wait.mask);
    }
    if (wait.mask & ended[warp]) {
        fail("%s at %s:%d: the mask 0x%08x names lanes that have ended, 0x%08x", wait.name, wait.site.name(),
             wait.site.line, wait.mask, wait.mask & ended[warp]);
    }
    Thread* lanes = threads + warp * 32;
    lanes[lane].wait = &wait;
    lanes[lane].state = State::Collective;
    waiting[warp] |= 1u << lane;
    // A lane that waits with another mask comes here again, when that collective is over.
    if ((waiting[warp] & wait.mask) == wait.mask) {
        Wait* waits[32] = {};
        bool is_complete = true;
        for_each_lane(wait.mask, [&](uint32_t l) {
            waits[l] = lanes[l].wait;
            is_complete = is_complete && waits[l]->mask == wait.mask;
        });
        if (is_complete) {
            for_each_lane(wait.mask, [&](uint32_t l) {
                if (std::strcmp(waits[l]->name, wait.name) != 0) {
                    fail("lanes of one mask meet in different collectives: "
                         "lane %u in %s at %s:%d, lane %u in %s at %s:%d",
                         lane, wait.name, wait.site.name(), wait.site.line, l, waits[l]->name, waits[l]->site.name(),
                         waits[l]->site.line);
                }
            });
            wait.complete(waits, wait.mask);
            for_each_lane(wait.mask, [&](uint32_t l) { lanes[l].state = State::Ready; });
            waiting[warp] &= ~wait.mask;
        }
    }
    yield();
}

static void run_fiber() {
#if EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &scheduler.bottom, &scheduler.size);
#endif
    while (true) {
        kernel->body(kernel_args);
        threads[threadIdx.x].state = State::Ended;
        yield();
    }
}

// Gives threads a stack, with a page below it that cannot be written, and a context. They are kept
// from block to block.
static void make_fibers(uint32_t count) {
    if (!stacks) {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* at = mmap(nullptr, MOST_THREADS * (STACK + PAGE), PROT_NONE, flags, -1, 0);
        if (at == MAP_FAILED) {
            std::perror("the stacks of threads");
            std::exit(1);
        }
        stacks = static_cast<unsigned char*>(at);
    }
    for (; fibers < count; fibers++) {
        unsigned char* bottom = stacks + fibers * (STACK + PAGE) + PAGE;
        if (mprotect(bottom, STACK, PROT_READ | PROT_WRITE) != 0) {
            std::perror("the stack of a thread");
            std::exit(1);
        }
#if EMULATOR_ASAN
        __asan_unpoison_memory_region(bottom, STACK);
#endif
        Context& context = threads[fibers].context;
        context.bottom = bottom;
        context.size = STACK;
        context.fake_stack = nullptr;
        // The tops differ modulo the size of a page, or they would share a few lines of the cache.
        const size_t size = STACK - fibers % 16 * 256;
#if EMULATOR_UCONTEXT
        getcontext(&context.state);
        context.state.uc_stack.ss_sp = bottom;
        context.state.uc_stack.ss_size = size;
        context.state.uc_link = nullptr;
        makecontext(&context.state, run_fiber, 0);
#else
        // Six registers, the address to return to, and none for run_fiber: it never returns.
        void** top = reinterpret_cast<void**>(bottom + size) - 8;
        std::fill(top, top + 8, nullptr);
        top[6] = reinterpret_cast<void*>(run_fiber);
        context.stack_pointer = top;
#endif
    }
}

enum class Order { Forward, Reverse, Random };
static Order order = Order::Forward;
static uint64_t seed = 0;

// SplitMix64.
static uint64_t random_number() {
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void set_order(uint32_t* numbers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = order == Order::Reverse ? count - 1 - i : i;
    }
    for (uint32_t i = count; order == Order::Random && i > 1; i--) {
        std::swap(numbers[i - 1], numbers[random_number() % i]);
    }
}

// Notes that a lane has ended. No other may wait for it.
static void end_lane(uint32_t warp, uint32_t lane) {
    ended[warp] |= 1u << lane;
    for_each_lane(waiting[warp], [&](uint32_t other) {
        const Wait& wait = *threads[warp * 32 + other].wait;
        if (wait.mask >> lane & 1) {
            fail_block("thread %u has ended, but %s at %s:%d names its lane in the mask 0x%08x", warp * 32 + lane,
                       wait.name, wait.site.name(), wait.site.line, wait.mask);
        }
    });
}

// Runs the lanes of a warp that are ready, each up to where it waits. Returns whether there was
// one.
static bool run_warp(uint32_t warp) {
    uint32_t lanes[32];
    set_order(lanes, 32);
    bool has_run = false;
    for (uint32_t i = 0; i < 32 && !has_failed; i++) {
        Thread& thread = threads[warp * 32 + lanes[i]];
        if (thread.state == State::Ready) {
            threadIdx.x = warp * 32 + lanes[i];
            switch_to(scheduler, thread.context);
            has_run = true;
            if (thread.state == State::Ended) {
                end_lane(warp, lanes[i]);
            }
        }
    }
    return has_run;
}

// Says why no thread of the block can go on.
static void explain_deadlock(uint32_t count) {
    uint32_t at_barrier = 0, in_collective = 0, over = 0;
    const Thread* first = nullptr;
    const Thread* lane = nullptr;
    for (uint32_t i = 0; i < count; i++) {
        const Thread& thread = threads[i];
        at_barrier += thread.state == State::Barrier;
        in_collective += thread.state == State::Collective;
        over += thread.state == State::Ended;
        first = thread.state == State::Barrier && !first ? &thread : first;
        lane = thread.state == State::Collective && !lane ? &thread : lane;
    }
    char barrier_text[160] = "", lane_text[240] = "";
    if (first) {
        std::snprintf(barrier_text, sizeof(barrier_text), "; thread %d waits at the barrier at %s:%d",
                      int(first - threads), first->site.name(), first->site.line);
    }
    if (lane) {
        std::snprintf(lane_text, sizeof(lane_text), "; thread %d waits in %s at %s:%d for the lanes 0x%08x",
                      int(lane - threads), lane->wait->name, lane->wait->site.name(), lane->wait->site.line,
                      lane->wait->mask);
    }
    fail_block("deadlock: of %u threads, %u wait at a barrier, %u in a collective, and %u have ended%s%s", count,
               at_barrier, in_collective, over, barrier_text, lane_text);
}

// Lets threads that all wait at a barrier go on. It must be the same barrier: in CUDA, what happens
// else is undefined.
static void release(uint32_t count) {
    const Site site = threads[0].site;
    for (uint32_t i = 0; i < count; i++) {
        const Site other = threads[i].site;
        if (other.line != site.line || std::strcmp(other.file, site.file) != 0) {
            fail_block("threads meet at different barriers: thread 0 at %s:%d, thread %u at %s:%d", site.name(),
                       site.line, i, other.name(), other.line);
            return;
        }
        threads[i].state = State::Ready;
    }
}

static void run_threads(uint32_t count) {
    uint32_t warps[MOST_THREADS / 32];
    for (uint32_t i = 0; i < count; i++) {
        threads[i].state = State::Ready;
    }
    std::fill(waiting, waiting + count / 32, 0);
    std::fill(ended, ended + count / 32, 0);
    while (!has_failed) {
        bool has_run = false;
        set_order(warps, count / 32);
        for (uint32_t w = 0; w < count / 32 && !has_failed; w++) {
            // A random order also changes the warp between collectives.
            bool goes_on = run_warp(warps[w]);
            has_run |= goes_on;
            while (goes_on && !has_failed && order != Order::Random) {
                goes_on = run_warp(warps[w]);
            }
        }
        if (has_run || has_failed) {
            continue;
        }
        uint32_t at_barrier = 0, over = 0;
        for (uint32_t i = 0; i < count; i++) {
            at_barrier += threads[i].state == State::Barrier;
            over += threads[i].state == State::Ended;
        }
        if (over == count) {
            return;
        }
        if (at_barrier == count) {
            release(count);
        } else {
            explain_deadlock(count);
        }
    }
    fibers = 0;  // the threads stopped halfway: they get new contexts
}

// The shared memory of each block is a new allocation, so that AddressSanitizer knows its end.
// Without any, its address is that of a page that cannot be read.
static void run_block(uint32_t count, size_t bytes) {
    static void* const nothing = mmap(nullptr, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void* memory = nullptr;
    if (bytes > 0 && posix_memalign(&memory, 16, bytes) != 0) {
        fail_block("no memory for %zu bytes of shared memory", bytes);
        return;
    }
    if (bytes > 0) {
        std::memset(memory, 0xcd, bytes);
    }
    shared = static_cast<unsigned char*>(bytes > 0 ? memory : nothing);
    shared_size = bytes;
    make_fibers(count);
    run_threads(count);
    std::free(memory);
}

struct Launch {
    const Kernel* kernel;
    uint32_t grid[2];
    uint32_t threads;
    size_t shared;
    std::vector<unsigned char> args;
};

static void run_launch(const Launch& launch) {
    kernel = launch.kernel;
    // An allocation of its own, again for AddressSanitizer.
    void* args = nullptr;
    if (posix_memalign(&args, 16, launch.args.size()) != 0) {
        std::abort();
    }
    std::memcpy(args, launch.args.data(), launch.args.size());
    kernel_args = args;
    blockDim = {launch.threads, 1, 1};
    gridDim = {launch.grid[0], launch.grid[1], 1};
    const uint64_t blocks = uint64_t(gridDim.x) * gridDim.y;
    // A random order of blocks is an affine one, which takes no memory.
    uint64_t factor = 1, start = 0;
    if (order == Order::Random) {
        start = random_number() % blocks;
        do {
            factor = random_number() % blocks % 0xffffffff + 1;
        } while (std::gcd(factor, blocks) != 1);
    }
    for (uint64_t i = 0; i < blocks && !has_failed; i++) {
        const uint64_t affine = static_cast<uint64_t>((static_cast<unsigned __int128>(i) * factor + start) % blocks);
        const uint64_t block = order == Order::Reverse ? blocks - 1 - i : affine;
        blockIdx = {uint32_t(block % gridDim.x), uint32_t(block / gridDim.x), 0};
        run_block(launch.threads, launch.shared);
    }
    std::free(args);
}

static std::map<uint64_t, uint64_t> allocations;  // address and size
static uint64_t memory_limit = 1ull << 30, memory_used = 0;
static unsigned timeout = 300;

static bool is_allocated(uint64_t at, uint64_t bytes) {
    if (bytes == 0) {
        return true;
    }
    auto after = allocations.upper_bound(at);
    if (after == allocations.begin()) {
        return false;
    }
    const auto& [start, size] = *--after;
    return at - start <= size && bytes <= size - (at - start);
}

// A message is a letter, the length of its body (8 bytes), and the body; an answer begins
// with a status instead of a letter. Numbers are little-endian.

// The errors of CUDA that are answered, by their numbers.
enum Error : uint32_t { INVALID_VALUE = 1, NOT_FOUND = 500, LAUNCH_FAILED = 719 };

// After a fault, the state of a kernel's memory is unknown.
enum class Status : uint8_t { Done = 0, Refused = 1, OutOfMemory = 2, Fault = 3 };

// What is left of a message. Reading past its end makes it bad, and reads zeros.
struct Message {
    const unsigned char* at;
    size_t left;
    bool is_bad = false;

    const unsigned char* bytes(size_t count) {
        if (count > left) {
            is_bad = true;
            return nullptr;
        }
        const unsigned char* from = at;
        at += count;
        left -= count;
        return from;
    }

    template <class T>
    T number() {
        T value = 0;
        if (const unsigned char* from = bytes(sizeof(T))) {
            std::memcpy(&value, from, sizeof(T));
        }
        return value;
    }

    std::string text() {
        const uint32_t count = number<uint32_t>();
        const unsigned char* from = bytes(count);
        return from ? std::string(reinterpret_cast<const char*>(from), count) : std::string();
    }
};

static FILE* out;

static void answer(Status status, const void* body, uint64_t count) {
    const uint8_t code = static_cast<uint8_t>(status);
    if (std::fwrite(&code, 1, 1, out) != 1 || std::fwrite(&count, 8, 1, out) != 1 ||
        std::fwrite(body, 1, count, out) != count || std::fflush(out) != 0) {
        std::exit(1);
    }
}

static void answer_numbers(Status status, std::initializer_list<uint64_t> numbers) {
    answer(status, numbers.begin(), numbers.size() * 8);
}

static void refuse(Error code, const std::string& what, Status status = Status::Refused) {
    std::string body(reinterpret_cast<const char*>(&code), 4);
    body += what;
    answer(status, body.data(), body.size());
}

static const Kernel* find_kernel(const std::string& name) {
    for (const Kernel* k = Kernel::all; k; k = k->next) {
        if (name == k->name) {
            return k;
        }
    }
    return nullptr;
}

static void allocate(uint64_t bytes) {
    if (bytes == 0) {
        return refuse(INVALID_VALUE, "an allocation of 0 bytes");
    }
    void* at = nullptr;
    if (bytes > memory_limit - memory_used || posix_memalign(&at, 256, bytes) != 0) {
        return answer_numbers(Status::OutOfMemory, {memory_limit - memory_used, memory_limit});
    }
    std::memset(at, 0xcd, bytes);
    memory_used += bytes;
    allocations[reinterpret_cast<uint64_t>(at)] = bytes;
    answer_numbers(Status::Done, {reinterpret_cast<uint64_t>(at)});
}

static void release_memory(uint64_t at) {
    const auto found = allocations.find(at);
    if (found == allocations.end()) {
        return refuse(INVALID_VALUE, "no memory was allocated at this address");
    }
    memory_used -= found->second;
    allocations.erase(found);
    std::free(reinterpret_cast<void*>(at));
    answer(Status::Done, "", 0);
}

// Checks a launch. Returns what is wrong, or nothing.
static std::string check(const Launch& launch) {
    const Kernel& k = *launch.kernel;
    if (launch.args.size() != k.args_size) {
        return "the arguments take " + std::to_string(k.args_size) + " bytes, not " +
               std::to_string(launch.args.size());
    }
    if (launch.grid[0] == 0 || launch.grid[1] == 0 || launch.grid[0] > INT32_MAX || launch.grid[1] > 65535) {
        return "a grid of " + std::to_string(launch.grid[0]) + " x " + std::to_string(launch.grid[1]) + " blocks";
    }
    const uint32_t most = k.most_threads < MOST_THREADS ? k.most_threads : MOST_THREADS;
    if (launch.threads == 0 || launch.threads % 32 != 0 || launch.threads > most) {
        return std::to_string(launch.threads) + " threads in a block, where a multiple of 32 up to " +
               std::to_string(most) + " is allowed";
    }
    if (launch.shared > MOST_SHARED) {
        return std::to_string(launch.shared) + " bytes of shared memory, more than 227 KiB";
    }
    return "";
}

// Launches kernels, one after the other. None runs if one is refused.
static void launch_all(Message& message) {
    std::vector<Launch> launches;
    for (uint32_t count = message.number<uint32_t>(); count > 0 && !message.is_bad; count--) {
        Launch launch;
        const std::string name = message.text();
        launch.grid[0] = message.number<uint32_t>();
        launch.grid[1] = message.number<uint32_t>();
        launch.threads = message.number<uint32_t>();
        launch.shared = message.number<uint64_t>();
        const uint32_t args_size = message.number<uint32_t>();
        const unsigned char* args = message.bytes(args_size);
        if (message.is_bad) {
            break;
        }
        launch.args.assign(args, args + args_size);
        launch.kernel = find_kernel(name);
        if (!launch.kernel) {
            return refuse(NOT_FOUND, "there is no kernel " + name);
        }
        const std::string wrong = check(launch);
        if (!wrong.empty()) {
            return refuse(INVALID_VALUE, name + ": " + wrong);
        }
        launches.push_back(launch);
    }
    if (message.is_bad) {
        return refuse(INVALID_VALUE, "a message that is too short");
    }
    for (const Launch& launch : launches) {
        alarm(timeout);
        run_launch(launch);
        alarm(0);
        if (has_failed) {
            has_failed = false;
            return refuse(LAUNCH_FAILED, failure, Status::Fault);
        }
    }
    answer(Status::Done, "", 0);
}

static void run_command(char letter, Message& message) {
    if (letter == 'l') {
        return launch_all(message);
    }
    if (letter == 'k') {
        const Kernel* k = find_kernel(message.text());
        return k ? answer_numbers(Status::Done, {k->args_size}) : answer(Status::Done, "", 0);
    }
    if (letter == 'm') {
        return answer_numbers(Status::Done, {memory_limit - memory_used, memory_limit});
    }
    // All others begin with a number: an address, or a size.
    const uint64_t first = message.number<uint64_t>();
    const uint64_t to = letter == 'c' ? message.number<uint64_t>() : first;
    const bool has_size = letter == 'r' || letter == 's' || letter == 'c';
    const uint64_t bytes = letter == 'w' ? message.left : has_size ? message.number<uint64_t>() : 0;
    const uint8_t value = letter == 's' ? message.number<uint8_t>() : 0;
    if (message.is_bad) {
        return refuse(INVALID_VALUE, "a message that is too short");
    }
    if (!is_allocated(first, bytes) || !is_allocated(to, bytes)) {
        return refuse(INVALID_VALUE, std::to_string(bytes) + " bytes that are not in one allocation");
    }
    void* at = reinterpret_cast<void*>(to);
    switch (letter) {
        case 'a': return allocate(first);
        case 'f': return release_memory(first);
        case 'r': return answer(Status::Done, at, bytes);
        case 's': std::memset(at, value, bytes); break;
        case 'w': std::memcpy(at, message.at, bytes); break;
        case 'c': std::memmove(at, reinterpret_cast<const void*>(first), bytes); break;
        default: return refuse(INVALID_VALUE, "a command that does not exist");
    }
    answer(Status::Done, "", 0);
}

static void set_option(const std::string& name, const std::string& value) {
    if (name == "--order" && value == "forward") {
        order = Order::Forward;
    } else if (name == "--order" && value == "reverse") {
        order = Order::Reverse;
    } else if (name == "--order" && value.rfind("seed:", 0) == 0) {
        order = Order::Random;
        seed = std::strtoull(value.c_str() + 5, nullptr, 10);
    } else if (name == "--memory") {
        memory_limit = std::strtoull(value.c_str(), nullptr, 10);
    } else if (name == "--timeout") {
        timeout = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
    } else {
        std::fprintf(stderr, "the emulator has no option %s %s\n", name.c_str(), value.c_str());
        std::exit(2);
    }
}

// Says which kernel takes too long. Only functions that a signal may call are used.
static void stop(int) {
    const char* parts[] = {"a launch takes too long: ", kernel->name, "\n"};
    for (const char* part : parts) {
        if (write(2, part, std::strlen(part)) < 0) {
            break;
        }
    }
    _exit(3);
}

}  // namespace emulator

int main(int count, char** words) {
    using namespace emulator;
    for (int i = 1; i < count; i += 2) {
        set_option(words[i], i + 1 < count ? words[i + 1] : "");
    }
    std::signal(SIGALRM, stop);
    // What a kernel prints must not get between the answers.
    out = fdopen(dup(1), "wb");
    if (!out || dup2(2, 1) < 0) {
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::vector<unsigned char> body;
    unsigned char head[9];
    while (std::fread(head, 1, 9, stdin) == 9 && head[0] != 'q') {
        uint64_t size;
        std::memcpy(&size, head + 1, 8);
        if (size > memory_limit + (64u << 20)) {
            std::fprintf(stderr, "a message of %llu bytes\n", static_cast<unsigned long long>(size));
            return 1;
        }
        body.resize(size);
        if (std::fread(body.data(), 1, size, stdin) != size) {
            return 1;
        }
        Message message{body.data(), body.size()};
        run_command(static_cast<char>(head[0]), message);
    }
    return 0;
}
