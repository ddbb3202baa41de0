// Makes the io_uring calls of the native addon, and of nobody else in the process, fail at random: to be preloaded.
//
// RITSU_FAULTS="<seed> <enter> <register> <setup> [<enters>]" gives the seed, and of how many thousand calls of each kind one shall
// fail; and after how many enters all the others fail with EAGAIN. An
// enter that fails has done nothing, as the kernel's own; some failures come in bursts, and some enters take only a part of what
// they are given, which the kernel may do, too. Says at the end, as a line of JSON, what it did.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETUP = 425, ENTER = 426, REGISTER = 427 };
enum { GETEVENTS = 1, EXT_ARG = 8, KINDS = 4, BURST_MAX = 60 };

static const int enter_errors[KINDS] = {EAGAIN, EBUSY, EINTR, ENOMEM};
static const int register_errors[KINDS] = {ENOMEM, EINVAL, EBUSY, EAGAIN};
static const int setup_errors[KINDS] = {EINVAL, ENOMEM, EINVAL, ENOMEM};
static unsigned seed, enter_chance, register_chance, setup_chance, enters_max, enters, threads;
static unsigned failed[KINDS], partial, registers, setups;
static volatile int is_used;
static long (*genuine)(long, ...);

// Of each thread its own: what others do does not change what it meets.
static __thread unsigned long long state;
static __thread int burst, burst_error;

__attribute__((constructor)) static void begin(void) {
    const char *faults = getenv("RITSU_FAULTS");
    if (faults) sscanf(faults, "%u %u %u %u %u", &seed, &enter_chance, &register_chance, &setup_chance, &enters_max);
    genuine = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
}

__attribute__((destructor)) static void end(void) {
    char line[256];
    int length = snprintf(line, sizeof line,
        "{\"injected\":{\"EAGAIN\":%u,\"EBUSY\":%u,\"EINTR\":%u,\"ENOMEM\":%u},\"partial\":%u,\"registers\":%u,\"setups\":%u}\n",
        failed[0], failed[1], failed[2], failed[3], partial, registers, setups);
    // A child that is started inherits the preload, but not the addon.
    if (is_used && write(1, line, length) < 0) perror("faulty-ring");
}

static unsigned below(unsigned limit) {
    if (state == 0) state = (seed + 1) * 0x9E3779B97F4A7C15ULL + __sync_add_and_fetch(&threads, 1) * 0xD1B54A32D192ED03ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % limit;
}

static int is_of_addon(const void *caller) {
    Dl_info info;
    if (!dladdr(caller, &info) || !info.dli_fname) return 0;
    size_t length = strlen(info.dli_fname);
    return length > 5 && strcmp(info.dli_fname + length - 5, ".node") == 0;
}

static long fail(int error) {
    errno = error;
    return -1;
}

// The errno of an enter that shall fail, or 0.
static int enter_error(int in_bursts) {
    if (enters_max > 0 && __sync_add_and_fetch(&enters, 1) > enters_max) {
        __sync_add_and_fetch(&failed[0], 1);
        return EAGAIN;
    }
    if (burst == 0) {
        if (below(1000) >= enter_chance) return 0;
        burst_error = (int)below(KINDS);
        burst = in_bursts && below(8) == 0 ? 1 + (int)below(BURST_MAX) : 1;
    }
    burst -= 1;
    __sync_add_and_fetch(&failed[burst_error], 1);
    return enter_errors[burst_error];
}

long syscall(long number, ...) {
    va_list list;
    long part[6];
    va_start(list, number);
    for (int index = 0; index < 6; index += 1) part[index] = va_arg(list, long);
    va_end(list);
    if (number >= SETUP && number <= REGISTER && is_of_addon(__builtin_return_address(0))) {
        is_used = 1;
        if (number == SETUP && below(1000) < setup_chance) {
            __sync_add_and_fetch(&setups, 1);
            return fail(setup_errors[below(KINDS)]);
        }
        if (number == REGISTER && below(1000) < register_chance) {
            __sync_add_and_fetch(&registers, 1);
            return fail(register_errors[below(KINDS)]);
        }
        if (number == ENTER) {
            // The trial of a new ring waits for its one completion, and not for ever: no burst there.
            if (part[2] == 1 && !(part[3] & EXT_ARG)) burst = 0;
            int error = enter_error(part[2] != 1);
            if (error != 0) return fail(error);
            if (part[1] > 1 && below(1000) < enter_chance) {
                // As the kernel does: what was not all submitted is not waited for.
                __sync_add_and_fetch(&partial, 1);
                part[1] = 1 + below((unsigned)part[1] - 1);
                part[2] = 0;
                part[3] &= ~GETEVENTS;
            }
        }
    }
    return genuine(number, part[0], part[1], part[2], part[3], part[4], part[5]);
}
