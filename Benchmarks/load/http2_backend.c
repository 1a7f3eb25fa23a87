// http2-backend: the HTTP/2 and gRPC server behind the proxy, one epoll thread on nghttp2, without TLS.
//
//   http2-backend PORT
//
// A request's path says how large an answer it wants, as with ringload: .../SIZE/NUMBER. A request with
// content-type application/grpc is a unary call: its message comes back, and grpc-status 0 in the trailers. It
// listens on every loopback address, and when it is asked to end (SIGTERM) prints how many calls and bytes it took. It
// takes a tracing collector's part, too: OTLP's calls are answered with an empty message.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_PER_WAIT = 256, LISTEN_QUEUE = 4096, READ_BYTES = 256 << 10, UNSENT_MAX = 256 << 10 };
// What nghttpd and most servers allow; requests of megabytes and a connection full of them fit into the windows.
enum { STREAMS_MAX = 100, STREAM_WINDOW = 1 << 20, CONNECTION_WINDOW = 64 << 20 };
// A message is kept until it is complete, so that a unary call is what it is elsewhere.
enum { GRPC_PREFIX = 5, GRPC_MESSAGE_MAX = 4 << 20 };

typedef struct call {
    bool grpc, exports;
    size_t asked;                 // what the path wants
    uint8_t prefix[GRPC_PREFIX];  // of the request's message, and of the answer's
    size_t received, to_send, sent;
} call;

typedef struct connection {
    int fd;
    nghttp2_session *session;
    const uint8_t *pending;  // what nghttp2 gave and the socket did not take yet; valid until it is asked for more
    size_t pending_length, unsent_length, unsent_sent;
    uint8_t unsent[UNSENT_MAX];
} connection;

static uint64_t calls, call_bytes;

static void die(const char *what) {
    perror(what);
    exit(1);
}

// MARK: Streams

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)context;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    call *c = calloc(1, sizeof *c);
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, c);
}

static bool is(const char *text, const uint8_t *bytes, size_t length) {
    return strlen(text) == length && !memcmp(text, bytes, length);
}

// The last two parts of .../SIZE/NUMBER. `value` ends with a null byte (nghttp2 sees to it).
static size_t asked_bytes(const char *path) {
    const char *last = strrchr(path, '/');
    if (!last || last == path) return 0;
    const char *before = memrchr(path, '/', (size_t)(last - path));
    return before ? strtoul(before + 1, NULL, 10) : 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags, void *context) {
    (void)flags, (void)context;
    call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!c) return 0;
    if (is(":path", name, name_length)) {
        c->asked = asked_bytes((const char *)value);
        c->exports = value_length > 15 && !memcmp(value, "/opentelemetry.", 15);
    }
    if (is("content-type", name, name_length)) c->grpc = value_length >= 16 && !memcmp(value, "application/grpc", 16);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t length,
                   void *context) {
    (void)flags, (void)context;
    call *c = nghttp2_session_get_stream_user_data(session, stream);
    if (!c) return 0;
    for (size_t i = 0; i < length && c->received + i < GRPC_PREFIX; i++) c->prefix[c->received + i] = bytes[i];
    c->received += length;
    if (c->received > GRPC_MESSAGE_MAX) return nghttp2_submit_rst_stream(session, 0, stream, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

#define FIELD(n, v) {(uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}

static ssize_t give_content(nghttp2_session *session, int32_t stream, uint8_t *bytes, size_t capacity,
                            uint32_t *flags, nghttp2_data_source *source, void *context) {
    (void)context;
    call *c = source->ptr;
    size_t length = c->to_send - c->sent < capacity ? c->to_send - c->sent : capacity;
    memset(bytes, 'x', length);
    for (size_t i = 0; c->grpc && c->sent + i < GRPC_PREFIX && i < length; i++) bytes[i] = c->prefix[c->sent + i];
    c->sent += length;
    if (c->sent < c->to_send) return (ssize_t)length;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (c->grpc) {
        const nghttp2_nv trailers[] = {FIELD("grpc-status", "0")};
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, stream, trailers, 1)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)length;
}

static int answer(nghttp2_session *session, int32_t stream, call *c) {
    nghttp2_data_provider content = {.source.ptr = c, .read_callback = give_content};
    if (c->grpc) {
        const nghttp2_nv fields[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc")};
        if (c->exports) memset(c->prefix, 0, sizeof c->prefix);  // a collector's answer is an empty message
        c->to_send = c->exports ? GRPC_PREFIX : c->received;
        calls++;
        call_bytes += c->received;
        return nghttp2_submit_response(session, stream, fields, 2, &content);
    }
    char length[24];
    const int digits = snprintf(length, sizeof length, "%zu", c->asked);
    const nghttp2_nv fields[] = {
        FIELD(":status", "200"), FIELD("server", "backend"), FIELD("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        FIELD("content-type", "application/octet-stream"),
        {(uint8_t *)"content-length", (uint8_t *)length, 14, (size_t)digits, NGHTTP2_NV_FLAG_NO_COPY_NAME}};
    c->to_send = c->asked;
    return nghttp2_submit_response(session, stream, fields, 5, c->to_send ? &content : NULL);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)context;
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) return 0;
    call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    return c ? answer(session, frame->hd.stream_id, c) : 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *context) {
    (void)code, (void)context;
    free(nghttp2_session_get_stream_user_data(session, stream));
    return 0;
}

// MARK: Connections

static volatile sig_atomic_t ended;

static void end(int signal) {
    (void)signal;
    ended = 1;
}

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

static connection *open_connection(int fd) {
    connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    if (nghttp2_session_server_new2(&c->session, callbacks, c, options)) die("nghttp2");
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    return c;
}

static void hang_up(connection *c) {
    close(c->fd);
    nghttp2_session_del(c->session);
    free(c);
}

// Gathers frames up to what one send takes well. False when the session failed.
static bool gather(connection *c) {
    c->unsent_length = c->unsent_sent = 0;
    for (;;) {
        if (!c->pending_length) {
            ssize_t length = nghttp2_session_mem_send(c->session, &c->pending);
            if (length < 0) return false;
            if (length == 0) return true;
            c->pending_length = (size_t)length;
        }
        const size_t room = UNSENT_MAX - c->unsent_length;
        const size_t length = c->pending_length < room ? c->pending_length : room;
        memcpy(c->unsent + c->unsent_length, c->pending, length);
        c->unsent_length += length, c->pending += length, c->pending_length -= length;
        if (c->pending_length) return true;
    }
}

// False when the connection is done with.
static bool flush(connection *c) {
    for (;;) {
        if (c->unsent_sent == c->unsent_length && (!gather(c) || !c->unsent_length)) break;
        ssize_t sent = send(c->fd, c->unsent + c->unsent_sent, c->unsent_length - c->unsent_sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN;
        c->unsent_sent += (size_t)sent;
    }
    return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session);
}

// Edge-triggered: reads until the socket is empty. A close that came with the bytes has no edge of its own.
static bool receive(connection *c, uint32_t events) {
    static uint8_t bytes[READ_BYTES];
    for (;;) {
        ssize_t count = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count < 0) return errno == EAGAIN;
        if (count == 0 || nghttp2_session_mem_recv(c->session, bytes, (size_t)count) < 0) return false;
        if (count < (ssize_t)sizeof bytes && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return true;
    }
}

static int listen_on(int port) {
    const int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // accepted sockets inherit it
    if (bind(fd, (void *)&any, sizeof any) || listen(fd, LISTEN_QUEUE)) die("listening");
    return fd;
}

static void prepare_nghttp2(void) {
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_new(&options);
    nghttp2_option_set_no_closed_streams(options, 1);
}

int main(int argc, char **argv) {
    const int port = argc == 2 ? atoi(argv[1]) : 0;
    if (port < 1) return fprintf(stderr, "usage: %s PORT\n", argv[0]), 64;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    prepare_nghttp2();
    const int epoll = epoll_create1(EPOLL_CLOEXEC), listener = listen_on(port);
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &interest);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = end}, NULL);
    while (!ended) {
        struct epoll_event events[EVENTS_PER_WAIT];
        const int count = epoll_wait(epoll, events, EVENTS_PER_WAIT, -1);
        for (int i = 0; i < count; i++) {
            connection *c = events[i].data.ptr;
            if (c) {
                if (!receive(c, events[i].events) || !flush(c)) hang_up(c);
                continue;
            }
            for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                struct epoll_event both = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                           .data.ptr = open_connection(fd)};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &both);
            }
        }
    }
    printf("{\"calls\": %llu, \"bytes\": %llu}\n", (unsigned long long)calls, (unsigned long long)call_bytes);
    return 0;
}
