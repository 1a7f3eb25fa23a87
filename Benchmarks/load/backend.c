// The listening socket behind the proxy. It listens on every loopback address, so that a configuration can name many
// endpoints.
#define _GNU_SOURCE
#include "backend.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

enum { LISTEN_QUEUE = 4096, ACCEPTS_PER_EVENT = 64 };

static void on_connections(watched *w, uint32_t events) {
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        tally.accepted++;
        if (opt.http == HTTP_NONE) raw_serve(fd);
        else http_serve(fd);
    }
}

void backend_open(void) {
    static watched listener;
    const int one = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.backend_port)};
    listener = (watched){on_connections, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    set_nodelay(listener.fd);  // accepted sockets inherit it
    if (bind(listener.fd, (void *)&any, sizeof any) || listen(listener.fd, LISTEN_QUEUE)) fail("backend port");
    watch(&listener, EPOLLIN);
}
