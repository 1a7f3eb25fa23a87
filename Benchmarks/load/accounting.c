#define _GNU_SOURCE
#include "accounting.h"

#include <dirent.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Reads a small file of /proc into `text`; false when the process is gone.
static bool read_file(const char *path, char *text, size_t capacity) {
    FILE *file = fopen(path, "r");
    if (!file) return false;
    size_t length = fread(text, 1, capacity - 1, file);
    text[length] = 0;
    fclose(file);
    return length > 0;
}

static uint64_t ticks_to_ns(uint64_t ticks) { return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK)); }

accounted accounted_parse(const char *list) {
    accounted result = {0};
    char *end;
    while (*list && result.count < ACCOUNTED_MAX) {
        result.pids[result.count++] = (pid_t)strtol(list, &end, 10);
        list = *end == ',' ? end + 1 : end;
    }
    return result;
}

// The process CPU clock counts in nanoseconds what /proc/PID/stat shows in ticks.
static uint64_t process_cpu_ns(pid_t pid) {
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) ? 0 : clock_ns(clock);
}

static uint64_t stat_cpu_ns(pid_t pid) {
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_file(path, text, sizeof text)) return 0;
    // The name in parentheses may hold spaces; fields 14 and 15 are utime and stime (proc(5)).
    char *fields = strrchr(text, ')');
    sscanf(fields + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return ticks_to_ns(user + system);
}

static uint64_t number_after(const char *text, const char *label) {
    const char *found = strstr(text, label);
    return found ? strtoull(found + strlen(label), NULL, 10) : 0;
}

static uint64_t context_switches(pid_t pid) {
    char path[320], text[4096];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks) return 0;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", pid, entry->d_name);
        if (entry->d_name[0] == '.' || !read_file(path, text, sizeof text)) continue;
        sum += number_after(text, "\nvoluntary_ctxt_switches:");
        sum += number_after(text, "\nnonvoluntary_ctxt_switches:");
    }
    closedir(tasks);
    return sum;
}

static uint64_t machine_steal_ns(void) {
    char text[512];
    unsigned long steal = 0;
    if (read_file("/proc/stat", text, sizeof text)) sscanf(text, "cpu %*u %*u %*u %*u %*u %*u %*u %lu", &steal);
    return ticks_to_ns(steal);
}

usage usage_cheap(const accounted *processes) {
    usage u = {0};
    for (int i = 0; i < processes->count; i++) {
        u.context_switches += context_switches(processes->pids[i]);
        u.stat_cpu_ns += stat_cpu_ns(processes->pids[i]);
    }
    u.steal_ns = machine_steal_ns();
    for (int i = 0; i < processes->count; i++) u.cpu_ns += process_cpu_ns(processes->pids[i]);
    u.load_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    return u;
}

uint64_t resident_bytes(const accounted *processes) {
    char path[64], text[4096];
    uint64_t sum = 0;
    for (int i = 0; i < processes->count; i++) {
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", processes->pids[i]);
        if (read_file(path, text, sizeof text)) sum += 1024 * number_after(text, "\nRss:");
    }
    return sum;
}

void usage_print(const usage *before, const usage *after, uint64_t resident_idle, uint64_t resident_loaded) {
    printf(", \"proxy_cpu_ns\": %" PRIu64 ", \"proxy_stat_cpu_ns\": %" PRIu64 ", \"proxy_context_switches\": %" PRIu64,
           after->cpu_ns - before->cpu_ns, after->stat_cpu_ns - before->stat_cpu_ns,
           after->context_switches - before->context_switches);
    printf(", \"load_cpu_ns\": %" PRIu64 ", \"steal_ns\": %" PRIu64, after->load_cpu_ns - before->load_cpu_ns,
           after->steal_ns - before->steal_ns);
    printf(", \"resident_idle_bytes\": %" PRIu64 ", \"resident_loaded_bytes\": %" PRIu64, resident_idle, resident_loaded);
}

bool process_prepare(int cpu) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (cpu < 0) return true;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return !sched_setaffinity(0, sizeof set, &set);
}
