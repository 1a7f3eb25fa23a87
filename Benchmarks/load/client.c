// The clients before the proxy. In a closed loop each sends its next request when the answer is
// there. In an open loop requests fall due by the clock, whatever the answers do, and a latency counts
// from the moment a request was due: a stall shows in all requests that it delayed, not in one
// ("coordinated omission").
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange.h"
#include "load.h"
#include "stream.h"

// A slow reader's own socket buffers are small, so that its backlog lies in the proxy's hands.
enum { CONNECTING_MAX = 256, TOUCHING_MAX = 32, SLOW_READ_BYTES = 4096, SLOW_BUFFER_BYTES = 64 << 10 };
// What a slow HTTP client asks for: more than it reads in any window.
static const size_t SLOW_RESPONSE_BYTES = 64 << 20;
static const uint64_t SLOW_READ_INTERVAL_NS = 20 * 1000000ull;

typedef struct client {
    watched watched;
    int number;
    bool connected, busy, slow;
    uint64_t started_ns;
    uint64_t due, begun;  // open loop: requests of this client that fell due, and that were sent
    exchange exchange;
} client;

static client *clients;
static int client_count, opened;
static bool started;
static uint64_t open_loop_start_ns, requests_due, next_slow_read_ns;

static bool is_open_loop(void) { return opt.rate > 0; }

// When request number `index` of all clients together falls due.
static uint64_t due_ns(uint64_t index) { return open_loop_start_ns + (uint64_t)((double)index * 1e9 / opt.rate); }

static uint64_t intended_start_ns(const client *c) {
    return due_ns((uint64_t)c->number + c->begun * (uint64_t)opt.connections);
}

// MARK: Connections

static void on_event(watched *w, uint32_t events);

static void open_client(client *c) {
    c->connected = c->busy = false;
    exchange_open(&c->exchange, (uint32_t)c->number);
    c->started_ns = now_ns();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    set_nodelay(fd);
    if (c->slow) {
        const int bytes = SLOW_BUFFER_BYTES;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    struct sockaddr_in proxy = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(opt.proxy_port + c->number % opt.proxy_port_count)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->watched = (watched){on_event, fd};
    if (connect(fd, (void *)&proxy, sizeof proxy) && errno != EINPROGRESS) fail("connect");
    // A slow reader reads by the clock.
    watch(&c->watched, (c->slow ? 0 : EPOLLIN | EPOLLRDHUP) | EPOLLOUT | EPOLLET);
}

static void lose(client *c) {
    tally.errors++;
    close(c->watched.fd);
    if (c->connected) tally.connected--;
    c->connected = false;
    if (opt.mode == CHURN) open_client(c);
}

// MARK: Requests

static bool send_rest(client *c) {
    if (exchange_send(&c->exchange, c->watched.fd)) return true;
    lose(c);
    return false;
}

static bool send_request(client *c, uint64_t start_ns) {
    c->busy = true;
    c->begun++;
    c->started_ns = start_ns;
    exchange_begin(&c->exchange);
    return send_rest(c);
}

// One chunk, or nothing when the socket is full. False when there is no more to do now.
static bool send_chunk(client *c) {
    ssize_t sent = stream_send(c->watched.fd, &c->exchange.outgoing, STREAM_CHUNK);
    if (sent < 0 && errno != EAGAIN) lose(c);
    return sent > 0;
}

static void write_without_pause(client *c) {
    while (send_chunk(c)) {}
}

static void ask_for_much(client *c) {
    char head[REQUEST_HEAD_MAX];
    size_t length = exchange_write_head(head, sizeof head, (uint32_t)c->number, SLOW_RESPONSE_BYTES);
    if (send(c->watched.fd, head, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length) lose(c);
}

// Counts the answered request and begins the next. False when this connection is done with.
static bool complete_request(client *c) {
    uint64_t now = now_ns();
    c->busy = false;
    if (opt.mode == IDLE) {
        tally.touched++;
        return true;
    }
    tally.requests++;
    if (measuring) histogram_add(&latencies, now - c->started_ns);
    if (opt.mode == CHURN) {
        close(c->watched.fd);
        tally.connected--;
        open_client(c);
        return false;
    }
    if (!is_open_loop()) return send_request(c, now);
    return c->begun >= c->due || send_request(c, intended_start_ns(c));
}

// Edge-triggered: reads until the socket is empty. Behind an HTTP response nothing can come until the next request is
// sent, so that read is saved, as real clients do.
static void receive_answer(client *c, uint32_t events) {
    for (;;) {
        received outcome = exchange_receive(&c->exchange, c->watched.fd);
        if (outcome == RECEIVED_NOTHING) return;
        if (outcome == RECEIVED_ERROR || (outcome == RECEIVED_ALL && !c->busy)) {
            lose(c);
            return;
        }
        if (outcome == RECEIVED_PART) continue;
        if (!complete_request(c)) return;
        if (opt.http != HTTP_NONE && !(events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))) return;
    }
}

static void on_connected(client *c) {
    c->connected = true;
    tally.connected++;
    if (opt.mode == CHURN) send_request(c, c->started_ns);
    if (opt.mode == IDLE && opt.touch) send_request(c, c->started_ns);
}

static void on_event(watched *w, uint32_t events) {
    client *c = (client *)w;
    if (!c->connected) {
        if (events & (EPOLLERR | EPOLLHUP)) lose(c);
        else if (events & EPOLLOUT) on_connected(c);
        if (!c->connected) return;
    }
    if (opt.mode == BULK || c->slow) {
        if (!started || opt.http != HTTP_NONE) return;
        if (c->slow) write_without_pause(c);
        else send_chunk(c);
        return;
    }
    if ((events & EPOLLOUT) && !send_rest(c)) return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) receive_answer(c, events);
}

// MARK: What main calls

// Connections that are as far as they shall be before the load begins. With HTTP the backend's are the proxy's own
// affair, except for upgrades.
static int standing(void) {
    if (opt.mode == IDLE && opt.touch) return tally.touched;
    return opt.http == HTTP_NONE && tally.accepted < tally.connected ? tally.accepted : tally.connected;
}

bool clients_ramp_up(void) {
    if (!clients) {
        client_count = opt.connections + opt.slow_connections;
        clients = calloc((size_t)client_count, sizeof *clients);
    }
    // A few at a time where each needs one of the proxy's own connections for a moment, so that few of those stay.
    const int together = opt.http != HTTP_NONE && opt.touch ? TOUCHING_MAX : CONNECTING_MAX;
    while (opened < client_count && (opt.mode == CHURN || opened - standing() < together)) {
        clients[opened].number = opened;
        clients[opened].slow = opened >= opt.connections;
        open_client(&clients[opened++]);
    }
    if (opt.mode == CHURN) return opened == client_count;
    return standing() >= client_count;
}

void clients_start(uint64_t now) {
    started = true;
    open_loop_start_ns = next_slow_read_ns = now;
    for (int i = 0; i < client_count; i++) {
        client *c = &clients[i];
        if (c->slow && opt.http != HTTP_NONE) ask_for_much(c);
        else if (c->slow) write_without_pause(c);
        else if (opt.mode == BULK) rewatch(&c->watched, EPOLLOUT);  // told again while it can write
        else if (opt.mode == ECHO && !is_open_loop()) send_request(c, now);
    }
}

static void begin_due_requests(uint64_t now) {
    for (; due_ns(requests_due) <= now; requests_due++) {
        client *c = &clients[requests_due % (uint64_t)opt.connections];
        c->due++;
        if (c->connected && !c->busy) send_request(c, intended_start_ns(c));
    }
}

static void read_slowly(void) {
    static char bytes[SLOW_READ_BYTES];
    for (int i = opt.connections; i < client_count; i++) {
        client *c = &clients[i];
        if (c->connected && recv(c->watched.fd, bytes, sizeof bytes, MSG_DONTWAIT) == 0) lose(c);
    }
}

uint64_t clients_tick(uint64_t now) {
    uint64_t next = UINT64_MAX;
    if (!started) return next;
    if (is_open_loop()) {
        begin_due_requests(now);
        next = due_ns(requests_due);
    }
    if (opt.slow_connections) {
        if (now >= next_slow_read_ns) {
            read_slowly();
            next_slow_read_ns = now + SLOW_READ_INTERVAL_NS;
        }
        if (next_slow_read_ns < next) next = next_slow_read_ns;
    }
    return next;
}

void clients_add_waiting(uint64_t now) {
    if (!is_open_loop()) return;
    for (int i = 0; i < opt.connections; i++) {
        client *c = &clients[i];
        if (c->busy) histogram_add(&latencies, now - c->started_ns);
        for (; c->begun < c->due; c->begun++) histogram_add(&latencies, now - intended_start_ns(c));
    }
}
