// What both bare relays share: options, the listening socket, and the address that they relay to.
#pragma once

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

typedef struct options {
    int listen_port, backend_port;
    size_t buffer_size;       // copying: bytes a provided buffer; splicing: bytes a pipe
    unsigned buffer_count;    // copying: buffers in the ring, a power of two
    int plain_descriptors;    // copying: ordinary instead of direct descriptors
} options;

static inline void fail(const char *what, int error) {
    fprintf(stderr, "%s: %s\n", what, strerror(error < 0 ? -error : error));
    exit(1);
}

static inline options options_parse(int argc, char **argv, options o) {
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'l'},      {"backend", required_argument, NULL, 'b'},
        {"buffer-size", required_argument, NULL, 's'}, {"buffers", required_argument, NULL, 'n'},
        {"plain-descriptors", no_argument, NULL, 'p'}, {NULL, 0, NULL, 0}};
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
            case 'l': o.listen_port = atoi(optarg); break;
            case 'b': o.backend_port = atoi(optarg); break;
            case 's': o.buffer_size = strtoul(optarg, NULL, 10); break;
            case 'n': o.buffer_count = (unsigned)atoi(optarg); break;
            case 'p': o.plain_descriptors = 1; break;
            default:
                fprintf(stderr, "usage: %s --listen PORT --backend PORT [--buffer-size BYTES] [--buffers N]"
                                " [--plain-descriptors]\n", argv[0]);
                exit(64);
        }
    }
    return o;
}

static inline struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void set_nodelay(int fd) {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline int listen_on(int port) {
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    set_nodelay(fd);  // accepted sockets inherit it
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) fail("listen", errno);
    return fd;
}

// As many descriptors as the system allows without asking; returns that number.
static inline unsigned raise_descriptor_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_cur;
}
