#define _GNU_SOURCE
#include "CIOUring.h"

#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

_Static_assert(RW_POLLRDHUP == POLLRDHUP, "poll's hang-up bit");

// The engine reads these structures by field; a layout that moved would corrupt data silently.
_Static_assert(sizeof(struct io_uring_sqe) == 64, "submission entries are 64 bytes");
_Static_assert(sizeof(struct io_uring_cqe) == 16, "completion entries are 16 bytes");
_Static_assert(sizeof(struct io_uring_buf) == 16, "buffer ring entries are 16 bytes");
_Static_assert(sizeof(struct io_uring_buf_reg) == 40, "buffer ring registration is 40 bytes");
_Static_assert(offsetof(struct io_uring_buf_ring, tail) == offsetof(struct io_uring_buf, resv),
               "the tail of a buffer ring overlays resv of its first entry");

int rw_ring_create(struct io_uring *ring, unsigned sq_entries, unsigned cq_entries, uint32_t *features,
                   uint32_t *flags) {
  // NO_SQARRAY saves a cache line a submission, but liburing before 2.5 lays its rings out as if the
  // array were there and would write over the ring's head. io_uring_major_version came with 2.4.
  unsigned optional = 0;
#if defined(IO_URING_CHECK_VERSION)
#if !IO_URING_CHECK_VERSION(2, 5)
  optional = IORING_SETUP_NO_SQARRAY;
#endif
#endif
  for (;;) {
    struct io_uring_params params;
    memset(&params, 0, sizeof params);
    params.flags = RW_SETUP_FLAGS | optional;
    params.cq_entries = cq_entries;
    int result = io_uring_queue_init_params(sq_entries, ring, &params);
    if (result == -EINVAL && optional != 0) {
      optional = 0;
      continue;
    }
    *features = params.features;
    *flags = params.flags;
    return result;
  }
}

int rw_ring_enable(struct io_uring *ring) {
  // liburing 2.3 declares io_uring_enable_rings() and forgot to export it, so the register call is made here.
  int result = io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
  if (result < 0) return result;
  // Saves a file-table look-up an enter where it is allowed; nothing is lost where it is not.
  (void)io_uring_register_ring_fd(ring);
  return 0;
}

void rw_ring_close(struct io_uring *ring) { io_uring_queue_exit(ring); }

int rw_buffer_ring_register(struct io_uring *ring, void *memory, unsigned entries, uint16_t group) {
  struct io_uring_buf_reg registration;
  memset(&registration, 0, sizeof registration);
  registration.ring_addr = (uint64_t)(uintptr_t)memory;
  registration.ring_entries = entries;
  registration.bgid = group;
  return io_uring_register_buf_ring(ring, &registration, 0);
}

int rw_ring_supports(struct io_uring *ring, int opcode) {
  struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
  if (probe == NULL) return -ENOMEM;
  int known = io_uring_opcode_supported(probe, opcode);
  io_uring_free_probe(probe);
  return known != 0;
}

ssize_t rw_splice(int from, int to, size_t count, int more) {
  unsigned flags = SPLICE_F_NONBLOCK | SPLICE_F_MOVE | (more ? SPLICE_F_MORE : 0);
  ssize_t moved = splice(from, NULL, to, NULL, count, flags);
  return moved < 0 ? -errno : moved;
}

int rw_pipe(int ends[2], int capacity) {
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) return -errno;
  int granted = fcntl(ends[1], F_SETPIPE_SZ, capacity);
  // Beyond fs.pipe-user-pages-soft the kernel refuses to grow a pipe; what it has is still usable.
  return granted > 0 ? granted : fcntl(ends[1], F_GETPIPE_SZ);
}

void rw_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

int rw_run_when_idle(void) {
  struct sched_param none = {0};
  return sched_setscheduler(0, SCHED_IDLE, &none) < 0 ? -errno : 0;
}

int rw_pin_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

int rw_allowed_cpus(int32_t *cpus, int limit) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) < 0) return -errno;
  int count = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    if (count < limit) cpus[count] = cpu;
    count++;
  }
  return count;
}

int rw_accept(int socket) {
  int accepted = accept4(socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return accepted < 0 ? -errno : accepted;
}

int rw_refuse_handshakes(int socket) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),  // TCP's flags (RFC 9293 section 3.1)
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
  return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ? -errno : 0;
}

int rw_eventfd(void) {
  int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int rw_unsent_bytes(int socket) {
  int count = 0;
  return ioctl(socket, SIOCOUTQ, &count) < 0 ? 0 : count;
}

int rw_unread_bytes(int socket) {
  int count = 0;
  return ioctl(socket, FIONREAD, &count) < 0 ? 0 : count;
}

const char *rw_error_text(int error, char *text, size_t room) { return strerror_r(error, text, room); }

int64_t rw_memlock_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? -1 : (int64_t)limit.rlim_cur;
}
