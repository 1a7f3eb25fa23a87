// One request and its response on a client's connection: raw bytes, or HTTP/1.1 over the same streams.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"

enum { REQUEST_HEAD_MAX = 320, RESPONSE_HEAD_MAX = 8192 };

typedef struct exchange {
    size_t to_send, to_receive;  // content of the request and of the response that is still to come
    stream outgoing, incoming;
    // HTTP only, where every request's content starts at the same place:
    stream first;
    uint16_t head_length, head_to_send;
    bool awaits_head;
    size_t early_length;
    char *early;  // a response head of which only a part has come
    char head[REQUEST_HEAD_MAX];
} exchange;

// For a new connection. `number` is the client's and enters what it sends.
void exchange_open(exchange *x, uint32_t number);
void exchange_close(exchange *x);

// Begins a request.
void exchange_begin(exchange *x);

// Sends what the socket takes. False when the connection failed.
bool exchange_send(exchange *x, int fd);

// One receive. RECEIVED_ALL once a response; what comes after it, or what is no proper response, is an error.
received exchange_receive(exchange *x, int fd);

// The head of a request for a response of `bytes`, as client `number` sends it; returns its length.
size_t exchange_write_head(char *head, size_t capacity, uint32_t number, size_t bytes);
