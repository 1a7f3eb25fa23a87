#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { KEY_BYTES = 8 };

static unsigned char pattern[STREAM_PERIOD + STREAM_CHUNK];
static unsigned char arrived[STREAM_CHUNK];

void stream_prepare(void) {
    uint32_t state = 2463534242u;  // xorshift32
    for (size_t i = 0; i < STREAM_PERIOD; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        pattern[i] = (unsigned char)(state >> 24);
    }
    for (size_t i = STREAM_PERIOD; i < sizeof pattern; i++) pattern[i] = pattern[i - STREAM_PERIOD];
}

stream stream_of(uint32_t number) { return (stream){(number * 257u) % STREAM_PERIOD}; }

stream stream_answer(stream request) { return (stream){(request.position + STREAM_PERIOD / 2) % STREAM_PERIOD}; }

struct iovec stream_bytes(const stream *s, size_t bytes) {
    return (struct iovec){pattern + s->position, bytes > STREAM_CHUNK ? STREAM_CHUNK : bytes};
}

void stream_advance(stream *s, size_t bytes) { s->position = (uint32_t)((s->position + bytes) % STREAM_PERIOD); }

bool stream_matches(const stream *s, const void *bytes, size_t length) {
    return !memcmp(bytes, pattern + s->position, length);
}

ssize_t stream_send(int fd, stream *s, size_t bytes) {
    struct iovec next = stream_bytes(s, bytes);
    ssize_t sent = send(fd, next.iov_base, next.iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) stream_advance(s, (size_t)sent);
    return sent;
}

ssize_t stream_receive(int fd, stream *s, bool verify) {
    if (!verify) return recv(fd, arrived, STREAM_CHUNK, MSG_TRUNC | MSG_DONTWAIT);
    ssize_t received = recv(fd, arrived, STREAM_CHUNK, MSG_DONTWAIT);
    if (received <= 0) return received;
    if (!stream_matches(s, arrived, (size_t)received)) {
        errno = EILSEQ;
        return -1;
    }
    stream_advance(s, (size_t)received);
    return received;
}

received stream_discard(int fd) {
    ssize_t count = recv(fd, arrived, STREAM_CHUNK, MSG_TRUNC | MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN ? RECEIVED_NOTHING : RECEIVED_ERROR;
    return count ? RECEIVED_PART : RECEIVED_END;
}

bool stream_recognize(int fd, stream *s) {
    unsigned char key[KEY_BYTES];
    if (recv(fd, key, sizeof key, MSG_PEEK | MSG_DONTWAIT) < KEY_BYTES) return false;
    unsigned char *found = memmem(pattern, STREAM_PERIOD + KEY_BYTES, key, sizeof key);
    s->position = found ? (uint32_t)(found - pattern) % STREAM_PERIOD : 0;
    return true;
}
