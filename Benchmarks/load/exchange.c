#define _GNU_SOURCE
#include "exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "http.h"
#include "load.h"

static bool has_request_content(void) { return opt.http == HTTP_NONE || opt.http == HTTP_POST; }
static bool has_response_content(void) { return opt.http == HTTP_NONE || opt.http == HTTP_GET; }

// The path says what to answer: /SIZE/NUMBER, under /routes/N/ where the configuration has many routes.
size_t exchange_write_head(char *head, size_t capacity, uint32_t number, size_t bytes) {
    static const char *const methods[] = {[HTTP_GET] = "GET", [HTTP_POST] = "POST", [HTTP_UPGRADE] = "GET"};
    char route[32] = "", content[64] = "";
    if (opt.routes > 1) {
        // Spread evenly over the file's order, so that a scan from its top walks half of it on average.
        const uint64_t chosen = (uint64_t)number % (uint64_t)opt.connections * (uint64_t)opt.routes;
        snprintf(route, sizeof route, "/routes/%" PRIu64, chosen / (uint64_t)opt.connections);
    }
    if (opt.http == HTTP_POST) snprintf(content, sizeof content, "Content-Length: %zu\r\n", opt.size);
    const char *connection = opt.http == HTTP_UPGRADE ? HTTP_UPGRADE_FIELDS
                             : opt.mode == CHURN      ? "Connection: close\r\n"
                                                      : "";
    int length = snprintf(head, capacity,
                          "%s %s/%zu/%u HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: ringload\r\nAccept: */*\r\n%s%s\r\n",
                          methods[opt.http], route, bytes, number, content, connection);
    if (length < 0 || (size_t)length >= capacity) fail("a request head that is too long");
    return (size_t)length;
}

void exchange_open(exchange *x, uint32_t number) {
    exchange_close(x);
    x->to_send = x->to_receive = 0;
    x->head_to_send = 0;
    x->awaits_head = false;
    x->outgoing = stream_of(number);
    x->incoming = stream_answer(x->outgoing);
    if (opt.http == HTTP_NONE) return;
    x->first = x->outgoing;
    x->head_length =
        (uint16_t)exchange_write_head(x->head, sizeof x->head, number, has_response_content() ? opt.size : 0);
}

void exchange_close(exchange *x) {
    free(x->early);
    x->early = NULL;
    x->early_length = 0;
}

void exchange_begin(exchange *x) {
    x->to_send = has_request_content() ? opt.size : 0;
    x->to_receive = has_response_content() ? opt.size : 0;
    if (opt.http == HTTP_NONE) return;
    x->outgoing = x->first;
    x->incoming = stream_answer(x->first);
    x->head_to_send = x->head_length;
    x->awaits_head = true;
}

bool exchange_send(exchange *x, int fd) {
    while (x->head_to_send || x->to_send) {
        struct iovec parts[2] = {{x->head + x->head_length - x->head_to_send, x->head_to_send},
                                 stream_bytes(&x->outgoing, x->to_send)};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        if (!x->head_to_send) message.msg_iov++, message.msg_iovlen--;
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN;
        size_t of_head = (size_t)sent < x->head_to_send ? (size_t)sent : x->head_to_send;
        x->head_to_send -= (uint16_t)of_head;
        stream_advance(&x->outgoing, (size_t)sent - of_head);
        x->to_send -= (size_t)sent - of_head;
    }
    return true;
}

// Takes content that has already been read.
static bool take_content(exchange *x, const char *bytes, size_t length) {
    if (length > x->to_receive) return false;
    if (opt.verify && !stream_matches(&x->incoming, bytes, length)) return false;
    stream_advance(&x->incoming, length);
    x->to_receive -= length;
    return true;
}

static bool is_acceptable(const http_head *head, const exchange *x) {
    if (opt.http == HTTP_UPGRADE) return head->status == 101;
    return head->status == 200 && head->content_length == (long long)x->to_receive;
}

// The head is read into memory, and with it what came behind it.
static received receive_head(exchange *x, int fd) {
    static char bytes[RESPONSE_HEAD_MAX];
    if (x->early_length) memcpy(bytes, x->early, x->early_length);
    ssize_t count = recv(fd, bytes + x->early_length, sizeof bytes - x->early_length, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return RECEIVED_NOTHING;
    if (count <= 0) return RECEIVED_ERROR;
    const size_t length = x->early_length + (size_t)count;
    http_head head;
    const size_t head_length = http_parse(bytes, length, &head);
    if (!head_length) {
        if (length == sizeof bytes) return RECEIVED_ERROR;
        x->early = realloc(x->early, length);
        memcpy(x->early, bytes, length);
        x->early_length = length;
        return RECEIVED_PART;
    }
    x->early_length = 0;
    if (!is_acceptable(&head, x)) return RECEIVED_ERROR;
    x->awaits_head = false;
    if (!take_content(x, bytes + head_length, length - head_length)) return RECEIVED_ERROR;
    return x->to_receive ? RECEIVED_PART : RECEIVED_ALL;
}

received exchange_receive(exchange *x, int fd) {
    if (x->awaits_head) return receive_head(x, fd);
    ssize_t count = stream_receive(fd, &x->incoming, opt.verify);
    if (count < 0 && errno == EAGAIN) return RECEIVED_NOTHING;
    if (count <= 0 || (size_t)count > x->to_receive) return RECEIVED_ERROR;
    x->to_receive -= (size_t)count;
    return x->to_receive ? RECEIVED_PART : RECEIVED_ALL;
}
