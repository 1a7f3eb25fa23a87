// What a forwarder must do with a head at least: find its end and the content's length, drop the fields that are the
// connection's own, and say that it passed. Nothing is checked beyond that.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 8192, HEAD_ADDED_MAX = 64 };

typedef struct head {
    uint64_t content_length;
    bool close;
    size_t written;  // bytes of the rewritten head
} head;

static inline bool head_names(const char *line, size_t name_length, const char *lower) {
    for (size_t i = 0; i < name_length; i++) {
        if ((line[i] | 0x20) != lower[i]) return false;
    }
    return true;
}

// Rewrites the head at the start of `bytes` into `out` (HEAD_MAX). Returns its length, 0 while it is not complete, or
// -1 for one that this forwarder does not pass on.
static inline long head_rewrite(const char *bytes, size_t length, const char *added, char *out, head *h) {
    const char *end = bytes + length, *line = bytes, *span = bytes;
    const size_t added_length = strlen(added);
    char *o = out;
    *h = (head){0};
    for (;;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline) return length > HEAD_MAX - HEAD_ADDED_MAX ? -1 : 0;
        if (newline - line == 1 && line[0] == '\r') {
            if (line > span) memcpy(o, span, (size_t)(line - span)), o += line - span;
            memcpy(o, added, added_length);
            memcpy(o + added_length, "\r\n", 2);
            h->written = (size_t)(o - out) + added_length + 2;
            return newline + 1 - bytes;
        }
        if (newline - bytes > HEAD_MAX - HEAD_ADDED_MAX) return -1;
        const char *colon = line == bytes ? NULL : memchr(line, ':', (size_t)(newline - line));
        if (!colon && line != bytes) return -1;
        const size_t name = colon ? (size_t)(colon - line) : 0;
        bool drop = false;
        if (name == 10 && head_names(line, 10, "connection")) {
            drop = true;
            if (memmem(colon, (size_t)(newline - colon), "close", 5)) h->close = true;
        } else if (name == 10 && head_names(line, 10, "keep-alive")) {
            drop = true;
        } else if (name == 14 && head_names(line, 14, "content-length")) {
            h->content_length = strtoull(colon + 1, NULL, 10);
        } else if (name == 17 && head_names(line, 17, "transfer-encoding")) {
            return -1;
        }
        if (drop) {
            if (line > span) memcpy(o, span, (size_t)(line - span)), o += line - span;
            span = newline + 1;
        }
        line = newline + 1;
    }
}
