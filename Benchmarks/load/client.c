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

#include "load.h"
#include "stream.h"

// A slow reader's own socket buffers are small, so that its backlog lies in the proxy's hands.
enum { CONNECTING_MAX = 256, SLOW_READ_BYTES = 4096, SLOW_BUFFER_BYTES = 64 << 10 };
static const uint64_t SLOW_READ_INTERVAL_NS = 20 * 1000000ull;

typedef struct client {
    watched watched;
    int number;
    bool connected, busy, slow;
    size_t to_send, to_receive;
    uint64_t started_ns;
    uint64_t due, begun;  // open loop: requests of this client that fell due, and that were sent
    stream outgoing, incoming;
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
    c->to_send = c->to_receive = 0;
    c->outgoing = stream_of((uint32_t)c->number);
    c->incoming = stream_answer(c->outgoing);
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
    while (c->to_send) {
        ssize_t sent = stream_send(c->watched.fd, &c->outgoing, c->to_send);
        if (sent < 0 && errno == EAGAIN) return true;
        if (sent < 0) {
            lose(c);
            return false;
        }
        c->to_send -= (size_t)sent;
    }
    return true;
}

static bool send_request(client *c, uint64_t start_ns) {
    c->busy = true;
    c->begun++;
    c->started_ns = start_ns;
    c->to_send = c->to_receive = opt.size;
    return send_rest(c);
}

// One chunk, or nothing when the socket is full. False when there is no more to do now.
static bool send_chunk(client *c) {
    ssize_t sent = stream_send(c->watched.fd, &c->outgoing, STREAM_CHUNK);
    if (sent < 0 && errno != EAGAIN) lose(c);
    return sent > 0;
}

static void write_without_pause(client *c) {
    while (send_chunk(c)) {}
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

static void receive_answer(client *c) {
    for (;;) {
        ssize_t received = stream_receive(c->watched.fd, &c->incoming, opt.verify);
        if (received < 0 && errno == EAGAIN) return;
        if (received <= 0 || (size_t)received > c->to_receive) {
            lose(c);
            return;
        }
        c->to_receive -= (size_t)received;
        if (c->busy && !c->to_receive && !complete_request(c)) return;
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
        if (!started) return;
        if (c->slow) write_without_pause(c);
        else send_chunk(c);
        return;
    }
    if ((events & EPOLLOUT) && !send_rest(c)) return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) receive_answer(c);
}

// MARK: What main calls

bool clients_ramp_up(void) {
    if (!clients) {
        client_count = opt.connections + opt.slow_connections;
        clients = calloc((size_t)client_count, sizeof *clients);
    }
    while (opened < client_count && opened - (opt.mode == CHURN ? 0 : tally.accepted) < CONNECTING_MAX) {
        clients[opened].number = opened;
        clients[opened].slow = opened >= opt.connections;
        open_client(&clients[opened++]);
    }
    if (opt.mode == CHURN) return opened == client_count;
    const bool touched = opt.mode != IDLE || !opt.touch || tally.touched >= client_count;
    return tally.accepted >= client_count && tally.connected >= client_count && touched;
}

void clients_start(uint64_t now) {
    started = true;
    open_loop_start_ns = next_slow_read_ns = now;
    for (int i = 0; i < client_count; i++) {
        client *c = &clients[i];
        if (c->slow) write_without_pause(c);
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
