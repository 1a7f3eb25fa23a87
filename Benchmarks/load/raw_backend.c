// The layer-4 server behind the proxy: answers each complete request with as many bytes, or swallows a bulk stream.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend.h"
#include "load.h"
#include "stream.h"

// Answers owed to a client that does not read; above it the backend stops reading, as real ones do.
static const size_t OWED_MAX = 1 << 20;

typedef struct served {
    watched watched;
    size_t received, owed;
    bool recognized;
    stream incoming, outgoing;
} served;

static void hang_up(served *s) {
    close(s->watched.fd);
    free(s);
}

// False when the connection is gone.
static bool send_owed(served *s) {
    while (s->owed) {
        ssize_t sent = stream_send(s->watched.fd, &s->outgoing, s->owed);
        if (sent < 0 && errno == EAGAIN) return true;
        if (sent < 0) {
            hang_up(s);
            return false;
        }
        s->owed -= (size_t)sent;
    }
    return true;
}

static void on_event(watched *w, uint32_t events) {
    (void)events;
    served *s = (served *)w;
    if (opt.verify && !s->recognized) {
        if (!stream_recognize(w->fd, &s->incoming) && !(events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))) return;
        s->recognized = true;
        s->outgoing = stream_answer(s->incoming);
    }
    for (;;) {
        if (!send_owed(s) || s->owed >= OWED_MAX) return;
        ssize_t received = stream_receive(w->fd, &s->incoming, opt.verify);
        if (received < 0 && errno == EAGAIN) return;
        if (received <= 0) {
            if (received < 0 && errno == EILSEQ) tally.errors++;
            hang_up(s);
            return;
        }
        tally.bytes += (uint64_t)received;
        if (opt.mode == BULK) return;  // level-triggered there, so that one stream cannot starve others
        s->received += (size_t)received;
        s->owed += s->received / opt.size * opt.size;
        s->received %= opt.size;
    }
}

void raw_serve(int fd) {
    served *s = calloc(1, sizeof *s);
    s->watched = (watched){on_event, fd};
    watch(&s->watched, opt.mode == BULK ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}
