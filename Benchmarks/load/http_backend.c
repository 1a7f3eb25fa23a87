// The HTTP server behind the proxy. A request's path says how large an answer it wants, so that one server serves
// every workload; it keeps connections open, and answers an Upgrade with 101 and then silence.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend.h"
#include "http.h"
#include "load.h"
#include "stream.h"

enum { HEAD_MAX = 8192, ANSWER_HEAD_MAX = 256 };

typedef struct served {
    watched watched;
    stream incoming, outgoing;
    size_t to_receive, to_send;  // content of the request, and of the answer
    bool answering, upgraded;
    size_t answer_head_length, answer_head_sent;
    char answer_head[ANSWER_HEAD_MAX];
    size_t early_length;
    char *early;  // a head of which only a part has come
} served;

static void hang_up(served *s) {
    close(s->watched.fd);
    free(s->early);
    free(s);
}

static void answer(served *s) {
    s->answering = true;
    s->answer_head_sent = 0;
    const char *form = s->upgraded ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                     "Upgrade: websocket\r\n" HTTP_UPGRADE_ACCEPT "\r\n"
                                   : "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                     "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n";
    s->answer_head_length = (size_t)snprintf(s->answer_head, sizeof s->answer_head, form, s->to_send);
}

// False when the connection failed.
static bool send_answer(served *s) {
    while (s->answering) {
        const size_t of_head = s->answer_head_length - s->answer_head_sent;
        struct iovec parts[2] = {{s->answer_head + s->answer_head_sent, of_head},
                                 stream_bytes(&s->outgoing, s->to_send)};
        struct msghdr message = {.msg_iov = of_head ? parts : parts + 1, .msg_iovlen = of_head ? 2 : 1};
        ssize_t sent = sendmsg(s->watched.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN;
        const size_t sent_of_head = (size_t)sent < of_head ? (size_t)sent : of_head;
        s->answer_head_sent += sent_of_head;
        stream_advance(&s->outgoing, (size_t)sent - sent_of_head);
        s->to_send -= (size_t)sent - sent_of_head;
        s->answering = s->to_send || s->answer_head_sent < s->answer_head_length;
    }
    return true;
}

static void on_request_complete(served *s) {
    if (!s->to_receive) answer(s);
}

static bool take_content(served *s, const char *bytes, size_t length) {
    if (length > s->to_receive) return false;  // a pipelined request: no proxy here sends one
    if (opt.verify && !stream_matches(&s->incoming, bytes, length)) return false;
    stream_advance(&s->incoming, length);
    s->to_receive -= length;
    tally.bytes += length;
    return true;
}

static received receive_head(served *s) {
    static char bytes[HEAD_MAX];
    if (s->early_length) memcpy(bytes, s->early, s->early_length);
    ssize_t count = recv(s->watched.fd, bytes + s->early_length, sizeof bytes - s->early_length, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return RECEIVED_NOTHING;
    if (count <= 0) return RECEIVED_END;
    const size_t length = s->early_length + (size_t)count;
    http_head head;
    const size_t head_length = http_parse(bytes, length, &head);
    if (!head_length) {
        if (length == sizeof bytes) return RECEIVED_ERROR;
        s->early = realloc(s->early, length);
        memcpy(s->early, bytes, length);
        s->early_length = length;
        return RECEIVED_PART;
    }
    s->early_length = 0;
    if (head.status) return RECEIVED_ERROR;
    s->upgraded = head.upgrade;
    s->to_receive = head.content_length > 0 ? (size_t)head.content_length : 0;
    s->to_send = head.asked_bytes;
    s->incoming = stream_of(head.number);
    s->outgoing = stream_answer(s->incoming);
    if (!take_content(s, bytes + head_length, length - head_length)) return RECEIVED_ERROR;
    on_request_complete(s);
    return RECEIVED_PART;
}

static received receive(served *s) {
    if (s->upgraded) return stream_discard(s->watched.fd);
    if (!s->to_receive) return receive_head(s);
    ssize_t count = stream_receive(s->watched.fd, &s->incoming, opt.verify);
    if (count < 0 && errno == EAGAIN) return RECEIVED_NOTHING;
    if (count == 0) return RECEIVED_END;
    if (count < 0 || (size_t)count > s->to_receive) return RECEIVED_ERROR;
    s->to_receive -= (size_t)count;
    tally.bytes += (size_t)count;
    on_request_complete(s);
    return RECEIVED_PART;
}

// Edge-triggered: reads until the request is whole, then answers it. The next request is another edge.
static void on_event(watched *w, uint32_t events) {
    served *s = (served *)w;
    received outcome = RECEIVED_PART;
    while (outcome == RECEIVED_PART) {
        if (!send_answer(s)) outcome = RECEIVED_END;
        else if (s->answering) return;  // EPOLLOUT goes on
        else outcome = receive(s);
        if (s->answering && send_answer(s) && !s->answering && !(events & EPOLLRDHUP)) return;
    }
    if (outcome == RECEIVED_NOTHING) return;
    if (outcome == RECEIVED_ERROR) tally.errors++;
    hang_up(s);
}

void http_serve(int fd) {
    served *s = calloc(1, sizeof *s);
    s->watched = (watched){on_event, fd};
    watch(&s->watched, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}
