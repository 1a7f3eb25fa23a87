// As much of HTTP/1.1 as clients and backend need of each other's messages.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum http_kind { HTTP_NONE, HTTP_GET, HTTP_POST, HTTP_UPGRADE } http_kind;

// The example of RFC 6455, section 1.3: every client may use its key, and the answer to it is known.
#define HTTP_UPGRADE_FIELDS                                                      \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define HTTP_UPGRADE_ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

typedef struct http_head {
    int status;                // of a response; 0 for a request
    long long content_length;  // -1: none
    bool upgrade;
    // Of a request, from its path .../SIZE/NUMBER:
    size_t asked_bytes;
    unsigned number;
} http_head;

// Reads a head at the start of `bytes`. Returns its length, or 0 while it is not complete. A message that cannot be
// understood has status -1.
size_t http_parse(const char *bytes, size_t length, http_head *head);
