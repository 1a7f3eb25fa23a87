// The bare copying relay: what a layer-4 proxy costs when it does nothing but move bytes.
// Multishot accept, multishot receive into provided buffers, one send in flight per direction that
// gathers all that queued meanwhile. No features: one listener, one backend, no timers, no counters.
#define _GNU_SOURCE
#include "ring.h"

#include "relay.h"

#include <sys/uio.h>

enum { GATHER_MAX = 64, SLOTS_MAX = 19000, SLOTS_SPARE = 500 };
// Of one direction's queue; low enough that a few slow readers do not hold the whole buffer pool.
static const size_t HIGH_WATER = 256 << 10, LOW_WATER = 128 << 10;

// Kept in the low six bits of user_data; the rest is the address of a 64-byte aligned half.
enum operation { ACCEPT, CONNECT, RECEIVE, SEND, SHUTDOWN, CANCEL, IGNORED };

typedef struct chunk {
    char *start;
    uint32_t length, buffer;
    struct chunk *next;
} chunk;

typedef struct gather {
    struct msghdr message;
    struct iovec parts[GATHER_MAX];
} gather;

// One direction: receives from its own descriptor, sends to its peer's.
typedef struct half {
    int fd;
    bool receiving, sending, ended, shut, paused, starved;
    struct pair *pair;
    struct half *peer, *next_starved;
    chunk *queue, *queue_tail, *in_flight;
    size_t queued_bytes, in_flight_bytes;
    gather *gather;  // allocated by the first send of several chunks
} __attribute__((aligned(64))) half;

typedef struct pair {
    half halves[2];  // 0: the client's side, 1: the backend's
    int operations;  // submitted and not completed, plus waiting for a buffer
    bool closing;
    struct pair *next_free;
} pair;

static ring loop;
static buffers pool;
static bool direct = true;
static int listener;
static struct sockaddr_in backend;
static const int one = 1;
static pair *free_pairs;
static chunk *free_chunks;
static int backend_slots[SLOTS_MAX], backend_slot_count;
static half *starved_first, **starved_last = &starved_first;  // first in, first re-armed

// MARK: Small allocations, kept for ever

static chunk *chunk_take(void) {
    enum { BATCH = 256 };
    if (!free_chunks) {
        chunk *batch = malloc(sizeof(chunk) * BATCH);
        for (int i = 0; i < BATCH; i++) {
            batch[i].next = free_chunks;
            free_chunks = &batch[i];
        }
    }
    chunk *c = free_chunks;
    free_chunks = c->next;
    return c;
}

static void chunks_release(chunk *c) {
    while (c) {
        chunk *next = c->next;
        buffers_return(&pool, c->buffer);
        c->next = free_chunks;
        free_chunks = c;
        c = next;
    }
}

static pair *pair_take(void) {
    pair *p = free_pairs;
    if (p) free_pairs = p->next_free;
    else p = aligned_alloc(64, sizeof *p);
    memset(p, 0, sizeof *p);
    for (int i = 0; i < 2; i++) {
        p->halves[i].pair = p;
        p->halves[i].peer = &p->halves[!i];
    }
    return p;
}

// MARK: Submissions

static struct io_uring_sqe *submit(half *h, enum operation operation, uint8_t opcode, int fd) {
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->flags = direct ? IOSQE_FIXED_FILE : 0;
    sqe->user_data = (uint64_t)(uintptr_t)h | operation;
    h->pair->operations++;
    return sqe;
}

static void arm_accept(void) {
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listener;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->user_data = ACCEPT;
    if (direct) sqe->file_index = IORING_FILE_INDEX_ALLOC;
    else sqe->accept_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
}

static void arm_receive(half *h) {
    if (h->receiving || h->ended || h->paused || h->starved || h->pair->closing) return;
    struct io_uring_sqe *sqe = submit(h, RECEIVE, IORING_OP_RECV, h->fd);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    h->receiving = true;
}

static void shut_down(half *h, int how) {
    if (direct) submit(h, SHUTDOWN, IORING_OP_SHUTDOWN, h->fd)->len = (unsigned)how;
    else shutdown(h->fd, how);
}

// Sends what is queued, up to GATHER_MAX chunks at once, if nothing is in flight.
static void start_send(half *h) {
    if (h->sending || !h->queue || h->pair->closing) return;
    chunk *last = h->queue;
    size_t bytes = last->length;
    struct io_uring_sqe *sqe;
    if (!last->next) {
        sqe = submit(h, SEND, IORING_OP_SEND, h->peer->fd);
        sqe->addr = (uint64_t)(uintptr_t)last->start;
        sqe->len = last->length;
    } else {
        if (!h->gather) h->gather = calloc(1, sizeof *h->gather);
        struct iovec *parts = h->gather->parts;
        unsigned count = 0;
        for (chunk *c = h->queue; c && count < GATHER_MAX; c = c->next) {
            parts[count++] = (struct iovec){c->start, c->length};
            bytes += c == h->queue ? 0 : c->length;
            last = c;
        }
        h->gather->message = (struct msghdr){.msg_iov = parts, .msg_iovlen = count};
        sqe = submit(h, SEND, IORING_OP_SENDMSG, h->peer->fd);
        sqe->addr = (uint64_t)(uintptr_t)&h->gather->message;
        sqe->len = 1;
    }
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    h->in_flight = h->queue;
    h->in_flight_bytes = bytes;
    h->queue = last->next;
    if (!h->queue) h->queue_tail = NULL;
    last->next = NULL;
    h->sending = true;
}

// MARK: The end of a pair

static void release_if_done(pair *p) {
    if (!p->closing || p->operations) return;
    for (int i = 0; i < 2; i++) {
        half *h = &p->halves[i];
        chunks_release(h->queue);
        free(h->gather);
        if (!direct) {
            close(h->fd);
            continue;
        }
        struct io_uring_sqe *sqe = ring_sqe(&loop);
        sqe->opcode = IORING_OP_CLOSE;
        sqe->file_index = (unsigned)h->fd + 1;
        sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = IGNORED;
        if (i == 1) backend_slots[backend_slot_count++] = h->fd;
    }
    p->next_free = free_pairs;
    free_pairs = p;
}

static void abort_pair(pair *p) {
    if (p->closing) return;
    p->closing = true;
    for (int i = 0; i < 2; i++) shut_down(&p->halves[i], SHUT_RDWR);  // ends what is still pending
}

// Passes the end of one side's stream on once all its bytes are sent; the second end closes both.
static void pass_on_end(half *h) {
    if (!h->ended || h->sending || h->queue || h->shut || h->pair->closing) return;
    h->shut = true;
    if (h->peer->shut) h->pair->closing = true;
    else shut_down(h->peer, SHUT_WR);
}

// MARK: Completions

static void on_accept(int result, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE)) arm_accept();
    if (result < 0) return;
    pair *p = pair_take();
    half *client = &p->halves[0], *upstream = &p->halves[1];
    client->fd = result;
    if (direct) {
        if (!backend_slot_count) fail("no descriptor slot is left for the backend side", EMFILE);
        upstream->fd = backend_slots[--backend_slot_count];
        ring_reserve(&loop, 3);
        struct io_uring_sqe *sqe = ring_sqe(&loop);
        sqe->opcode = IORING_OP_SOCKET;
        sqe->fd = AF_INET;
        sqe->off = SOCK_STREAM;
        sqe->file_index = (unsigned)upstream->fd + 1;
        sqe->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = IGNORED;
        sqe = ring_sqe(&loop);
        ring_prepare_setsockopt(sqe, IPPROTO_TCP, TCP_NODELAY, &one);
        sqe->fd = upstream->fd;
        sqe->flags = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
        sqe->user_data = IGNORED;
    } else {
        upstream->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        set_nodelay(upstream->fd);
    }
    struct io_uring_sqe *sqe = submit(upstream, CONNECT, IORING_OP_CONNECT, upstream->fd);
    sqe->addr = (uint64_t)(uintptr_t)&backend;
    sqe->off = sizeof backend;
}

static void queue_received(half *h, uint32_t length, unsigned buffer) {
    chunk *c = chunk_take();
    *c = (chunk){.start = buffers_at(&pool, buffer), .length = length, .buffer = buffer};
    if (h->queue_tail) h->queue_tail->next = c;
    else h->queue = c;
    h->queue_tail = c;
    h->queued_bytes += length;
}

static void on_receive(half *h, int result, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE)) h->receiving = false;
    if (result > 0) {
        queue_received(h, (uint32_t)result, flags >> IORING_CQE_BUFFER_SHIFT);
        start_send(h);
        if (h->queued_bytes > HIGH_WATER && !h->paused && !h->pair->closing) {
            h->paused = true;
            if (h->receiving) {
                struct io_uring_sqe *sqe = submit(h, CANCEL, IORING_OP_ASYNC_CANCEL, -1);
                sqe->flags = 0;
                sqe->addr = (uint64_t)(uintptr_t)h | RECEIVE;
            }
        }
        arm_receive(h);
    } else if (result == 0) {
        h->ended = true;
        pass_on_end(h);
    } else if (result == -ENOBUFS && !h->pair->closing) {
        h->starved = true;
        h->next_starved = NULL;
        h->pair->operations++;
        *starved_last = h;
        starved_last = &h->next_starved;
    } else if (result == -ECANCELED) {
        arm_receive(h);  // unless it is still paused
    } else {
        abort_pair(h->pair);
    }
}

static void on_send(half *h, int result) {
    h->sending = false;
    h->queued_bytes -= h->in_flight_bytes;
    chunks_release(h->in_flight);
    h->in_flight = NULL;
    if (result < 0) {
        abort_pair(h->pair);
        return;
    }
    start_send(h);
    if (h->paused && h->queued_bytes < LOW_WATER) {
        h->paused = false;
        arm_receive(h);
    }
    pass_on_end(h);
}

static void on_completion(const struct io_uring_cqe *cqe) {
    const enum operation operation = cqe->user_data & 63;
    half *h = (half *)(uintptr_t)(cqe->user_data & ~63ull);
    if (operation == IGNORED) return;
    if (operation == ACCEPT) {
        on_accept(cqe->res, cqe->flags);
        return;
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) h->pair->operations--;
    switch (operation) {
        case CONNECT:
            if (cqe->res < 0) abort_pair(h->pair);
            arm_receive(h);
            arm_receive(h->peer);
            break;
        case RECEIVE: on_receive(h, cqe->res, cqe->flags); break;
        case SEND: on_send(h, cqe->res); break;
        case SHUTDOWN: case CANCEL: case ACCEPT: case IGNORED: break;
    }
    release_if_done(h->pair);
}

static void rearm_starved(void) {
    half *h = starved_first;
    starved_first = NULL;
    starved_last = &starved_first;
    while (h) {
        half *next = h->next_starved;
        h->starved = false;
        h->pair->operations--;
        arm_receive(h);
        release_if_done(h->pair);
        h = next;
    }
}

int main(int argc, char **argv) {
    options o = options_parse(argc, argv, (options){.buffer_size = 16384, .buffer_count = 1024});
    direct = !o.plain_descriptors;
    signal(SIGPIPE, SIG_IGN);
    unsigned descriptors = raise_descriptor_limit();

    int result = ring_open(&loop, 1024, 8192);
    if (result < 0) fail("io_uring", result);
    if ((result = buffers_open(&loop, &pool, o.buffer_count, o.buffer_size)) < 0) fail("buffer ring", result);
    if (direct) {
        unsigned slots = descriptors < SLOTS_MAX + SLOTS_SPARE ? descriptors - SLOTS_SPARE : SLOTS_MAX;
        if ((result = ring_register_slots(&loop, slots, slots / 2)) < 0) fail("direct descriptors", result);
        for (unsigned slot = slots - 1; slot >= slots / 2; slot--) backend_slots[backend_slot_count++] = (int)slot;
    }
    listener = listen_on(o.listen_port);
    backend = loopback(o.backend_port);
    arm_accept();
    for (;;) {
        ring_submit_and_wait(&loop, 1);
        ring_reap(&loop, on_completion);
        if (pool.changed) {
            buffers_publish(&pool);
            rearm_starved();
        }
    }
}
