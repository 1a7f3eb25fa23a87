// tlsload: HTTPS over kept connections in an open loop, with or without a flood of handshakes beside it.
//
//   tlsload --port P --connections N --size BYTES [--rate PER_SECOND] [--flood N] [options]
//   tlsload --port P --connections N --size BYTES --idle [options]
//
// Prints one JSON object with the members that ringload's has. Requests fall due by the clock and a latency counts from
// then, as in client.c; without a rate each connection sends its next request when the answer is there. With --idle each
// connection carries one request and rests, for the memory that it takes.
//
// A flood is N connections that send a ClientHello, wait for the first bytes of the answer, and are reset, over and
// over: the server does all that is costly in a handshake (key exchange, signature), the client next to nothing, so that
// this one CPU can press hard and still be on time for what is measured.
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "accounting.h"
#include "histogram.h"
#include "http.h"

enum { EVENTS_PER_WAIT = 256, HEAD_MAX = 4096, HELLO_MAX = 2048, CONNECTING_MAX = 16 };
static const uint64_t SECOND_NS = 1000000000u, RAMP_UP_MAX_NS = 60 * 1000000000ull;

typedef struct client {
    bool floods;  // first in both kinds of what epoll points at
    int fd, number;
    SSL *tls;
    bool stands, busy;
    uint64_t started_ns, due, begun;
    size_t head_length;
    long long to_receive;  // content; negative: the head is not complete
    char head[HEAD_MAX];
} client;

typedef struct flooder {
    bool floods;
    int fd;
    bool asked;
} flooder;

static int port, connections = 1, flooders, cpu = -1;
static size_t size = 1024;
static double rate, warm_up_s = 0.3, window_s = 1.2;
static const char *cipher = "TLS_AES_128_GCM_SHA256", *group = "X25519";
static accounted proxy;

static int epoll_fd, standing;
static SSL_CTX *context;
static client *clients;
static char request[256];
static size_t request_length;
static uint8_t hello[HELLO_MAX];
static size_t hello_length;
static uint64_t start_ns, requests_due, requests, errors, handshakes;
static bool measuring, started, idle;
static histogram latencies;

static void fail(const char *what) {
    printf("{\"failure\": \"%s: %s\", \"errors\": %" PRIu64 ", \"connected\": %d, \"accepted\": 0}\n", what,
           strerror(errno), errors, standing);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static int connect_to_proxy(void *pointer) {
    const int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event interest = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = pointer};
    if (fd < 0) fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (void *)&address, sizeof address) && errno != EINPROGRESS) fail("connect");
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &interest);
    return fd;
}

// MARK: Kept connections

static uint64_t due_ns(uint64_t index) { return start_ns + (uint64_t)((double)index * 1e9 / rate); }

static uint64_t intended_start_ns(const client *c) {
    return due_ns((uint64_t)c->number + c->begun * (uint64_t)connections);
}

// The connection is not made again: a run with errors is void.
static void lose(client *c) {
    errors++;
    standing -= c->stands;
    c->stands = c->busy = false;
    close(c->fd);
    c->fd = -1;
}

static void send_request(client *c, uint64_t at) {
    c->busy = true;
    c->begun++;
    c->started_ns = at;
    c->head_length = 0;
    c->to_receive = -1;
    // A small request fits into a socket that has none before it.
    if (SSL_write(c->tls, request, (int)request_length) != (int)request_length) lose(c);
}

static void complete_request(client *c) {
    const uint64_t now = now_ns();
    c->busy = false;
    requests++;
    if (measuring) histogram_add(&latencies, now - c->started_ns);
    if (idle) return;
    if (rate <= 0) send_request(c, now);
    else if (c->begun < c->due) send_request(c, intended_start_ns(c));
}

// False when what came is no answer to the request.
static bool take(client *c, const char *bytes, size_t length) {
    if (!c->busy) return false;
    if (c->to_receive < 0) {
        if (c->head_length + length > HEAD_MAX) return false;
        memcpy(c->head + c->head_length, bytes, length);
        c->head_length += length;
        http_head head;
        const size_t head_bytes = http_parse(c->head, c->head_length, &head);
        if (!head_bytes) return true;
        if (head.status != 200 || head.content_length != (long long)size) return false;
        c->to_receive = head.content_length;
        length = c->head_length - head_bytes;
    }
    if ((long long)length > c->to_receive) return false;
    c->to_receive -= (long long)length;
    if (c->to_receive == 0) complete_request(c);
    return true;
}

static bool agreed_as_asked(client *c) {
    const char *agreed = SSL_get_cipher_name(c->tls);
    return !strcmp(agreed, cipher) && SSL_version(c->tls) == TLS1_3_VERSION;
}

// Once the handshake is done, which reading drives too.
static void stand(client *c) {
    errno = EPROTO;
    if (!agreed_as_asked(c)) fail("another cipher was agreed");
    c->stands = true;
    standing++;
    if (idle) send_request(c, now_ns());
}

static void on_client(client *c) {
    static char bytes[16384];
    while (c->fd >= 0) {
        const size_t room = c->to_receive < 0 ? HEAD_MAX - c->head_length : sizeof bytes;
        ERR_clear_error();
        const int count = SSL_read(c->tls, bytes, (int)room);
        const int why = SSL_get_error(c->tls, count);
        if (!c->stands && SSL_is_init_finished(c->tls)) stand(c);
        if (count > 0 && take(c, bytes, (size_t)count)) continue;
        if (count > 0 || (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)) lose(c);
        return;
    }
}

static void open_client(int number) {
    client *c = &clients[number];
    c->number = number;
    c->to_receive = -1;
    c->fd = connect_to_proxy(c);
    c->tls = SSL_new(context);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_tlsext_host_name(c->tls, "bench.example");
    SSL_set_connect_state(c->tls);
}

// MARK: The flood

// One ClientHello serves all: nothing keeps a client from showing the same key share twice.
static void record_hello(void) {
    SSL *tls = SSL_new(context);
    BIO *incoming = BIO_new(BIO_s_mem()), *outgoing = BIO_new(BIO_s_mem());
    SSL_set_bio(tls, incoming, outgoing);
    SSL_set_tlsext_host_name(tls, "bench.example");
    SSL_set_connect_state(tls);
    SSL_do_handshake(tls);
    const int length = BIO_read(outgoing, hello, HELLO_MAX);
    if (length <= 0) fail("no ClientHello");
    hello_length = (size_t)length;
    SSL_free(tls);
}

static void flood_again(flooder *f) {
    // A reset: thousands of connections a second would use up the ports in TIME_WAIT.
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (f->fd >= 0) {
        setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(f->fd);
    }
    f->asked = false;
    f->fd = connect_to_proxy(f);
}

static void on_flooder(flooder *f, uint32_t events) {
    uint8_t first[16];
    if (!f->asked && (events & EPOLLOUT) && !(events & EPOLLERR)) {
        f->asked = send(f->fd, hello, hello_length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)hello_length;
    }
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))) return;
    const ssize_t count = recv(f->fd, first, sizeof first, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    // 22: a handshake record (RFC 8446, section 5.1), the ServerHello.
    if (count > 0 && first[0] == 22) handshakes += measuring;
    else errors++;
    flood_again(f);
}

// MARK: The loop

// What is measured comes before the flood.
static void turn(uint64_t until) {
    struct epoll_event events[EVENTS_PER_WAIT];
    const uint64_t now = now_ns(), wait = until > now ? until - now : 0;
    const struct timespec timeout = {.tv_sec = (time_t)(wait / SECOND_NS), .tv_nsec = (long)(wait % SECOND_NS)};
    const int count = epoll_pwait2(epoll_fd, events, EVENTS_PER_WAIT, &timeout, NULL);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < count; i++) {
            const bool floods = *(bool *)events[i].data.ptr;
            if (floods != (pass == 1)) continue;
            if (floods) on_flooder(events[i].data.ptr, events[i].events);
            else on_client(events[i].data.ptr);
        }
    }
    if (errors > 20000) fail("too many errors");
}

static void run_until(uint64_t end) {
    for (uint64_t now; (now = now_ns()) < end;) {
        uint64_t due = end;
        if (started && rate > 0) {
            for (; due_ns(requests_due) <= now; requests_due++) {
                client *c = &clients[requests_due % (uint64_t)connections];
                c->due++;
                if (c->stands && !c->busy) send_request(c, intended_start_ns(c));
            }
            due = due_ns(requests_due) < end ? due_ns(requests_due) : end;
        }
        turn(due);
    }
}

// Requests that still wait enter with their age.
static void add_waiting(uint64_t now) {
    for (int i = 0; rate > 0 && i < connections; i++) {
        client *c = &clients[i];
        if (c->busy) histogram_add(&latencies, now - c->started_ns);
        for (; c->begun < c->due; c->begun++) histogram_add(&latencies, now - intended_start_ns(c));
    }
}

static void parse(int argc, char **argv) {
    static const struct option names[] = {
        {"port", required_argument, NULL, 'P'},    {"connections", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 's'},    {"rate", required_argument, NULL, 'r'},
        {"flood", required_argument, NULL, 'f'},   {"warm-up", required_argument, NULL, 'w'},
        {"window", required_argument, NULL, 'd'},  {"cpu", required_argument, NULL, 'c'},
        {"pids", required_argument, NULL, 'p'},    {"cipher", required_argument, NULL, 'C'},
        {"group", required_argument, NULL, 'g'},   {"idle", no_argument, NULL, 'i'},
        {NULL, 0, NULL, 0}};
    bool known = true;
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
            case 'P': port = atoi(optarg); break;
            case 'n': connections = atoi(optarg); break;
            case 's': size = strtoul(optarg, NULL, 10); break;
            case 'r': rate = atof(optarg); break;
            case 'f': flooders = atoi(optarg); break;
            case 'w': warm_up_s = atof(optarg); break;
            case 'd': window_s = atof(optarg); break;
            case 'c': cpu = atoi(optarg); break;
            case 'p': proxy = accounted_parse(optarg); break;
            case 'C': cipher = optarg; break;
            case 'g': group = optarg; break;
            case 'i': idle = true; break;
            default: known = false;
        }
    }
    if (known && port > 0 && connections > 0 && flooders >= 0) return;
    fprintf(stderr,
            "usage: %s --port P [--connections N] [--size BYTES] [--rate PER_SECOND] [--flood N] [--warm-up S]\n"
            "       [--window S] [--cpu N] [--pids PID,PID...] [--cipher SUITE] [--group NAME] [--idle]\n",
            argv[0]);
    exit(64);
}

static void prepare(void) {
    if (!process_prepare(cpu)) fail("pinning");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    context = SSL_CTX_new(TLS_client_method());
    static const unsigned char alpn[] = "\x08http/1.1";
    const bool set = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
                     SSL_CTX_set_ciphersuites(context, cipher) && SSL_CTX_set1_groups_list(context, group) &&
                     !SSL_CTX_set_alpn_protos(context, alpn, sizeof alpn - 1);
    if (!set) fail("no such cipher or group");
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    request_length = (size_t)snprintf(request, sizeof request,
                                      "GET /%zu/0 HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: tlsload\r\n"
                                      "Accept: */*\r\n\r\n", size);
}

// Connections that are as far as they shall be before the load begins.
static int settled(void) { return idle ? (int)requests : standing; }

static void ramp_up(void) {
    const uint64_t deadline = now_ns() + RAMP_UP_MAX_NS;
    clients = calloc((size_t)connections, sizeof *clients);
    for (int opened = 0; settled() < connections;) {
        while (opened < connections && opened - settled() < CONNECTING_MAX) open_client(opened++);
        const uint64_t now = now_ns();
        errno = ETIMEDOUT;
        if (now > deadline || errors) fail("connections did not stand");
        turn(now + SECOND_NS / 100);
    }
}

int main(int argc, char **argv) {
    parse(argc, argv);
    prepare();
    const uint64_t resident_idle = resident_bytes(&proxy);
    ramp_up();
    record_hello();
    flooder *flood = calloc((size_t)flooders + 1, sizeof *flood);
    for (int i = 0; i < flooders; i++) {
        flood[i] = (flooder){.floods = true, .fd = -1};
        flood_again(&flood[i]);
    }
    start_ns = now_ns();
    started = true;
    for (int i = 0; rate <= 0 && !idle && i < connections; i++) send_request(&clients[i], start_ns);
    run_until(start_ns + (uint64_t)(warm_up_s * 1e9));

    const usage before = usage_cheap(&proxy);
    const uint64_t requests_before = requests, window_start = now_ns();
    measuring = true;
    run_until(window_start + (uint64_t)(window_s * 1e9));
    measuring = false;
    const uint64_t window_end = now_ns(), counted = requests - requests_before;
    const usage after = usage_cheap(&proxy);
    add_waiting(window_end);

    printf("{\"mode\": \"tls\", \"connections\": %d, \"size\": %zu, \"rate\": %.0f, \"flood\": %d", connections, size,
           rate, flooders);
    printf(", \"window_ns\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"errors\": %" PRIu64,
           window_end - window_start, counted, counted * size, errors);
    printf(", \"handshakes\": %" PRIu64 ", \"cipher\": \"%s\"", handshakes, cipher);
    usage_print(&before, &after, resident_idle, resident_bytes(&proxy));
    histogram_print(&latencies);
    printf("}\n");
    return 0;
}
