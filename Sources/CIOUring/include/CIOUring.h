// A thin face on liburing for Swift: one inline function per operation the engine uses, the
// constants that Debian 12's liburing 2.3 does not know yet, and the few Linux calls that Swift's
// Glibc module does not show. No policy: what to submit and when is decided in Engine.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// --- What liburing 2.3's copy of the kernel header lacks (values: Linux uapi/linux/io_uring.h) ---
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)  // 6.6
#endif
#define RW_FEAT_EXT_ARG (1U << 8)             // 5.11
#define RW_FEAT_RECVSEND_BUNDLE (1U << 14)    // 6.10
#define RW_FEAT_MIN_TIMEOUT (1U << 15)        // 6.12
#define RW_FEAT_NO_IOWAIT (1U << 17)          // 6.15

// Set-up flags of every ring: one issuing thread, completions run only when that thread asks.
#define RW_SETUP_FLAGS                                                                                  \
  (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |                  \
   IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED)

// --- Ring life cycle. All return 0 or a negative errno. ---

/// Creates a disabled ring with the richest flag set that both this kernel and this liburing take.
/// `features` receives the kernel's feature bits, `flags` the set-up flags in use.
int rw_ring_create(struct io_uring *ring, unsigned sq_entries, unsigned cq_entries, uint32_t *features,
                   uint32_t *flags);
/// Called by the thread that will own the ring: from here on it is the single issuer.
int rw_ring_enable(struct io_uring *ring);
void rw_ring_close(struct io_uring *ring);
/// Registers a buffer ring of `entries` (power of two, at most 32768) under group `group`.
int rw_buffer_ring_register(struct io_uring *ring, void *memory, unsigned entries, uint16_t group);
/// 1 when the kernel behind `ring` knows `opcode`, 0 when not, negative errno when it cannot be asked.
int rw_ring_supports(struct io_uring *ring, int opcode);

// --- Submission ---

static inline unsigned rw_sq_space(struct io_uring *ring) { return io_uring_sq_space_left(ring); }
static inline int rw_submit(struct io_uring *ring) { return io_uring_submit(ring); }

/// Submits what is queued and waits for one completion, at most `timeout_ns` (negative: for ever).
/// Returns 0 or more when something may be ready, -ETIME on time-out, -EINTR, -EBUSY.
static inline int rw_submit_and_wait(struct io_uring *ring, int64_t timeout_ns) {
  if (timeout_ns < 0) return io_uring_submit_and_wait(ring, 1);
  struct io_uring_cqe *cqe = NULL;
  struct __kernel_timespec limit = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  return io_uring_submit_and_wait_timeout(ring, &cqe, 1, &limit, NULL);
}
/// Submits what is queued and runs completions that are due, without waiting.
static inline int rw_submit_and_reap(struct io_uring *ring) { return io_uring_submit_and_get_events(ring); }

/// The next free submission entry, or NULL when the queue is full (submit, then ask again).
static inline struct io_uring_sqe *rw_sqe(struct io_uring *ring) { return io_uring_get_sqe(ring); }

static inline void rw_prep_accept(struct io_uring_sqe *sqe, int socket, int multishot, uint64_t id) {
  if (multishot)
    io_uring_prep_multishot_accept(sqe, socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  else
    io_uring_prep_accept(sqe, socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  sqe->user_data = id;
}
static inline void rw_prep_receive_multishot(struct io_uring_sqe *sqe, int socket, uint16_t group, uint64_t id) {
  io_uring_prep_recv_multishot(sqe, socket, NULL, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = group;
  sqe->user_data = id;
}
static inline void rw_prep_receive(struct io_uring_sqe *sqe, int socket, size_t max, uint16_t group, uint64_t id) {
  io_uring_prep_recv(sqe, socket, NULL, max, 0);
  // Asked for before the bytes are there, as a rule: the first try would find none.
  sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = group;
  sqe->user_data = id;
}
/* `more` is MSG_MORE or 0. */
static inline void rw_prep_send(struct io_uring_sqe *sqe, int socket, const void *bytes, size_t count, int more,
                                uint64_t id) {
  io_uring_prep_send(sqe, socket, bytes, count, MSG_WAITALL | MSG_NOSIGNAL | more);
  sqe->user_data = id;
}
static inline void rw_prep_sendmsg(struct io_uring_sqe *sqe, int socket, const struct msghdr *message, int more,
                                   uint64_t id) {
  io_uring_prep_sendmsg(sqe, socket, message, MSG_WAITALL | MSG_NOSIGNAL | more);
  sqe->user_data = id;
}
static inline void rw_prep_connect(struct io_uring_sqe *sqe, int socket, const struct sockaddr *address,
                                   socklen_t length, uint64_t id) {
  io_uring_prep_connect(sqe, socket, address, length);
  sqe->user_data = id;
}
static inline void rw_prep_poll(struct io_uring_sqe *sqe, int descriptor, uint32_t events, int multishot,
                                uint64_t id) {
  if (multishot)
    io_uring_prep_poll_multishot(sqe, descriptor, events);
  else
    io_uring_prep_poll_add(sqe, descriptor, events);
  sqe->user_data = id;
}
static inline void rw_prep_read(struct io_uring_sqe *sqe, int descriptor, void *bytes, unsigned count, uint64_t id) {
  io_uring_prep_read(sqe, descriptor, bytes, count, 0);
  sqe->user_data = id;
}
/// Cancels the operation `target`; its own completion is posted only when that fails.
static inline void rw_prep_cancel(struct io_uring_sqe *sqe, uint64_t target, uint64_t id) {
  io_uring_prep_cancel64(sqe, target, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = id;
}
/// Cancels everything in flight on `descriptor`.
static inline void rw_prep_cancel_all(struct io_uring_sqe *sqe, int descriptor, uint64_t id) {
  io_uring_prep_cancel_fd(sqe, descriptor, IORING_ASYNC_CANCEL_ALL);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = id;
}
static inline void rw_prep_close(struct io_uring_sqe *sqe, int descriptor, uint64_t id) {
  io_uring_prep_close(sqe, descriptor);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = id;
}

// --- Completion ---

static inline unsigned rw_cq_ready(struct io_uring *ring) { return io_uring_cq_ready(ring); }
static inline struct io_uring_cqe rw_cqe(struct io_uring *ring, unsigned index) {
  return ring->cq.cqes[(*ring->cq.khead + index) & ring->cq.ring_mask];
}
static inline void rw_cq_advance(struct io_uring *ring, unsigned count) { io_uring_cq_advance(ring, count); }
static inline uint32_t rw_cq_overflow_count(struct io_uring *ring) {
  return __atomic_load_n(ring->cq.koverflow, __ATOMIC_RELAXED);
}
static inline int rw_cq_has_overflow(struct io_uring *ring) { return io_uring_cq_has_overflow(ring); }

// --- Buffer ring. Entry 0's `resv` is the ring's tail: never write `resv`. ---

static inline void rw_buffer_ring_put(struct io_uring_buf_ring *buffers, unsigned mask, uint16_t tail, void *memory,
                                      unsigned length, uint16_t id) {
  struct io_uring_buf *entry = &buffers->bufs[tail & mask];
  entry->addr = (uint64_t)(uintptr_t)memory;
  entry->len = length;
  entry->bid = id;
}
static inline void rw_buffer_ring_publish(struct io_uring_buf_ring *buffers, uint16_t tail) {
  __atomic_store_n(&buffers->tail, tail, __ATOMIC_RELEASE);
}

// --- Linux calls that Swift's Glibc module does not show ---

/// splice(2), non-blocking. Returns bytes moved or a negative errno.
ssize_t rw_splice(int from, int to, size_t count, int more);
/// A non-blocking, close-on-exec pipe of about `capacity` bytes; returns its real capacity or a negative errno.
int rw_pipe(int ends[2], int capacity);
int rw_pin_thread(int cpu);
/// Lets the calling thread run only where no other wants to (SCHED_IDLE); 0 or a negative errno. There may be no way
/// back without privileges.
int rw_run_when_idle(void);
/// Names the calling thread, for `top -H` and debuggers; at most 15 bytes are kept.
void rw_name_thread(const char *name);
/// The CPUs this process may run on, ascending. Returns how many there are (at most `limit` are written).
int rw_allowed_cpus(int32_t *cpus, int limit);
/// One readv-like accept on a listening socket, non-blocking and close-on-exec, or a negative errno.
int rw_accept(int socket);
/// Makes a listening TCP socket drop what begins a handshake; handshakes that have begun still complete.
int rw_refuse_handshakes(int socket);
int rw_eventfd(void);
/// RLIMIT_MEMLOCK's soft limit in bytes; negative when there is none.
int64_t rw_memlock_limit(void);
#define RW_POLLRDHUP 0x2000
/// Bytes in a socket's send queue that the peer has not acknowledged; 0 when that cannot be told.
int rw_unsent_bytes(int socket);
/// Bytes that the socket has received and nobody has read; 0 when it cannot be told.
int rw_unread_bytes(int socket);
/// The thread-safe text for an errno; returns `text` or a static string.
const char *rw_error_text(int error, char *text, size_t room);
