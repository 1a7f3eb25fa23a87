// The smallest io_uring wrapper that the bare relays need: set-up, submit-and-wait, and a ring of
// provided buffers. It needs Linux 6.7 (socket options through the ring) and no library.
#pragma once

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// What Debian 12's kernel headers (6.1) do not name yet; values from Linux' uapi io_uring.h.
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif
enum { SOCKET_COMMAND_SETSOCKOPT = 3 };  // SOCKET_URING_OP_SETSOCKOPT

typedef struct ring {
    int fd;
    unsigned enter_flags;
    unsigned *sq_head, *sq_tail, sq_mask, sq_entries, tail, submitted;
    struct io_uring_sqe *sqes;
    unsigned *cq_head, *cq_tail, cq_mask;
    struct io_uring_cqe *cqes;
} ring;

static inline int ring_register(const ring *r, unsigned operation, const void *argument, unsigned count) {
    long result = syscall(__NR_io_uring_register, r->fd, operation, argument, count);
    return result < 0 ? -errno : (int)result;
}

// Returns 0 or a negative errno.
static inline int ring_open(ring *r, unsigned sq_entries, unsigned cq_entries) {
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_NO_SQARRAY,
        .cq_entries = cq_entries,
    };
    *r = (ring){0};
    r->fd = (int)syscall(__NR_io_uring_setup, sq_entries, &p);
    if (r->fd < 0) return -errno;

    // One mapping holds both rings (IORING_FEAT_SINGLE_MMAP, since 5.4); completions lie last.
    size_t ring_bytes = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    size_t sqe_bytes = p.sq_entries * sizeof(struct io_uring_sqe);
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    char *rings = mmap(NULL, ring_bytes, protection, flags, r->fd, IORING_OFF_SQ_RING);
    r->sqes = mmap(NULL, sqe_bytes, protection, flags, r->fd, IORING_OFF_SQES);
    if (rings == MAP_FAILED || r->sqes == MAP_FAILED) return -errno;

    r->sq_head = (unsigned *)(rings + p.sq_off.head);
    r->sq_tail = (unsigned *)(rings + p.sq_off.tail);
    r->sq_entries = p.sq_entries;
    r->sq_mask = p.sq_entries - 1;
    r->cq_head = (unsigned *)(rings + p.cq_off.head);
    r->cq_tail = (unsigned *)(rings + p.cq_off.tail);
    r->cq_mask = p.cq_entries - 1;
    r->cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
    return 0;
}

// Hands over what was queued, waits for at least `wait` completions, and runs deferred work.
static inline void ring_submit_and_wait(ring *r, unsigned wait) {
    __atomic_store_n(r->sq_tail, r->tail, __ATOMIC_RELEASE);
    syscall(__NR_io_uring_enter, r->fd, r->tail - r->submitted, wait, IORING_ENTER_GETEVENTS, NULL, 0);
    r->submitted = __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE);
}

// The next submission entry, zeroed. A full queue is submitted first; SUBMIT_ALL empties it.
static inline struct io_uring_sqe *ring_sqe(ring *r) {
    if (r->tail - r->submitted >= r->sq_entries) ring_submit_and_wait(r, 0);
    struct io_uring_sqe *sqe = &r->sqes[r->tail++ & r->sq_mask];
    memset(sqe, 0, sizeof *sqe);
    return sqe;
}

// Makes room for `count` entries, so that a chain of linked ones is not cut by a submission.
static inline void ring_reserve(ring *r, unsigned count) {
    if (r->tail - r->submitted + count > r->sq_entries) ring_submit_and_wait(r, 0);
}

// Calls `handle` for each completion that is there, then gives their entries back at once.
static inline void ring_reap(ring *r, void (*handle)(const struct io_uring_cqe *)) {
    unsigned head = *r->cq_head, tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
    for (unsigned i = head; i != tail; i++) handle(&r->cqes[i & r->cq_mask]);
    __atomic_store_n(r->cq_head, tail, __ATOMIC_RELEASE);
}

// Reserves direct descriptors: accept allocates from the first `for_accept`, the relay owns the others.
static inline int ring_register_slots(const ring *r, unsigned count, unsigned for_accept) {
    struct io_uring_rsrc_register files = {.nr = count, .flags = IORING_RSRC_REGISTER_SPARSE};
    int result = ring_register(r, IORING_REGISTER_FILES2, &files, sizeof files);
    if (result < 0) return result;
    struct io_uring_file_index_range range = {.off = 0, .len = for_accept};
    return ring_register(r, IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0);
}

// Field positions of IORING_OP_URING_CMD's socket option form, which the headers at hand do not name.
static inline void ring_prepare_setsockopt(struct io_uring_sqe *sqe, int level, int name, const int *value) {
    char *bytes = (char *)sqe;
    const uint32_t command = SOCKET_COMMAND_SETSOCKOPT, length = sizeof *value;
    const uint64_t address = (uint64_t)(uintptr_t)value;
    sqe->opcode = IORING_OP_URING_CMD;
    memcpy(bytes + 8, &command, 4);
    memcpy(bytes + 16, &level, 4);
    memcpy(bytes + 20, &name, 4);
    memcpy(bytes + 44, &length, 4);
    memcpy(bytes + 48, &address, 8);
}

// Buffers that the kernel picks from for receives; the newest tail is published by buffers_publish.
typedef struct buffers {
    struct io_uring_buf_ring *entries;
    char *memory;
    size_t size;
    uint16_t mask, tail;
    bool changed;
} buffers;

static inline char *buffers_at(const buffers *b, unsigned id) { return b->memory + (size_t)id * b->size; }

static inline void buffers_return(buffers *b, unsigned id) {
    struct io_uring_buf *entry = &b->entries->bufs[b->tail++ & b->mask];
    entry->addr = (uint64_t)(uintptr_t)buffers_at(b, id);
    entry->len = (uint32_t)b->size;
    entry->bid = (uint16_t)id;
    b->changed = true;
}

static inline void buffers_publish(buffers *b) {
    b->changed = false;
    __atomic_store_n(&b->entries->tail, b->tail, __ATOMIC_RELEASE);
}

// `count` must be a power of two. Returns 0 or a negative errno.
static inline int buffers_open(const ring *r, buffers *b, unsigned count, size_t size) {
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    b->entries = mmap(NULL, count * sizeof(struct io_uring_buf), protection, flags, -1, 0);
    b->memory = mmap(NULL, count * size, protection, flags, -1, 0);
    if (b->entries == MAP_FAILED || b->memory == MAP_FAILED) return -errno;
    b->size = size;
    b->mask = (uint16_t)(count - 1);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)b->entries, .ring_entries = count, .bgid = 0};
    int result = ring_register(r, IORING_REGISTER_PBUF_RING, &registration, 1);
    if (result < 0) return result;
    for (unsigned id = 0; id < count; id++) buffers_return(b, id);
    buffers_publish(b);
    return 0;
}
