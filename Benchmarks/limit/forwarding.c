// The bare HTTP forwarder: what a layer-7 proxy costs when it does nothing but pass requests and responses on.
// Keep-alive HTTP/1.1 with clients, pooled connections to one backend, the last one used first. Heads are read once and
// rewritten; content is sent from the buffers that it arrived in. No features: no routes, no timers, no counters, no
// pipelining, no chunks, no checks beyond what keeps messages apart.
#define _GNU_SOURCE
#include "ring.h"

#include "relay.h"

#include "head.h"

#include <sys/uio.h>

enum { GATHER_MAX = 64, SLOTS_MAX = 19900, SLOTS_SPARE = 64, BACKEND_SLOTS = 6000, NO_BUFFER = -1 };
// Of what is queued for one connection; low enough that a few slow readers do not hold the whole buffer pool.
static const size_t HIGH_WATER = 256 << 10, LOW_WATER = 128 << 10;
// Content up to this travels in the block of its head: one part to send, and its buffer is free at once.
static const size_t BLOCK_BYTES = HEAD_MAX;

// Kept in the low six bits of user_data; the rest is the address of a 64-byte aligned connection.
enum operation { ACCEPT, CONNECT, RECEIVE, SEND, SHUTDOWN, CANCEL, IGNORED };

typedef struct block {
    struct block *next;
    char bytes[HEAD_MAX];
} block;

// Bytes to send: in a received buffer or in a block.
typedef struct chunk {
    char *start;
    uint32_t length;
    int buffer;
    block *block;
    struct chunk *next;
} chunk;

typedef struct gather {
    struct msghdr message;
    struct iovec parts[GATHER_MAX];
} gather;

typedef struct connection {
    int fd;
    bool is_client, connected, receiving, paused, starved, sending, dirty, idle, closing, close_after;
    bool in_content;   // the head of the message under way has passed; `left` of its content has not
    bool responded;    // client: the response's end is queued
    uint64_t left;
    int operations;    // submitted and not completed, plus waiting for a buffer
    struct connection *peer, *next, *next_dirty, *next_starved;  // next: in the pool, or among the free
    chunk *queue, *queue_tail, *in_flight;
    size_t queued_bytes, in_flight_bytes;
    gather *gather;
    char *early;       // a head of which only a part has come
    size_t early_length;
} __attribute__((aligned(64))) connection;

static ring loop;
static buffers pool;
static int listener;
static struct sockaddr_in backend;
static const int one = 1;
static connection *free_connections, *idle, *dirty;
static connection *starved_first, **starved_last = &starved_first;
static chunk *free_chunks;
static block *free_blocks;
static int backend_slots[BACKEND_SLOTS], backend_slot_count;

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

static block *block_take(void) {
    block *b = free_blocks;
    if (!b) return malloc(sizeof *b);
    free_blocks = b->next;
    return b;
}

static void block_return(block *b) {
    b->next = free_blocks;
    free_blocks = b;
}

static void chunks_release(chunk *c) {
    while (c) {
        chunk *next = c->next;
        if (c->block) block_return(c->block);
        else buffers_return(&pool, (unsigned)c->buffer);
        c->next = free_chunks;
        free_chunks = c;
        c = next;
    }
}

static connection *connection_take(bool is_client) {
    connection *c = free_connections;
    if (c) free_connections = c->next;
    else c = aligned_alloc(64, sizeof *c);
    memset(c, 0, sizeof *c);
    c->is_client = is_client;
    return c;
}

// MARK: Submissions

static struct io_uring_sqe *submit(connection *c, enum operation operation, uint8_t opcode) {
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = opcode;
    sqe->fd = c->fd;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->user_data = (uint64_t)(uintptr_t)c | operation;
    c->operations++;
    return sqe;
}

static void arm_accept(void) {
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = listener;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
    sqe->user_data = ACCEPT;
}

static void arm_receive(connection *c) {
    if (c->receiving || c->paused || c->starved || c->closing) return;
    struct io_uring_sqe *sqe = submit(c, RECEIVE, IORING_OP_RECV);
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    c->receiving = true;
}

static void pause_receive(connection *c) {
    if (c->paused || c->closing) return;
    c->paused = true;
    if (!c->receiving) return;
    struct io_uring_sqe *sqe = submit(c, CANCEL, IORING_OP_ASYNC_CANCEL);
    sqe->flags = 0;
    sqe->fd = -1;
    sqe->addr = (uint64_t)(uintptr_t)c | RECEIVE;
}

static void resume_receive(connection *c) {
    if (!c->paused) return;
    c->paused = false;
    arm_receive(c);
}

// Sends happen once all completions of a turn are handled, so that what belongs together leaves together.
static void mark_dirty(connection *c) {
    if (c->dirty) return;
    c->dirty = true;
    c->next_dirty = dirty;
    dirty = c;
}

static void enqueue(connection *c, char *start, size_t length, int buffer, block *b) {
    chunk *added = chunk_take();
    *added = (chunk){.start = start, .length = (uint32_t)length, .buffer = buffer, .block = b};
    if (c->queue_tail) c->queue_tail->next = added;
    else c->queue = added;
    c->queue_tail = added;
    c->queued_bytes += length;
    if (c->queued_bytes > HIGH_WATER && c->peer) pause_receive(c->peer);
    mark_dirty(c);
}

static void start_send(connection *c) {
    if (c->sending || !c->queue || c->closing || !c->connected) return;
    chunk *last = c->queue;
    size_t bytes = last->length;
    struct io_uring_sqe *sqe;
    if (!last->next) {
        sqe = submit(c, SEND, IORING_OP_SEND);
        sqe->addr = (uint64_t)(uintptr_t)last->start;
        sqe->len = last->length;
    } else {
        if (!c->gather) c->gather = calloc(1, sizeof *c->gather);
        struct iovec *parts = c->gather->parts;
        unsigned count = 0;
        bytes = 0;
        for (chunk *next = c->queue; next && count < GATHER_MAX; next = next->next) {
            parts[count++] = (struct iovec){next->start, next->length};
            bytes += next->length;
            last = next;
        }
        c->gather->message = (struct msghdr){.msg_iov = parts, .msg_iovlen = count};
        sqe = submit(c, SEND, IORING_OP_SENDMSG);
        sqe->addr = (uint64_t)(uintptr_t)&c->gather->message;
        sqe->len = 1;
    }
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    c->in_flight = c->queue;
    c->in_flight_bytes = bytes;
    c->queue = last->next;
    if (!c->queue) c->queue_tail = NULL;
    last->next = NULL;
    c->sending = true;
}

// MARK: The end of a connection

static void abort_connection(connection *c) {
    if (c->closing) return;
    c->closing = true;
    submit(c, SHUTDOWN, IORING_OP_SHUTDOWN)->len = SHUT_RDWR;  // ends what is still pending
    if (c->idle) {
        connection **place = &idle;
        while (*place != c) place = &(*place)->next;
        *place = c->next;
    }
    connection *peer = c->peer;
    c->peer = NULL;
    if (!peer) return;
    peer->peer = NULL;
    abort_connection(peer);
}

static void release_if_done(connection *c) {
    if (!c->closing || c->operations || c->dirty) return;
    chunks_release(c->queue);
    free(c->gather);
    free(c->early);
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = IORING_OP_CLOSE;
    sqe->file_index = (unsigned)c->fd + 1;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = IGNORED;
    if (!c->is_client) backend_slots[backend_slot_count++] = c->fd;
    c->next = free_connections;
    free_connections = c;
}

// MARK: Requests and responses

static connection *connect_to_backend(void) {
    if (!backend_slot_count) fail("no descriptor slot is left for the backend side", EMFILE);
    connection *c = connection_take(false);
    c->fd = backend_slots[--backend_slot_count];
    ring_reserve(&loop, 3);
    struct io_uring_sqe *sqe = ring_sqe(&loop);
    sqe->opcode = IORING_OP_SOCKET;
    sqe->fd = AF_INET;
    sqe->off = SOCK_STREAM;
    sqe->file_index = (unsigned)c->fd + 1;
    sqe->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = IGNORED;
    sqe = ring_sqe(&loop);
    ring_prepare_setsockopt(sqe, IPPROTO_TCP, TCP_NODELAY, &one);
    sqe->fd = c->fd;
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = IGNORED;
    sqe = submit(c, CONNECT, IORING_OP_CONNECT);
    sqe->addr = (uint64_t)(uintptr_t)&backend;
    sqe->off = sizeof backend;
    return c;
}

static connection *take_upstream(void) {
    connection *c = idle;
    if (!c) return connect_to_backend();
    idle = c->next;
    c->idle = false;
    return c;
}

// The end of a message. A request's is nothing yet; a response's frees the upstream for whoever comes next.
static void on_message_end(connection *c) {
    c->in_content = false;
    if (c->is_client) return;
    connection *client = c->peer;
    client->peer = c->peer = NULL;
    client->responded = client->close_after;
    if (client->in_content) abort_connection(client);  // answered early: what still comes has nowhere to go
    resume_receive(c);
    c->idle = true;
    c->next = idle;
    idle = c;
}

static void pass_content(connection *c, char *bytes, size_t length, int buffer) {
    c->left -= length;
    enqueue(c->peer, bytes, length, buffer, NULL);
    if (!c->left) on_message_end(c);
}

// A head, and what arrived behind it. `buffer` is NO_BUFFER when the bytes are a copy.
static bool pass_head(connection *c, char *bytes, size_t length, int buffer, bool *kept) {
    block *b = block_take();
    head h;
    const char *added = c->is_client ? "X-Forwarded-For: 127.0.0.1\r\n" : "Via: 1.1 limit\r\n";
    long head_length = head_rewrite(bytes, length, added, b->bytes, &h);
    if (head_length <= 0) {
        block_return(b);
        if (head_length < 0) return false;
        if (buffer == NO_BUFFER) return true;
        if (!c->early) c->early = malloc(HEAD_MAX);
        if (length > HEAD_MAX) return false;
        memcpy(c->early, bytes, length);
        c->early_length = length;
        return true;
    }
    const size_t behind = length - (size_t)head_length;
    if (behind > h.content_length) return false;  // pipelined
    c->early_length = 0;
    c->left = h.content_length - behind;
    c->in_content = true;
    if (c->is_client) {
        c->close_after = h.close;
        c->peer = take_upstream();
        c->peer->peer = c;
    }
    connection *peer = c->peer;
    if (buffer == NO_BUFFER || h.written + behind <= BLOCK_BYTES) {
        if (h.written + behind > BLOCK_BYTES) return false;
        memcpy(b->bytes + h.written, bytes + head_length, behind);
        enqueue(peer, b->bytes, h.written + behind, NO_BUFFER, b);
    } else {
        enqueue(peer, b->bytes, h.written, NO_BUFFER, b);
        enqueue(peer, bytes + head_length, behind, buffer, NULL);
        *kept = true;
    }
    if (!c->left) on_message_end(c);
    return true;
}

// False when the connection has to end. `kept` says that the buffer went on.
static bool take_bytes(connection *c, char *bytes, size_t length, int buffer, bool *kept) {
    if (c->in_content) {
        if (length > c->left) return false;
        *kept = true;
        pass_content(c, bytes, length, buffer);
        return true;
    }
    // A client that sends before its response is there pipelines; an upstream that sends unasked is out of step.
    if (c->is_client == (c->peer != NULL)) return false;
    if (!c->early_length) return pass_head(c, bytes, length, buffer, kept);
    if (c->early_length + length > HEAD_MAX) return false;
    memcpy(c->early + c->early_length, bytes, length);
    c->early_length += length;
    return pass_head(c, c->early, c->early_length, NO_BUFFER, kept);
}

// MARK: Completions

static void on_accept(int result, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE)) arm_accept();
    if (result < 0) return;
    connection *c = connection_take(true);
    c->fd = result;
    c->connected = true;
    arm_receive(c);
}

static void on_receive(connection *c, int result, unsigned flags) {
    if (!(flags & IORING_CQE_F_MORE)) c->receiving = false;
    if (result > 0) {
        const int buffer = (int)(flags >> IORING_CQE_BUFFER_SHIFT);
        bool kept = false;
        if (!c->closing && !take_bytes(c, buffers_at(&pool, (unsigned)buffer), (size_t)result, buffer, &kept)) {
            abort_connection(c);
        }
        if (!kept) buffers_return(&pool, (unsigned)buffer);
        arm_receive(c);
    } else if (result == -ENOBUFS && !c->closing) {
        c->starved = true;
        c->operations++;
        c->next_starved = NULL;
        *starved_last = c;
        starved_last = &c->next_starved;
    } else if (result == -ECANCELED) {
        arm_receive(c);  // unless it is still paused
    } else {
        abort_connection(c);
    }
}

static void on_send(connection *c, int result) {
    c->sending = false;
    c->queued_bytes -= c->in_flight_bytes;
    chunks_release(c->in_flight);
    c->in_flight = NULL;
    if (result < 0) {
        abort_connection(c);
        return;
    }
    start_send(c);
    if (c->peer && c->queued_bytes < LOW_WATER) resume_receive(c->peer);
    if (c->responded && !c->sending && !c->queue) abort_connection(c);
}

static void on_completion(const struct io_uring_cqe *cqe) {
    const enum operation operation = cqe->user_data & 63;
    connection *c = (connection *)(uintptr_t)(cqe->user_data & ~63ull);
    if (operation == IGNORED) return;
    if (operation == ACCEPT) {
        on_accept(cqe->res, cqe->flags);
        return;
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) c->operations--;
    switch (operation) {
        case CONNECT:
            if (cqe->res < 0) abort_connection(c);
            c->connected = true;
            arm_receive(c);
            mark_dirty(c);
            break;
        case RECEIVE: on_receive(c, cqe->res, cqe->flags); break;
        case SEND: on_send(c, cqe->res); break;
        case SHUTDOWN: case CANCEL: case ACCEPT: case IGNORED: break;
    }
    release_if_done(c);
}

static void send_what_is_queued(void) {
    while (dirty) {
        connection *c = dirty;
        dirty = c->next_dirty;
        c->dirty = false;
        start_send(c);
        release_if_done(c);
    }
}

static void rearm_starved(void) {
    connection *c = starved_first;
    starved_first = NULL;
    starved_last = &starved_first;
    while (c) {
        connection *next = c->next_starved;
        c->starved = false;
        c->operations--;
        arm_receive(c);
        release_if_done(c);
        c = next;
    }
}

int main(int argc, char **argv) {
    options o = options_parse(argc, argv, (options){.buffer_size = 16384, .buffer_count = 1024});
    signal(SIGPIPE, SIG_IGN);
    const unsigned descriptors = raise_descriptor_limit();

    int result = ring_open(&loop, 1024, 8192);
    if (result < 0) fail("io_uring", result);
    if ((result = buffers_open(&loop, &pool, o.buffer_count, o.buffer_size)) < 0) fail("buffer ring", result);
    const unsigned slots = descriptors < SLOTS_MAX + SLOTS_SPARE ? descriptors - SLOTS_SPARE : SLOTS_MAX;
    if (slots < 2 * BACKEND_SLOTS) fail("too few descriptors", EMFILE);
    if ((result = ring_register_slots(&loop, slots, slots - BACKEND_SLOTS)) < 0) fail("direct descriptors", result);
    for (unsigned slot = slots; slot-- > slots - BACKEND_SLOTS;) backend_slots[backend_slot_count++] = (int)slot;
    listener = listen_on(o.listen_port);
    backend = loopback(o.backend_port);
    arm_accept();
    for (;;) {
        ring_submit_and_wait(&loop, 1);
        ring_reap(&loop, on_completion);
        send_what_is_queued();
        if (pool.changed) {
            buffers_publish(&pool);
            rearm_starved();
        }
    }
}
