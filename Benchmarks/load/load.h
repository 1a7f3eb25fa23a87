// What the parts of ringload share: the options, the connections' common head, and the tallies.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounting.h"
#include "histogram.h"
#include "http.h"

typedef enum mode { ECHO, BULK, CHURN, IDLE, SERVE } mode;

typedef struct options {
    mode mode;
    const char *mode_name;
    int connections;
    int slow_connections;   // echo: readers that take 4 KiB every 20 ms and write without pause
    http_kind http;         // what the connections carry; HTTP_NONE: nothing but bytes
    size_t size;            // bytes of a request, and of its response; HTTP: content of a GET's response or a POST
    int routes;             // HTTP: how many the proxy has; requests are spread over them
    double rate;            // echo: requests a second, open loop; 0 means as fast as answers come
    double warm_up_s, window_s;
    int proxy_port, proxy_port_count;  // connections are spread over consecutive ports
    int backend_port;       // where the backend of this process listens
    int backend_stall_ms;   // one pause of the backend in mid-window, to test what latency figures see
    int cpu;                // -1: not pinned
    bool verify;            // compare every byte that arrives, both ways
    bool touch;             // idle: one exchange on each connection before it rests
    accounted proxy;
} options;

typedef struct tallies {
    uint64_t requests;  // complete exchanges (churn: and connections)
    uint64_t bytes;     // received by the backend; HTTP: content alone
    uint64_t errors;    // refused, reset or ended early, or wrong bytes
    int connected, accepted, touched;
} tallies;

// What epoll points at. A descriptor has one registration, so a batch names each connection at most
// once, and a handler may close or replace its own.
typedef struct watched {
    void (*on_event)(struct watched *, uint32_t events);
    int fd;
} watched;

extern options opt;
extern tallies tally;
extern bool measuring;
extern histogram latencies;  // nanoseconds, of the measured window

uint64_t now_ns(void);
void watch(watched *w, uint32_t events);
void rewatch(watched *w, uint32_t events);
void set_nodelay(int fd);
void fail(const char *what);

// backend.c
void backend_open(void);

// client.c
bool clients_ramp_up(void);           // opens more of them; true when all are there
void clients_start(uint64_t now);     // the first request of each
uint64_t clients_tick(uint64_t now);  // open loop and slow readers: does what is due; next due time or UINT64_MAX
void clients_add_waiting(uint64_t now);  // open loop: requests that still wait enter with their age
