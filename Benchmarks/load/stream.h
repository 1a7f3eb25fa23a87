// The bytes of a connection: a fixed random pattern, entered at a place of its own, so that lost,
// repeated, reordered and exchanged bytes all show. Sending costs the same as sending zeros; only
// `--verify` reads what arrives, otherwise the kernel drops it (MSG_TRUNC).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef enum received { RECEIVED_NOTHING, RECEIVED_PART, RECEIVED_ALL, RECEIVED_END, RECEIVED_ERROR } received;

enum { STREAM_CHUNK = 256 << 10, STREAM_PERIOD = 65521 };

typedef struct stream {
    uint32_t position;  // in the pattern, below STREAM_PERIOD
} stream;

void stream_prepare(void);

// Where connection `number`'s requests start, and where the answers to them do.
stream stream_of(uint32_t number);
stream stream_answer(stream request);

// What comes next in `s`, at most `bytes` and STREAM_CHUNK, and the step over what was sent or received of it.
struct iovec stream_bytes(const stream *s, size_t bytes);
void stream_advance(stream *s, size_t bytes);
bool stream_matches(const stream *s, const void *bytes, size_t length);

// Like send and recv, non-blocking, at most STREAM_CHUNK bytes. A receive of wrong bytes fails with
// EILSEQ.
ssize_t stream_send(int fd, stream *s, size_t bytes);
ssize_t stream_receive(int fd, stream *s, bool verify);

// Reads what nobody looks at.
received stream_discard(int fd);

// Finds the place from a connection's first bytes. False while fewer than eight have come.
bool stream_recognize(int fd, stream *s);
