// What the operating system says that other processes used: CPU time, context switches, memory.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { ACCOUNTED_MAX = 64 };

// The processes of the proxy under test.
typedef struct accounted {
    pid_t pids[ACCOUNTED_MAX];
    int count;
} accounted;

typedef struct usage {
    uint64_t cpu_ns;            // user and system time of all threads, ended ones included
    uint64_t stat_cpu_ns;       // the same from /proc/PID/stat, in 10 ms steps: a cross-check
    uint64_t context_switches;  // of the threads that live now
    uint64_t steal_ns;          // of the whole machine: what the hypervisor gave to others
    uint64_t load_cpu_ns;       // of this process
} usage;

// Reads "1,2,3"; at most ACCOUNTED_MAX ids.
accounted accounted_parse(const char *list);

// What `usage_cheap` reads fits into a measurement's edge (tens of microseconds).
usage usage_cheap(const accounted *processes);

// Sum of Rss, so pages that several processes share count more than once. Walks page tables
// (milliseconds for a large process): for use outside the measured window.
uint64_t resident_bytes(const accounted *processes);

// What was used between two readings and how much memory, as members of a JSON object that others stand before.
void usage_print(const usage *before, const usage *after, uint64_t resident_idle, uint64_t resident_loaded);

// All the descriptors that this process may have, and one CPU for it (-1: any). False when it cannot be pinned.
bool process_prepare(int cpu);
