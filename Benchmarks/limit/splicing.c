// The bare splicing relay: the floor for bulk. The ring says when a socket is readable or writable,
// and splice(2) moves pages from socket to pipe to socket without copying them. (IORING_OP_SPLICE
// always goes to a kernel worker thread, so the calls are made here.) A direction holds a pipe from
// the pool only while bytes are under way.
#define _GNU_SOURCE
#include "ring.h"

#include "relay.h"

#include <fcntl.h>
#include <poll.h>

enum { PIPES_KEPT = 1024 };
enum operation { ACCEPT, CONNECT, READABLE, WRITABLE, CANCEL };

typedef struct half {
    int fd, pipe[2];  // pipe[0] is -1 while no pipe is borrowed
    bool polling, waiting_to_write, ended, shut;
    size_t in_pipe;
    struct half *peer;
    struct pair *pair;
} __attribute__((aligned(64))) half;

typedef struct pair {
    half halves[2];
    int operations;
    bool closing;
    struct pair *next_free;
} pair;

static ring loop;
static size_t pipe_bytes;
static int listener, pipes[PIPES_KEPT][2], pipe_count;
static struct sockaddr_in backend;
static pair *free_pairs;

static bool borrow_pipe(half *h) {
    if (h->pipe[0] >= 0) return true;
    if (pipe_count) {
        memcpy(h->pipe, pipes[--pipe_count], sizeof h->pipe);
        return true;
    }
    if (pipe2(h->pipe, O_NONBLOCK | O_CLOEXEC)) {
        h->pipe[0] = -1;
        return false;
    }
    fcntl(h->pipe[1], F_SETPIPE_SZ, pipe_bytes);
    return true;
}

static void return_pipe(half *h) {
    if (h->pipe[0] < 0) return;
    if (h->in_pipe || pipe_count == PIPES_KEPT) {
        close(h->pipe[0]);
        close(h->pipe[1]);
    } else {
        memcpy(pipes[pipe_count++], h->pipe, sizeof h->pipe);
    }
    h->pipe[0] = -1;
}

static struct io_uring_sqe *submit(half *h, enum operation operation, uint8_t opcode, int fd) {
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->user_data = (uint64_t)(uintptr_t)h | operation;
    h->pair->operations++;
    return sqe;
}

static void arm_accept(void) {
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listener;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    sqe->user_data = ACCEPT;
}

static void arm_readable(half *h) {
    if (h->polling || h->ended || h->pair->closing) return;
    struct io_uring_sqe *sqe = submit(h, READABLE, IORING_OP_POLL_ADD, h->fd);
    sqe->len = IORING_POLL_ADD_MULTI;
    sqe->poll32_events = POLLIN | POLLRDHUP;
    h->polling = true;
}

static void close_pair(pair *p) {
    if (p->closing) return;
    p->closing = true;
    for (int i = 0; i < 2; i++) {
        half *h = &p->halves[i];
        shutdown(h->fd, SHUT_RDWR);
        // A multishot poll does not end by itself when the socket hangs up.
        if (h->polling) submit(h, CANCEL, IORING_OP_ASYNC_CANCEL, -1)->addr = (uint64_t)(uintptr_t)h | READABLE;
    }
}

static void release_if_done(pair *p) {
    if (!p->closing || p->operations) return;
    for (int i = 0; i < 2; i++) {
        return_pipe(&p->halves[i]);
        close(p->halves[i].fd);
    }
    p->next_free = free_pairs;
    free_pairs = p;
}

static void pass_on_end(half *h) {
    if (!h->ended || h->in_pipe || h->shut) return;
    h->shut = true;
    if (h->peer->shut) close_pair(h->pair);
    else shutdown(h->peer->fd, SHUT_WR);
}

// Fills the pipe from the socket. False when the pair had to be closed.
static bool fill_pipe(half *h) {
    if (h->ended || h->in_pipe >= pipe_bytes) return true;
    if (!borrow_pipe(h)) return false;
    ssize_t moved = splice(h->fd, NULL, h->pipe[1], NULL, pipe_bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (moved > 0) h->in_pipe += (size_t)moved;
    if (moved == 0) h->ended = true;
    return moved >= 0 || errno == EAGAIN;
}

static bool drain_pipe(half *h) {
    if (!h->in_pipe) return true;
    ssize_t moved = splice(h->pipe[0], NULL, h->peer->fd, NULL, h->in_pipe, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (moved > 0) h->in_pipe -= (size_t)moved;
    return moved >= 0 || errno == EAGAIN;
}

// Moves bytes until the source is empty or the sink is full; an edge is told only once, so it never
// stops half-way.
static void pump(half *h) {
    while (!h->pair->closing) {
        if (!fill_pipe(h)) {
            close_pair(h->pair);
            return;
        }
        if (!h->in_pipe) {
            return_pipe(h);
            pass_on_end(h);
            return;
        }
        if (!drain_pipe(h)) {
            close_pair(h->pair);
            return;
        }
        if (h->in_pipe) break;
    }
    if (h->pair->closing || h->waiting_to_write) return;
    h->waiting_to_write = true;
    submit(h, WRITABLE, IORING_OP_POLL_ADD, h->peer->fd)->poll32_events = POLLOUT;
}

static void on_accept(int result, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE)) arm_accept();
    if (result < 0) return;
    pair *p = free_pairs;
    if (p) free_pairs = p->next_free;
    else p = aligned_alloc(64, sizeof *p);
    memset(p, 0, sizeof *p);
    for (int i = 0; i < 2; i++) {
        p->halves[i].pair = p;
        p->halves[i].peer = &p->halves[!i];
        p->halves[i].pipe[0] = -1;
    }
    half *upstream = &p->halves[1];
    p->halves[0].fd = result;
    upstream->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set_nodelay(upstream->fd);
    struct io_uring_sqe *sqe = submit(upstream, CONNECT, IORING_OP_CONNECT, upstream->fd);
    sqe->addr = (uint64_t)(uintptr_t)&backend;
    sqe->off = sizeof backend;
}

static void on_completion(const struct io_uring_cqe *cqe) {
    const enum operation operation = cqe->user_data & 63;
    half *h = (half *)(uintptr_t)(cqe->user_data & ~63ull);
    const bool more = cqe->flags & IORING_CQE_F_MORE;
    if (operation == ACCEPT) {
        on_accept(cqe->res, cqe->flags);
        return;
    }
    if (!more) h->pair->operations--;
    switch (operation) {
        case CONNECT:
            if (cqe->res < 0) close_pair(h->pair);
            arm_readable(h);
            arm_readable(h->peer);
            break;
        case READABLE:
            if (!more) h->polling = false;
            if (cqe->res < 0 && cqe->res != -ECANCELED) close_pair(h->pair);
            if (!h->waiting_to_write) pump(h);
            arm_readable(h);
            break;
        case WRITABLE:
            h->waiting_to_write = false;
            pump(h);
            break;
        case CANCEL: case ACCEPT: break;
    }
    release_if_done(h->pair);
}

int main(int argc, char **argv) {
    options o = options_parse(argc, argv, (options){.buffer_size = 1 << 20});
    pipe_bytes = o.buffer_size;
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    int result = ring_open(&loop, 1024, 8192);
    if (result < 0) fail("io_uring", result);
    listener = listen_on(o.listen_port);
    backend = loopback(o.backend_port);
    arm_accept();
    for (;;) {
        ring_submit_and_wait(&loop, 1);
        ring_reap(&loop, on_completion);
    }
}
