// ringload: clients and backend of the benchmarks in one epoll thread, with a measured window.
//
//   ringload echo|bulk|churn|idle --proxy-port P --backend-port B [--http get|post|upgrade] [options]
//   ringload serve --backend-port B [--http get]
//
// Prints one JSON object. All connections stand before the warm-up begins (except churn's, which come
// and go); counters and the proxy's CPU time are read at both edges of the window.
// `serve` is the backend alone, for other load generators; it ends when it is killed.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "load.h"
#include "stream.h"

enum { EVENTS_PER_WAIT = 512, ERRORS_MAX = 20000 };
static const uint64_t SECOND_NS = 1000000000u, RAMP_UP_MAX_NS = 30 * 1000000000ull, SETTLE_NS = 20 * 1000000u;

options opt = {.connections = 1, .size = 1024, .warm_up_s = 0.3, .window_s = 1.2, .proxy_port_count = 1, .cpu = -1};
tallies tally;
bool measuring;
histogram latencies;
static int epoll_fd;

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

void watch(watched *w, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = w};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &e);
}

void rewatch(watched *w, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = w};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, w->fd, &e);
}

void set_nodelay(int fd) {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

// The one way to end without figures: a JSON object that says why, and exit code 1.
void fail(const char *what) {
    printf("{\"failure\": \"%s: %s\", \"errors\": %" PRIu64 ", \"connected\": %d, \"accepted\": %d}\n", what,
           strerror(errno), tally.errors, tally.connected, tally.accepted);
    exit(1);
}

static void usage_error(const char *program) {
    fprintf(stderr,
            "usage: %s echo|bulk|churn|idle|serve --proxy-port P --backend-port B [--proxy-ports N] [--connections N]\n"
            "       [--size BYTES] [--rate PER_SECOND] [--slow N] [--warm-up S] [--window S] [--cpu N]\n"
            "       [--pids PID,PID...] [--verify] [--touch] [--stall-ms MS] [--http get|post|upgrade] [--routes N]\n",
            program);
    exit(64);
}

static http_kind parse_http_kind(const char *name) {
    static const char *const kinds[] = {[HTTP_GET] = "get", [HTTP_POST] = "post", [HTTP_UPGRADE] = "upgrade"};
    for (size_t i = HTTP_GET; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strcmp(name, kinds[i])) return (http_kind)i;
    }
    return HTTP_NONE;
}

static void parse(int argc, char **argv) {
    static const char *const modes[] = {[ECHO] = "echo", [BULK] = "bulk", [CHURN] = "churn", [IDLE] = "idle", [SERVE] = "serve"};
    static const struct option names[] = {
        {"proxy-port", required_argument, NULL, 'P'}, {"proxy-ports", required_argument, NULL, 'N'},
        {"backend-port", required_argument, NULL, 'B'}, {"connections", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 's'}, {"rate", required_argument, NULL, 'r'},
        {"slow", required_argument, NULL, 'S'}, {"warm-up", required_argument, NULL, 'w'},
        {"window", required_argument, NULL, 'd'}, {"cpu", required_argument, NULL, 'c'},
        {"pids", required_argument, NULL, 'p'}, {"verify", no_argument, NULL, 'v'},
        {"touch", no_argument, NULL, 't'}, {"stall-ms", required_argument, NULL, 'z'},
        {"http", required_argument, NULL, 'h'}, {"routes", required_argument, NULL, 'R'}, {NULL, 0, NULL, 0}};
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i])) continue;
        opt.mode = (mode)i;
        opt.mode_name = modes[i];
    }
    if (!opt.mode_name) usage_error(argv[0]);
    optind = 2;
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
            case 'P': opt.proxy_port = atoi(optarg); break;
            case 'N': opt.proxy_port_count = atoi(optarg); break;
            case 'B': opt.backend_port = atoi(optarg); break;
            case 'n': opt.connections = atoi(optarg); break;
            case 's': opt.size = strtoul(optarg, NULL, 10); break;
            case 'r': opt.rate = atof(optarg); break;
            case 'S': opt.slow_connections = atoi(optarg); break;
            case 'w': opt.warm_up_s = atof(optarg); break;
            case 'd': opt.window_s = atof(optarg); break;
            case 'c': opt.cpu = atoi(optarg); break;
            case 'p': opt.proxy = accounted_parse(optarg); break;
            case 'v': opt.verify = true; break;
            case 't': opt.touch = true; break;
            case 'h': opt.http = parse_http_kind(optarg); break;
            case 'R': opt.routes = atoi(optarg); break;
            case 'z': opt.backend_stall_ms = atoi(optarg); break;
            default: usage_error(argv[0]);
        }
    }
    const bool complete = (opt.proxy_port > 0 || opt.mode == SERVE) && opt.backend_port > 0;
    // Eight bytes are what a raw stream is recognized by.
    if (!complete || opt.connections < 1 || opt.proxy_port_count < 1) usage_error(argv[0]);
    if (opt.http == HTTP_NONE ? opt.size < 8 : opt.mode == BULK) usage_error(argv[0]);
}

static void prepare_process(void) {
    if (!process_prepare(opt.cpu)) fail("pinning");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    stream_prepare();
}

// Handles what is ready; waits for it at most until `until`.
static void turn(uint64_t until) {
    struct epoll_event events[EVENTS_PER_WAIT];
    uint64_t now = now_ns();
    uint64_t wait = until > now ? until - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait / SECOND_NS), .tv_nsec = (long)(wait % SECOND_NS)};
    int count = epoll_pwait2(epoll_fd, events, EVENTS_PER_WAIT, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        watched *w = events[i].data.ptr;
        w->on_event(w, events[i].events);
    }
    // Clients of others may come and go as they like.
    if (tally.errors > ERRORS_MAX && opt.mode != SERVE) fail("too many errors");
}

static void run_until(uint64_t end) {
    for (uint64_t now; (now = now_ns()) < end;) {
        uint64_t due = clients_tick(now);
        turn(due < end ? due : end);
    }
}

static void ramp_up(void) {
    uint64_t deadline = now_ns() + RAMP_UP_MAX_NS;
    while (!clients_ramp_up()) {
        uint64_t now = now_ns();
        errno = ETIMEDOUT;
        if (now > deadline) fail("connections did not stand in time");
        turn(now + SECOND_NS / 100);
    }
    run_until(now_ns() + SETTLE_NS);
}

static void stall(void) {
    struct timespec pause = {.tv_sec = opt.backend_stall_ms / 1000,
                             .tv_nsec = opt.backend_stall_ms % 1000 * 1000000l};
    nanosleep(&pause, NULL);
}

int main(int argc, char **argv) {
    parse(argc, argv);
    prepare_process();
    backend_open();
    while (opt.mode == SERVE) turn(now_ns() + SECOND_NS);
    const uint64_t resident_idle = resident_bytes(&opt.proxy), ramp_start = now_ns();
    ramp_up();
    const uint64_t ramp_end = now_ns();
    clients_start(ramp_end);
    run_until(ramp_end + (uint64_t)(opt.warm_up_s * 1e9));

    const usage before = usage_cheap(&opt.proxy);
    const tallies counted_before = tally;
    const uint64_t window_start = now_ns(), window_ns = (uint64_t)(opt.window_s * 1e9);
    measuring = true;
    if (opt.backend_stall_ms) {
        run_until(window_start + window_ns / 4);
        stall();
    }
    run_until(window_start + window_ns);
    measuring = false;
    const uint64_t window_end = now_ns();
    const tallies counted = tally;
    const usage after = usage_cheap(&opt.proxy);
    clients_add_waiting(window_end);

    printf("{\"mode\": \"%s\", \"connections\": %d, \"size\": %zu, \"rate\": %.0f, \"slow_connections\": %d",
           opt.mode_name, opt.connections, opt.size, opt.rate, opt.slow_connections);
    printf(", \"ramp_up_ns\": %" PRIu64 ", \"window_ns\": %" PRIu64, ramp_end - ramp_start, window_end - window_start);
    printf(", \"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"errors\": %" PRIu64,
           counted.requests - counted_before.requests, counted.bytes - counted_before.bytes, counted.errors);
    usage_print(&before, &after, resident_idle, resident_bytes(&opt.proxy));
    histogram_print(&latencies);
    printf("}\n");
    return 0;
}
