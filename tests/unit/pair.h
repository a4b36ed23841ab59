/* pair: a connection as the pool has it, non-blocking, with the end that its peer has, blocking; over a Unix socket or TCP. */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum pair_kind { PAIR_UNIX, PAIR_TCP, PAIR_KINDS };

struct pair {
    int connection;
    int peer;
};

/* TCP's buffers would grow to megabytes. */
#define PAIR_TCP_BUFFER (64 * 1024)

static inline void pair_open_tcp(struct pair *pair)
{
    static const int buffer = PAIR_TCP_BUFFER;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pair->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(pair->peer, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)), 0);
    assert_int_equal(connect(pair->peer, (struct sockaddr *)&address, sizeof(address)), 0);
    pair->connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(pair->connection >= 0);
    close(listener);
}

static inline void pair_open(struct pair *pair, enum pair_kind kind)
{
    int ends[2];
    if (kind == PAIR_TCP) {
        pair_open_tcp(pair);
    } else {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        *pair = (struct pair){ends[0], ends[1]};
    }
    assert_int_equal(fcntl(pair->connection, F_SETFL, O_NONBLOCK), 0);
}

static inline void pair_close(const struct pair *pair)
{
    close(pair->connection);
    close(pair->peer);
}

#endif
